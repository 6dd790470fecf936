# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Postfix beside the live one, with the staged files, on loopback: it shows what no parser sees.

Measured: a misspelt restriction passes `postconf` and `postfix check` and answers clients with "451 Server
configuration error". The instance has its own queue and data directories, listens on high ports of 127.0.0.1, and
reaches the live milters and Dovecot by links. It sends nothing: gate and signer refuse the probe's messages.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from . import files, systemd
from .postfix_config import Service, parse_main, parse_master, with_settings
from .postfix_inspect import port_of
from .probe_logins import Login
from .smtp_probe import Listener, Target, wait_until
from .subsystems.base import ProbeError

UNIT = "sendyard-stage-postfix.service"
_SECONDS = 120  # systemd ends it then, whatever became of us
_RELATIVE_SOCKET = re.compile(r"unix:([^/\s,;{}][^\s,;{}]*)")


def instance_main(text: str, directory: Path, login: Login) -> str:
    """main.cf for the instance in `directory`, of the staged (already rewritten) `text`.

    `login` owns its sender there whatever the sender map says: the live map does not know it.
    """
    owners = parse_main(text).get("smtpd_sender_login_maps")
    own = f"inline:{{ {{ {login.sender} = {login.username} }} }}"
    return with_settings(
        text,
        {
            "queue_directory": str(directory / "queue"),
            "data_directory": str(directory / "data"),
            "maillog_file": str(directory / "log"),
            "maillog_file_prefixes": str(directory),
            "smtpd_sender_login_maps": f"{own}, {owners.value}" if owners and owners.value else own,
        },
    )


def instance_master(text: str, ports: dict[int, int]) -> str:
    """master.cf for the instance: nothing chrooted (links out of the queue must work), inet only as `ports` maps."""
    lines = []
    for service in parse_master(text):
        port = port_of(service)
        if service.type == "inet" and port not in ports:
            continue
        name = f"127.0.0.1:{ports[port]}" if service.type == "inet" and port is not None else service.name
        lines.append(_line(service, name))
    if not any(line.startswith("postlog ") for line in lines):
        lines.append("postlog unix-dgram n - n - 1 postlogd")
    return "\n".join(lines) + "\n"


def _line(service: Service, name: str) -> str:
    """`service` as a line of master.cf under another name, without chroot."""
    fields = (name, service.type, service.private, service.unprivileged, "n", service.wakeup, service.maxproc)
    return " ".join((*fields, service.command, service.arguments))


def linked_sockets(main: str, master: str) -> set[Path]:
    """The paths, relative to the queue directory, of the sockets that the two files name."""
    found = {Path(match[1]) for match in _RELATIVE_SOCKET.finditer(main + master)}
    sasl = parse_main(main).get("smtpd_sasl_path")
    return found | ({Path(sasl.value)} if sasl and not sasl.value.startswith(("/", "inet:")) else set())


def _free_ports(count: int) -> list[int]:
    """`count` TCP ports of 127.0.0.1 that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for number in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(port: int) -> bool:
    """True if something accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _make_queue(directory: Path, live_queue: Path, sockets: set[Path]) -> None:
    """Create the instance's directories, with links to the live sockets. Postfix makes the rest of the queue itself."""
    owner = files.owner_id("postfix")
    (directory / "queue" / "private").mkdir(parents=True)
    (directory / "data").mkdir()
    for path in (directory, directory / "queue"):
        path.chmod(0o755)
    for path in (directory / "queue" / "private", directory / "data"):
        os.chown(path, owner, -1)
        path.chmod(0o700)
    for path in sockets:
        # Link the directory, so that a daemon which replaces its socket is still found; private/ holds Postfix's own.
        first = Path(path.parts[0]) if len(path.parts) > 1 and path.parts[0] not in {"private", "public"} else path
        link = directory / "queue" / first
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(live_queue / first)
            os.chown(link, owner, -1, follow_symlinks=False)


@contextmanager
def running(
    directory: Path, *, main: str, master: str, listeners: Sequence[Listener], login: Login, live_queue: Path
) -> Iterator[list[Target]]:
    """Run the instance in the empty `directory` for the body; yields where its listeners answer.

    `main` and `master` are the texts of the staged files with all paths already rewritten to the stage.

    Raises:
        ProbeError: it does not start, or does not listen; the message quotes its log.
    """
    ports = dict(zip((listener.port for listener in listeners), _free_ports(len(listeners)), strict=True))
    directory.mkdir()
    _make_queue(directory, live_queue, linked_sockets(main, master))
    (directory / "main.cf").write_text(instance_main(main, directory, login))
    (directory / "master.cf").write_text(instance_master(master, ports))
    for name in ("main.cf", "master.cf"):
        (directory / name).chmod(0o644)
    files.settle(directory / "main.cf")
    with systemd.transient(UNIT, ["postfix", "-c", str(directory), "start-fg"], seconds=_SECONDS):
        try:
            for port in ports.values():
                wait_until(partial(_answers, port), deadline=15, what="The start of a Postfix with these files")
            yield [Target(listener, "127.0.0.1", ports[listener.port]) for listener in listeners]
        except ProbeError as error:
            there = files.read(directory / "log")
            log = there.content.decode(errors="replace") if there is not None else systemd.recent_log(UNIT)
            raise ProbeError(f"{error}\n{complaints(log)}".rstrip().replace(str(directory), "")) from error


def complaints(log: str, lines: int = 8) -> str:
    """The last warnings and errors of a log of Postfix, each once; "" where there is none but what a probe provokes."""
    found = re.findall(r"postfix\S*: (?:\S+: )?((?:warning|error|fatal|panic): .*)", log)
    unique = list(dict.fromkeys(line for line in found if "sasl_username=probe-" not in line))
    return "Its log says:\n  " + "\n  ".join(unique[-lines:]) if unique else ""
