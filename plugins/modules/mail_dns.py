#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_dns
short_description: Publish mail records without harming a zone
version_added: 0.1.0
description:
  - Brings the zones of any number of domains to the records wanted, in as few messages as the server takes, and waits
    until every address of every authoritative server answers with them.
  - Touches only its own record sets, and its own values in shared ones; what others wrote keeps its bytes and its TTL.
    A concurrent writer is noticed, and what it wrote is read again and kept.
  - A fault of one domain, zone or credential leaves the others done; C(subjects) says whose records stand.
  - Runs on the controller, once a run, for all domains at once.
options:
  records:
    description:
      - The records wanted, each with the fields described below.
      - "C(name), with or without the last dot; C(type); C(ttl) in seconds (3600); C(values), a list of texts. A TXT is
        written as the plain string; it is cut into strings of 255 octets. A record without values is only looked at by
        O(state=checked)."
      - "C(mode): C(own), the record set is ours (the default); C(member), our values stand among those of others;
        C(spf), the values are mechanisms that belong into the one SPF record of the name; C(manual), somebody else
        must publish it: where it is not there, RV(manual) and RV(notes) say so, and nobody is at fault."
      - In mode C(spf) a first record ends in C(~all), or in the C(all) that is among the values; one that is there
        keeps its end. With O(state=absent), a record that is left with nothing but that end is removed.
      - In mode C(own) a DMARC record that others wrote stays, and so does one of a name above that is stronger;
        RV(notes) says so.
      - C(was), values that we wrote earlier, so that they may be replaced or removed.
      - C(first), in mode C(own), what a first record says instead of C(values) where it is about the zone's apex; as
        long as it says that, it is left alone. A DMARC record of C(was) with the policy of C(first) becomes that.
      - C(optional), whether it is left out where the credential has no zone for it or may not write there.
      - C(credential), one of O(credentials), or nothing where O(provider) is meant; C(subject), the domain or host
        whose fault a failure is.
      - C(attempted), whether an earlier run, of which nobody knows the end, may have written it (see RV(cached)).
    type: list
    elements: dict
    default: []
  records_files:
    description: Files on the controller that hold more of them, as JSON lists.
    type: list
    elements: path
    default: []
  credentials:
    description:
      - Named ways to change zones.
      - "C(provider): C(rfc2136), for servers that take dynamic updates (BIND, Knot, PowerDNS and others). C(server),
        its name or address; C(port) (53); C(key_name) of the TSIG key; C(key_algorithm) (C(hmac-sha256)); and the key's
        secret, base64, as C(secret), in the file C(secret_file), or in the environment variable C(secret_env)."
      - The key needs no zone transfer, and may be held to our names and types.
      - "C(provider): C(cloudflare). The secret is an API token with C(Zone:Read) and C(DNS:Edit) for the zones alone."
      - "C(provider): C(digitalocean). The secret is a token with the scopes C(domain:read), C(domain:create),
        C(domain:update) and C(domain:delete)."
      - "C(provider): C(gandi). The secret is a personal access token that may manage the technical configuration of the
        domains alone; C(sharing_id), the organisation, where it sees several."
      - "C(provider): C(hetzner). The secret is a token, to read and write, of a Hetzner Cloud project that has nothing
        but the zones."
      - "C(provider): C(powerdns), by its HTTP API. C(url) of the web server, C(server_id) (C(localhost)), C(ca_file);
        the secret is its api-key."
      - "C(provider): C(route53). C(access_key_id) and its secret access key, or C(profile), or what boto3 finds;
        C(role_arn) and C(external_id) to assume a role; C(region). It needs to list and read the zones, to change
        record sets of our names and types, and to see changes."
      - All of these take C(url), where the API is elsewhere, which must be https but on this machine.
      - "C(provider): C(manual), a person changes the zone. The credential C(manual) is there without an entry. What is
        not there yet is returned in RV(manual), merged with what is, and is the subject's fault until it is there."
    type: dict
    default: {}
  provider:
    description: The way to change the zones of records that name no credential, with the keys of one of O(credentials).
    type: dict
    default: {}
  resolver:
    description:
      - Addresses of the servers that find name servers, each with C(@port) if that is not 53. The system's if empty.
    type: list
    elements: str
    default: []
  name_servers:
    description: Where to ask a name server instead of at its address, as its name and a list of address and port.
    type: dict
    default: {}
  deadline:
    description:
      - How many seconds all authoritative servers have to answer with the records, at least V(1). What was not waited
        for was not seen, and nobody may build on it.
    type: int
    default: 60
  wait:
    description: Whether to wait for the authoritative servers; V(false) where O(state=seen) asks them from elsewhere.
    type: bool
    default: true
  adopt:
    description: Replace what others wrote at names that are to be ours. A stronger DMARC policy stays all the same.
    type: bool
    default: false
  state:
    description:
      - V(present) publishes the records, V(absent) removes exactly our values of them.
      - V(checked) changes nothing and finds out whether the zones exist and the credentials may write there.
      - V(seen) changes nothing, needs no credential, and waits until all authoritative servers answer with the records,
        as seen from where the module runs.
    type: str
    choices: [present, absent, checked, seen]
    default: present
requirements:
  - dnspython >= 2.3
  - urllib3 >= 2, for providers with an HTTP API
  - boto3, for route53
attributes:
  check_mode:
    description: Reads the zones and says what would change.
    support: full
  diff_mode:
    description: Shows the record sets that change, and no others, as lines of a zone file.
    support: full
author: Sendyard contributors (@sendyard)
"""

EXAMPLES = r"""
- name: What the domain needs is published
  sendyard.mail.mail_dns:
    records:
      - name: acme.example
        type: TXT
        mode: spf
        values: ["ip4:192.0.2.10", "ip6:2001:db8::10"]
        credential: ours
      - name: _dmarc.acme.example
        type: TXT
        values: ["v=DMARC1; p=none; rua=mailto:dmarc@acme.example"]
        credential: ours
    credentials:
      ours:
        provider: rfc2136
        server: ns1.example.net
        key_name: sendyard.
        secret_env: SENDYARD_TSIG_SECRET
  delegate_to: localhost
  run_once: true

# One record from the command line, without an entry for its provider:
#   ansible localhost -m sendyard.mail.mail_dns -a '{
#     "records": [{"name": "mx1.acme.example", "type": "A", "values": ["192.0.2.10"]}],
#     "provider": {"provider": "hetzner", "secret_file": "~/.config/hetzner-token"}}'
"""

RETURN = r"""
subjects:
  description: For every subject whether all its records stand and are seen, and if not, what is wrong.
  returned: always
  type: dict
  sample: {acme.example: {ok: true}, globex.example: {ok: false, error: "…"}}
notes:
  description: For subjects that a person should tell something that is no fault, the texts.
  returned: always
  type: dict
manual:
  description:
    - What a person must do at the provider, by subject, where the credential's provider, or the record's mode, is
      C(manual), and it is not done yet.
    - "Each is a mapping: C(action) (C(enter), C(replace), C(remove)), C(zone), C(name), C(type), C(ttl), C(value) (a
      TXT as one plain string), C(old), and C(line), what to enter as a line of a zone file; C(asked), the name of the
      record wanted, which leads to C(name) by a CNAME where a reverse zone is handed out in parts (RFC 2317)."
  returned: always
  type: dict
  sample:
    acme.example:
      - action: enter
        zone: acme.example.
        asked: acme.example.
        name: acme.example.
        type: TXT
        ttl: 3600
        value: v=spf1 ip4:192.0.2.10 ~all
        old: ""
        line: acme.example. 3600 IN TXT "v=spf1 ip4:192.0.2.10 ~all"
        alias: ""
unseen:
  description:
    - The names of records in mode C(manual), by subject, of which nobody can say whether they are there, since
      their zone cannot be found or read; RV(notes) says why.
  returned: always
  type: dict
  sample: {mx1: [10.2.0.192.in-addr.arpa.]}
cached:
  description:
    - How long resolvers may go on answering with what stood before this run wrote, by subject, in C(seconds) from the
      end of the module (with O(wait=false), from when every server was seen to have the new); and C(record), the name
      and type of which that is true.
    - "It is about what makes receivers refuse mail from an address that is new: an SPF record that lacked a mechanism
      which came, and a name that lacked an address (the TTL of what stood there), and a PTR record (the same or, where
      none was, the negative TTL of its zone, RFC 2308 section 5)."
    - Where C(attempted) is said of a record and it stands already, as if this run had changed it.
    - In check mode, what it would be. Where nothing was changed, nothing.
  returned: always
  type: dict
  sample: {acme.example: {seconds: 3600, record: acme.example. TXT}}
changes:
  description: How many record sets changed, or would.
  returned: always
  type: int
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sendyard.mail.plugins.module_utils.dns import (
    NEED_NO_ENTRY,
    credentials,
    model,
    planner,
    publish,
    verify,
)
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import Backend
from ansible_collections.sendyard.mail.plugins.module_utils.dns_module import DnsModule, parse_name_servers
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError

HAS_DNSPYTHON = find_spec("dns") is not None

SPEC = {
    "records": {"type": "list", "elements": "dict", "default": []},
    "records_files": {"type": "list", "elements": "path", "default": []},
    "credentials": {"type": "dict", "default": {}, "no_log": False},
    "provider": {"type": "dict", "default": {}, "no_log": False},
    "resolver": {"type": "list", "elements": "str", "default": []},
    "name_servers": {"type": "dict", "default": {}},
    "deadline": {"type": "int", "default": 60},
    "wait": {"type": "bool", "default": True},
    "adopt": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent", "checked", "seen"], "default": "present"},
}
SUBJECTS_IN_MESSAGE = 20
INLINE = "provider (inline)"  # what messages call the credential that is given by the option provider


def main() -> None:
    """Run the module."""
    module = DnsModule(argument_spec=SPEC, supports_check_mode=True)
    if not HAS_DNSPYTHON:
        module.fail_json(msg=missing_required_lib("dnspython"))
    try:
        run(module)
    except SendyardError as error:
        module.fail_json(msg=str(error), **error.facts)


def run(module: AnsibleModule) -> None:
    """Parse, publish or check, and exit."""
    params = module.params
    if params["deadline"] < 1:
        raise SendyardError(
            f"deadline: {params['deadline']} seconds let no server answer, and what nobody saw is not published. "
            "Give at least 1 (sendyard_publish_deadline)."
        )
    records = [*params["records"], *read_files(params["records_files"])]
    override = parse_name_servers(params["name_servers"])
    outcome = publish.Outcome()
    wants = parse(records, outcome, absent=params["state"] == "absent")
    manual = [want for want in wants if want.mode == "manual"]
    wants = [want for want in wants if want.mode != "manual"]

    settings = publish.Settings(
        write=not module.check_mode, wait=params["wait"], adopt=params["adopt"], deadline=float(params["deadline"])
    )
    if params["state"] == "seen":
        said = [want for want in wants if want.says_something]
        publish.watch(said, settings, verify.Directory(params["resolver"], override), outcome)
        finish(module, records, outcome)

    known = {**NEED_NO_ENTRY, **params["credentials"]}
    if params["provider"]:
        known[INLINE] = params["provider"]
    wants = with_credential(wants, outcome, inline=bool(params["provider"]))
    names = list(dict.fromkeys(want.credential for want in wants))
    secrets = credentials.secrets(names, known, os.environ)
    module.no_log_values.update(secret for secret in secrets.values() if isinstance(secret, str) and secret)
    directory = verify.Directory(params["resolver"], override)
    backends = open_backends(known, secrets, directory, wants, outcome)
    wants = [want for want in wants if want.credential in backends]
    unseen: dict[str, list[str]] = {}
    try:
        if params["state"] == "checked":
            publish.prove(wants, backends, directory, outcome)
        else:
            publish.publish(wants, backends, settings, directory, outcome)
            unseen = look_at(manual, directory, outcome)
    finally:
        for backend in backends.values():
            backend.close()
    finish(module, records, outcome, unseen)


def look_at(
    manual: Sequence[model.Want], directory: verify.Directory, outcome: publish.Outcome
) -> dict[str, list[str]]:
    """Find out which records that somebody else must publish are not there; they are nobody's fault yet.

    Return the names, by subject, of which nobody can say whether they are there.
    """
    seen = publish.Outcome()
    wants = [replace(want, mode="own", credential="manual") for want in manual]
    backend = credentials.backend("manual", NEED_NO_ENTRY, {"manual": ""}, directory)
    # What others say of an address now is to be replaced by them, so that it is a thing to do and no obstacle.
    publish.publish(wants, {"manual": backend}, publish.Settings(write=False, adopt=True), directory, seen)
    outcome.by_hand += seen.by_hand
    outcome.moved |= seen.moved
    for want in wants:
        for text in (text for subject in want.subjects for text in seen.faults.get(subject, ())):
            outcome.note(want, text)
    told = {change.key for _zone, change, _subjects in seen.by_hand}
    told |= {want.key for settled in seen.settled for want in settled.wants}
    asked = {seen.moved.get(key.name, key.name) for key in told}
    unseen: dict[str, list[str]] = {}
    for want in (want for want in wants if want.says_something and want.key.name not in asked):
        for subject in want.subjects:
            unseen.setdefault(subject, []).append(str(want.key.name))
    return unseen


def read_files(paths: Sequence[str]) -> list[Any]:
    """Return the records of all files. Raises SendyardError for a file that holds none."""
    found: list[Any] = []
    for path in paths:
        try:
            said = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SendyardError(f"{path}: the records cannot be read: {error}") from error
        if not isinstance(said, list) or not all(isinstance(record, Mapping) for record in said):
            raise SendyardError(f"{path}: this is no list of records")
        found += said
    return found


def parse(records: Sequence[Mapping[str, Any]], outcome: publish.Outcome, *, absent: bool) -> list[model.Want]:
    """Return the records that are some, and put those that are not down to their subjects."""
    wants: list[model.Want] = []
    for record in records:
        try:
            wants.append(model.parse_record(record, absent=absent))
        except model.DnsError as error:
            outcome.blame([subject_of(record)], error)
    return wants


def subject_of(record: Mapping[str, Any]) -> str:
    """Return whose fault it is if something is wrong with `record`."""
    return str(record.get("subject") or str(record.get("name") or "?").removesuffix(".").lower())


def with_credential(wants: Sequence[model.Want], outcome: publish.Outcome, *, inline: bool) -> list[model.Want]:
    """Return `wants` with the option provider for those that name no credential; without it, that is their fault."""
    found: list[model.Want] = []
    for want in wants:
        if not want.credential and not inline:
            error = f"{want.key}: the record names no credential (one of credentials), and there is no provider."
            outcome.blame(want.subjects, model.RecordError(f"{error} Give one of them."))
            continue
        found.append(want if want.credential else replace(want, credential=INLINE))
    return found


def open_backends(
    known: Mapping[str, Any],
    secrets: Mapping[str, str | model.DnsError],
    directory: verify.Directory,
    wants: Sequence[model.Want],
    outcome: publish.Outcome,
) -> dict[str, Backend]:
    """Return the backends by credential; what is wanted of one that cannot be used is put down to its subjects."""
    backends: dict[str, Backend] = {}
    for name in dict.fromkeys(want.credential for want in wants):
        try:
            backends[name] = credentials.backend(name, known, secrets, directory)
        except model.DnsError as error:
            outcome.blame((subject for want in wants if want.credential == name for subject in want.subjects), error)
    return backends


def finish(
    module: AnsibleModule,
    records: Sequence[Mapping[str, Any]],
    outcome: publish.Outcome,
    unseen: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Exit with what was done; fail where something was to be done and nothing could be."""
    faults = {subject: " ".join(errors) for subject, errors in outcome.faults.items()}
    subjects = {
        subject: {"ok": False, "error": faults[subject]} if subject in faults else {"ok": True}
        for subject in dict.fromkeys(map(subject_of, records))
    }
    told = [f"{subject}: {note}" for subject, notes in sorted(outcome.notes.items()) for note in notes]
    for note in told[:SUBJECTS_IN_MESSAGE]:
        module.warn(note)
    if len(told) > SUBJECTS_IN_MESSAGE:
        module.warn(f"and {len(told) - SUBJECTS_IN_MESSAGE} more, in the result's notes")
    changes = [outcome.changes[key] for key in sorted(outcome.changes, key=lambda key: (key.name, key.type))]
    result: dict[str, Any] = {
        "changed": bool(changes),
        "changes": len(changes),
        "subjects": subjects,
        "notes": dict(outcome.notes),
        "manual": by_hand(outcome),
        "unseen": unseen or {},
        "cached": {subject: one.said() for subject, one in outcome.cached.items()},
    }
    if module._diff:
        result["diff"] = [
            {
                "before_header": str(change.key),
                "after_header": str(change.key),
                "before": model.zone_text(change.before),
                "after": model.zone_text(change.after),
            }
            for change in changes
        ]
    nothing_done = len(faults) == len(subjects) and not changes and not outcome.by_hand
    if faults and nothing_done and module.params["state"] not in ("checked", "seen"):
        told = [f"{subject}: {error}" for subject, error in sorted(faults.items())]
        more = f"\nand {len(told) - SUBJECTS_IN_MESSAGE} more" if len(told) > SUBJECTS_IN_MESSAGE else ""
        module.fail_json(msg="\n".join(told[:SUBJECTS_IN_MESSAGE]) + more, **result)
    module.exit_json(**result)


def by_hand(outcome: publish.Outcome) -> dict[str, list[dict[str, Any]]]:
    """Return what a person must do, by subject."""
    found: dict[str, list[dict[str, Any]]] = {}
    for zone, change, subjects in outcome.by_hand:
        name = outcome.moved.get(change.key.name, change.key.name)
        to_do = [{"zone": str(zone.name), "asked": str(name), **asdict(one)} for one in planner.to_do(change)]
        for subject in subjects:
            found.setdefault(subject, []).extend(to_do)
    return found


if __name__ == "__main__":
    main()
