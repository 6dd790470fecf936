# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What runs so far have left on either side: no secret where it does not belong, and each for its user alone."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lab_api
import lab_leaks
import leaks
import pytest
from lab_hosts import SENDERS, Sender

PLANTED = "/var/tmp/sendyard-planted"


@pytest.fixture(scope="module")
def known(sender: Sender) -> leaks.Grams:
    """The grams of all secrets of the lab and of this sender."""
    return leaks.index([*lab_leaks.of_lab(), *lab_leaks.of_sender(sender.name)])


@contextmanager
def planted(sender: Sender) -> Iterator[leaks.Secret]:
    """A secret that is none, as a careless program would leave it: in a file, in the journal and as an argument."""
    word = secrets.token_urlsafe(24)
    seconds = 600
    script = (
        f"printf '%s' {shlex.quote(word)} | base64 >{PLANTED}; chmod 644 {PLANTED}; logger -- password={word};"
        f" systemd-run --quiet --collect --unit=planted sh -c 'sleep {seconds}' {word}"
    )
    lab_api.root(sender.name, "sh", "-c", script)
    try:
        yield leaks.Secret("planted", word.encode())
    finally:
        lab_api.root(sender.name, "systemctl", "stop", "planted.service")
        lab_api.root(sender.name, "rm", "-f", PLANTED)


def test_a_secret_is_read_by_whom_it_is_for_and_by_nobody_else(sender: Sender, known: leaks.Grams) -> None:
    with planted(sender) as control:
        seen = lab_leaks.look(sender.name, known.and_of([control]))
    assert seen.readers[PLANTED] == list(lab_leaks.USERS)
    wrong = lab_leaks.misplaced(seen)
    found = [one for one in wrong if "planted" in one]
    for where in (f"{PLANTED} holds", "journal: planted", "process cmdline: "):
        assert [one for one in found if one.startswith(where)], f"the search does not see {where}"
    assert [one for one in wrong if one not in found] == []


def test_the_controller_keeps_none_but_its_own(tmp_path: Path) -> None:
    """Neither in reports and whatever else a checkout gets, nor where Ansible keeps things; the lab's state aside."""
    control = leaks.Secret("planted", secrets.token_urlsafe(24).encode())
    (tmp_path / "output.log").write_bytes(b"ok: [mx] => {'password': '" + control.text + b"'}")
    keys = (secret for host in SENDERS for secret in lab_leaks.of_sender(host))
    grams = leaks.index([*lab_leaks.of_lab(), *keys, control])
    left_out = [str(lab_api.ROOT / name) for name in (".git", ".venv")] + [lab_api.info()["state"]]
    roots = [str(lab_api.ROOT), str(Path("~/.ansible").expanduser()), str(tmp_path)]
    found = leaks.where(leaks.files_below(roots, left_out), grams)
    assert found.pop(str(tmp_path / "output.log")) == ["planted"]
    assert found == {}
    assert {name for names in leaks.processes(grams).values() for name in names} == set()
