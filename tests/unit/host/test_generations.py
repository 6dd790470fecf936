# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine with a subsystem of files only: every step, every way of dying, every way back."""

from __future__ import annotations

import getpass
import grp
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.host import files, generations, systemd
from ansible_collections.sendyard.mail.plugins.module_utils.host.files import FileSpec
from ansible_collections.sendyard.mail.plugins.module_utils.host.plan import DirectorySpec, Layout
from ansible_collections.sendyard.mail.plugins.module_utils.host.standing import standing
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.base import (
    Derived,
    ProbeError,
    Stage,
    Subsystem,
    Unit,
    ValidationError,
)

ME = getpass.getuser()
MY_GROUP = grp.getgrgid(os.getegid()).gr_name


class Killed(BaseException):
    """The process died here: nothing catches it, nothing is cleaned up."""


class Toy(Subsystem):
    """A daemon that serves what its files say: `main` names the word that `table` must hold."""

    name = "toy"
    title = "Toy"
    owned = (r".*/etc/.*",)
    settings_known: ClassVar[Mapping[str, type]] = {"word": str}

    def __init__(self, etc: Path, settings: dict[str, Any] | None = None) -> None:
        super().__init__(settings or {})
        self.etc = etc
        self.running: dict[str, str] = {}  # what the daemon took up last
        self.activations = 0
        self.probes = 0
        self.broken = ""  # a word that a live daemon cannot serve
        self.live = ""

    def validate(self, stage: Stage) -> None:
        if "syntax error" in stage.text(self.etc / "main"):
            raise ValidationError("Toy would not start with this: main line 1: syntax error.")

    def derived(self, wanted: Sequence[FileSpec]) -> tuple[Derived, ...]:
        # `cp` stands for postmap: it is told the staged source and leaves the result beside it.
        script = 'grep -q bad "$0" && { echo "warning: bad entry" >&2; exit 0; }; cp "$0" "$0.db"'
        return tuple(
            Derived(Path(f"{spec.path}.db"), spec.path, ("sh", "-c", script, "{source}"))
            for spec in wanted
            if spec.path.name == "table"
        )

    def rank(self, path: Path) -> int:
        return {"main": 1}.get(path.name, 0)

    def before_activation(self) -> None:
        self.activations += 1
        self.running = {path.name: path.read_text() for path in self.etc.iterdir() if path.is_file()}

    def probe(self) -> None:
        self.probes += 1
        if self.broken and self.broken in self.running.get("main", ""):
            raise ProbeError(f"Toy does not serve {self.broken}.")

    def fingerprint(self) -> str:
        return self.live


class Host:
    """A host of one directory."""

    def __init__(self, root: Path) -> None:
        self.etc = root / "etc"
        self.etc.mkdir()
        self.layout = Layout(state=root / "state", stage=root / "stage", units=())
        self.toy = Toy(self.etc)

    def spec(self, name: str, text: str, **options: Any) -> FileSpec:
        return FileSpec(self.etc / name, text.encode(), options.pop("mode", 0o644), ME, MY_GROUP, **options)

    def apply(self, *, check: bool = False, **texts: str) -> generations.Outcome:
        wanted = [self.spec(name, text) for name, text in texts.items()]
        return generations.apply(self.toy, wanted, check=check, layout=self.layout)

    def texts(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.etc.iterdir())}

    def state(self) -> dict[str, Any]:
        return json.loads((self.layout.state / "toy.json").read_text())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is lost here, and it takes most of the time
    return Host(tmp_path)


def test_the_first_generation_becomes_live(host: Host) -> None:
    outcome = host.apply(main="a\n", table="x\n")
    assert outcome.changed
    assert [entry["after_header"] for entry in outcome.diff] == [str(host.etc / "main"), str(host.etc / "table")]
    assert host.texts() == {"main": "a\n", "table": "x\n", "table.db": "x\n"}
    assert (host.toy.activations, host.toy.probes, host.state()["status"]) == (1, 1, "live")
    assert not any(host.layout.stage.iterdir())


def test_a_second_run_touches_nothing(host: Host) -> None:
    host.apply(main="a\n", table="x\n")
    before = {path: path.stat() for path in [*host.etc.iterdir(), host.layout.state / "toy.json"]}
    outcome = host.apply(main="a\n", table="x\n")
    assert not outcome.changed
    assert (host.toy.activations, host.toy.probes) == (1, 1)
    assert {path: path.stat() for path in before} == before


def test_only_what_differs_is_rewritten(host: Host) -> None:
    host.apply(main="a\n", table="x\n")
    before = (host.etc / "table").stat(), (host.etc / "table.db").stat()
    host.apply(main="b\n", table="x\n")
    assert ((host.etc / "table").stat(), (host.etc / "table.db").stat()) == before
    assert host.toy.running["main"] == "b\n"


def test_check_mode_says_the_same_and_writes_nothing(host: Host) -> None:
    foreseen = host.apply(check=True, main="a\n", table="x\n")
    assert (host.texts(), host.layout.state.exists(), host.layout.stage.exists()) == ({}, False, False)
    assert foreseen.diff == host.apply(main="a\n", table="x\n").diff


def test_check_mode_does_not_ask_for_users_that_a_bare_host_lacks(host: Host) -> None:
    wanted = [FileSpec(host.etc / "main", b"a\n", 0o640, "not-yet-there", "nor-this")]
    directories = [DirectorySpec(host.etc / "new" / "deep", 0o750, "not-yet-there", "nor-this")]
    outcome = generations.apply(host.toy, wanted, directories, check=True, layout=host.layout)
    assert outcome.changed
    assert "0750 not-yet-there:nor-this" in outcome.diff[0]["after"]


def test_directories_are_made_and_corrected(host: Host) -> None:
    directories = [DirectorySpec(host.etc / "d" / "e", 0o2750, ME, MY_GROUP)]
    wanted = [host.spec("main", "a\n")]
    generations.apply(host.toy, wanted, directories, layout=host.layout)
    assert (host.etc / "d" / "e").stat().st_mode & 0o7777 == 0o2750
    (host.etc / "d" / "e").chmod(0o700)
    outcome = generations.apply(host.toy, wanted, directories, layout=host.layout)
    assert outcome.changed
    assert (host.etc / "d" / "e").stat().st_mode & 0o7777 == 0o2750
    assert not generations.apply(host.toy, wanted, directories, layout=host.layout).changed


def test_what_does_not_validate_never_becomes_live(host: Host) -> None:
    host.apply(main="a\n", table="x\n")
    before = host.texts(), host.state()
    with pytest.raises(ValidationError, match="syntax error"):
        host.apply(main="syntax error\n", table="y\n")
    assert (host.texts(), host.state()) == before
    assert (host.toy.activations, list(host.layout.stage.iterdir())) == (1, [])


def test_a_table_whose_compiler_warns_is_refused(host: Host) -> None:
    host.apply(main="a\n", table="x\n")
    with pytest.raises(ValidationError, match=rf"{host.etc}/table cannot be compiled: warning: bad entry"):
        host.apply(main="a\n", table="bad\n")
    assert host.texts()["table"] == "x\n"


def test_a_compiled_table_that_was_lost_or_tampered_with_is_made_again(host: Host) -> None:
    host.apply(main="a\n", table="x\n")
    for damage in (lambda path: path.unlink(), lambda path: path.write_text("evil\n")):
        damage(host.etc / "table.db")
        host.apply(main="a\n", table="x\n")
        assert host.texts()["table.db"] == "x\n"


def test_a_failed_probe_brings_files_and_daemon_back(host: Host) -> None:
    host.apply(main="a\n", table="x\n")
    before, known = host.texts(), host.state()
    host.toy.broken = "b"
    with pytest.raises(generations.GenerationError, match=r"(?s)Toy does not serve b\..*What stood before is back"):
        host.apply(main="b\n", table="y\n", extra="z\n")
    assert host.texts() == before
    assert host.state() == known
    assert not host.apply(main="a\n", table="x\n").changed


def test_a_mistake_of_our_own_in_the_swap_is_rolled_back_too(host: Host) -> None:
    host.apply(main="a\n")
    host.toy.settle = lambda changes: 1 / 0  # type: ignore[assignment,method-assign]
    with pytest.raises(generations.GenerationError, match="ZeroDivisionError"):
        host.apply(main="b\n")
    assert host.texts() == {"main": "a\n"}


def test_a_first_generation_that_fails_leaves_what_stood_there(host: Host) -> None:
    (host.etc / "main").write_text("theirs\n")
    (host.etc / "main").chmod(0o600)
    host.toy.broken = "b"
    with pytest.raises(generations.GenerationError):
        host.apply(main="b\n", table="x\n")
    assert host.texts() == {"main": "theirs\n"}
    assert (host.etc / "main").stat().st_mode & 0o777 == 0o600


def test_a_link_that_a_file_replaced_comes_back(host: Host) -> None:
    (host.etc / "main").symlink_to("../elsewhere")
    host.toy.broken = "b"
    with pytest.raises(generations.GenerationError):
        host.apply(main="b\n")
    assert (host.etc / "main").readlink() == Path("../elsewhere")
    assert (host.layout.state / "replaced" / (host.etc / "main").relative_to("/")).readlink() == Path("../elsewhere")


def test_what_stood_there_first_is_kept_for_ever_and_privately(host: Host) -> None:
    (host.etc / "main").write_text("theirs\n")
    for text in ("a\n", "b\n", "c\n"):
        host.apply(main=text)
    kept = host.layout.state / "replaced" / (host.etc / "main").relative_to("/")
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == ("theirs\n", 0o600)


def test_a_file_that_is_no_longer_wanted_goes(host: Host) -> None:
    host.apply(main="a\n", table="x\n")
    outcome = host.apply(main="a\n")
    assert host.texts() == {"main": "a\n"}
    assert {entry["after_header"] for entry in outcome.diff} == {
        f"{host.etc}/table (absent)",
        f"{host.etc}/table.db (absent)",
    }
    assert not host.apply(main="a\n").changed


def test_a_removed_secret_is_not_shown_either(host: Host) -> None:
    generations.apply(
        host.toy, [host.spec("main", "a\n"), host.spec("key", "s3cret\n", sensitive=True)], layout=host.layout
    )
    assert "s3cret" not in json.dumps(host.apply(main="a\n").diff)


def test_new_settings_are_proven_without_touching_the_daemon(host: Host) -> None:
    host.apply(main="a\n")
    host.toy.settings["word"] = "other"
    assert not host.apply(main="a\n").changed
    assert (host.toy.activations, host.toy.probes) == (1, 2)
    host.apply(main="a\n")
    assert host.toy.probes == 2


def test_a_daemon_that_lost_what_was_made_live_gets_it_again(host: Host) -> None:
    host.toy.live = "table of the kernel"
    host.apply(main="a\n")
    host.toy.live = "flushed"
    outcome = host.apply(main="a\n")
    assert outcome.changed
    assert "does not hold what was made live" in outcome.reason
    assert host.toy.activations == 2


def test_a_file_changed_by_hand_is_set_right(host: Host) -> None:
    host.apply(main="a\n")
    (host.etc / "main").write_text("by hand\n")
    assert host.apply(main="a\n").diff[0]["before"] == "by hand\n"
    assert host.toy.running["main"] == "a\n"


@pytest.mark.parametrize(
    ("paths", "message"),
    [(["/usr/bin/env"], "does not belong to toy"), (["{etc}/main", "{etc}/main"], "named twice")],
)
def test_a_path_that_is_not_its_own_is_refused(host: Host, paths: list[str], message: str) -> None:
    wanted = [FileSpec(Path(path.format(etc=host.etc)), b"", 0o644, ME, MY_GROUP) for path in paths]
    with pytest.raises(SendyardError, match=message):
        generations.apply(host.toy, wanted, layout=host.layout)


@pytest.mark.parametrize("settings", [{"wrod": "x"}, {"word": 3}])
def test_settings_that_nobody_reads_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(SendyardError, match="settings of toy"):
        Toy(tmp_path, settings)


def test_switched_off_it_leaves_nothing_and_stays_off(host: Host) -> None:
    host.apply(main="a\n", table="x\n")
    host.toy.settings["enabled"] = False
    assert len(host.apply(check=True).diff) == 3
    assert host.apply().changed
    assert (host.texts(), host.apply().changed) == ({}, False)


# --- dying ----------------------------------------------------------------------------------------------------------


# Where a run may die: after each write of a file, a copy or the state; before activation; before the probe; at the end.
MOMENTS = [*(f"write {count}" for count in range(1, 15)), "activate", "probe", "settle"]


def arm(host: Host, moment: str, patch: pytest.MonkeyPatch) -> None:
    """Make the run die at `moment`."""

    def die(*_: object) -> list[str]:
        raise Killed

    kind, _, count = moment.partition(" ")
    if kind == "write":
        left = int(count)
        real = files.write

        def write(spec: FileSpec) -> None:
            nonlocal left
            real(spec)
            left -= 1
            if left == 0:
                raise Killed

        patch.setattr(files, "write", write)
    else:
        names = {"activate": "before_activation", "probe": "probe", "settle": "settle"}
        patch.setattr(host.toy, names[kind], die)


NEW = {"main": "b\n", "table": "y\n", "extra": "z\n"}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_is_finished_by_the_next(host: Host, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host.apply(main="a\n", table="x\n", gone="g\n")
    with monkeypatch.context() as patch:
        arm(host, moment, patch)
        with suppress(Killed):
            host.apply(**NEW)
    assert_prefix(host)
    host.apply(**NEW)
    assert host.texts() == {**NEW, "table.db": "y\n"}
    assert (host.toy.running["main"], host.state()["status"]) == ("b\n", "live")
    assert not host.apply(**NEW).changed


def assert_prefix(host: Host) -> None:
    """Main is new only where the table that it names is new: every prefix of the swap works."""
    texts = host.texts()
    assert texts["main"] == "a\n" or (texts["table"], texts["table.db"]) == ("y\n", "y\n")


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_kill_the_way_back_leads_to_the_last_that_answered(
    host: Host, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.apply(main="a\n", table="x\n", gone="g\n")
    good, wanted = host.texts(), NEW
    with monkeypatch.context() as patch:
        arm(host, moment, patch)
        with suppress(Killed):
            host.apply(**NEW)
    if host.state()["status"] == "live" and host.texts()["main"] == "b\n":  # it died after it had come through
        good, wanted = host.texts(), {**NEW, "main": "c\n"}
    host.toy.broken = wanted["main"].strip()
    with pytest.raises(generations.GenerationError):
        host.apply(**wanted)
    assert host.texts() == good


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_kill_the_old_generation_can_be_wanted_again(
    host: Host, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"main": "a\n", "table": "x\n", "gone": "g\n"}
    host.apply(**old)
    with monkeypatch.context() as patch:
        arm(host, moment, patch)
        with suppress(Killed):
            host.apply(**NEW)
    host.apply(**old)
    assert host.texts() == {**old, "table.db": "x\n"}
    assert host.toy.running["main"] == "a\n"


def test_a_stage_left_by_a_killed_run_is_cleared(host: Host) -> None:
    leftover = host.layout.stage / "toy" / "etc" / "old"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("secret")
    host.apply(main="a\n")
    assert not leftover.exists()


def test_the_stage_leads_from_paths_to_their_staged_copies(tmp_path: Path) -> None:
    stage = Stage(Path("/s"), (FileSpec(Path("/etc/a"), b""), FileSpec(Path("/etc/a.pcre"), b"")))
    text = "x /etc/a,/etc/a.pcre /etc/a.db /etc/a/b /etc/ab pcre:/etc/a.pcre, /opt/etc/a /etc/a."
    assert stage.rewritten(text) == (
        "x /s/etc/a,/s/etc/a.pcre /etc/a.db /etc/a/b /etc/ab pcre:/s/etc/a.pcre, /opt/etc/a /s/etc/a."
    )


# --- what still stands


class Standing(Host):
    """A host whose subsystem has a unit, and masks one."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root)
        self.units = {
            "toy.service": systemd.UnitStatus("toy.service", "loaded", "active", "enabled"),
            "other.service": systemd.UnitStatus("other.service", "masked", "inactive", "masked"),
        }
        monkeypatch.setattr(Toy, "own_units", lambda toy: (Unit("toy.service"),))
        monkeypatch.setattr(Toy, "masked", ("other.service",))
        monkeypatch.setattr(systemd, "status", lambda names: {name: self.units[name] for name in names})
        monkeypatch.setattr(systemd, "act", lambda verb, unit: None)
        monkeypatch.setattr(systemd, "set_at_boot", lambda **names: False)
        self.make()

    def make(self, asked: str = "so") -> generations.Outcome:
        wanted = [self.spec("main", "a\n"), self.spec("table", "x\n")]
        directories = [DirectorySpec(self.etc / "kept", 0o750, ME, MY_GROUP)]
        return generations.apply(self.toy, wanted, directories, asked=asked, layout=self.layout)

    def stands(self) -> dict[str, str]:
        return standing(self.layout.state, {"toy": self.toy.fingerprint})


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standing:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return Standing(tmp_path, monkeypatch)


def test_what_was_asked_for_stands_until_something_else_is(settled: Standing) -> None:
    assert settled.stands() == {"toy": "so"}
    assert not settled.make("another way to ask for it").changed
    assert settled.stands() == {"toy": "another way to ask for it"}
    settled.make("")
    assert settled.stands() == {}, "who does not say what was asked for is called each time"


@pytest.mark.parametrize(
    "change",
    [
        lambda host: (host.etc / "main").write_text("b\n"),
        lambda host: (host.etc / "main").chmod(0o600),
        lambda host: (host.etc / "table.db").unlink(),
        lambda host: (host.etc / "table").replace(host.etc / "elsewhere"),
        lambda host: (host.etc / "kept").chmod(0o777),
        lambda host: (host.etc / "kept").rmdir(),
        lambda host: setattr(host.toy, "live", "something else"),
        lambda host: host.units.update({"toy.service": replace(host.units["toy.service"], active="failed")}),
        lambda host: host.units.update({"toy.service": replace(host.units["toy.service"], enabled="disabled")}),
        lambda host: host.units.update({"other.service": replace(host.units["other.service"], load="loaded")}),
        lambda host: (host.layout.state / "toy.json").write_text("{"),
        lambda host: (host.layout.state / "toy.json").unlink(),
        lambda host: (host.layout.state / "toy.json").write_text(json.dumps({**host.state(), "status": "swapping"})),
    ],
)
def test_what_somebody_changed_does_not_stand(settled: Standing, change: Callable[[Standing], object]) -> None:
    assert settled.stands() == {"toy": "so"}
    change(settled)
    assert settled.stands() == {}


def test_a_subsystem_that_differs_leaves_the_others_standing(settled: Standing) -> None:
    (settled.layout.state / "certificate.json").write_text(json.dumps({"order": {}}))
    (settled.layout.state / "broken.json").write_text("[]")
    (settled.layout.state / "gone.json").write_text(
        json.dumps({**settled.state(), "files": {str(settled.etc / "nowhere"): "ab"}})
    )
    assert settled.stands() == {"toy": "so"}
