# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Find secrets in what others may read: as they are, and as programs write them (base64, hex, URL-encoded, one line).

The same text runs on the controller and, by its python3, on a sender (`tests/lab_leaks.py`): standard library only. A
secret is cut into grams: every 16 characters of every form of it. A text is looked at in steps of 16, so that whatever
has 31 characters of a form in one piece is found, however a line was broken, wrapped or cut off.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import stat
import subprocess
import sys
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

GRAM = 16  # characters
SHORTEST = 2 * GRAM - 1  # characters of a form that are found wherever they begin
BLOCK = 1 << 22  # bytes of a file that are looked at together
# What stands between the lines of a key: real line ends, and those that a program wrote as text.
BETWEEN = re.compile(rb"(?:\s|\\+[nrt]|%0[AaDd]|&#1[03];)+")


@dataclass(frozen=True)
class Secret:
    """What must not be seen: `text` as it is written, and `numbers`, which a private key consists of."""

    name: str
    text: bytes = field(repr=False)
    numbers: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Grams:
    """Each gram with the name of its secret. A failed test shows what it was given: not these."""

    names: Mapping[bytes, str] = field(repr=False)

    def and_of(self, secrets: Iterable[Secret]) -> Grams:
        """These, and those of further secrets."""
        return Grams({**self.names, **index(secrets).names})


def base64_forms(value: bytes) -> Iterator[bytes]:
    """Base64 of `value` wherever it begins in what is encoded, without what its neighbours have a part in."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + value)
        whole = encoded[-(-shift * 8 // 6) : (shift + len(value)) * 8 // 6]
        yield whole
        yield whole.translate(bytes.maketrans(b"+/", b"-_"))


def forms(value: bytes) -> Iterator[bytes]:
    """`value` as programs write it: itself, in base64, hexadecimal and URL-encoded."""
    yield value
    yield from base64_forms(value)
    for digits in (value.hex().encode(), value.hex(":").encode()):  # openssl has colons
        yield digits
        yield digits.upper()
    for safe in ("", "/"):
        yield urllib.parse.quote(value, safe=safe).encode()


def private_lines(pem: bytes, numbers: Iterable[bytes]) -> Iterator[bytes]:
    """The parts of a PEM body that encode `numbers`, without its line ends: what else stands in it is public."""
    body = BETWEEN.sub(b"", b"".join(line for line in pem.splitlines() if not line.startswith(b"-----")))
    der = base64.b64decode(body)
    for number in numbers:
        start = der.find(number)
        if start >= 0:
            yield body[-(-start * 8 // 6) : (start + len(number)) * 8 // 6]


def grams_of(secret: Secret) -> set[bytes]:
    """The grams by which `secret` is found.

    Raises:
        ValueError: it is too short to be found wherever it stands.
    """
    parts = [secret.text]
    if secret.numbers:
        lines = list(private_lines(secret.text, secret.numbers)) if secret.text.startswith(b"-----") else []
        parts = [*secret.numbers, *lines]
    if not parts or min(map(len, parts)) < (GRAM if secret.numbers else SHORTEST):
        raise ValueError(f"{secret.name} is shorter than {SHORTEST} characters")
    found = set()
    for part in parts:
        for form in forms(part):
            found.update(form[start : start + GRAM] for start in range(len(form) - GRAM + 1))
    return found


def index(secrets: Iterable[Secret]) -> Grams:
    """The grams of all `secrets`."""
    return Grams({gram: secret.name for secret in secrets for gram in grams_of(secret)})


def named(data: bytes, grams: Grams) -> set[str]:
    """The names of the secrets that are in `data`."""
    known = grams.names
    seen: set[bytes] = set()
    for text in (data, BETWEEN.sub(b"", data)):
        seen.update(known.keys() & {text[start : start + GRAM] for start in range(0, len(text) - GRAM + 1, GRAM)})
    return {known[gram] for gram in seen}


def in_file(path: str, grams: Grams) -> set[str]:
    """The names of the secrets in a file, which may be compressed by gzip(1)."""
    found: set[str] = set()
    with open(path, "rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        stream = gzip.GzipFile(fileobj=plain) if packed else plain
        tail = b""
        try:
            while block := stream.read(BLOCK):
                found |= named(tail + block, grams)
                tail = block[-4096:]
        except (EOFError, zlib.error, gzip.BadGzipFile):
            plain.seek(0)
            found |= named(plain.read(), grams)
    return found


def others_may_read(path: str) -> bool:
    """True if any user may open the file: its mode and that of every directory above it let others in."""
    if not os.stat(path).st_mode & stat.S_IROTH:
        return False
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
    return True


def files_below(roots: Iterable[str], left_out: Iterable[str] = ()) -> Iterator[str]:
    """Every file below `roots`, without other file systems than theirs and what is below `left_out`."""
    left = tuple(left_out)
    for root in roots:
        if not os.path.isdir(root):
            if os.path.isfile(root):
                yield root
            continue
        device = os.lstat(root).st_dev
        for directory, directories, names in os.walk(root):
            directories[:] = [
                name
                for name in directories
                if os.path.join(directory, name) not in left and _device(os.path.join(directory, name)) == device
            ]
            for name in names:
                path = os.path.join(directory, name)
                if stat.S_ISREG(_mode(path)):
                    yield path


def _device(path: str) -> int:
    try:
        return os.lstat(path).st_dev
    except OSError:
        return -1


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0


def where(paths: Iterable[str], grams: Grams) -> dict[str, list[str]]:
    """The files of `paths` that hold secrets, each with their names. One that is gone by now holds none."""
    found = {}
    for path in paths:
        try:
            names = in_file(path, grams)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if names:
            found[path] = sorted(names)
    return found


def processes(grams: Grams) -> dict[str, list[str]]:
    """Secrets in the arguments and the environment of the processes that run now."""
    found = {}
    own = str(os.getpid())
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid == own:
            continue
        for part in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{part}", "rb") as stream:
                    data = stream.read()
            except OSError:
                continue
            if names := named(data, grams):
                found[f"process {part}: {_program(pid)}"] = sorted(names)
    return found


def _program(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return "gone"


def journal(grams: Grams) -> dict[str, list[str]]:
    """Secrets in any field of the journal."""
    command = ["journalctl", "--output=export", "--all", "--no-pager", "--quiet"]
    said = subprocess.run(command, capture_output=True, check=False, timeout=300).stdout
    assert said, "the journal is empty or cannot be read"
    names = named(said, grams)
    return {"journal": sorted(names)} if names else {}


def openable(path: str, uid: int, groups: list[int]) -> bool:
    """True if a process of that user can open the file for reading."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(groups[0])
            os.setuid(uid)
            os.close(os.open(path, os.O_RDONLY))
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def watch(
    grams: Grams, roots: Iterable[str], ended: Callable[[], bool], pause: float
) -> tuple[dict[str, list[str]], int]:
    """Look at processes, and at what others may read below `roots`, again and again; what was found, and how often."""
    found: dict[str, list[str]] = {}
    rounds = 0
    roots = list(roots)
    while not ended():
        found.update(processes(grams))
        for path in files_below(roots):
            try:
                if others_may_read(path):
                    found.update(where([path], grams))
            except OSError:
                continue
        rounds += 1
        time.sleep(pause)
    return found, rounds


def main() -> None:
    """On a sender: an order (JSON) on standard input, an answer (JSON) on standard output."""
    import pwd
    import select

    order = json.loads(sys.stdin.readline())
    grams = Grams({gram.encode("latin-1"): name for gram, name in order["grams"].items()})
    if order["do"] == "watch":

        def ended() -> bool:
            ready = select.select([sys.stdin], [], [], 0)[0]
            return bool(ready) and not sys.stdin.readline()

        print("watching", flush=True)
        found, rounds = watch(grams, order["roots"], ended, order["pause"])
        print(json.dumps({"found": found, "rounds": rounds}))
        return
    held = where(files_below(order["roots"], order["left_out"]), grams)
    readers: dict[str, list[str]] = {path: [] for path in held}
    for user in order["users"]:
        entry = pwd.getpwnam(user)
        groups = os.getgrouplist(user, entry.pw_gid)
        groups.sort(key=lambda group: group != entry.pw_gid)
        for path in held:
            if openable(path, entry.pw_uid, groups):
                readers[path].append(user)
    passing = journal(grams) | processes(grams)
    print(json.dumps({"held": held, "readers": readers, "passing": passing}))


if __name__ == "__main__":
    main()
