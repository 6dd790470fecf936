# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate and OpenDKIM behind it: who may write which From:, and the signature that follows."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from .. import files, milter_client, systemd
from ..command import run
from ..milter_client import Message, MilterError, Verdict
from ..smtp_probe import wait_until
from .base import COMMON_PATHS, Change, Effect, ProbeError, Stage, Subsystem, Unit, ValidationError

_PACKAGE = Path("/usr/lib/sendyard")
_CONFIG = Path("/etc/sendyard/opendkim.conf")
_KEY_TABLE = Path("/etc/sendyard/KeyTable")
_UNITS = Path("/etc/systemd/system")
_GATE, _SIGNER = "sendyard-gate.service", "sendyard-opendkim.service"
_STAGE_SECONDS = 60  # systemd ends a staged daemon then, whatever became of us
_LEFT = "The running gate and signer were left as they are."


class Signer(Subsystem):
    """Validated by the daemons' own checks and by a staged pair that refuses and signs as the live one must."""

    name = "signer"
    title = "The gate and signer"
    owned = (
        r"/usr/lib/sendyard/sendyard(/[\w/]+\.py)?",
        r"/etc/sendyard/(opendkim\.conf|KeyTable|SigningTable|owners)",
        r"/etc/opendkim(/\w+)?",
        r"/var/spool/postfix/(gate|opendkim)",
        *COMMON_PATHS,
    )
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {
        "fqdn": str,
        "selector": str,
        "gate_socket": str,
        "signer_socket": str,
        "key_directory": str,
    }
    # Debian's instance would sign by another configuration, and hangs 90 s on a bad one.
    masked = ("opendkim.service",)

    def own_units(self) -> tuple[Unit, ...]:
        """The gate stands before the signer."""
        return (Unit(_GATE), Unit(_SIGNER))

    @property
    def gate_socket(self) -> Path:
        """Where Postfix reaches the gate."""
        return Path(self.settings.get("gate_socket", "/var/spool/postfix/gate/gate.sock"))

    @property
    def signer_socket(self) -> Path:
        """Where Postfix reaches OpenDKIM."""
        return Path(self.settings.get("signer_socket", "/var/spool/postfix/opendkim/opendkim.sock"))

    @property
    def keys(self) -> Path:
        """Where the private keys of published selectors lie, as <domain>.pem."""
        return Path(self.settings.get("key_directory", "/etc/opendkim/keys"))

    # --- validation

    def validate(self, stage: Stage) -> None:
        """The gate loads, OpenDKIM takes its configuration, systemd the units; then a staged pair refuses and signs."""
        self._check_gate(stage)
        config = self._instance_config(stage)
        answer = run(["opendkim", "-n", "-x", config], deadline=30)
        if not answer.ok or answer.stderr.strip():
            said = answer.said.replace(str(config), str(_CONFIG)).replace(str(stage.root), "")
            raise ValidationError(f"OpenDKIM would not start: {said}{_quoted(answer.said, config)}\n{_LEFT}")
        self._check_units(stage)
        try:
            with self._staged_pair(stage, config) as (gate, signer):
                self._check_verdicts(gate, signer, has_key=True)
        except (ProbeError, MilterError) as error:
            said = str(error).replace(str(stage.root), "")
            raise ValidationError(f"A gate and signer started with these files do not work: {said}\n{_LEFT}") from error

    def _check_gate(self, stage: Stage) -> None:
        """Python compiles and imports the staged package. Raises ValidationError with what Python says."""
        load = "import sys; sys.path.insert(0, sys.argv[1]); import sendyard.gate"
        answer = run(["python3", "-B", "-I", "-c", load, stage.at(_PACKAGE)], deadline=30)
        if not answer.ok:
            trace = answer.said.replace(str(stage.root), "")
            places = re.findall(r'File "(/[^"]+)", line (\d+)', trace)
            where = "{} line {}: ".format(*places[-1]) if places else ""
            said = trace.splitlines()[-1]
            raise ValidationError(
                f"The gate's program does not load: {where}{said}. Is python3-milter installed?\n{_LEFT}"
            )

    @staticmethod
    def _check_units(stage: Stage) -> None:
        """systemd understands the staged units. Raises ValidationError with its warnings."""
        for name in (_GATE, _SIGNER):
            stage.text(_UNITS / name)
        staged = [stage.at(_UNITS / name) for name in (_GATE, _SIGNER)]
        answer = run(["systemd-analyze", "verify", "--man=no", *staged], deadline=60)
        # It reads the units that ours name too, and warns of those of other packages.
        ours = [line for line in answer.stderr.splitlines() if _GATE in line or _SIGNER in line]
        if ours:
            said = "\n  ".join(ours).replace(str(stage.root), "")
            raise ValidationError(f"systemd would not take these units:\n  {said}\n{_LEFT}")

    # --- the staged pair

    def _instance_config(self, stage: Stage) -> Path:
        """opendkim.conf for a staged instance, with a throw-away key of the host's own domain; returns its path."""
        instance = stage.root / "instance"
        instance.mkdir()
        instance.chmod(0o755)
        keys = instance / "keys"
        keys.mkdir()
        user = files.owner_id("opendkim")
        key = keys / f"{self.required('fqdn')}.pem"
        # Half the length of a real one: it signs one message that goes nowhere, and is made in a fifth of the time.
        make: list[str | Path] = [
            "openssl",
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:1024",
            "-out",
            key,
        ]
        run(make, deadline=60).require("Making a throw-away key")
        for path, mode in ((keys, 0o700), (key, 0o600)):
            path.chmod(mode)
            os.chown(path, user, -1)
        table = stage.text(_KEY_TABLE)
        if str(self.keys) not in table:
            raise ValidationError(
                f"{_KEY_TABLE} names no key in {self.keys}, the key_directory of the settings.\n{_LEFT}"
            )
        (instance / "KeyTable").write_text(table.replace(str(self.keys), str(keys)))
        text = stage.rewritten(stage.text(_CONFIG)).replace(str(stage.at(_KEY_TABLE)), str(instance / "KeyTable"))
        text = re.sub(r"(?m)^(Socket\s+).*$", rf"\g<1>local:{instance}/opendkim/sock", text)
        text = re.sub(r"(?m)^(PidFile\s+).*$", rf"\g<1>{instance}/opendkim/pid", text)
        config = instance / "opendkim.conf"
        config.write_text(text)
        for name in ("KeyTable", "opendkim.conf"):
            (instance / name).chmod(0o644)
        return config

    @contextmanager
    def _staged_pair(self, stage: Stage, config: Path) -> Iterator[tuple[Path, Path]]:
        """Run the staged gate and signer for the body, as the users of their units; yields their sockets."""
        instance = config.parent
        gate_unit, signer_unit = stage.text(_UNITS / _GATE), stage.text(_UNITS / _SIGNER)
        gate, signer = instance / "gate" / "sock", instance / "opendkim" / "sock"
        command = [
            word.replace(str(self.gate_socket), str(gate)) for word in shlex.split(_directive(gate_unit, "ExecStart"))
        ]
        owners = instance / "owners"
        owners.mkdir(mode=0o755)
        owners.chmod(0o755)
        aside = {"owners": str(owners), "sent.json": str(gate.with_name("sent.json"))}
        command = [aside.get(Path(word).name, word) for word in command]
        plans = (
            (gate, "gate", _directive(gate_unit, "User"), command),
            (signer, "opendkim", _directive(signer_unit, "User"), ["opendkim", "-f", "-x", str(config)]),
        )
        with ExitStack() as stack:
            for sock, name, user, argv in plans:
                sock.parent.mkdir()
                os.chown(sock.parent, files.owner_id(user or "root"), -1)
                unit = f"sendyard-stage-{name}.service"
                properties = [f"User={user or 'root'}", "UMask=0007", f"Environment=PYTHONPATH={stage.at(_PACKAGE)}"]
                stack.enter_context(systemd.transient(unit, argv, seconds=_STAGE_SECONDS, properties=properties))
                try:
                    wait_until(sock.is_socket, deadline=15, what=f"The start of the staged {name}")
                except ProbeError as error:
                    raise ProbeError(f"{error} It logged:\n{systemd.recent_log(unit)}") from error
            yield gate, signer

    # --- the swap

    def rank(self, path: Path) -> int:
        """Tables before the configuration that names them, programs before the units that start them."""
        return 2 if path.parent == _UNITS else 1 if path == _CONFIG else 0

    def effects(self, changes: Sequence[Change]) -> dict[str, Effect]:
        """Only what changed: the gate for its program, OpenDKIM for its configuration, a signal for its tables."""
        paths = {change.path for change in changes}
        wanted: dict[str, Effect] = {}
        if _UNITS / _GATE in paths or any(_PACKAGE / "sendyard" in path.parents for path in paths):
            wanted[_GATE] = "restart"
        if paths & {_UNITS / _SIGNER, _CONFIG}:
            wanted[_SIGNER] = "restart"
        elif any(path.parent == _CONFIG.parent and path.name.endswith("Table") for path in paths):
            wanted[_SIGNER] = "reload"
        return wanted

    # --- the proof

    def probe(self) -> None:
        """The live pair refuses a stranger's From:, and signs or defers: it never lets a message pass unsigned."""
        key = self.keys / f"{self.required('fqdn')}.pem"
        for unit, sock in ((_GATE, self.gate_socket), (_SIGNER, self.signer_socket)):
            try:
                wait_until(sock.is_socket, deadline=15, what=f"The start of {unit}")
            except ProbeError as error:
                raise ProbeError(f"{error} It logged last:\n{systemd.recent_log(unit)}") from error
        try:
            self._check_verdicts(self.gate_socket, self.signer_socket, has_key=key.exists())
        except MilterError as error:
            logs = "\n".join(f"{unit} logged last:\n{systemd.recent_log(unit)}" for unit in (_GATE, _SIGNER))
            raise ProbeError(f"{error}\n{logs}") from error

    def _check_verdicts(self, gate: Path, signer: Path, *, has_key: bool) -> None:
        """Hand canaries to both. Raises ProbeError where a verdict is not what it must be."""
        fqdn = self.required("fqdn")
        stranger = {"{daemon_name}": "ORIGINATING", "{auth_authen}": "probe@stranger.invalid"}
        refused = milter_client.submit(gate, _canary(fqdn, stranger))
        if refused.action != "reject" or not refused.reply.startswith("550"):
            raise ProbeError(
                f"the gate answered a login of another domain that writes From: probe@{fqdn} with {refused}; 550 "
                "was expected. It does not keep customers apart."
            )
        own = {"{daemon_name}": "sendyard", "i": "PROBE"}
        passed = milter_client.submit(gate, _canary(fqdn, own))
        if not passed.passes:
            raise ProbeError(f"the gate answered the host's own From: probe@{fqdn} with {passed}; it must pass.")
        self._check_signature(milter_client.submit(signer, _canary(fqdn, own)), has_key)

    def _check_signature(self, verdict: Verdict, has_key: bool) -> None:
        """Raises ProbeError unless `verdict` is signed by the own domain and selector, or defers for want of a key."""
        fqdn, selector = self.required("fqdn"), self.required("selector")
        signatures = [re.sub(r"\s", "", value) for name, value in verdict.added if name.lower() == "dkim-signature"]
        signed = any({f"d={fqdn}", f"s={selector}"} <= set(value.split(";")) for value in signatures)
        if verdict.passes and not signed:
            raise ProbeError(f"the signer let a message of {fqdn} pass without a signature of selector {selector}.")
        if has_key and not signed:
            raise ProbeError(
                f"the signer answered a message of {fqdn} with {verdict}, though its key is there. Is the key readable "
                "by the user opendkim alone?"
            )


def _quoted(said: str, config: Path) -> str:
    """The line of `config` that OpenDKIM means, which it names by its number only; "" where it names none."""
    number = re.search(r"at line (\d+)", said)
    lines = config.read_text().splitlines()
    return f" ({lines[int(number[1]) - 1].strip()})" if number and int(number[1]) <= len(lines) else ""


def _directive(unit: str, name: str) -> str:
    """The last value of `name` in the text of a unit, "" where it is not set."""
    found = re.findall(rf"(?m)^{name}=(.*)$", unit)
    return str(found[-1]).strip() if found else ""


def _canary(fqdn: str, macros: Mapping[str, str]) -> Message:
    """A message with every header field that the signer requires."""
    return Message(
        sender=f"probe@{fqdn}",
        recipient=f"probe@{fqdn}",
        header=[
            ("From", f"probe@{fqdn}"),
            ("To", f"probe@{fqdn}"),
            ("Subject", "Sendyard probe"),
            ("Date", "Thu, 01 Jan 1970 00:00:00 +0000"),
            ("Message-ID", f"<probe@{fqdn}>"),
        ],
        body=b"This message is handed to the milters and goes nowhere.\r\n",
        macros={"j": fqdn, **macros},
    )
