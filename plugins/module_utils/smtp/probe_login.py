# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that exist for minutes, and the memory of which domains were proven with them. Runs on the host.

One name and one password serve a whole run: the login for a domain is the name with the domain in it (`probe_names`).
A line of Dovecot's file holds when it expires, and a timer of systemd removes it then, so that a controller that was
killed leaves nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SendyardError
from ..host import files, systemd
from ..host.probe_logins import PROBE_LOGINS
from ..logins import generate_token, hash_token
from . import probe_names

STATE = "proven"  # {"domains": {domain: digest}}


class ProbeLoginError(SendyardError):
    """A temporary login cannot be made or taken away."""


@dataclass(frozen=True)
class Made:
    """What a run proves with: `probe_names.login_name(prefix, domain, fqdn)` and this password."""

    prefix: str
    password: str = field(repr=False)


def proof_digests(table: Mapping[str, Any], published: Mapping[str, str]) -> dict[str, str]:
    """What the proof of each published domain depends on: its key and records (`published`: digest by domain), its
    logins.

    `table` is the host's compiled table. The host's own domain is not in it: that one is proven in every run.
    """
    own = table["host"]["fqdn"]
    return {
        domain: hashlib.sha256(json.dumps([published[domain], entry["logins"]]).encode()).hexdigest()
        for domain, entry in table["domains"].items()
        if domain != own and domain in published
    }


def due(digests: Mapping[str, str], proven: Mapping[str, str], *, everything: bool) -> list[str]:
    """The domains to prove: those that changed since they were, or every one."""
    return sorted(domain for domain, digest in digests.items() if everything or proven.get(domain) != digest)


def remembered(
    digests: Mapping[str, str], proven: Mapping[str, str], newly: Iterable[str], failed: Iterable[str]
) -> dict[str, str]:
    """The memory after a run: domains that are gone or failed are forgotten, those newly proven are known as they
    are.
    """
    kept = {domain: digest for domain, digest in proven.items() if domain in digests}
    kept.update((domain, digests[domain]) for domain in newly if domain in digests)
    return {domain: digest for domain, digest in kept.items() if domain not in set(failed)}


def _expiry(line: str) -> float:
    """When a line of the file expires (seconds since the epoch), as its field for remarks says; far away where it
    does not.
    """
    remark = line.rstrip("\n").partition("expires=")[2]
    return float(remark.partition(":")[0]) if remark[:1].isdigit() else float("inf")


def lines_kept(lines: Iterable[str], *, now: float, without: str = "") -> list[str]:
    """The lines that are neither expired at `now` nor of the prefix `without`."""
    return [line for line in lines if _expiry(line) > now and not (without and line.startswith(f"{without}="))]


def lines_for(made: Made, domains: Sequence[str], fqdn: str, expires: int) -> list[str]:
    """A line for each domain (passwd-file: user:password:uid:gid:remark:home:shell). One hash serves all."""
    hashed = hash_token(made.password)
    return [
        f"{probe_names.login_name(made.prefix, domain, fqdn)}:{hashed}:::expires={expires}::\n" for domain in domains
    ]


def _rewrite(path: Path, keep: Mapping[str, Any], add: Sequence[str], group: str) -> bool:
    """Write the file anew where it changes; True if it did."""
    there = files.read(path, sensitive=True)
    before = there.content.decode().splitlines(keepends=True) if there else []
    after = [*lines_kept(before, **keep), *add]
    if after == before:
        return False
    files.write_noticed(files.FileSpec(path, "".join(after).encode(), 0o640, "root", group, sensitive=True))
    return True


def make(
    domains: Sequence[str], fqdn: str, *, lifetime: int, path: Path = PROBE_LOGINS, group: str = "dovecot"
) -> Made:
    """Make a login for `fqdn` and each of `domains`, for `lifetime` seconds. The caller holds the host's lock.

    The timer is armed first: what it removes may not be there yet, but nothing is ever there without it.
    """
    made = Made(probe_names.new_prefix(), generate_token())
    _arm(made.prefix, path, lifetime)
    now = time.time()
    lines = lines_for(made, [fqdn, *domains], fqdn, int(now + lifetime))
    _rewrite(path, {"now": now}, lines, group)
    return made


def take_away(prefix: str, *, path: Path = PROBE_LOGINS, group: str = "dovecot") -> bool:
    """Remove the logins of `prefix` and whatever has expired; True if there were any. The caller holds the host's
    lock.
    """
    changed = _rewrite(path, {"now": time.time(), "without": prefix}, (), group)
    # Its timer would find nothing more to do; a timer that has already run is no longer known.
    systemd.stop_transient(f"{_unit(prefix)}.timer")
    return changed


def _unit(prefix: str) -> str:
    return f"sendyard-{prefix}"


def _arm(prefix: str, path: Path, lifetime: int) -> None:
    """Have systemd remove the logins of `prefix` after `lifetime` seconds, under the lock that every writer holds."""
    removal = ["flock", "--timeout", "120", "/run/sendyard.lock", "sed", "--in-place", f"/^{prefix}=/d", str(path)]
    systemd.after(_unit(prefix), lifetime, removal)
