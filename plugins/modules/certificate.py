#!/usr/bin/python

# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: Gives the server a TLS certificate, and has its daemons use it
version_added: "0.1.0"
author: The Sendyard maintainers (@sendyard)
description:
  - Gets a certificate for the host's name from an ACME server (by certbot), from the task's arguments, or makes one
    that is signed by its own key. Checks it, puts key and chain as one file a type of key below C(/etc/sendyard/tls),
    reloads Postfix where that reads them, and sees on the wire that every listener shows it.
  - One that cannot serve (another key, another name, expired, a chain with a gap) is refused, and the one in use stays.
  - A call that finds everything in order runs neither certbot nor Postfix.
  - Renewals are certbot's own, by its timer. Its deploy hook is the same program, installed below C(/usr/lib/sendyard).
options:
  source:
    description: Where the certificate comes from.
    type: str
    required: true
    choices: [acme, provided, selfsigned]
  fqdn:
    description: The name that clients know the server by.
    type: str
    required: true
  key_types:
    description: The types of keys to have certificates for. With O(source=provided) they follow from what is provided.
    type: list
    elements: str
    choices: [ecdsa, rsa]
    default: [ecdsa]
  listeners:
    description: The ports of Postfix that must show the certificate.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The TCP port.
        type: int
        required: true
      implicit:
        description: TLS from the first byte, instead of after STARTTLS.
        type: bool
        default: false
  acme_directory:
    description: URL of the ACME server's directory. Needed with O(source=acme).
    type: str
  acme_email:
    description: The mail address that the ACME account gets. Needed with O(source=acme).
    type: str
  acme_ca_file:
    description: A file on the host with the roots for the ACME server's own certificate, where the system lacks them.
    type: str
    default: ""
  acme_deadline:
    description: How many seconds one certificate may take.
    type: int
    default: 90
  provided_names:
    description: With O(source=provided), what each pair is called in messages, in order of O(provided_certificates).
    type: list
    elements: str
    default: []
  provided_certificates:
    description: With O(source=provided), the server's certificate followed by its chain, PEM, one text a type of key.
    type: list
    elements: str
    default: []
  provided_keys:
    description: With O(source=provided), the private keys, PEM, in the order of O(provided_certificates).
    type: list
    elements: str
    default: []
  tlsa:
    description:
      - Whether a TLSA record announces the keys (RFC 7672), where the host's names are signed. The module does not
        publish it; it says in RV(tlsa) what it should be, and serves no key that a standing one does not announce.
    type: bool
    default: false
  tlsa_mail_domains:
    description: The domains whose MX records lead to this host. Without signatures there, DANE has no effect.
    type: list
    elements: str
    default: []
  tlsa_ttl:
    description: The TTL of the TLSA record, in seconds. A new key is served so long after it was announced.
    type: int
    default: 300
  tlsa_seen:
    description: The digests of keys with which every authoritative server answered, in this run, for the TLSA record.
    type: list
    elements: str
attributes:
  check_mode:
    description: Can run in check mode and says what would change, also on a host that lacks the packages.
    support: full
  diff_mode:
    description: Shows of a certificate what it says, of a key that it differs.
    support: full
"""

EXAMPLES = r"""
- name: The server has a certificate
  sendyard.mail.certificate:
    source: acme
    fqdn: mx1.yard.example
    acme_directory: https://acme-v02.api.letsencrypt.org/directory
    acme_email: ops@yard.example
    listeners: [{port: 25}, {port: 587}, {port: 465, implicit: true}, {port: 2525}]
  register: certificate
"""

RETURN = r"""
certificates:
  description: What is in use, by type of key. In check mode, what was before.
  type: dict
  returned: success
  sample:
    ecdsa:
      names: [mx1.yard.example]
      issuer: CN=R11,O=Example CA
      not_before: "2026-11-01T00:00:00+00:00"
      not_after: "2027-01-30T00:00:00+00:00"
      key_type: ecdsa
      key_bits: 256
      fingerprint: hex sha256 of the certificate
      key_digest: hex sha256 of its public key, as a TLSA 3 1 1 record has it
requested:
  description: Why a certificate was requested from the ACME server, or made, by type of key.
  type: dict
  returned: success
tlsa:
  description:
    - What the TLSA record of port 25 should say. C(keys), the hex digests of the keys; C(gone), those that it had and
      should have no longer; C(due), whether it does not say so yet; C(missing), the types of keys that nobody gets
      before it does.
  type: dict
  returned: success
  sample: {keys: [hex sha256 of the public key], gone: [], due: true, missing: []}
reloaded:
  description: The daemons that were reloaded, and then showed the new certificate.
  type: list
  elements: str
  returned: success
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sendyard.mail.plugins.module_utils import certificate_run
from ansible_collections.sendyard.mail.plugins.module_utils.acme import Account
from ansible_collections.sendyard.mail.plugins.module_utils.deploy_certificate import Listener, Order
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError

SPEC = {
    "source": {"type": "str", "required": True, "choices": ["acme", "provided", "selfsigned"]},
    "fqdn": {"type": "str", "required": True},
    "key_types": {"type": "list", "elements": "str", "choices": ["ecdsa", "rsa"], "default": ["ecdsa"]},
    "listeners": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"port": {"type": "int", "required": True}, "implicit": {"type": "bool", "default": False}},
    },
    "acme_directory": {"type": "str"},
    "acme_email": {"type": "str"},
    "acme_ca_file": {"type": "str", "default": ""},
    "acme_deadline": {"type": "int", "default": 90},
    "provided_names": {"type": "list", "elements": "str", "default": []},
    "provided_certificates": {"type": "list", "elements": "str", "default": []},
    "provided_keys": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "tlsa": {"type": "bool", "default": False},
    "tlsa_mail_domains": {"type": "list", "elements": "str", "default": []},
    "tlsa_ttl": {"type": "int", "default": 300},
    "tlsa_seen": {"type": "list", "elements": "str"},
}


def parse_order(params: dict[str, Any]) -> Order:
    """What is to be deployed."""
    listeners = tuple(Listener(item["port"], item["implicit"]) for item in params["listeners"])
    return Order(params["fqdn"], params["source"], tuple(sorted(set(params["key_types"]))), listeners)


def parse_account(params: dict[str, Any]) -> Account:
    """Whom to ask for it."""
    return Account(
        directory=params["acme_directory"] or "",
        email=params["acme_email"] or "",
        ca_file=params["acme_ca_file"],
        deadline=float(params["acme_deadline"]),
    )


def parse_announcing(params: dict[str, Any]) -> certificate_run.Announcing:
    """What is to become of the TLSA record."""
    seen = params["tlsa_seen"]
    return certificate_run.Announcing(
        wanted=params["tlsa"],
        mail_domains=tuple(params["tlsa_mail_domains"]),
        ttl=params["tlsa_ttl"],
        seen=None if seen is None else tuple(seen),
    )


def main() -> None:
    """Give the host its certificate."""
    module = AnsibleModule(
        argument_spec=SPEC,
        required_if=[
            ("source", "acme", ("acme_directory", "acme_email")),
            ("source", "provided", ("provided_certificates", "provided_keys")),
        ],
        supports_check_mode=True,
    )
    params = module.params
    try:
        done = certificate_run.run(
            parse_order(params),
            account=parse_account(params),
            provided=certificate_run.parse_provided(
                params["provided_names"], params["provided_certificates"], params["provided_keys"]
            ),
            check=module.check_mode,
            clock=lambda: datetime.now(UTC),
            announcing=parse_announcing(params),
        )
    except SendyardError as error:
        module.fail_json(msg=str(error), **error.facts)
    for warning in done.warnings:
        module.warn(warning)
    module.exit_json(
        changed=done.changed,
        diff=done.diff,
        certificates={key_type: leaf.facts() for key_type, leaf in done.certificates.items()},
        requested=done.requested,
        tlsa=asdict(done.tlsa),
        reloaded=done.reloaded,
    )


if __name__ == "__main__":
    main()
