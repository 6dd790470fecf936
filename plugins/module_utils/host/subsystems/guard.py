# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard, which refuses those who guess passwords."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shlex
import socket
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar

from .. import systemd
from ..command import run
from ..smtp_probe import wait_until
from .base import COMMON_PATHS, ProbeError, Stage, Subsystem, Unit, ValidationError

_PACKAGE = Path("/usr/lib/sendyard")
_UNITS = Path("/etc/systemd/system")
_UNIT = "sendyard-guard.service"
_TABLE = ("inet", "sendyard_guard")
_LEFT = "The running guard was left as it is."
_DEADLINE = 20.0  # seconds from the last wrong password to the block


class Guard(Subsystem):
    """Validated by nft's reading of the table that the staged program would load; probed by guessing passwords.

    The probe asks Dovecot in the name of an address that nobody has (RFC 5737), so that the whole way is proven: what
    Dovecot logs of a failure, the journal, the count, and the block in the kernel.
    """

    name = "guard"
    title = "The guard"
    owned = (r"/usr/lib/sendyard/sendyard(/[\w/]+\.py)?", *COMMON_PATHS)
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {"socket": str, "failures": int, "prefix4": int}

    def own_units(self) -> tuple[Unit, ...]:
        """One daemon."""
        return (Unit(_UNIT),)

    @property
    def socket(self) -> Path:
        """Where Dovecot is asked."""
        return Path(self.settings.get("socket", "/var/spool/postfix/private/auth"))

    def validate(self, stage: Stage) -> None:
        """Python loads the program, which reads its lists; nft takes the table, and systemd the unit."""
        found = re.findall(r"(?m)^ExecStart=(.*)$", stage.text(_UNITS / _UNIT))
        if not found:
            raise ValidationError(f"{_UNIT} has no ExecStart.\n{_LEFT}")
        command = shlex.split(stage.rewritten(found[-1]))
        printed = run(["env", f"PYTHONPATH={stage.at(_PACKAGE)}", *command, "--print"], deadline=30)
        if not printed.ok:
            said = printed.said.splitlines()[-1].replace(str(stage.root), "")
            raise ValidationError(f"The guard would not start: {said}\n{_LEFT}")
        checked = run(["nft", "--check", "--file", "-"], stdin=printed.stdout, deadline=20)
        if not checked.ok:
            raise ValidationError(f"nftables would not take the guard's table: {checked.said}\n{_LEFT}")
        answer = run(["systemd-analyze", "verify", "--man=no", stage.at(_UNITS / _UNIT)], deadline=60)
        # It reads the units that ours names too, and warns of those of other packages.
        if ours := [line for line in answer.stderr.splitlines() if _UNIT in line]:
            said = "\n  ".join(ours).replace(str(stage.root), "")
            raise ValidationError(f"systemd would not take this unit:\n  {said}\n{_LEFT}")

    def rank(self, path: Path) -> int:
        """The program and its lists before the unit that starts it."""
        return 1 if path.parent == _UNITS else 0

    def probe(self) -> None:
        """Guesses in the name of an address block it."""
        address = f"192.0.2.{secrets.randbelow(254) + 1}"
        network = ip_network((address, self.required("prefix4")), strict=False).network_address
        element = ["element", *_TABLE, "blocked4", "{", str(network), "}"]
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
                client.sendall(f"VERSION\t1\t2\nCPID\t{os.getpid()}\n".encode())
                token = base64.b64encode(f"\0guard@probe.invalid\0{secrets.token_hex(8)}".encode()).decode()
                guess = f"AUTH\t{{}}\tPLAIN\tservice=smtp\tsecured\trip={address}\tresp={token}\n"
                client.sendall("".join(map(guess.format, range(1, self.required("failures") + 1))).encode())
                wait_until(
                    lambda: run(["nft", "get", *element], deadline=20).ok,
                    deadline=_DEADLINE,
                    what=f"The block of {address}",
                )
            except (ProbeError, OSError) as error:
                log = systemd.recent_log(_UNIT)
                raise ProbeError(
                    f"{self.required('failures')} wrong passwords in the name of {address}, which nobody has, did not "
                    f"block it: {error}\n{_UNIT} logged last:\n{log}"
                ) from error
        run(["nft", "delete", *element], deadline=20)

    def withdraw(self) -> None:
        """Delete the table, and with it all blocks."""
        script = f"table {' '.join(_TABLE)}\ndelete table {' '.join(_TABLE)}\n"
        run(["nft", "--file", "-"], stdin=script, deadline=20).require("Deleting the table inet sendyard_guard")
