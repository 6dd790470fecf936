# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight must know of a host, read without changing anything. Runs on the host, standard library only."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import pwd
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import dkim_keys
from .domains import TABLE
from .host.standing import standing

# Debian's releases that we know, with what their packages speak.
RELEASES: Mapping[str, Mapping[str, str]] = {
    "12": {"codename": "bookworm", "postfix": "3.7", "dovecot": "2.3"},
    "13": {"codename": "trixie", "postfix": "3.10", "dovecot": "2.4"},
}
OUR_PORTS = (25, 80, 465, 587, 2525)
OUR_PROCESSES = ("master", "certbot")  # Postfix listens by master; certbot does while it renews
OURS = "Sendyard"  # stands in the first line of every file that we write
SECONDS_TO_CONNECT = 8
CONTROLLERS = Path("/etc/sendyard/guard-controllers.conf")  # written by role guard, an address a line
CONTROLLERS_KEPT = 32
POLICY = Path("/usr/sbin/policy-rc.d")  # Debian's: what it forbids, a package does not start
POLICY_ASIDE = POLICY.with_name("policy-rc.d.sendyard-aside")  # somebody else's, while ours stands


def inspect(
    *,
    addresses: Sequence[str],
    packages: Iterable[str],
    port25_targets: Sequence[str],
    controller_addresses: Sequence[str] = (),
    fqdn: str = "",
) -> dict[str, Any]:
    """Return what the host is, holds and reaches.

    Args:
        addresses: the addresses that the host should hold, as text.
        packages: Debian packages that the run will need.
        port25_targets: mail hosts whose port 25 is tried; one that answers is enough.
        controller_addresses: those that the controller would come from, as it knows them itself.
        fqdn: the host's own name.

    Keys of the result: release (version id), codename, init, addresses_missing, packages_settled (all are there, and no
    installation of ours was left unfinished), occupied ({port: process}), main_cf ("absent", "ours" or "foreign"),
    port25 ("open", "blocked" or "not tried"), ssh_ports, controllers (the addresses of all controllers, see
    `controllers`), standing (`host.standing`), domains_digest ("" where there is no table), sending
    (`dkim_keys.sending`).

    Raises:
        StateError: what the host remembers cannot be read.
    """
    release = os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    sessions = list(ssh_sessions())
    held = {ipaddress.ip_address(address) for address in held_addresses()}
    return {
        "distribution": release.get("ID", ""),
        "release": release.get("VERSION_ID", ""),
        "init": Path("/proc/1/comm").read_text(encoding="utf-8").strip(),
        "addresses_missing": [address for address in addresses if ipaddress.ip_address(address) not in held],
        "packages_settled": not missing_packages(packages) and not installation_is_unfinished(),
        "occupied": {
            str(listener.port): listener.process
            for listener in listeners()  # on loopback too: beside it, nothing can listen on all addresses
            if listener.port in OUR_PORTS and listener.process not in OUR_PROCESSES
        },
        "main_cf": main_cf(Path("/etc/postfix/main.cf")),
        "port25": port25(port25_targets),
        "ssh_ports": ssh_ports(sessions),
        "controllers": controllers([*(session[0] for session in sessions), *controller_addresses]),
        "standing": standing(),
        "domains_digest": hashlib.sha256(TABLE.read_bytes()).hexdigest() if TABLE.exists() else "",
        "sending": dkim_keys.sending(fqdn, dkim_keys.Directories()),
    }


def os_release(text: str) -> dict[str, str]:
    """Return the fields of os-release(5), without their quotes."""
    fields = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, equals, value in fields}


def held_addresses() -> set[str]:
    """Return every address of the host's interfaces."""
    interfaces = json.loads(_output(["ip", "-json", "address", "show"]) or "[]")
    return {info["local"] for interface in interfaces for info in interface.get("addr_info", []) if "local" in info}


def missing_packages(packages: Iterable[str]) -> list[str]:
    """Return those of `packages` that are not installed; of "one|other", any will do and the first is missing."""
    choices = [package.split("|") for package in sorted(packages)]
    names = [name for choice in choices for name in choice]
    lines = _output(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names]).splitlines()
    installed = {line.split()[0] for line in lines if line.endswith(" installed")}
    return [choice[0] for choice in choices if not installed.intersection(choice)]


def policy_is_ours() -> bool:
    """Whether it is we who forbid that packages start anything."""
    try:
        return OURS.encode() in POLICY.read_bytes()
    except OSError:
        return False


def installation_is_unfinished() -> bool:
    """Whether an earlier run began to install packages, and did not come to its end."""
    return policy_is_ours() or os.path.lexists(POLICY_ASIDE)


@dataclass(frozen=True)
class Listener:
    """A TCP listener; `loopback` where only the host itself can reach it."""

    port: int
    process: str
    loopback: bool


def listeners() -> Iterator[Listener]:
    """Yield each TCP listener of the host.

    Of several processes that hold a socket, such as Postfix's master and smtpd, the one that we know is named.
    """
    for line in _output(["ss", "-Hltnp"]).splitlines():
        columns = line.split()
        address, port = columns[3].rsplit(":", 1)
        processes = re.findall(r'\("([^"]+)",pid=', line)
        known = [process for process in processes if process in OUR_PROCESSES]
        loopback = address.strip("[]").partition("%")[0] in {"127.0.0.1", "::1"}
        yield Listener(int(port), [*known, *processes, "unknown"][0], loopback)


def main_cf(path: Path) -> str:
    """Say whose configuration Postfix has: "absent", "ours" or "foreign"."""
    try:
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except FileNotFoundError:
        return "absent"
    return "ours" if OURS in first else "foreign"


def port25(targets: Sequence[str]) -> str:
    """Say whether a mail host answers on port 25: "open", "blocked", or "not tried" without targets.

    Asked as Postfix's user where there is one: our firewall lets nobody else out on that port.
    """
    if not targets:
        return "not tried"
    try:
        user: int | None = pwd.getpwnam("postfix").pw_uid
    except KeyError:
        user = None
    child = os.fork()
    if child == 0:
        os._exit(0 if _answers(targets, user) else 1)
    return "open" if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 else "blocked"


def _answers(targets: Sequence[str], user: int | None) -> bool:
    """Runs in a child of its own, since it gives up its rights. The connect timeout bounds it."""
    try:
        if user is not None:
            os.setuid(user)
        for target in targets:
            try:
                with socket.create_connection((target, 25), timeout=SECONDS_TO_CONNECT) as connection:
                    if connection.recv(4).startswith((b"220", b"4", b"5")):
                        return True
            except OSError:
                continue
    except Exception:  # nothing may return into the parent's code
        return False
    return False


def ssh_sessions() -> Iterator[tuple[str, int]]:
    """Yield the client's address and the server's port of the SSH session that this runs in, if any."""
    pid = os.getpid()
    while pid > 1:  # sudo drops SSH_CONNECTION, so look for it in the processes above
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            break
        for entry in environment:
            if entry.startswith(b"SSH_CONNECTION="):
                words = entry.partition(b"=")[2].decode().split()
                yield words[0], int(words[-1])


def ssh_ports(sessions: Iterable[tuple[str, int]]) -> list[int]:
    """Return the ports by which the host is reached over SSH: those sshd listens on and those of `sessions`."""
    # On loopback sshd listens for what its clients forward.
    ports = {listener.port for listener in listeners() if listener.process == "sshd" and not listener.loopback}
    return sorted(ports | {session[1] for session in sessions})


def controllers(now: Iterable[str], kept: Path = CONTROLLERS) -> list[str]:
    """Return the addresses of the controllers known so far and of the one that is at `now`, the newest last.

    Single ones, also of IPv6: others may share the network, and each run brings its own. Only the newest are kept: a
    controller in a cloud has another address each time.
    """
    known = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    addresses = [line for line in known if line and not line.startswith("#")]
    for text in now:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if not (address.is_loopback or address.is_link_local or address.is_unspecified):
            addresses.append(str(address))
    return list(dict.fromkeys(addresses))[-CONTROLLERS_KEPT:]


def _output(argv: list[str]) -> str:
    """Return what a command prints; nothing where it is not installed or says no."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        return ""
    return done.stdout
