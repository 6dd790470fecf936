# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What somebody changed by hand is put right, though a run asks a host only for what it does not say still stands."""

from __future__ import annotations

import lab_api
import pytest
from lab_hosts import Sender
from lab_killed import site

# By subsystem: what somebody does, and where it is seen that it was put right.
DRIFTS = {
    "auth": ("echo >>/etc/dovecot/dovecot.conf", "cat /etc/dovecot/dovecot.conf"),
    "firewall": (
        "nft insert rule inet sendyard input tcp dport 9999 accept",
        "nft --stateless list table inet sendyard",
    ),
    "guard": ("chmod 666 /etc/sendyard/guard-controllers.conf", "stat -c %a /etc/sendyard/guard-controllers.conf"),
    "postfix": ("postconf -e maximal_queue_lifetime=1d", "grep ^maximal_queue /etc/postfix/main.cf"),
    "resolver": ("systemctl disable -q unbound", "systemctl is-enabled unbound"),
    "signer": ("systemctl stop sendyard-gate", "systemctl is-active sendyard-gate"),
    "transport_policy": (
        "rm /usr/local/sbin/sendyard-transport-policy",
        "sha256sum /usr/local/sbin/sendyard-transport-policy",
    ),
    "updates": ("systemctl stop sendyard-restart.timer", "systemctl is-active sendyard-restart.timer"),
}


def seen(sender: Sender) -> dict[str, str]:
    return {
        name: lab_api.root(sender.name, "sh", "-c", f"{look} 2>&1", check=False).stdout
        for name, (_, look) in DRIFTS.items()
    }


@pytest.mark.parametrize("subsystem", DRIFTS)
def test_what_one_subsystem_lost_is_put_right(sender: Sender, subsystem: str) -> None:
    before = seen(sender)
    lab_api.root(sender.name, "sh", "-c", DRIFTS[subsystem][0])
    after = seen(sender)
    assert {name for name in before if before[name] != after[name]} == {subsystem}
    assert site(sender) > 0
    assert seen(sender) == before


def test_all_at_once(sender: Sender) -> None:
    before = seen(sender)
    for change, _ in DRIFTS.values():
        lab_api.root(sender.name, "sh", "-c", change)
    assert site(sender) > 0
    assert seen(sender) == before
    assert site(sender) == 0
