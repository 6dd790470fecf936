# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner's settings and domains as the action plugins need them, on the controller."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.template import Templar
from ansible_collections.sendyard.mail.plugins.module_utils import domain_files, domains

SPEC = Path(__file__).parents[2] / "roles/settings/meta/argument_specs.yml"


@cache
def specification() -> Mapping[str, Any]:
    """Return the argument specification of every setting."""
    said: dict[str, Any] = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
    options: dict[str, Any] = said["argument_specs"]["main"]["options"]
    return options


def settings(task_vars: Mapping[str, Any], templar: Templar, *, lenient: bool = False) -> dict[str, Any]:
    """Return the settings of the task's host without their prefix: what the owner wrote, else the defaults.

    With `lenient`, one that cannot be had because it builds on a missing one is left out.
    """
    said = {}
    for name in specification():
        if name in task_vars:
            try:
                said[name.removeprefix("sendyard_")] = templar.template(task_vars[name])
            except AnsibleError:
                if not lenient:
                    raise
    return said


def public_addresses(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses that the world sees, in the owner's order."""
    return tuple(address["public"] for address in said["addresses"])


def bind_addresses(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses that the host itself holds, in the owner's order."""
    return tuple(address.get("bind") or address["public"] for address in said["addresses"])


def addresses_of_others(
    domain: domains.Domain, task_vars: Mapping[str, Any]
) -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the public addresses of the domain's other servers, those that are not in the play among them.

    Raises:
        AnsibleError: a server's addresses cannot be had.
    """
    found = set()
    for name in domain.servers:
        if name == task_vars["inventory_hostname"]:
            continue
        try:
            said = task_vars["hostvars"][name]["sendyard_addresses"]
            found |= {ipaddress.ip_address(address["public"]) for address in said}
        except (AnsibleError, LookupError, TypeError, ValueError) as error:
            raise AnsibleError(
                f"{name}: sendyard_addresses: they cannot be read here ({error}), so nobody knows which addresses of "
                f"this host {name} has now, and the SPF record of {domain.name} must keep. Mend them, or run for both."
            ) from error
    return frozenset(found)


def host(name: str, said: Mapping[str, Any]) -> domains.Host:
    """Return the host that inventory name and settings describe."""
    return domains.Host(name, said["fqdn"], said["selector"], public_addresses(said))


def domain_inventory(said: Mapping[str, Any], task_vars: Mapping[str, Any]) -> domain_files.Inventory:
    """Return all domain files of the owner; they are read anew only when one of them changed.

    A domain that names a host or a credential which the inventory does not have is at fault too.

    Raises:
        DirectoryError: there is no such directory.
    """
    directory = Path(said["domains_directory"])
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    found = domain_files.load(directory, cache=caches / "sendyard" / f"{name}.json.gz")
    senders = tuple(task_vars.get("groups", {}).get("senders", ()))
    credentials, own = tuple(said["dns_credentials"]), (said["fqdn"], said["bounce_domain"])
    return domain_files.check_references(found, directory, senders=senders, credentials=credentials, own=own)


def domain_faults(task_vars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the run has found wrong with single domains so far.

    Each fault has `subject`, `message` and `left_alone`: true where it was found before any change (in the domain's
    file, in its zone), so that the hosts keep of the domain what they have.
    """
    return list(task_vars.get("ansible_facts", {}).get("sendyard_domain_faults") or ())


def domains_in_order(said: Mapping[str, Any], task_vars: Mapping[str, Any]) -> list[domains.Domain]:
    """Return the domains to serve: those that are not to be left alone."""
    refused = _left_alone(task_vars)
    return [domain for domain in domain_inventory(said, task_vars).domains if domain.name not in refused]


def _left_alone(task_vars: Mapping[str, Any]) -> set[str]:
    return {fault["subject"] for fault in domain_faults(task_vars) if fault["left_alone"]}


def table(said: Mapping[str, Any], task_vars: Mapping[str, Any]) -> bytes:
    """Return the compiled table of the domains of the task's host."""
    faults = domain_inventory(said, task_vars).faults
    return domains.compile_table(
        host(task_vars["inventory_hostname"], said),
        domains_in_order(said, task_vars),
        sorted({fault.subject for fault in faults} | _left_alone(task_vars)),
        dmarc_policy=said["dmarc_policy"],
        dmarc_rua=said["dmarc_rua"],
        publishing=_publishing(said),
    )


def _publishing(said: Mapping[str, Any]) -> str:
    """Return a digest of the settings by which the server's own records are published; no secret is in it."""
    credentials = {
        name: {key: value for key, value in credential.items() if key != "secret"}
        for name, credential in said["dns_credentials"].items()
    }
    facts = [credentials, *(said[name] for name in ("dns_credential", "bounce_domain", "publish_ptr"))]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
