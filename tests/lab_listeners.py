# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What listens on a sender: the list of what may, and what `listener_watch.py` saw there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import lab_api
from programs import ROOT

WORLD, LOOPBACK = "world", "loopback"
# What a sender listens on, for good: protocol, for whom, port, process. master(8) holds Postfix's.
LISTENS = {
    ("tcp", WORLD, 22, "sshd"),
    *(("tcp", WORLD, port, "master") for port in (25, 465, 587, 2525)),
    *((protocol, LOOPBACK, 53, "unbound") for protocol in ("tcp", "udp")),
}
# And for moments: certbot while it proves a name (http-01), a staged Postfix at ports that the kernel chooses, and
# queries, whose sockets are seen before they are connected and are often gone before it is known whose they were.
QUERY = ("udp", WORLD, 0, "query")
FOR_MOMENTS = {("tcp", WORLD, 80, "certbot"), ("tcp", LOOPBACK, 0, "master"), QUERY}
BARE = {("tcp", WORLD, 22, "sshd")}
ALLOWED = {place[:3]: place[3] for place in LISTENS | FOR_MOMENTS}
SHOWN = "/run/listeners.json"
WATCHER = "/run/listener_watch.py"


@dataclass(frozen=True)
class Seen:
    """A listener as the watcher saw it first."""

    place: tuple[str, str, int, str]
    behind_firewall: bool


def scope(address: str) -> str:
    return LOOPBACK if address in {"127.0.0.1", "::1"} else WORLD


def _where(entry: dict[str, Any]) -> tuple[str, str, int]:
    return entry["protocol"], scope(entry["address"]), entry["port"]


def watched(host: str) -> list[Seen]:
    """All that was ever seen.

    A process that is none of Postfix's master and its children stands for itself; one that was gone before it was known
    (a busy machine), for the one that may listen there.
    """
    found = []
    for entry in json.loads(lab_api.root(host, "cat", SHOWN).stdout):
        processes = set(entry["processes"])
        process = "master" if "master" in processes else "/".join(sorted(processes))
        place = (*_where(entry), process or ALLOWED.get(_where(entry), ""))
        if place[:2] == ("udp", WORLD) and entry["port"] > 1023 and process in {"", "unbound"}:
            place = QUERY
        elif place[:2] == ("tcp", LOOPBACK) and entry["port"] > 1023 and process in {"", "master", "smtpd"}:
            place = ("tcp", LOOPBACK, 0, "master")
        found.append(Seen(place, entry["firewall"]))
    return found


def watch(host: str) -> None:
    """Start the watcher on a host, as molecule/default/converge.yml does, and wait until it watches."""
    lab_api.root(host, "sh", "-c", f"cat > {WATCHER}", stdin=(ROOT / "tests/listener_watch.py").read_text())
    lab_api.root(host, "systemd-run", "--quiet", "--unit=listener-watch", "python3", WATCHER, SHOWN)
    lab_api.until(lambda: lab_api.root(host, "test", "-e", SHOWN, check=False).rc == 0, what="the watcher to see sshd")
