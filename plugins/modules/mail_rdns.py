#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_rdns
short_description: Set PTR records at the providers that addresses belong to
version_added: 0.1.0
description:
  - Has addresses called by their server's name, at Hetzner Cloud and AWS EC2. (Reverse zones of your own are zones,
    which M(sendyard.mail.mail_dns) changes.)
  - Sets nothing whose name does not lead to the address on every authoritative server, and only what differs.
  - Waits until the name servers of the reverse zone answer with the name; one that is reached by a CNAME counts
    (RFC 2317). What the provider has accepted and DNS does not show in time is RV(pending), which is no fault.
  - Does not fail where an address cannot be named, or a provider does not answer; RV(subjects) says so.
  - Runs on the controller, once a run, for all servers at once.
options:
  addresses:
    description:
      - "The addresses, each with C(address); C(name), what it is to be called, with or without the last dot;
        C(credential), one of O(credentials); and C(subject), the host whose fault a failure is."
    type: list
    elements: dict
    required: true
  credentials:
    description:
      - Named ways to change zones, as M(sendyard.mail.mail_dns) has them. Two kinds of them can set PTR records.
      - "C(provider): C(hetzner), addresses of a project of Hetzner Cloud. The secret is an API token of that project
        with the right to write. C(url) of the API."
      - "C(provider): C(route53), Elastic IPs of AWS. C(region) that they are in; C(access_key_id) and the secret
        access key as C(secret), C(secret_file) or C(secret_env), or C(profile), or nothing of these, for what boto3
        finds by itself; C(role_arn), a role to take. IPv6 has no PTR records there that can be set."
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
    description: How many seconds the name servers have to answer with what was set, at least V(1).
    type: int
    default: 60
  state:
    description:
      - V(present) sets the names.
      - V(checked) changes nothing and finds out whether the addresses are those of their credentials. Whether a token
        may write is seen only when it does.
    type: str
    choices: [present, checked]
    default: present
requirements:
  - dnspython >= 2.3
  - boto3, for addresses of AWS
attributes:
  check_mode:
    description: Asks the providers and says what would change.
    support: full
  diff_mode:
    description: Shows the names that change.
    support: full
author: Sendyard contributors (@sendyard)
"""

EXAMPLES = r"""
- name: The server's addresses lead back to its name
  sendyard.mail.mail_rdns:
    addresses:
      - address: 192.0.2.10
        name: mx1.yard.example
        credential: cloud
        subject: mx1
      - address: 2001:db8::10
        name: mx1.yard.example
        credential: cloud
        subject: mx1
    credentials:
      cloud:
        provider: hetzner
        secret_env: HCLOUD_TOKEN
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
subjects:
  description: For every subject whether nothing is wrong with its addresses, and if something is, what.
  returned: always
  type: dict
  sample: {mx1: {ok: true}, mx2: {ok: false, error: "…"}}
notes:
  description: For subjects that a person should tell something that is no fault, the texts.
  returned: always
  type: dict
seen:
  description: The addresses, by subject, that lead to their name, on every server; in check mode, or would.
  returned: always
  type: dict
  sample: {mx1: [192.0.2.10]}
pending:
  description: The addresses, by subject, whose name the provider has and DNS does not show yet.
  returned: always
  type: dict
  sample: {mx1: ["2001:db8::10"]}
cached:
  description:
    - How long resolvers may go on answering with what a reverse zone said before this run changed it, by subject, in
      C(seconds) from the end of the module; and C(record), the name and type.
    - It is the TTL of the record set that was there or, where there was none, the negative TTL of its zone (RFC 2308
      section 5). In check mode, what it would be. Where nothing was changed, nothing.
  returned: always
  type: dict
  sample: {mx1: {seconds: 3600, record: 10.2.0.192.in-addr.arpa. PTR}}
"""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.sendyard.mail.plugins.module_utils import rdns
from ansible_collections.sendyard.mail.plugins.module_utils.dns import verify
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import DnsError
from ansible_collections.sendyard.mail.plugins.module_utils.dns_module import DnsModule, parse_name_servers
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.rdns import assign

HAS_DNSPYTHON = find_spec("dns") is not None

SPEC = {
    "addresses": {"type": "list", "elements": "dict", "required": True},
    "credentials": {"type": "dict", "default": {}, "no_log": False},
    "resolver": {"type": "list", "elements": "str", "default": []},
    "name_servers": {"type": "dict", "default": {}},
    "deadline": {"type": "int", "default": 60},
    "state": {"type": "str", "choices": ["present", "checked"], "default": "present"},
}


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
    """Parse, set or check, and exit."""
    params = module.params
    if params["deadline"] < 1:
        raise SendyardError(
            f"deadline: {params['deadline']} seconds let no server answer. Give at least 1 (sendyard_publish_deadline)."
        )
    wanted = [assign.parse(said) for said in params["addresses"]]
    directory = verify.Directory(params["resolver"], parse_name_servers(params["name_servers"]))
    outcome = assign.Outcome()
    providers = open_providers(module, wanted, outcome)
    usable = [one for one in wanted if one.credential in providers]
    try:
        if params["state"] == "checked":
            assign.check(usable, providers, outcome)
        else:
            deadline, write = float(params["deadline"]), not module.check_mode
            assign.assign(usable, providers, directory, outcome, deadline=deadline, write=write)
    finally:
        for provider in providers.values():
            provider.close()
    finish(module, wanted, outcome)


def open_providers(
    module: AnsibleModule, wanted: Sequence[assign.Wanted], outcome: assign.Outcome
) -> Mapping[str, rdns.Provider]:
    """Return the providers by credential; one that cannot be used is the fault of all that want it."""
    credentials = module.params["credentials"]
    providers: dict[str, rdns.Provider] = {}
    for name in dict.fromkeys(one.credential for one in wanted):
        try:
            secret = rdns.secret_of(name, credentials, os.environ)
            module.no_log_values.update({secret} - {""})
            providers[name] = rdns.connect(name, credentials, secret)
        except DnsError as error:
            for one in wanted:
                if one.credential == name:
                    outcome.blame(one, error)
    return providers


def finish(module: AnsibleModule, wanted: Sequence[assign.Wanted], outcome: assign.Outcome) -> None:
    """Exit with what was done."""
    faults = {subject: " ".join(errors) for subject, errors in outcome.faults.items()}
    for told in (outcome.faults, outcome.notes):
        for subject, text in sorted((subject, text) for subject, texts in told.items() for text in texts):
            module.warn(f"{subject}: {text}")
    result: dict[str, Any] = {
        "changed": bool(outcome.changes),
        "subjects": {
            subject: {"ok": False, "error": faults[subject]} if subject in faults else {"ok": True}
            for subject in dict.fromkeys(one.subject for one in wanted)
        },
        "notes": dict(outcome.notes),
        "seen": dict(outcome.seen),
        "pending": dict(outcome.pending),
        "cached": {subject: one.said() for subject, one in outcome.cached.items()},
    }
    if module._diff:
        result["diff"] = [
            {
                "before_header": address,
                "after_header": address,
                "before": f"{before}\n" if before else "",
                "after": f"{after}\n",
            }
            for address, before, after in outcome.changes
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
