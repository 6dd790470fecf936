#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: prove_smtp
short_description: Prove a sending server by real SMTP sessions
version_added: 0.1.0
description:
  - Runs on the controller. Opens sessions on 25, 587, 465 and 2525 at every address, tries what must work and what must
    be refused, sends one message for the server's own domain and one for each of O(domains), fetches them from the
    receiver where O(fetch_command) says how, and verifies them.
  - A check that fails does not fail the module; M(sendyard.mail.scorecard) judges.
author: Sendyard contributors (@sendyard)
options:
  fqdn:
    description: The server's name; banner, EHLO and certificate must carry it.
    type: str
    required: true
  addresses:
    description: The IPv4 and IPv6 addresses that it is reached by.
    type: list
    elements: str
    required: true
  login:
    description: What M(sendyard.mail.probe_login) returned.
    type: dict
    required: true
    suboptions:
      prefix:
        description: The name of the proof.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
  domains:
    description: Domains to prove besides the server's own, by one message each.
    type: list
    elements: str
    default: []
  foreign_domain:
    description:
      - A domain that the login for O(fqdn) does not own, best one that the server signs for.
      - Where the server has none, a name that nobody has is taken.
    type: str
    default: ""
  bounce_domain:
    description: Where the server takes bounces.
    type: str
    required: true
  recipient:
    description:
      - A mailbox elsewhere that takes the messages.
      - Where it is empty, none is sent, and what only they prove stays unknown.
    type: str
    default: ""
  canary:
    description:
      - A mailbox on the server for messages that only prove that they are taken.
      - Where it is empty, one below O(bounce_domain), since no person reads that.
    type: str
    default: ""
  fetch_command:
    description: Prints, as an mbox, the received messages that contain its last argument; runs on the controller.
    type: list
    elements: str
    default: []
  ca_file:
    description: PEM file with the roots that sign the server's certificate, where the system does not know them.
    type: path
  resolver:
    description: Name servers to ask for the published keys; the system's where it is empty.
    type: list
    elements: str
    default: []
  compare_25:
    description: Hosts elsewhere with a port 25. If none answers, it is the controller that is blocked, not the server.
    type: list
    elements: str
    default: []
  deadline:
    description: Seconds to wait for the messages to arrive.
    type: int
    default: 60
attributes:
  check_mode:
    description: Sends and tries nothing, and returns no outcomes.
    support: full
requirements: [dnspython, dkimpy]
"""

EXAMPLES = r"""
- name: The server does what it must, and refuses what it must not do
  sendyard.mail.prove_smtp:
    fqdn: mx1.example.com
    addresses: [192.0.2.25, "2001:db8::25"]
    bounce_domain: bounces.mx1.example.com
    login: {prefix: "{{ probe.prefix }}", password: "{{ probe.password }}"}
  delegate_to: localhost
"""

RETURN = r"""
outcomes:
  description: What each check found at each place (check, verdict, subject, evidence, where).
  returned: always
  type: list
  elements: dict
untraced:
  description: Messages (queue_id, subject) that the server took and that were not seen at the receiver.
  returned: always
  type: list
  elements: dict
proven:
  description: Those of O(domains) whose message was seen at the receiver, and nothing was wrong with it.
  returned: always
  type: list
  elements: str
at_fault:
  description: Those of O(domains) with something wrong.
  returned: always
  type: list
  elements: str
"""

import ipaddress
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.preflight import MAIL_ADDRESS
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import as_plain
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import prove

SPEC = {
    "fqdn": {"type": "str", "required": True},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "login": {
        "type": "dict",
        "required": True,
        "options": {
            "prefix": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
        },
    },
    "domains": {"type": "list", "elements": "str", "default": []},
    "foreign_domain": {"type": "str", "default": ""},
    "bounce_domain": {"type": "str", "required": True},
    "recipient": {"type": "str", "default": ""},
    "canary": {"type": "str", "default": ""},
    "fetch_command": {"type": "list", "elements": "str", "default": []},
    "ca_file": {"type": "path"},
    "resolver": {"type": "list", "elements": "str", "default": []},
    "compare_25": {"type": "list", "elements": "str", "default": []},
    "deadline": {"type": "int", "default": 60},
}


def order(params: dict[str, Any]) -> prove.Order:
    """The module's arguments as the prover takes them. Raises ValueError where one is not what its name says."""
    if params["recipient"] and not MAIL_ADDRESS.fullmatch(params["recipient"]):
        raise ValueError(f'recipient (sendyard_prove_recipient): "{params["recipient"]}" is no mail address')
    fqdn = params["fqdn"].lower()
    return prove.Order(
        fqdn=fqdn,
        addresses=tuple(str(ipaddress.ip_address(address)) for address in params["addresses"]),
        prefix=params["login"]["prefix"],
        password=params["login"]["password"],
        domains=tuple(params["domains"]),
        foreign_domain=params["foreign_domain"] or "nobody.invalid",
        bounce_domain=params["bounce_domain"],
        recipient=params["recipient"],
        canary=params["canary"] or f"canary@{params['bounce_domain']}",
        fetch_command=tuple(params["fetch_command"]),
        ca_file=params["ca_file"] or None,
        resolver=tuple(params["resolver"]),
        compare_25=tuple(params["compare_25"]),
        deadline=params["deadline"],
    )


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False, outcomes=[], untraced=[], proven=[], at_fault=[])
    try:
        what = order(module.params)
    except ValueError as error:
        module.fail_json(msg=str(error))
    try:
        proof = prove.prove(what)
    except SendyardError as error:
        module.fail_json(msg=str(error), **error.facts)
    module.exit_json(
        changed=False,
        outcomes=[as_plain(outcome) for outcome in proof.outcomes],
        untraced=[{"queue_id": sent.queue_id, "subject": sent.domain} for sent in proof.untraced],
        proven=list(proof.proven),
        at_fault=list(proof.at_fault),
    )


if __name__ == "__main__":
    main()
