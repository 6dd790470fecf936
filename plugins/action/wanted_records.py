# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute the DNS records that a host and its domains need, and leave them in a file of this run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.module_utils import domains, records
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

NO_KEY: Mapping[str, Any] = {"public_key": "", "digest": "", "earlier": []}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Returns `file`, the records as JSON, `waiting`, the keys that wait for them, and `addresses` for `mail_rdns`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        part = self._task.args.get("part", "changed")
        if part == "reverse":
            return {**result, "changed": False, "file": _write(_reverse_records(variables, self._templar))}
        if part == "tlsa":
            wanted = _tlsa_records(self._task.args["tlsa"], owner.settings(variables, self._templar))
            return {**result, "changed": False, "file": _write(wanted), "subject": wanted[0]["subject"]}
        # Zones are asked about beside faults of other settings, so that a run tells everything at once.
        said = owner.settings(variables, self._templar, lenient=part == "zones")
        pending: Mapping[str, Mapping[str, Any]] = self._task.args.get("pending") or {}
        name = variables["inventory_hostname"]
        served = [domain for domain in owner.domains_in_order(said, variables) if name in domain.servers]
        if part == "zones":
            table = owner.table(said, variables)
            known = variables["ansible_facts"]["sendyard"]["domains_digest"]
            if known == domains.digest(table):
                result.update(changed=False)  # nothing changed since the last run, so this one will change no zone
                return result
            new = domains.with_new_records(domains.unpacked(table), owner.kept_table(known, said, name))
            served = [domain for domain in served if domain.name in new]
        elif only := self._task.args.get("domain"):
            served = [domain for domain in served if domain.name == only]
            pending = {domain: key for domain, key in pending.items() if domain == only}
        elif part == "changed":
            served = [domain for domain in served if domain.name in pending]
        own = [] if self._task.args.get("domain") else _host_records(name, said, pending, variables)
        wanted = [*own, *_domain_records(served, said, pending, variables)]
        if part != "zones":  # a key that the host did not tell is published already, or, in check mode, not made yet
            wanted = [record for record in wanted if record["values"] or record["was"]]
        result.update(
            changed=False,
            file=_write(wanted),
            addresses=_addresses(name, said),
            waiting=[
                {
                    "domain": domain,
                    "subject": name if domain == said["fqdn"] else domain,
                    "digest": key["digest"],
                }
                for domain, key in pending.items()
            ],
        )
        return result


def _reverse_records(variables: Mapping[str, Any], templar: Any) -> list[Any]:
    """Return the server's PTR records as what somebody else sets, so that nobody is at fault where one is missing."""
    said = owner.settings(variables, templar)
    return records.reverse_records(said["fqdn"], owner.public_addresses(said), subject=variables["inventory_hostname"])


def _tlsa_records(tlsa: Mapping[str, Any], said: Mapping[str, Any]) -> list[Any]:
    return records.tlsa_records(
        said["fqdn"], tlsa["keys"], tlsa["gone"], credential=said["dns_credential"], ttl=said["tlsa_ttl"]
    )


def _addresses(name: str, said: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what the provider of the server's addresses is to call them; [] where it does not do it for us."""
    if not said["ptr_credential"]:
        return []
    what = {"name": said["fqdn"], "credential": said["ptr_credential"], "subject": name}
    return [{"address": address, **what} for address in owner.public_addresses(said)]


def _host_records(
    name: str, said: Mapping[str, Any], pending: Mapping[str, Mapping[str, Any]], variables: Mapping[str, Any]
) -> list[Any]:
    """The server's own records; its key only while that waits, since the host tells it only then."""
    key = pending.get(said["fqdn"], NO_KEY)
    now = domains.host_settings(owner.host(name, said), dmarc_rua=said["dmarc_rua"])

    def having(settings: Mapping[str, Any]) -> list[Any]:
        return records.host_records(
            subject=name,
            credential=said["dns_credential"],
            selector=said["selector"],
            public_key=key["public_key"],
            **settings,
        )

    earlier = [record for settings in key["earlier"] for record in having({**now, **settings})]
    if any("dmarc_rua" in settings for settings in key["earlier"]):
        needed = {records.report_name(taker) for taker in owner.report_takers(said, variables)}
        earlier = [record for record in earlier if record["name"] not in needed]
    wanted = [
        # Whoever gave a name up may have given up its zone too, and the server's own records must not fail for that.
        {**record, "optional": True} if record["was"] and not record["values"] else record
        for record in _attempted(records.remembering(having(now), earlier), key)
    ]
    # What the provider of the addresses sets, nobody is told to enter by hand.
    return [record for record in wanted if record["type"] != "PTR" or not said["ptr_credential"]]


def _domain_records(
    served: list[domains.Domain],
    said: Mapping[str, Any],
    pending: Mapping[str, Mapping[str, Any]],
    variables: Mapping[str, Any],
) -> Iterator[Any]:
    host, defaults = owner.host(variables["inventory_hostname"], said), owner.domain_defaults(said)
    for domain in served:
        key = pending.get(domain.name, NO_KEY)
        now = domains.domain_settings(host, domain, **defaults)

        def having(settings: Mapping[str, Any], domain: domains.Domain = domain, key: Any = key) -> list[Any]:
            return records.domain_records(
                subject=domain.name,
                credential=domain.dns,
                domain=domain.name,
                selector=said["selector"],
                public_key=key["public_key"],
                **settings,
            )

        earlier = [{**now, **settings} for settings in key["earlier"]]
        if any(_given_up(settings, now) for settings in earlier):
            # Not what moved to another server of the domain, whose records may not be written by this run.
            theirs = owner.held_by_others(domain, variables)
            earlier = [_without(settings, _given_up(settings, now) & theirs, now) for settings in earlier]
        gone = [record for settings in earlier for record in having(settings)]
        yield from _attempted(records.remembering(having(now), gone), key)


def _given_up(settings: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """Return the addresses and the name that a server had, and has no longer."""
    return {settings["fqdn"], *settings["addresses"]} - {now["fqdn"], *now["addresses"]}


def _without(settings: Mapping[str, Any], moved: set[str], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return earlier settings without the addresses and the name that `moved` to another server."""
    return {
        **settings,
        "addresses": [address for address in settings["addresses"] if address not in moved],
        "fqdn": now["fqdn"] if settings["fqdn"] in moved else settings["fqdn"],
    }


def _attempted(wanted: list[Any], key: Mapping[str, Any]) -> list[Any]:
    """Return `wanted`, marked where a run that was not confirmed may have written it just now."""
    return [{**record, "attempted": True} for record in wanted] if key.get("attempted") else wanted


def _write(wanted: list[Any]) -> str:
    """Ansible removes its local temporary directory when the run ends."""
    with tempfile.NamedTemporaryFile(
        "w", dir=C.DEFAULT_LOCAL_TMP, prefix="records-", suffix=".json", delete=False, encoding="utf-8"
    ) as file:
        json.dump(wanted, file)
    return str(Path(file.name))
