# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A sender with two listeners more: one lacks the gate, one has nothing but it."""

from __future__ import annotations

import re

import pytest
from drills.machines import Sender

WITHOUT_GATE, GATE_ALONE = 2598, 2599


@pytest.fixture(scope="session", name="sender")
def sender_with_more_listeners(sender: Sender) -> Sender:
    """The sender, with two copies of the service on 2525 whose cleanup looks at no header itself."""
    master = sender.run("cat", "/etc/postfix/master.cf")
    found = re.search(r"(?m)^2525 .*\n(?:[ #].*\n)*", master)
    assert found, "no service 2525"
    bare = found[0].replace("cleanup_service_name=subcleanup", "cleanup_service_name=barecleanup")
    without_gate = re.sub("unix:gate/gate.sock, *", "", bare)
    assert without_gate != bare, "the service names no gate"
    more = bare.replace("2525", str(GATE_ALONE), 1) + without_gate.replace("2525", str(WITHOUT_GATE), 1)
    more += "barecleanup unix n - y - 0 cleanup\n  -o always_add_missing_headers=yes\n"
    sender.put({"/etc/postfix/master.cf": (master + "\n" + more).encode()})
    sender.run("postfix", "reload")
    return sender
