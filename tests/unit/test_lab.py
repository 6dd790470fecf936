# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the lab decides before it touches the machine: where packages come from, what is whose, what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from programs import ROOT
from sendyard_lab import cli, images, info, life, podman
from sendyard_lab.shell import LabError, Steps
from sendyard_lab.slice import Slice, slice_of

# -- the machine's own mirror ----------------------------------------------------------------------------------------


def mirror_of(monkeypatch: pytest.MonkeyPatch, *bases: str) -> images.Mirror:
    """The mirror of a machine whose apt has these sources."""
    fetched = "".join(f"'{base}/dists/trixie/InRelease' a_file_name 0 \n" for base in bases)

    def run(argv: Sequence[str]) -> str:
        return {"apt-get": fetched, "apt-config": 'Acquire::http::Proxy "http://proxy.example:3128";\n'}[argv[0]]

    monkeypatch.setattr(images, "run", run)
    return images.machine_mirror()


def test_packages_come_from_the_machines_own_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = mirror_of(
        monkeypatch,
        "cdrom:[Debian]",
        "https://packages.other.example/apt",
        "https://mirror.example/debian",
        "https://mirror.example/debian-security",
    )
    assert (mirror.archive, mirror.security) == (
        "https://mirror.example/debian",
        "https://mirror.example/debian-security",
    )
    assert mirror.proxy == "http://proxy.example:3128"


def test_of_a_list_of_mirrors_the_first_that_speaks_http_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed = tmp_path / "debian.list"
    listed.write_text(
        "# near\nfile:/srv/debian\thost:here\nhttps://near.example/debian/\tpriority:1\nhttp://far.example/debian\n"
    )
    mirror = mirror_of(monkeypatch, f"mirror+file:{tmp_path}/is-not-there.list", f"mirror+file:{listed}")
    assert (mirror.archive, mirror.security) == ("https://near.example/debian", "https://near.example/debian-security")


def test_a_machine_without_a_mirror_is_told_what_its_apt_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match="cdrom:"):
        mirror_of(monkeypatch, "cdrom:[Debian]")


# -- what is whose ---------------------------------------------------------------------------------------------------

OURS, OTHER = "/srv/ours", "/srv/other"


class Podman:
    """Stands in for the program: answers by the start of the arguments, and remembers what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def run(self, argv: Sequence[str | Path], **options: Any) -> str:
        words = " ".join(map(str, argv[1:]))
        self.asked.append(words)
        for start, answer in self.answers.items():
            if words.startswith(start):
                if isinstance(answer, LabError):
                    raise answer
                return answer if isinstance(answer, str) else json.dumps(answer)
        return ""

    def removed(self) -> list[str]:
        """The images that were to be removed."""
        return [words.removeprefix("rmi ") for words in self.asked if words.startswith("rmi ")]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Podman:
    """A store with two base images, and a lock of images that belongs to the test."""
    program = Podman(
        {"images --format": "localhost/sendyard/trixie:1\ndocker.io/other:2\nlocalhost/sendyard/infra:1\n"}
    )
    monkeypatch.setattr(podman, "run", program.run)
    monkeypatch.setattr(images, "USE", tmp_path / "images")
    return program


@pytest.fixture
def ours() -> Slice:
    return slice_of(Path(OURS))


def labelled(*checkouts: str) -> list[dict[str, Any]]:
    """Containers or images of these checkouts' labs, as podman lists them."""
    return [{"Labels": {podman.LABEL: checkout}} for checkout in checkouts]


def test_base_images_go_with_the_last_lab(store: Podman, ours: Slice) -> None:
    store.answers |= {"ps": labelled(OURS)}
    assert images.remove_unused(ours) == []
    assert store.removed() == ["localhost/sendyard/trixie:1", "localhost/sendyard/infra:1"]


@pytest.mark.parametrize("kind", ["ps", "images --filter"])
def test_base_images_stay_while_another_checkout_has_a_lab_or_a_snapshot(store: Podman, ours: Slice, kind: str) -> None:
    store.answers[kind] = labelled(OURS, OTHER)
    (said,) = images.remove_unused(ours)
    assert OTHER in said
    assert store.removed() == []


def test_base_images_stay_while_another_lab_is_made_of_them(store: Podman, ours: Slice) -> None:
    with images.used(), images.used():
        (said,) = images.remove_unused(ours)
    assert "being brought up" in said
    assert store.removed() == []
    images.remove_unused(ours)
    assert store.removed() != []


def test_an_image_that_some_container_uses_stays(store: Podman, ours: Slice) -> None:
    store.answers["rmi"] = LabError("image is in use")
    assert images.remove_unused(ours) == [
        f"localhost/sendyard/{name}:1 stays: a container uses it" for name in ("trixie", "infra")
    ]


def test_the_container_of_a_build_that_was_killed_goes_with_the_lab(store: Podman, ours: Slice) -> None:
    store.answers[f"ps -aq --filter name=^{ours.prefix}build-"] = "0123abcd\n"
    podman.remove_all(ours)
    assert podman.build_name(ours, "infra") == f"{ours.prefix}build-infra"
    assert any(words.startswith("rm ") and words.endswith("0123abcd") for words in store.asked)


@pytest.mark.parametrize(("label", "owner"), [({podman.LABEL: OTHER}, OTHER), ({}, "compose-net")])
def test_whoever_has_the_networks_of_a_lab_is_named(
    store: Podman, ours: Slice, label: dict[str, str], owner: str
) -> None:
    taken = {"name": "compose-net", "labels": label, "subnets": [{"subnet": str(ours.ipv4)}]}
    store.answers |= {
        "network ls": [{"name": "podman", "subnets": [{"subnet": "10.88.0.0/16"}]}, taken],
        "network create": LabError("subnet is already used"),
    }
    with pytest.raises(LabError) as failed:
        podman.create_network(ours)
    for part in (owner, str(ours.ipv4), "another path", "subnet is already used"):
        assert part in str(failed.value)


def test_down_ends_connections_first_and_gives_up_its_lock_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    monkeypatch.setattr(Slice, "sockets", tmp_path / "sockets")
    monkeypatch.setattr(Slice, "lock", tmp_path / "lock")
    lab = slice_of(tmp_path)
    lab.lock.touch()
    lab.sockets.mkdir()
    (lab.sockets / "0123").touch()

    def note(what: str) -> list[str]:
        done.append(f"{what}, socket {(lab.sockets / '0123').exists()}, lock {lab.lock.exists()}")
        return []

    monkeypatch.setattr(life, "run", lambda argv, **options: note("exit") if "exit" in argv else "")
    monkeypatch.setattr(life.podman, "remove_all", lambda lab: note("hosts"))
    monkeypatch.setattr(life.images, "remove_unused", lambda lab: note("images"))
    life.down(lab, everything=True)
    assert done == ["exit, socket True, lock True", "hosts, socket True, lock True", "images, socket False, lock True"]
    assert not lab.lock.exists()


# -- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["exited", None])
def test_a_fault_of_a_host_that_does_not_run_is_refused(store: Podman, ours: Slice, state: str | None) -> None:
    store.answers["ps"] = [{"Names": [f"{ours.prefix}rx"], "State": state}] if state else []
    with pytest.raises(LabError, match="rx does not run; lab/lab up"):
        cli._fault(ours, "rx", "clear")


def test_a_step_is_named_when_it_begins(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps().step("one"):
        assert capsys.readouterr().err.split() == ["lab:", "one"]
    assert re.fullmatch(r" +0\.\d s\n", capsys.readouterr().err)


def test_steps_side_by_side_have_a_whole_line_each_at_their_end(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps()
    with steps.step("one"), steps.step("two"):
        pass
    with steps.step("three"):
        pass
    begun, *ended = capsys.readouterr().err.splitlines()
    assert begun.split() == ["lab:", "one"]
    assert [line.split()[1] for line in ended] == ["two", "one", "three"]
    assert all(line.endswith(" s") for line in ended)


def test_whoever_reads_only_a_line_sees_no_traceback() -> None:
    done = subprocess.run(
        ["bash", "-c", '"$1" lab/lab info | true', "-", sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_the_lab_is_up_where_this_machine_has_its_address(ours: Slice, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not info.is_up(ours)
    monkeypatch.setattr(Slice, "addresses", lambda self, number: ("127.0.0.1", "::1"))
    assert info.is_up(ours)
