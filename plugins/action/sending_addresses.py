# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out which addresses must not be sent from, or not yet.

Those that do not lead back to the server's name: receivers refuse what comes from one (RFC 5321 section 4.1.4 lets
them; Gmail 5.7.25), and that of IPv6 above all. And those that are new, while resolvers may have what stood before.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.module_utils import records, sending
from ansible_collections.sendyard.mail.plugins.module_utils.dns import caches
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

FACT = "sendyard_not_sent_from"
MEND = (
    "Set it where the address comes from: in the provider's panel, by sendyard_ptr_credential, or in a reverse zone of "
    "yours (sendyard_publish_ptr)"
)


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Keeps the fact `sendyard_not_sent_from`: public addresses, as the owner writes them.

    Returns `wait`, seconds that the run must wait before it uses those that are not in the fact; `refused`, why there
    is none to send from, "" where there is one; and `unused`, what the host should remember.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        said = owner.settings(variables, self._templar)
        name = variables["inventory_hostname"]
        provider = self._task.args.get("provider") or {}
        spelled = {str(ipaddress.ip_address(entry["public"])): entry["public"] for entry in said["addresses"]}
        by_provider = name in provider.get("subjects", {})
        if by_provider:
            nameless = set(spelled).difference(provider["seen"].get(name, ()))
        else:
            missing = [one["asked"] for one in self._found("manual", name) if one["type"] == "PTR"]
            nameless = set(_at(missing, spelled))
        required = said["require_ptr"]
        known = variables.get("ansible_facts", {}).get("sendyard", {}).get("sending") or {}
        verdict = sending.decide(
            list(spelled),
            nameless=nameless if required else (),
            unseen=set(_at(self._found("unseen", name), spelled)) if required and not by_provider else (),
            confirmed=known.get("confirmed") or (),
            unused={address: _left(one) for address, one in (known.get("unused") or {}).items()},
            cached=self._cached(name, said, variables),
            longest_wait=said["cache_wait"],
            at_once=said["new_addresses_at_once"],
        )
        mend = _what_the_provider_said(provider, name) if by_provider else MEND
        told = list(_told(verdict, spelled, said["fqdn"], mend))
        refused = ""
        if verdict.left_out == set(spelled):
            refused = f"{name}: {' '.join(told)} There is no other address to send from{_way_out(verdict)}."
        elif verdict.left_out:
            told.append("Until then mail leaves from the other addresses only; a run after that takes them in.")
        if verdict.awaited and not refused:
            would = "would wait" if self._task.check_mode else "waits"
            told.append(
                f"{_caches(verdict.awaited, spelled)} This run {would} until then (sendyard_cache_wait), and mail "
                "leaves from there afterwards."
            )
        if told and (not refused or self._task.check_mode):  # what is refused is told when the run stops for it
            result["warnings"] = [refused or f"{name}: {' '.join(told)}"]
        result.update(
            changed=False,
            wait=0 if refused else verdict.wait,
            refused=refused,
            unused={address: one.said() for address, one in verdict.unused.items()},
            ansible_facts=owner.facts(**{FACT: [spelled[one] for one in spelled if one in verdict.left_out]}),
        )
        return result

    def _found(self, argument: str, name: str) -> list[Any]:
        return (self._task.args.get(argument) or {}).get(name) or []

    def _cached(self, name: str, said: Mapping[str, Any], variables: Mapping[str, Any]) -> list[caches.Cached]:
        """Return what resolvers may have that concerns the host: its own records, and those of its domains."""
        published = self._task.args.get("cached") or {}
        provider = (self._task.args.get("provider") or {}).get("cached") or {}
        subjects = {name}
        if set(published) - subjects:  # in a run that changes nothing, no domain is looked at
            subjects |= {one.name for one in owner.domains_in_order(said, variables) if name in one.servers}
        found = [one for subject, one in published.items() if subject in subjects]
        return [caches.parse(one) for one in [*found, *(one for subject, one in provider.items() if subject == name)]]


def _at(names: list[str], addresses: Mapping[str, str]) -> Iterator[str]:
    """Yield those of `addresses` whose PTR records stand at `names`."""
    places = {name.removesuffix(".") for name in names}
    return (address for address in addresses if records.reverse_name(address) in places)


def _left(one: Mapping[str, Any]) -> caches.Cached:
    return caches.Cached(max(0, round(one["expires"] - time.monotonic())), one["record"])


def _told(verdict: sending.Verdict, spelled: Mapping[str, str], fqdn: str, mend: str) -> Iterator[str]:
    """Yield why addresses are not sent from."""
    if verdict.nameless:
        yield (
            f"{_listed(verdict.nameless, spelled)}: the PTR record is not {fqdn}, so that receivers refuse mail from "
            f"there. {mend}."
        )
    if verdict.unseen:
        yield (
            f"{_listed(verdict.unseen, spelled)}: new here, and nobody can see whether the PTR record is {fqdn}, since "
            "the reverse zone cannot be found or read."
        )
    if verdict.held_back:
        yield _caches(verdict.held_back, spelled)


def _caches(found: Mapping[str, caches.Cached], spelled: Mapping[str, str]) -> str:
    """Say which addresses must wait, until when, and why."""
    longest = max(found.values(), key=lambda one: one.seconds)
    until = clock(time.time() + longest.seconds)
    return (
        f"{_listed(found, spelled)}: new here, and until {until} resolvers may have an older answer for "
        f"{longest.record}, by which receivers refuse mail from there."
    )


def _listed(addresses: Any, spelled: Mapping[str, str]) -> str:
    return ", ".join(spelled[address] for address in addresses)


def _way_out(verdict: sending.Verdict) -> str:
    ways = []
    if verdict.held_back:
        soonest = clock(time.time() + min(one.seconds for one in verdict.held_back.values()))
        ways.append(f"run again after {soonest}, or set sendyard_new_addresses_at_once: true")
    if verdict.nameless or verdict.unseen:
        ways.append("sendyard_require_ptr: false lets it pass")
    return f" ({'; '.join(ways)})"


def clock(moment: float) -> str:
    """Return a moment as the person at this machine reads it, with its day where that is not today."""
    local = time.localtime(moment)
    return time.strftime("%H:%M" if local[:3] == time.localtime()[:3] else "%Y-%m-%d %H:%M", local)


def _what_the_provider_said(found: Mapping[str, Any], name: str) -> str:
    """Return what mail_rdns says of the addresses of the host `name`, without the last full stop."""
    said = found["subjects"][name]
    told = [] if said["ok"] else [said["error"]]
    return " ".join([*told, *found["notes"].get(name, ())]).removesuffix(".")
