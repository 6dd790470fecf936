# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which login may send for which domain, where each daemon looks it up. Runs on the host, standard library only.

Three forms of one table: a small file a domain for the gate, a passwd-file for Dovecot, and a map from sender domains
to logins for Postfix. Beside that map stand two for the return paths of the domains, for which Postfix takes mail as
bounces: their names, and where their mail is stored. All are read anew by those who use them, so nothing is reloaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .domains import DOMAIN, LOGIN
from .errors import SendyardError
from .host import files
from .host.command import run
from .host.state import STATE_DIRECTORY, read_state, write_state

# {"digest", "stamp", "domains": {domain: [login, …]}, "limits": {domain: [hourly, daily]},
# "return_paths": {domain: name}, "total"}
STATE = "logins"
SECONDS_TO_COMPILE = 120
# Where mail to an address of a return path is stored, by how the address begins: below Postfix's virtual_mailbox_base.
MAILBOXES = (("postmaster@", "sendyard/postmaster/"), ("abuse@", "sendyard/abuse/"), ("@", "sendyard/bounces/"))

# What a hash is made of, so that it cannot end its line or its field.
_HASH = re.compile(r"\{[A-Z0-9.-]+\}[A-Za-z0-9+/=$.,]+")


class LoginError(SendyardError):
    """The table cannot be written for a daemon."""


@dataclass(frozen=True)
class Places:
    """Where the daemons look. Tests put them elsewhere."""

    owners: Path = Path("/etc/sendyard/owners")
    passwords: Path = Path("/etc/dovecot/sendyard-logins")
    senders: Path = Path("/etc/postfix/sender_login")
    state: Path = STATE_DIRECTORY
    reader: str = "dovecot"  # the group that may read the password hashes

    @property
    def return_paths(self) -> Path:
        """Postfix's map of the return paths, beside that of the senders."""
        return self.senders.with_name("return_paths")

    @property
    def return_mailboxes(self) -> Path:
        """Postfix's map of where their mail is stored."""
        return self.senders.with_name("return_mailboxes")

    @property
    def maps(self) -> tuple[Path, ...]:
        """The sources of Postfix's maps, in the order of compiling: a return path counts when its mail has a place."""
        return self.senders, self.return_mailboxes, self.return_paths

    @property
    def compiled(self) -> tuple[Path, ...]:
        """What postmap makes of `maps`."""
        return tuple(path.with_name(f"{path.name}.lmdb") for path in self.maps)


@dataclass(frozen=True)
class Outcome:
    """What differs: domains whose logins, limits or return path came, changed or went; logins whose password did."""

    domains: tuple[str, ...]
    passwords: tuple[str, ...]
    repaired: bool  # a file was missing, or not as the last call left it
    total: int  # logins that the host then knows
    digest: str

    @property
    def changed(self) -> bool:
        """True if anything was, or in check mode would be, written."""
        return bool(self.domains or self.passwords or self.repaired)


def apply(table: Mapping[str, Any], places: Places, *, dry: bool) -> Outcome:
    """Make the daemons' tables say what `table` (of `domains.read_table`) says.

    What the host holds of the "kept" domains stays. Where the table is the one of the last call and the files are as
    that left them, nothing is written, and of the files only the directory is read.

    Raises:
        LoginError: a name or hash of the table cannot stand in a daemon's file.
    """
    state = read_state(STATE, places.state)
    before: dict[str, list[str]] = state.get("domains", {})
    kept = {name: before[name] for name in table["kept"] if name in before}
    after = kept | {name: facts["logins"] for name, facts in table["domains"].items() if facts["logins"]}
    limits_before: dict[str, list[int]] = state.get("limits", {})
    limits = {name: limits_before[name] for name in kept if name in limits_before}
    limits |= {name: facts["limits"] for name, facts in table["domains"].items() if name in after and "limits" in facts}
    paths_before: dict[str, str] = state.get("return_paths", {})
    # A name that has a file of its own by now is that one's, whatever a file at fault had said.
    paths = {n: paths_before[n] for n in table["kept"] if n in paths_before and paths_before[n] not in table["domains"]}
    paths |= {name: facts["return_path"] for name, facts in table["domains"].items() if "return_path" in facts}
    at_fault = [login for login in table["logins"] if _own_domain(login) in set(table["kept"])]
    digest = _digest(after, limits, paths, table["logins"], sorted(kept), sorted(at_fault))
    untouched = state.get("stamp") == _stamp(places)
    if untouched and state.get("digest") == digest:
        return Outcome((), (), False, state["total"], digest)
    _refuse_odd(after, paths.values(), table["logins"])
    known = _read_passwords(places.passwords)
    # The hash of a login is what its own domain's file says. Where that file is at fault nobody else says it: the
    # host's own stays, or another customer's file could take the login over.
    still = {login for logins in kept.values() for login in logins if login not in table["logins"]}.union(at_fault)
    hashes = dict(table["logins"]) | {login: known[login] for login in still if login in known}
    domains = sorted(
        name
        for name in after.keys() | before.keys() | paths.keys() | paths_before.keys()
        if any(
            now.get(name) != then.get(name)
            for now, then in ((after, before), (limits, limits_before), (paths, paths_before))
        )
    )
    passwords = sorted(login for login in hashes.keys() | known.keys() if hashes.get(login) != known.get(login))
    if not dry:
        if domains or not untouched:
            _write_owners(after, limits, domains if untouched else after.keys(), places.owners)
            _write_maps(after, paths, places)
        if passwords or not untouched:
            _write_passwords(hashes, places)
        remembered = {
            "digest": digest,
            "stamp": _stamp(places),
            "domains": after,
            "limits": limits,
            "return_paths": paths,
            "total": len(hashes),
        }
        write_state(STATE, remembered, places.state)
    return Outcome(tuple(domains), tuple(passwords), not untouched, len(hashes), digest)


def _refuse_odd(owned: Mapping[str, Iterable[str]], return_paths: Iterable[str], hashes: Mapping[str, str]) -> None:
    """Raise LoginError for what would become another line, field or file than it is meant to be."""
    for name in return_paths:
        if not DOMAIN.match(name):
            raise LoginError(
                f'"{name}" is no domain name, so no mail returns to it. Mend the table: run the play again.'
            )
    for name, logins in owned.items():
        if not DOMAIN.match(name):
            raise LoginError(
                f'"{name}" is no domain name, so it can have no logins. Mend the table: run the play again.'
            )
        for login in logins:
            if not LOGIN.fullmatch(login):
                raise LoginError(
                    f'{name}: "{login}" can be no login: it is written like app@{name}, in lower case, of letters, '
                    "digits and . _ = + -. Give it another name in the file of the domain."
                )
    for login, hashed in hashes.items():
        if not LOGIN.fullmatch(login) or not _HASH.fullmatch(hashed):
            raise LoginError(f'"{login}": its name or hash can stand in no passwd-file. Mend the file of its domain.')


def _write_owners(
    after: Mapping[str, list[str]], limits: Mapping[str, list[int]], names: Collection[str], directory: Path
) -> None:
    """Write the files of those of `names` that own something, and remove all that `after` does not have.

    Logins stand on the first line; a domain with limits of its own has them on the second.

    The kernel is asked once to bring them to the disk: once a file would make ten thousand of them take minutes.
    """
    files.make_parents(directory / "any")
    directory.chmod(0o755)
    for name in names:
        if name in after:
            temporary = directory / f".{name}"  # no domain begins with a dot, so the gate never reads it
            lines = [" ".join(after[name]), *([" ".join(map(str, limits[name]))] if name in limits else [])]
            temporary.write_text("\n".join(lines) + "\n", encoding="ascii")
            temporary.chmod(0o644)
            temporary.replace(directory / name)
    for entry in list(os.scandir(directory)):
        if entry.name not in after:
            Path(entry.path).unlink()
    os.sync()


def _write_maps(after: Mapping[str, list[str]], return_paths: Mapping[str, str], places: Places) -> None:
    """Write and compile Postfix's maps. postmap replaces all of a map in one transaction, for live sessions too.

    Those of the return paths are two: with both in one, mail to a local part that is written like a return path would
    find that as its mailbox (postconf(5), virtual_mailbox_maps looks for bare local parts too).
    """
    owned = {**after, **{path: after[name] for name, path in return_paths.items() if name in after}}
    names = sorted(return_paths.values())
    lines = {
        places.senders: [f"@{name}\t{', '.join(logins)}" for name, logins in sorted(owned.items())],
        places.return_paths: [f"{name}\tbounces" for name in names],
        places.return_mailboxes: [f"{begin}{name}\t{box}" for name in names for begin, box in MAILBOXES],
    }
    for path, rows in lines.items():
        files.write(files.FileSpec(path, "".join(f"{row}\n" for row in rows).encode(), 0o644))
    with tempfile.TemporaryDirectory() as directory:  # before Postfix has a configuration, postmap needs an empty one
        empty = Path(directory) / "main.cf"
        empty.touch()
        files.settle(empty)
        argv = ["postmap", "-c", directory, *(f"lmdb:{path}" for path in places.maps)]
        run(argv, deadline=SECONDS_TO_COMPILE).require("Compiling the maps of senders and return paths")


def _write_passwords(hashes: Mapping[str, str], places: Places) -> None:
    """Write Dovecot's passwd-file: after the others, so that no login is let in before it owns its domain."""
    lines = "".join(f"{login}:{hashed}\n" for login, hashed in sorted(hashes.items()))
    spec = files.FileSpec(places.passwords, lines.encode(), 0o640, "root", places.reader, sensitive=True)
    files.write_noticed(spec)


def _read_passwords(path: Path) -> dict[str, str]:
    """The logins that Dovecot knows, with their hashes."""
    there = files.read(path, sensitive=True)
    lines = there.content.decode().splitlines() if there is not None else []
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _stamp(places: Places) -> str:
    """A digest of size, time and mode of all the files: another one means that somebody else wrote there."""
    try:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(places.owners)]
        found += [(str(path), path.lstat()) for path in (places.passwords, *places.maps, *places.compiled)]
    except OSError:
        return ""
    facts = sorted((name, status.st_size, status.st_mtime_ns, status.st_mode) for name, status in found)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _own_domain(login: str) -> str:
    return login.rpartition("@")[2]


def _digest(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
