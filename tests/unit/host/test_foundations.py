# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, commands, lock and state: what every change of a host stands on."""

from __future__ import annotations

import getpass
import grp
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.host import command, files, lock, state

ME = getpass.getuser()
MY_GROUP = grp.getgrgid(os.getegid()).gr_name


def spec(path: Path, text: str = "new\n", mode: int = 0o640, sensitive: bool = False) -> files.FileSpec:
    return files.FileSpec(path, text.encode(), mode, ME, MY_GROUP, sensitive)


class TestFiles:
    def test_a_written_file_is_as_wanted_whatever_the_umask(self, tmp_path: Path) -> None:
        wanted = spec(tmp_path / "a" / "b" / "file", mode=0o664)
        old = os.umask(0o077)
        try:
            files.write(wanted)
        finally:
            os.umask(old)
        assert files.same(files.read(wanted.path), wanted)
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755

    def test_a_reader_sees_the_old_or_the_new_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old\n")
        with path.open() as before:
            files.write(spec(path))
            assert before.read() == "old\n"
        assert path.read_text() == "new\n"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old\n")

        def fill(descriptor: int) -> None:
            os.write(descriptor, b"half")
            raise OSError(28, "No space left on device")

        with pytest.raises(files.FileError, match=r"file cannot be written: No space left"):
            files.replace(path, fill, mode=0o600, owner=ME, group=MY_GROUP)
        assert path.read_text() == "old\n"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_secret_is_never_readable_by_others_not_even_under_its_temporary_name(self, tmp_path: Path) -> None:
        seen = []

        def fill(descriptor: int) -> None:
            seen.append((os.fstat(descriptor).st_mode & 0o777, os.fstat(descriptor).st_size))

        files.replace(tmp_path / "key", fill, mode=0o600, owner=ME, group=MY_GROUP)
        assert seen == [(0o600, 0)]

    def test_an_unknown_owner_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(files.FileError, match="user no-such-user does not exist"):
            files.write(files.FileSpec(tmp_path / "x", b"", 0o600, "no-such-user", MY_GROUP))

    def test_a_symbolic_link_is_replaced_not_followed(self, tmp_path: Path) -> None:
        target, link = tmp_path / "target", tmp_path / "link"
        target.write_text("theirs\n")
        link.symlink_to(target)
        assert files.read(link) is None
        files.write(spec(link))
        assert (link.is_symlink(), target.read_text()) == (False, "theirs\n")

    def test_a_directory_in_the_way_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        with pytest.raises(files.FileError, match=r"/d is not a regular file"):
            files.read(tmp_path / "d")

    def test_a_diff_shows_text_and_what_changes_of_mode(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        entry = files.difference(path, spec(path, "a\n", 0o644), spec(path, "b\n", 0o600))
        assert (entry["before"], entry["after"]) == (
            f"# 0644 {ME}:{MY_GROUP}\na\n",
            f"# 0600 {ME}:{MY_GROUP}\nb\n",
        )

    @pytest.mark.parametrize("before", [None, "old secret\n", "new secret\n"])
    def test_a_diff_never_shows_a_secret(self, tmp_path: Path, before: str | None) -> None:
        path = tmp_path / "f"
        there = spec(path, before, sensitive=True) if before else None
        entry = files.difference(path, there, spec(path, "new secret\n", 0o600, sensitive=True))
        assert "secret" not in json.dumps(entry)
        assert entry["before"] != entry["after"]


class TestCommand:
    def test_output_and_code_come_back(self) -> None:
        result = command.run(["sh", "-c", "cat; echo oops >&2; exit 3"], deadline=5, stdin="in")
        assert (result.rc, result.stdout, result.stderr, result.ok) == (3, "in", "oops\n", False)

    def test_a_failure_says_what_was_being_done(self) -> None:
        with pytest.raises(command.CommandError, match=r"Making tea failed: sh ended with 2: no water"):
            command.run(["sh", "-c", "echo no water >&2; exit 2"], deadline=5).require("Making tea")

    def test_a_missing_program_is_named(self) -> None:
        with pytest.raises(command.CommandError, match=r"no-such-program cannot be run .*package"):
            command.run(["no-such-program"], deadline=5)

    def test_the_deadline_reaches_the_children(self, tmp_path: Path) -> None:
        began = time.monotonic()
        with pytest.raises(command.CommandError, match=r"did not end within 0.3 s"):
            command.run(["sh", "-c", f"(sleep 1; touch {tmp_path}/late) & sleep 30"], deadline=0.3)
        assert time.monotonic() - began < 3
        time.sleep(1.2)
        assert not (tmp_path / "late").exists()

    def test_nothing_is_asked_of_a_terminal_and_the_locale_is_fixed(self) -> None:
        assert command.run(["sh", "-c", "cat; echo $LC_ALL"], deadline=5).stdout == "C.UTF-8\n"


HOLDER = """
import sys, time
from pathlib import Path
from ansible_collections.sendyard.mail.plugins.module_utils.host.lock import host_lock
with host_lock("first run", path=Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


class TestLock:
    def hold(self, path: Path, seconds: float) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "collections")}
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), str(seconds)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    def test_a_second_run_says_who_holds_the_host(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        holder = self.hold(path, 30)
        try:
            with pytest.raises(lock.LockError, match=rf"pid {holder.pid}: first run, since 20\d\d-.*waited 0.1 s"):
                with lock.host_lock("second", deadline=0.1, path=path):
                    pass
        finally:
            holder.kill()
            holder.wait()

    def test_a_second_run_waits(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        holder = self.hold(path, 0.5)
        with lock.host_lock("second", deadline=20, path=path):
            assert json.loads(path.read_text())["purpose"] == "second"
        holder.wait()
        assert path.read_text() == ""

    def test_a_killed_holder_holds_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        holder = self.hold(path, 30)
        holder.kill()
        holder.wait()
        with lock.host_lock("second", deadline=0, path=path):
            pass


class TestState:
    def test_what_is_written_is_read_and_private(self, tmp_path: Path) -> None:
        assert state.read_state("x", tmp_path) == {}
        state.write_state("x", {"status": "live"}, tmp_path)
        assert state.read_state("x", tmp_path) == {"status": "live"}
        assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o600

    def test_the_same_state_is_not_written_again(self, tmp_path: Path) -> None:
        state.write_state("x", {"a": 1}, tmp_path)
        before = (tmp_path / "x.json").stat()
        state.write_state("x", {"a": 1}, tmp_path)
        assert (tmp_path / "x.json").stat().st_ino == before.st_ino

    @pytest.mark.parametrize("text", ["", '{"status":', "[]"])
    def test_a_damaged_state_is_not_taken_as_empty(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(SendyardError, match=rf"{tmp_path}/x.json"):
            state.read_state("x", tmp_path)
