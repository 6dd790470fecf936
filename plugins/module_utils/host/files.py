# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a host: what is wanted, what stands there, how they differ, and how one replaces the other at once."""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from ..errors import SendyardError


class FileError(SendyardError):
    """A file cannot be read, written or given to its owner."""


@dataclass(frozen=True)
class FileSpec:
    """A file as it should be. `mode` is the permission bits; a `sensitive` file's content is never shown."""

    path: Path
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    sensitive: bool = False

    @property
    def meta(self) -> str:
        """Mode and ownership as a person reads them, such as "0640 root:dovecot"."""
        return f"{self.mode:04o} {self.owner}:{self.group}"

    @property
    def digest(self) -> str:
        """Hex sha256 over content, mode and ownership: equal digests, nothing to do."""
        return hashlib.sha256(f"{self.meta}\n".encode() + self.content).hexdigest()


class Diff(TypedDict):
    """One entry of Ansible's `diff`: texts before and after with their headings."""

    before_header: str
    after_header: str
    before: str
    after: str


def owner_name(uid: int) -> str:
    """The user's name, or its number where no such user exists."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The group's name, or its number where no such group exists."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def owner_id(name: str) -> int:
    """The number of user `name`. Raises FileError where there is none."""
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise FileError(
            f"user {name} does not exist on this host: did the package or role run that makes it?"
        ) from None


def group_id(name: str) -> int:
    """The number of group `name`. Raises FileError where there is none."""
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise FileError(
            f"group {name} does not exist on this host: did the package or role run that makes it?"
        ) from None


def read(path: Path, *, sensitive: bool = False) -> FileSpec | None:
    """What stands at `path`, or None where there is nothing.

    A symbolic link counts as nothing, since a regular file is to replace it, not what it points at.

    Raises:
        FileError: something other than a regular file stands there, or it cannot be read.
    """
    try:
        # O_NOFOLLOW and one descriptor: content and ownership are those of the same file.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            return None
        raise FileError(f"{path} cannot be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileError(f"{path} is not a regular file, and one is to stand there. Move it away and run again.")
    with os.fdopen(descriptor, "rb") as handle:
        content = handle.read()
    return FileSpec(
        path=path,
        content=content,
        mode=stat.S_IMODE(status.st_mode),
        owner=owner_name(status.st_uid),
        group=group_name(status.st_gid),
        sensitive=sensitive,
    )


def directory_meta(path: Path) -> str:
    """Mode and owner of the directory at `path`, as FileSpec has them; "" where there is none.

    Raises:
        FileError: something else stands there.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    if not stat.S_ISDIR(status.st_mode):
        raise FileError(f"{path} is to be a directory, and something else stands there. Move it away and run again.")
    return f"{stat.S_IMODE(status.st_mode):04o} {owner_name(status.st_uid)}:{group_name(status.st_gid)}"


def same(there: FileSpec | None, wanted: FileSpec) -> bool:
    """True if `there` already is what is `wanted`, content, mode and ownership."""
    return there is not None and (there.content, there.meta) == (wanted.content, wanted.meta)


def sync_directory(path: Path) -> None:
    """Make a rename or removal in directory `path` survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_parents(path: Path) -> None:
    """Create the missing parent directories of `path`, 0755 and root's whatever the umask says."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        with suppress(FileExistsError):
            parent.mkdir()
            parent.chmod(0o755)


def write(spec: FileSpec) -> None:
    """Put `spec` in place by one rename: a reader sees the old file or the new one, never a part of it.

    Owner and mode are set before the content is written, so that a secret is never readable by others, not even
    under its temporary name. After a power loss the old or the new file stands there, whole.

    Raises:
        FileError: owner or group do not exist, or the file system refuses.
    """

    def fill(descriptor: int) -> None:
        with os.fdopen(os.dup(descriptor), "wb") as handle:
            handle.write(spec.content)
        if spec.path.name == "main.cf":
            settle(descriptor)

    replace(spec.path, fill, mode=spec.mode, owner=spec.owner, group=spec.group)


def write_noticed(spec: FileSpec) -> None:
    """Like `write`, and whoever compares times in whole seconds, as Dovecot does with a passwd-file, sees another one.

    The time is later than that of the file before: two writes in a second, or a clock that was set back, could else
    look like a file that the reader knows.
    """
    before = spec.path.stat().st_mtime if spec.path.exists() else 0.0
    write(spec)
    after = spec.path.stat()
    if int(after.st_mtime) <= int(before):
        os.utime(spec.path, (after.st_atime, int(before) + 1))


def settle(file: int | Path) -> None:
    """Let a main.cf look three seconds old.

    Each of Postfix's programs waits until it is two seconds old, lest it reads half of it; of ours nobody sees half.
    """
    then = time.time() - 3
    os.utime(file, (then, then))


def replace(path: Path, fill: Callable[[int], None], *, mode: int, owner: str, group: str) -> None:
    """Like `write`, with content from `fill(descriptor)`: for what is too large to hold in memory twice."""
    uid, gid = owner_id(owner), group_id(group)
    make_parents(path)
    # The same directory (rename stays within a file system), a dot (no conf.d glob takes it in), not guessable.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.sendyard")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if (uid, gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            fill(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _rename(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _rename(temporary: Path, path: Path) -> None:
    """Rename `temporary` to `path`; what is mounted there (containers mount resolv.conf) is written over instead."""
    try:
        temporary.replace(path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        shutil.copyfile(temporary, path)
        shutil.copystat(temporary, path)
        status = temporary.stat()
        os.chown(path, status.st_uid, status.st_gid)


def remove(path: Path) -> bool:
    """Remove file or link `path` and return True; False where nothing stood."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_directory(path.parent)
    return True


def difference(path: Path, before: FileSpec | None, after: FileSpec | None) -> Diff:
    """Ansible's diff entry for one file that appears, changes or goes.

    Mode and owner lead the text where they differ. Of a sensitive file only that it differs is said.
    """
    show_meta = before is None or after is None or before.meta != after.meta
    sensitive = any(side is not None and side.sensitive for side in (before, after))

    def text(side: FileSpec | None, which: str) -> str:
        if side is None:
            return ""
        head = f"# {side.meta}\n" if show_meta else ""
        if sensitive:
            unchanged = before is not None and after is not None and before.content == after.content
            return head + ("(content not shown)\n" if unchanged else f"({which} content not shown)\n")
        try:
            return head + side.content.decode()
        except UnicodeDecodeError:
            return head + f"({len(side.content)} bytes, sha256 {hashlib.sha256(side.content).hexdigest()})\n"

    def heading(side: FileSpec | None) -> str:
        return str(path) if side is not None else f"{path} (absent)"

    return Diff(
        before_header=heading(before), after_header=heading(after), before=text(before, "old"), after=text(after, "new")
    )
