# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server that tells Postfix a domain's transport policy, and mta-sts-daemon behind it."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .. import systemd
from ..command import run
from ..smtp_probe import wait_until
from .base import COMMON_PATHS, Change, Effect, ProbeError, Stage, Subsystem, Unit, ValidationError

_PACKAGE = Path("/usr/lib/sendyard")
_CONFIG = Path("/etc/sendyard/mta-sts-daemon.yml")
_UNITS = Path("/etc/systemd/system")
_DAEMON, _SERVER = "sendyard-mta-sts.service", "sendyard-transport-policy.service"
_LEFT = "The running transport policies were left as they are."


class TransportPolicy(Subsystem):
    """Validated by loading the program and the daemon's configuration; probed by asking as Postfix does."""

    name = "transport_policy"
    title = "The transport policies"
    owned = (
        r"/usr/lib/sendyard/sendyard(/[\w/]+\.py)?",
        r"/etc/sendyard/mta-sts-daemon\.yml",
        r"/var/spool/postfix/transport_policy",
        r"/var/lib/sendyard-mta-sts",
        *COMMON_PATHS,
    )
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {"socket": str}
    # Debian's instance would answer beside ours, to whoever is on the host.
    masked = ("postfix-mta-sts-resolver.service",)

    def own_units(self) -> tuple[Unit, ...]:
        """The daemon, and the server before it."""
        return (Unit(_DAEMON), Unit(_SERVER))

    def validate(self, stage: Stage) -> None:
        """Python loads the program, the daemon its configuration; systemd takes the units."""
        load = "import sys; sys.path.insert(0, sys.argv[1]); import sendyard.transport_policy"
        self._load(load, stage.at(_PACKAGE), stage, "The program does not load", "python3-dnspython and python3-idna")
        stage.text(_CONFIG)
        load = "import sys; from postfix_mta_sts_resolver.utils import load_config; load_config(sys.argv[1])"
        self._load(
            load, stage.at(_CONFIG), stage, f"mta-sts-daemon does not take {_CONFIG}", "postfix-mta-sts-resolver"
        )
        staged = [stage.at(_UNITS / name) for name in (_DAEMON, _SERVER) if stage.text(_UNITS / name)]
        answer = run(["systemd-analyze", "verify", "--man=no", *staged], deadline=60)
        # It reads the units that ours name too, and warns of those of other packages.
        if ours := [line for line in answer.stderr.splitlines() if _DAEMON in line or _SERVER in line]:
            said = "\n  ".join(ours).replace(str(stage.root), "")
            raise ValidationError(f"systemd would not take these units:\n  {said}\n{_LEFT}")

    @staticmethod
    def _load(program: str, path: Path, stage: Stage, what: str, packages: str) -> None:
        """Run a line of Python with `path`. Raises ValidationError with what Python says."""
        answer = run(["python3", "-B", "-I", "-c", program, path], deadline=30)
        if not answer.ok:
            trace = answer.said.replace(str(stage.root), "")
            places = re.findall(r'File "(/[^"]+)", line (\d+)', trace)
            where = "{} line {}: ".format(*places[-1]) if places else ""
            raise ValidationError(f"{what}: {where}{trace.splitlines()[-1]}. Are {packages} installed?\n{_LEFT}")

    def rank(self, path: Path) -> int:
        """Programs and configuration before the units that start them."""
        return 1 if path.parent == _UNITS else 0

    def effects(self, changes: Sequence[Change]) -> dict[str, Effect]:
        """Only what changed: the daemon for its configuration, the server for the program."""
        paths = {change.path for change in changes}
        wanted: dict[str, Effect] = {}
        if paths & {_CONFIG, _UNITS / _DAEMON, _PACKAGE / "sendyard/sts_cache.py"}:  # run before it starts
            wanted[_DAEMON] = "restart"
        if _UNITS / _SERVER in paths or any(_PACKAGE / "sendyard" in path.parents for path in paths):
            wanted[_SERVER] = "restart"
        return wanted

    def probe(self) -> None:
        """The server says that the daemon is up, and has no policy for a domain that cannot exist."""
        try:
            wait_until(lambda: self._ask("status ") == "OK up", deadline=15, what="A sign of life of mta-sts-daemon")
            said = self._ask("tls sendyard.invalid")  # RFC 6761 section 6.4
            if said != "NOTFOUND ":
                raise ProbeError(f'asked for the policy of sendyard.invalid, the server said "{said}", not NOTFOUND.')
        except ProbeError as error:
            logs = "\n".join(f"{unit} logged last:\n{systemd.recent_log(unit)}" for unit in (_DAEMON, _SERVER))
            raise ProbeError(f"{error}\n{logs}") from error

    def _ask(self, request: str) -> str:
        """The reply to a request (socketmap_table(5)), "" where there is none."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(self.settings.get("socket", "/var/spool/postfix/transport_policy/policy.sock"))
                client.sendall(f"{len(request)}:{request},".encode())
                reply = re.fullmatch(r"\d+:(.*),", client.recv(4096).decode(errors="replace"))
        except OSError:
            return ""
        return reply[1] if reply else ""
