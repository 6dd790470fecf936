# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The controls: the stream sees it when a message is lost, and when one leaves unsigned."""

from __future__ import annotations

import lab_api
import pytest
from lab_hosts import Login, Sender
from lab_stream import stream

MASTER = "/etc/postfix/master.cf"


@pytest.mark.parametrize("sender", ["mx-trixie"], indirect=True)
def test_a_loss_is_seen(sender: Sender, logins: tuple[Login, ...]) -> None:
    with lab_api.fault("rx", "tcp dport 25 drop"), stream(sender, logins) as running:
        running.stop()
        lab_api.root(sender.name, "systemctl", "stop", "postfix")  # a delivery that is under way would go on
        lab_api.root(sender.name, "postsuper", "-d", "ALL")
        lab_api.root(sender.name, "systemctl", "start", "postfix")
    fate = running.fate(deadline=5)
    assert fate.lost == fate.accepted
    with pytest.raises(AssertionError, match="lost: "):
        fate.assert_kept()


@pytest.mark.parametrize("sender", ["mx-trixie"], indirect=True)
def test_what_leaves_unsigned_is_seen(sender: Sender, logins: tuple[Login, ...]) -> None:
    lab_api.root(sender.name, "cp", "-a", MASTER, f"{MASTER}.kept")
    try:
        lab_api.root(sender.name, "postconf", "-P", "submission/inet/smtpd_milters=")
        lab_api.root(sender.name, "postfix", "reload")
        with stream(sender, logins) as running:
            running.wait_for(10)
            fate = running.fate()
    finally:
        lab_api.root(sender.name, "mv", f"{MASTER}.kept", MASTER)
        lab_api.root(sender.name, "postfix", "reload")
    assert set(fate.flawed.values()) == {"signed by nobody"}
    assert {attempt.port for attempt in fate.attempts if attempt.number in fate.flawed} == {587}
    with pytest.raises(AssertionError, match="signed by nobody"):
        fate.assert_kept()
