# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What a run must leave as it is when it has nothing to do, or when it refuses: files, daemons, zones."""

from __future__ import annotations

import json
from collections.abc import Mapping

import lab_api

# Every file of ours and of the daemons: mode, owner and content; a link: where it points.
FILES = """
find /etc /usr/lib/sendyard -xdev -type l -printf '%p\\t-> %l\\n'
find /etc /usr/lib/sendyard -xdev -type f -printf '%p\\t%m %u:%g %T@\\n'
find /etc /usr/lib/sendyard -xdev -type f -exec sha256sum {} + | awk '{ print $2 " content\\t" $1 }'
"""
# A new invocation is a restart. Reloads leave no trace of their own, so they are counted where they are logged;
# nftables numbers its rules anew when a table is loaded. (The guard's own table moves with whom it blocks.)
DAEMONS = """
for unit in postfix.service postfix@-.service dovecot.service unbound.service ssh.service systemd-timesyncd.service \\
    sendyard-gate.service sendyard-guard.service sendyard-opendkim.service \\
    sendyard-mta-sts.service sendyard-transport-policy.service sendyard-firewall.service; do
    printf '%s\\t%s\\n' "$unit" "$(systemctl show --property InvocationID,MainPID,NRestarts "$unit" | tr '\\n' ' ')"
done
printf 'reloads by systemd\\t%s\\n' "$(journalctl --boot --output cat _PID=1 | grep -c '^Reload')"
printf 'reloads of postfix\\t%s\\n' "$(grep -ch 'reload -- version' /var/log/sendyard/postfix.log 2>/dev/null)"
printf 'packages\\t%s\\n' "$(dpkg-query --show | sha256sum)"
printf 'firewall\\t%s\\n' "$(nft --stateless --handle list table inet sendyard 2>&1 | sha256sum)"
"""


def _lines(host: str, script: str) -> dict[str, str]:
    found = lab_api.root(host, "sh", "-s", stdin=script).stdout
    return dict(line.split("\t", 1) for line in found.splitlines() if "\t" in line)


def files(host: str) -> dict[str, str]:
    """Mode, owner, time and digest of every file below /etc and of our own programs."""
    return _lines(host, FILES)


def daemons(host: str) -> dict[str, str]:
    """What changes when a package is installed, or a daemon is started or reloaded."""
    return _lines(host, DAEMONS)


def serials() -> dict[str, str]:
    """The serial of every zone of the lab, as its primary server has it."""
    found = {}
    for zone in lab_api.info()["zones"]:
        (soa,) = lab_api.ask("ns1", zone, "SOA")
        found[zone] = soa.split()[2]
    return found


def everything(hosts: tuple[str, ...]) -> dict[str, str]:
    """Files and daemons of some hosts, and all zones, under one name each."""
    found = {f"zone {zone}": serial for zone, serial in serials().items()}
    for host in hosts:
        found |= {f"{host}: {name}": value for name, value in (files(host) | daemons(host)).items()}
    return found


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What is not as it was, readable; empty if nothing is."""
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return json.dumps({name: [before.get(name), after.get(name)] for name in names}, indent=1) if names else ""
