# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A login that exists while a probe runs: made on the host, never written anywhere but in Dovecot's passwd-file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..logins import generate_token, hash_token
from . import files
from .files import FileSpec

PROBE_LOGINS = Path("/run/sendyard/probe-logins")  # the second passdb of the auth role's dovecot.conf
_PREFIX = "probe-"
KEYLESS = "no-key.invalid"  # a domain that no signer has a key for (RFC 2606): what a login of it sends goes nowhere
_MARK = ":::host_config::"  # the fields after the password, which Dovecot does not look at: whose line it is


@dataclass(frozen=True)
class Login:
    """A temporary login. `sender` is the one envelope sender that it may use."""

    username: str
    sender: str
    password: str = field(repr=False)


@contextmanager
def temporary_login(fqdn: str, *, path: Path = PROBE_LOGINS, group: str = "dovecot") -> Iterator[Login]:
    """A login of KEYLESS on host `fqdn` for the body; its line is gone afterwards. The caller holds the host's lock.

    What a killed run left has a password that nobody knows; it goes when the next login is made, or with a reboot.
    Lines that others wrote stay.
    """
    prefix = f"{_PREFIX}{secrets.token_hex(8)}"
    login = Login(f"{prefix}={KEYLESS}@{fqdn}", f"{prefix}@{KEYLESS}", generate_token())
    _rewrite(path, group, f"{login.username}:{hash_token(login.password)}{_MARK}\n")
    try:
        yield login
    finally:
        _rewrite(path, group, "")


def _rewrite(path: Path, group: str, line: str) -> None:
    """Replace the file at `path` with one whose only line of ours is `line`: under the lock, others are left over."""
    there = files.read(path)
    lines = there.content.decode().splitlines(keepends=True) if there is not None else []
    kept = [other for other in lines if not other.rstrip("\n").endswith(_MARK)]
    owner = files.owner_name(os.geteuid())
    files.write_noticed(FileSpec(path, "".join([*kept, line]).encode(), 0o640, owner, group, sensitive=True))
