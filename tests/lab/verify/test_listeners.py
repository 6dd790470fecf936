# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What listens on a sender: now, and at any moment since before its first run, as `tests/listener_watch.py` saw it."""

from __future__ import annotations

import re

import lab_api
import pytest
from lab_hosts import Sender
from lab_listeners import BARE, FOR_MOMENTS, LISTENS, WORLD, Seen, scope, watched

CONTROL = """
import socket, time
tcp = socket.create_server(("", 8123))
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", 823))
time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def seen(sender: Sender) -> list[Seen]:
    """What the watcher saw, but for the control that shows that it still sees."""
    control = {("tcp", WORLD, 8123), ("udp", WORLD, 823)}

    def shown() -> bool:
        lab_api.root(sender.name, "python3", "-c", CONTROL)  # a machine that is busy with other things may miss it once
        return control <= {one.place[:3] for one in watched(sender.name)}

    what = "the watcher to show a listener of 0.2 s (it is started by script/molecule converge)"
    lab_api.until(shown, what=what, pause=1.0)
    return [one for one in watched(sender.name) if one.place[:3] not in control]


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
