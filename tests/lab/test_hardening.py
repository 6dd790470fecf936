# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""How the units are confined: ours by systemd's own measure, and no daemon of the mail path may leave a core dump."""

from __future__ import annotations

import re
import socket

import lab_api
from lab_hosts import Sender

EXPOSURE = 3.0  # of 10, by systemd-analyze security
AMONG = {
    f"sendyard-{name}"
    for name in (
        "firewall",
        "gate",
        "guard",
        "mta-sts",
        "opendkim",
        "postfix-housekeeping",
        "resolv",
        "restart",
        "transport-policy",
    )
}
ONESHOTS = ("sendyard-postfix-housekeeping", "sendyard-resolv", "sendyard-restart")
DEBIANS = ("dovecot", "postfix", "postfix@-", "unbound", "certbot")
# Of every process: its unit, its name, and the soft and the hard limit of a core dump's size.
CORE_LIMITS = r"""
for process in /proc/[0-9]*; do
    unit=$(grep -o '[^/]*\.service' "$process/cgroup" 2>/dev/null | head -n 1)
    limit=$(sed -n 's/^Max core file size *\([^ ]*\) *\([^ ]*\) .*/\1 \2/p' "$process/limits" 2>/dev/null)
    test -z "$unit" -o -z "$limit" || printf '%s\t%s\t%s\n' "$unit" "$(cat "$process/comm" 2>/dev/null)" "$limit"
done
"""


def our_services(sender: Sender) -> set[str]:
    """The services of ours that systemd knows, without what is only there for minutes."""
    listed = lab_api.root(sender.name, "systemctl", "list-unit-files", "--no-legend", "--plain", "sendyard-*.service")
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {row[0].removesuffix(".service") for row in rows if row[1] != "transient"}


def exposure(sender: Sender, unit: str) -> float:
    """How exposed systemd holds a unit to be, from 0 to 10."""
    said = lab_api.root(sender.name, "systemd-analyze", "security", "--no-pager", f"{unit}.service").stdout
    [found] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", said)
    return float(found)


def test_our_units_are_confined(sender: Sender) -> None:
    assert exposure(sender, "ssh") > EXPOSURE, "the measure finds everything well"
    found = our_services(sender)
    assert found >= AMONG
    assert {unit: exposed for unit in found if (exposed := exposure(sender, unit)) > EXPOSURE} == {}


def test_confined_they_still_do_their_work(sender: Sender) -> None:
    """What runs once does so without a fault; daemons answer in every other test."""
    for unit in ONESHOTS:
        lab_api.root(sender.name, "systemctl", "start", f"{unit}.service")
    # Stopped and started, not reloaded: the table goes and comes.
    lab_api.root(sender.name, "systemctl", "restart", "sendyard-firewall.service")
    table = lab_api.root(sender.name, "nft", "list", "table", "inet", "sendyard").stdout
    assert "policy drop" in table
    assert lab_api.root(sender.name, "systemctl", "--failed", "--no-legend", "--plain").stdout == ""


def test_no_daemon_of_the_mail_path_may_leave_a_core_dump(sender: Sender) -> None:
    """systemd's word for those that do not run now, the kernel's for those that do."""
    said = lab_api.root(sender.name, "systemctl", "show", "-P", "LimitCORE", *(f"{unit}.service" for unit in DEBIANS))
    assert said.stdout.split() == ["0"] * len(DEBIANS)
    with socket.create_connection((sender.ipv4, 25), timeout=60) as session:
        assert session.recv(512).startswith(b"220"), "an smtpd runs while a client is there"
        listed = lab_api.root(sender.name, "sh", "-s", stdin=CORE_LIMITS).stdout
    rows = [line.split("\t") for line in listed.splitlines()]
    assert any(limit != "0 0" for unit, _, limit in rows if unit == "ssh.service"), "nobody may leave one anyway"
    mail = [row for row in rows if re.match(r"(sendyard-|dovecot|postfix|unbound)", row[0])]
    assert {comm for _, comm, _ in mail} >= {"master", "smtpd", "qmgr", "opendkim", "python3", "dovecot", "unbound"}
    assert [row for row in mail if row[2] != "0 0"] == []
