# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot as Postfix's SASL server."""

from __future__ import annotations

import base64
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .. import systemd
from ..command import run
from ..probe_logins import Login, temporary_login
from .base import COMMON_PATHS, Change, Effect, ProbeError, Stage, Subsystem, Unit, ValidationError

_CONFIG = Path("/etc/dovecot/dovecot.conf")
_UNIT = "dovecot.service"
_DEADLINE = 15.0  # seconds until the socket must answer


class Auth(Subsystem):
    """Validated by doveconf, probed by a login through the socket that Postfix uses."""

    name = "auth"
    title = "Dovecot"
    owned = (r"/etc/dovecot(/.+)?", r"/etc/systemd/system/dovecot\.service\.d(/.+)?", r"/var/spool/postfix/private",
             *COMMON_PATHS)  # fmt: skip
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {"socket": str, "mechanisms": list}

    def own_units(self) -> tuple[Unit, ...]:
        """Debian's unit."""
        return (Unit(_UNIT),)

    @property
    def socket(self) -> Path:
        """Where Postfix asks."""
        return Path(self.settings.get("socket", "/var/spool/postfix/private/auth"))

    def validate(self, stage: Stage) -> None:
        """doveconf reads the staged file as Dovecot will; what it warns of is refused too."""
        stage.text(_CONFIG)
        answer = run(["doveconf", "-n", "-c", stage.at(_CONFIG)], deadline=30)
        if not answer.ok or answer.stderr.strip():
            said = answer.said.replace(str(stage.root), "")
            raise ValidationError(f"Dovecot would not start with this: {said}\nThe running one was left as it is.")

    def effects(self, changes: Sequence[Change]) -> dict[str, Effect]:
        """A reload starts the auth process anew; a changed unit needs a restart."""
        if any("systemd" in change.path.parts for change in changes):
            return {_UNIT: "restart"}
        return {_UNIT: "reload"} if any(_CONFIG.parent in change.path.parents for change in changes) else {}

    def probe(self) -> None:
        """The socket offers the mechanisms, and a temporary login is known by its password."""
        end = time.monotonic() + _DEADLINE
        with temporary_login("localhost") as login:
            while True:
                try:
                    return self._ask(login)
                except (ProbeError, OSError) as error:
                    if time.monotonic() >= end:
                        log = systemd.recent_log(_UNIT)
                        raise ProbeError(f"Dovecot at {self.socket}: {error}\n{_UNIT} logged last:\n{log}") from error
                time.sleep(0.2)

    def _ask(self, login: Login) -> None:
        """One session of Dovecot's authentication protocol. Raises ProbeError or OSError where it is not as it must."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.socket))
            client.sendall(f"VERSION\t1\t2\nCPID\t{os.getpid()}\n".encode())
            lines = _lines(client)
            offered = {line.split("\t")[1].upper() for line in _until(lines, "DONE") if line.startswith("MECH\t")}
            missing = {str(name).upper() for name in self.settings.get("mechanisms", ["PLAIN", "LOGIN"])} - offered
            if missing:
                raise ProbeError(f"{', '.join(sorted(missing))} not offered, only {', '.join(sorted(offered))}.")
            token = base64.b64encode(f"\0{login.username}\0{login.password}".encode()).decode()
            client.sendall(f"AUTH\t1\tPLAIN\tservice=smtp\tsecured\tresp={token}\n".encode())
            answer = next(lines, "")
            if not answer.startswith("OK\t1"):
                said = re.sub(r"\bresp=\S+", "", answer).replace("\t", " ")
                raise ProbeError(
                    f'a login that was written to /run/sendyard/probe-logins was answered with "{said}"; does '
                    f"{_CONFIG} name that file as a passdb?"
                )


def _lines(client: socket.socket) -> Iterator[str]:
    """What the server says, line by line. Raises OSError where it stays silent too long."""
    with client.makefile("r", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            yield line.rstrip("\n")


def _until(lines: Iterator[str], last: str) -> Iterator[str]:
    """The lines before the one that is `last`."""
    for line in lines:
        if line == last:
            return
        yield line
