# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The command that reads and bounds the mail which a host keeps for itself."""

from __future__ import annotations

import importlib.util
import io
import mailbox
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
import render
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = render.ROLES / "postfix/files/sendyard_mail.py"
DAY = 86400
NOW = 1_000 * DAY


def load() -> ModuleType:
    """The script as a module."""
    loader = SourceFileLoader("sendyard_mail", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look their module up
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


command = load()


def store(root: Path, name: str, content: bytes, age_days: float, box: str = "bounces") -> Path:
    """A message in the maildir."""
    path = root / box / "new" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (NOW - age_days * DAY,) * 2)
    return path


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    old, young = store(tmp_path, "old", b"x", 31), store(tmp_path, "young", b"x", 29)
    assert command.trim(tmp_path, now=NOW, max_age_days=30, max_size=100) == 1
    assert not old.exists()
    assert young.exists()


def test_the_oldest_goes_where_there_is_too_much(tmp_path: Path) -> None:
    paths = [store(tmp_path, str(age), b"x" * 40, age) for age in (3, 2, 1)]
    other = store(tmp_path, "other", b"x" * 90, 5, box="abuse")
    assert command.trim(tmp_path, now=NOW, max_age_days=30, max_size=100) == 1
    assert [path.exists() for path in (*paths, other)] == [False, True, True, True]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1000)), max_size=30),
    st.floats(0, 100),
    st.integers(0, 5000),
)
def test_what_stays_is_within_both_bounds_and_no_more_goes_than_must(
    arrivals: list[tuple[float, int]], before: float, max_size: int
) -> None:
    kept = sorted(command.Message(when, size, Path(str(index))) for index, (when, size) in enumerate(arrivals))
    gone = list(command.surplus(kept, before=before, max_size=max_size))
    stays = kept[len(gone) :]
    assert gone == kept[: len(gone)]
    assert sum(message.size for message in stays) <= max_size
    assert all(message.arrived >= before for message in stays)
    if gone and gone[-1].arrived >= before:
        assert sum(message.size for message in (gone[-1], *stays)) > max_size


def test_an_mbox_gives_back_what_was_stored(tmp_path: Path) -> None:
    contents = [b"Subject: one\n\nFrom here\n>From there\n", b"Subject: two\n\nno end"]
    for number, content in enumerate(contents):
        store(tmp_path, str(number), content, 2 - number)
    out = io.BytesIO()
    command.write_mbox(command.messages(tmp_path / "bounces"), out)
    path = tmp_path / "mbox"
    path.write_bytes(out.getvalue())
    read = [message.get_payload() for message in mailbox.mbox(path)]
    assert read == [">From here\n>>From there\n", "no end\n"]


def test_the_newest_can_be_asked_for(tmp_path: Path) -> None:
    for age in (3, 2, 1):
        store(tmp_path, str(age), f"Subject: age {age}\n\n\n".encode(), age)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--store", str(tmp_path), "bounces", "--last", "2"],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if line.startswith("Subject")] == [
        "Subject: age 2",
        "Subject: age 1",
    ]


def test_without_a_name_it_says_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path, "one", b"x" * 7, 0)
    assert command.main(["--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["postmaster", "0", "messages", "0"],
        ["abuse", "0", "messages", "0"],
        ["bounces", "1", "messages", "7"],
    ]


@pytest.mark.parametrize(("text", "size"), [("7", 7), ("2K", 2048), ("200M", 200 << 20), ("1G", 1 << 30)])
def test_sizes(text: str, size: int) -> None:
    assert command.size(text) == size


@pytest.mark.parametrize("text", ["", "M", "1.5M", "-1", "1T", "1 M"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(command.argparse.ArgumentTypeError):
        command.size(text)
