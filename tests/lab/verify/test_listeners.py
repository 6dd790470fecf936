# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What listens on a sender: now, and at any moment since before its first run, as `tests/listener_watch.py` saw it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import lab_api
import pytest
from lab_hosts import Sender

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
SHOWN = "/run/listeners.json"
CONTROL = """
import socket, time
tcp = socket.create_server(("", 8123))
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", 823))
time.sleep(0.2)
"""


@dataclass(frozen=True)
class Seen:
    """A listener as the watcher saw it first."""

    place: tuple[str, str, int, str]
    behind_firewall: bool


def scope(address: str) -> str:
    return LOOPBACK if address in {"127.0.0.1", "::1"} else WORLD


def watched(sender: Sender) -> list[Seen]:
    """All that was ever seen. A process that is none of Postfix's master and its children stands for itself."""
    found = []
    for entry in json.loads(lab_api.root(sender.name, "cat", SHOWN).stdout):
        processes = set(entry["processes"])
        process = "master" if "master" in processes else "/".join(sorted(processes))
        place = (entry["protocol"], scope(entry["address"]), entry["port"], process)
        if place[:2] == ("udp", WORLD) and entry["port"] > 1023 and process in {"", "unbound"}:
            place = QUERY
        elif place[1] == LOOPBACK and process == "master":
            place = (*place[:2], 0, process)
        found.append(Seen(place, entry["firewall"]))
    return found


@pytest.fixture(scope="module")
def seen(sender: Sender) -> list[Seen]:
    """What the watcher saw, but for the control that shows that it still sees."""
    lab_api.root(sender.name, "python3", "-c", CONTROL)
    control = {("tcp", WORLD, 8123, "python3"), ("udp", WORLD, 823, "python3")}
    lab_api.until(
        lambda: control <= {one.place for one in watched(sender)},
        what="the watcher to show a listener of 0.2 s (it is started by script/molecule converge)",
        deadline=5,
    )
    return [one for one in watched(sender) if one.place not in control]


def test_now_it_is_what_is_declared(sender: Sender) -> None:
    found = set()
    for line in lab_api.root(sender.name, "ss", "-Hlntup").stdout.splitlines():
        columns = line.split()
        address, _, port = columns[4].rpartition(":")
        processes = set(re.findall(r'\("([^"]+)",pid=', line))
        process = "master" if "master" in processes else "/".join(sorted(processes))
        found.add((columns[0], scope(address.strip("[]").partition("%")[0]), int(port), process))
    assert found == LISTENS


def test_at_no_moment_was_there_anything_else(seen: list[Seen]) -> None:
    assert {one.place for one in seen} - FOR_MOMENTS == LISTENS


def test_the_firewall_stood_before_anything_listened(seen: list[Seen]) -> None:
    assert {one.place for one in seen if not one.behind_firewall} == BARE
