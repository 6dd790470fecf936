# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner's settings and domains as the action plugins need them, on the controller."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.utils.vars import load_extra_vars
from ansible_collections.sendyard.mail.plugins.module_utils import domain_files, domains, own_cache, preflight, records
from ansible_collections.sendyard.mail.plugins.module_utils.dns import NEED_NO_ENTRY

ROLES = Path(__file__).parents[2] / "roles"
PREFIX = "sendyard_"


@cache
def roles() -> frozenset[str]:
    """Return the names of our roles, with which their variables begin."""
    return frozenset(path.name for path in ROLES.iterdir())


@cache
def specification(role: str = "settings") -> Mapping[str, Any]:
    """Return the argument specification of every variable of a role; those of "settings" are the owner's settings."""
    said: dict[str, Any] = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, Any] = said["argument_specs"]["main"]["options"]
    return options


def _validated(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an argument specification that the validator knows; texts are for people."""
    known = ("type", "elements", "required", "choices")
    return {
        name: {key: option[key] for key in known if key in option}
        | ({"options": _validated(option["options"])} if "options" in option else {})
        for name, option in spec.items()
    }


def typed(name: str, value: Any, role: str = "settings") -> tuple[Any, list[str]]:
    """Return a variable as its specification has it ("no" of a command line is a bool), and what is wrong with it."""
    spec = _validated({name: specification(role)[name]})
    spec[name].pop("required", None)
    checked = ArgumentSpecValidator(spec).validate({name: value})
    return checked.validated_parameters[name], list(checked.error_messages)


def settings(task_vars: Mapping[str, Any], templar: Templar, *, lenient: bool = False) -> dict[str, Any]:
    """Return the settings of the task's host without their prefix: what the owner wrote, else the defaults.

    With `lenient`, one that cannot be had, because it builds on a missing one or is of another type, is left out.
    """
    said = {}
    for name in specification():
        if name in task_vars:
            try:
                value, wrong = typed(name, templar.template(task_vars[name]))
                if wrong:
                    raise AnsibleError(f"{name}: {'; '.join(wrong)}")
            except AnsibleError:
                if not lenient:
                    raise
            else:
                said[name.removeprefix(PREFIX)] = value
    return said


@cache
def _defaults() -> Mapping[str, Any]:
    """Return what settings are where the owner says nothing, as templates."""
    path = str(ROLES / "settings/defaults/main.yml")
    defaults: Mapping[str, Any] = DataLoader().load_from_file(path, trusted_as_template=True)
    return defaults


def identities(task_vars: Mapping[str, Any], templar: Templar) -> Iterator[preflight.Identity]:
    """Yield what the other servers of the inventory are known by, whether this run is about them or not.

    What cannot be had is left out: it is a fault of that server, which its own check tells. So is what the command line
    says, which is said of this run's servers only.
    """
    said_now = load_extra_vars(DataLoader())
    for name in task_vars.get("groups", {}).get("senders", ()):
        if name != task_vars["inventory_hostname"]:
            # Not `hostvars[name]`: the defaults of a role are in no host's variables outside of the host's own tasks.
            variables = {**_defaults(), **task_vars["hostvars"].raw_get(name)}
            wanted = {f"{PREFIX}{key}": variables.get(f"{PREFIX}{key}") for key in ("fqdn", "selector", "addresses")}
            known = {key: value for key, value in wanted.items() if value is not None and key not in said_now}
            theirs = templar.copy_with_new_env(available_variables=variables)
            yield identity(name, settings(known, theirs, lenient=True))


def identity(name: str, said: Mapping[str, Any]) -> preflight.Identity:
    """Return what the server `name` is known by, as far as it is said."""
    addresses = tuple(entry["public"] for entry in said.get("addresses") or ())
    return preflight.Identity(name, said.get("fqdn") or "", said.get("selector") or "", addresses)


def public_addresses(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses that the world sees, in the owner's order, as everybody writes them (RFC 5952)."""
    return tuple(str(ipaddress.ip_address(address["public"])) for address in said["addresses"])


def held_by_others(domain: domains.Domain, task_vars: Mapping[str, Any]) -> frozenset[str]:
    """Return the names and public addresses of the domain's other servers, those that are not in the play among them.

    Addresses are written as by `public_addresses`.

    Raises:
        AnsibleError: a server's name or addresses cannot be had.
    """
    found = set()
    for name in domain.servers:
        if name == task_vars["inventory_hostname"]:
            continue
        try:
            theirs = task_vars["hostvars"][name]
            found |= {str(ipaddress.ip_address(address["public"])) for address in theirs["sendyard_addresses"]}
            found.add(str(theirs["sendyard_fqdn"]))
        except (AnsibleError, LookupError, TypeError, ValueError) as error:
            raise AnsibleError(
                f"{name}: its sendyard_addresses or sendyard_fqdn cannot be read here ({error}), so nobody knows what "
                f"of this host {name} has now, and the records of {domain.name} must keep. Mend them, or run for both."
            ) from error
    return frozenset(found)


def report_takers(said: Mapping[str, Any], task_vars: Mapping[str, Any]) -> frozenset[str]:
    """Return the domains that take DMARC reports of domains whose files say so, or of other servers'."""
    others = set(task_vars["groups"]["senders"]) - {task_vars["inventory_hostname"]}
    uris = {domain.dmarc_rua for domain in domain_inventory(said, task_vars).domains}
    uris |= {str(task_vars["hostvars"][name].get("sendyard_dmarc_rua", "")) for name in others}
    return frozenset(taker for uri in uris for taker in records.takers(uri))


def host(name: str, said: Mapping[str, Any]) -> domains.Host:
    """Return the host that inventory name and settings describe."""
    from_acme = said["certificate_source"] == "acme"
    issuers = said["caa_issuers"] or (records.issuers(said["acme_directory"]) if from_acme else [])
    return domains.Host(
        name,
        said["fqdn"],
        said["selector"],
        public_addresses(said),
        bounce_domain=said["bounce_domain"],
        caa_issuers=tuple(issuers),
        ptr=said["publish_ptr"],
    )


def domain_defaults(said: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that hold for domains whose files say nothing, as `domains.domain_settings` takes them."""
    return {name: said[name] for name in ("dmarc_policy", "dmarc_rua", "spf_style", "return_path")}


def domain_inventory(
    said: Mapping[str, Any], task_vars: Mapping[str, Any], *, new: Sequence[domains.Domain] = ()
) -> domain_files.Inventory:
    """Return all domain files of the owner, and `new` ones that are none yet; they are read anew only when one changed.

    A domain that names a host or a credential which the inventory does not have is at fault too. (Where the credentials
    themselves are at fault, nothing is said of those that name them.)

    Raises:
        DirectoryError: there is no such directory.
    """
    directory = Path(said["domains_directory"])
    found = domain_files.load(directory, cache=_cache(said, "files.gz"))
    found = domain_files.Inventory((*found.domains, *new), found.faults)
    if "dns_credentials" not in said:
        return found
    senders, credentials = senders_of(task_vars), credentials_of(said)
    own = tuple(said[name] for name in ("fqdn", "bounce_domain") if name in said)
    return domain_files.check_references(
        found,
        directory,
        senders=senders,
        credentials=credentials,
        own=own,
        return_path=said.get("return_path", ""),
    )


def senders_of(task_vars: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the inventory names of all sending servers, whether this run is about them or not."""
    return tuple(task_vars.get("groups", {}).get("senders", ()))


def credentials_of(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the credentials that a domain file may name."""
    return tuple({**NEED_NO_ENTRY, **said["dns_credentials"]})


def domain_faults(task_vars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the run has found wrong with single domains so far.

    Each fault has `subject`, `message` and `left_alone`: true where it was found before any change (in the domain's
    file, in its zone), so that the hosts keep of the domain what they have.
    """
    return list(of_this_run(task_vars.get("ansible_facts", {})).get("sendyard_domain_faults") or ())


def facts(**found: Any) -> dict[str, Any]:
    """Return facts that hold for this run alone: an owner may have Ansible cache facts from run to run."""
    return {"sendyard_run": this_run(), **found}


def of_this_run(known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts `known` of a host where this run found them."""
    return known if known.get("sendyard_run") == this_run() else {}


def this_run() -> str:
    """Return what tells this run from any other: ansible-playbook makes a directory of its own each time."""
    return str(C.DEFAULT_LOCAL_TMP)


def with_faults_of(
    subjects: Mapping[str, Mapping[str, Any]], task_vars: Mapping[str, Any], *, left_alone: bool
) -> list[dict[str, Any]]:
    """Return `domain_faults` and those that mail_dns found.

    Args:
        subjects: what mail_dns returned for all hosts of the play at once. A sender among them is no domain: its fault
            is told where it is the task's host.
        left_alone: as in `domain_faults`.
    """
    faults = domain_faults(task_vars)
    known = {fault["subject"] for fault in faults} | set(task_vars.get("groups", {}).get("senders", ()))
    new = ((subject, state["error"]) for subject, state in sorted(subjects.items()) if not state["ok"])
    faults += [
        {"subject": subject, "message": error, "left_alone": left_alone}
        for subject, error in new
        if subject not in known
    ]
    return faults


def domains_in_order(said: Mapping[str, Any], task_vars: Mapping[str, Any]) -> list[domains.Domain]:
    """Return the domains to serve: those that are not to be left alone."""
    refused = _left_alone(task_vars)
    return [domain for domain in domain_inventory(said, task_vars).domains if domain.name not in refused]


def told(faults: Iterable[Mapping[str, Any]]) -> str:
    """Return faults of domains as text, a line each."""
    return "\n".join(f"  {fault['subject']}: {fault['message']}" for fault in faults)


def _left_alone(task_vars: Mapping[str, Any]) -> set[str]:
    return {fault["subject"] for fault in domain_faults(task_vars) if fault["left_alone"]}


def table(said: Mapping[str, Any], task_vars: Mapping[str, Any]) -> bytes:
    """Return the compiled table of the domains of the task's host."""
    faults = domain_inventory(said, task_vars).faults
    return domains.compile_table(
        host(task_vars["inventory_hostname"], said),
        domains_in_order(said, task_vars),
        sorted({fault.subject for fault in faults} | _left_alone(task_vars)),
        publishing=_publishing(said),
        **domain_defaults(said),
    )


def keep_table(table: bytes, said: Mapping[str, Any], name: str) -> None:
    """Remember that the server `name` has this table."""
    kept = _cache(said, f"{name}.table.gz")
    if own_cache.read(kept) != table:
        own_cache.write(kept, table)


def kept_table(digest: str, said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the table of this digest, which the server `name` has; {} where this controller does not remember it."""
    kept = own_cache.read(_cache(said, f"{name}.table.gz"))
    return domains.unpacked(kept) if domains.digest(kept) == digest else {}


def _cache(said: Mapping[str, Any], name: str) -> Path:
    """Return the file in which this controller keeps something about a directory of domain files."""
    directory = str(Path(said["domains_directory"]).resolve())
    return own_cache.path(f"{hashlib.sha256(directory.encode()).hexdigest()[:16]}.{name}")


def _publishing(said: Mapping[str, Any]) -> str:
    """Return a digest of how the server's own records are published; no secret is in it."""
    credentials = {
        name: {key: value for key, value in credential.items() if key != "secret"}
        for name, credential in said["dns_credentials"].items()
    }
    facts = [credentials, said["dns_credential"], said["ptr_credential"]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
