# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What others are told of the lab: `lab/lab info` and the inventory."""

from __future__ import annotations

import json
import socket
from typing import Any

from sendyard_lab import zones
from sendyard_lab.hosts import HOSTS, LOGIN, NS1, NS2, SENDERS
from sendyard_lab.slice import GATEWAY, Slice
from sendyard_lab.state import state_of

RECIPIENT = "prove@rx.example"
DOWN = "the lab is down; lab/lab up brings it up"


def info(lab: Slice) -> dict[str, Any]:
    """Hosts, logins and where mail for the receiver goes."""
    state = state_of(lab)
    logins = state.file("logins.json")
    return {
        "hosts": {
            host.name: {"fqdn": host.fqdn, "ipv4": host.ipv4(lab), "ipv6": host.ipv6(lab)} for host in HOSTS.values()
        },
        "logins": json.loads(logins.read_text()) if logins.exists() else [],
        "receiver": {"address": RECIPIENT, "sink": "prove@sink.rx.example", "seven": "prove@seven.rx.example"},
        "ca": str(state.file("trust.pem")),
        "controller": {"ipv4": [lab.addresses(GATEWAY)[0]], "ipv6": [lab.addresses(GATEWAY)[1]]},
        "zones": zones.zone_names(lab),
        "ssh_config": str(state.file("ssh_config")),
        "state": str(lab.state),
    }


def inventory(lab: Slice) -> dict[str, Any]:
    """The inventory as Ansible asks for it (--list): names and addresses follow from the path, the lab may be down."""
    hosts = {
        host.name: {
            "ansible_host": host.ipv4(lab)[0],
            "sendyard_fqdn": host.fqdn,
            "sendyard_addresses": [{"public": host.ipv4(lab)[0]}, {"public": host.ipv6(lab)[0]}],
        }
        for host in SENDERS
    }
    return {
        "_meta": {"hostvars": hosts},
        "all": {"children": ["senders"]},
        "senders": {"hosts": list(hosts), "vars": _connection(lab) | _settings(lab)},
    }


def _connection(lab: Slice) -> dict[str, Any]:
    """How the senders are reached: as any server, by SSH as a user who may become root."""
    state = state_of(lab)
    return {
        "ansible_user": LOGIN,
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(state.file("id_ed25519")),
        # With the lab down there is no such address to bind to: nothing leaves the machine.
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={state.file('known_hosts')} -o StrictHostKeyChecking=yes"
        f" -o IdentitiesOnly=yes -o BindAddress={lab.addresses(GATEWAY)[0]}",
        "ansible_control_path_dir": str(lab.sockets),
    }


def is_up(lab: Slice) -> bool:
    """Whether this machine has its address in the lab's network, without which no host can be reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((lab.addresses(GATEWAY)[0], 0))
        except OSError:
            return False
    return True


def _settings(lab: Slice) -> dict[str, Any]:
    """The settings that only the lab knows; what is fixed stands in group_vars/senders.yml."""
    state = state_of(lab)
    servers = [address for host in (NS1, NS2) for address in host.ipv4(lab)]
    hints = [f"{host.fqdn}. {address}" for host in (NS1, NS2) for address in (*host.ipv4(lab), *host.ipv6(lab))]
    settings = {
        "sendyard_dns_credentials": {
            "lab": {
                "provider": "rfc2136",
                "server": NS1.ipv4(lab)[0],
                "key_name": zones.UPDATE_KEY,
                "key_algorithm": "hmac-sha256",
                "secret_file": str(state.file("tsig")),
            }
        },
        "sendyard_dns_credential": "lab",
        "sendyard_publish_resolver": servers,
        "sendyard_resolver_root_hints": hints,
        # Unbound answers these two itself, with "no such name", unless it is told otherwise.
        "sendyard_resolver_private_zones": ["10.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."],
        "sendyard_acme_directory": "https://ca.lab.example:14000/dir",
        "sendyard_acme_ca_file": "/usr/local/share/ca-certificates/lab-ca.crt",
        "sendyard_domains_directory": str(state.file("domains")),
        "sendyard_prove_recipient": RECIPIENT,
        "sendyard_prove_fetch_command": [str(lab.checkout / "lab" / "lab"), "mail"],
        "sendyard_prove_tls_ca": str(state.file("acme-root.pem")),
    }
    if state.file(zones.key_file(".")).exists():  # the one thing that follows from a key: there once the lab was up
        settings["sendyard_resolver_trust_anchor"] = f". IN DS {zones.delegation_signer(state, '.')}"
    return settings


def text(lab: Slice) -> str:
    """The same for a person."""
    facts = info(lab)
    hosts = facts["hosts"].items()
    lines = [f"{name:12} {one['fqdn']:26} {' '.join(one['ipv4'] + one['ipv6'])}" for name, one in hosts]
    lines += [f"login        {one['username']}  password {one['password']}" for one in facts["logins"]]
    lines += [f"receiver     {facts['receiver']['address']} checks; {facts['receiver']['sink']} takes everything"]
    lines += [f"trust        {facts['ca']}", "look around  lab/lab ssh HOST        read mail    lab/lab mail [TOKEN]"]
    return "\n".join(lines)
