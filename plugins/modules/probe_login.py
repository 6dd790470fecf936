#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: probe_login
short_description: A login that exists for minutes, to prove a server with
version_added: 0.1.0
description:
  - Makes logins for the server's own domain and for every domain whose key, records or logins changed since it was last
    proven, and removes them again. They are kept in memory (C(/run/sendyard/probe-logins)); a timer on the host removes
    them when the controller does not.
  - Remembers on the host which domains were proven (C(/var/lib/sendyard/proven.json)).
  - Neither making nor removing them counts as a change of the server.
author: Sendyard contributors (@sendyard)
options:
  fqdn:
    description: The server's name.
    type: str
    required: true
  state:
    description: Make the logins, or remove them.
    type: str
    choices: [present, absent]
    default: present
  everything:
    description: Take in every domain that has a published key, not only those that changed.
    type: bool
    default: false
  lifetime:
    description: Minutes after which the host removes the logins by itself.
    type: int
    default: 15
  prefix:
    description: What O(state=present) returned; O(state=absent) removes its logins.
    type: str
  proven:
    description: Domains that passed, to be remembered by O(state=absent).
    type: list
    elements: str
    default: []
  at_fault:
    description: Domains that did not pass, to be tried again by the next run.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Makes and removes nothing; O(state=present) returns the domains that would be proven.
    support: full
"""

EXAMPLES = r"""
- name: A login for this proof exists
  sendyard.mail.probe_login:
    fqdn: mx1.example.com
  register: probe
  no_log: true

- name: It is gone again
  sendyard.mail.probe_login:
    fqdn: mx1.example.com
    state: absent
    prefix: "{{ probe.prefix }}"
"""

RETURN = r"""
prefix:
  description: The name of this proof; C(<prefix>=<domain>@<fqdn>) is the login of a domain.
  returned: when O(state=present) and not in check mode
  type: str
password:
  description: The password of all of them. Use C(no_log).
  returned: when O(state=present) and not in check mode
  type: str
domains:
  description: The domains to prove, besides the server's own.
  returned: when O(state=present)
  type: list
  elements: str
keys:
  description: The hex sha256 of the public DKIM key (DER) of the server's own domain, and of each of RV(domains).
  returned: when O(state=present)
  type: dict
foreign_domain:
  description: A domain that the login of the server's own domain does not own, V("") where the server has no other.
  returned: when O(state=present)
  type: str
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sendyard.mail.plugins.module_utils import dkim_keys, domains
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.host.lock import host_lock
from ansible_collections.sendyard.mail.plugins.module_utils.host.state import read_state, write_state
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import probe_login, probe_names

SPEC = {
    "fqdn": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "everything": {"type": "bool", "default": False},
    "lifetime": {"type": "int", "default": 15},
    "prefix": {"type": "str"},
    "proven": {"type": "list", "elements": "str", "default": []},
    "at_fault": {"type": "list", "elements": "str", "default": []},
}


def digests() -> dict[str, str]:
    """What the proof of each domain of this host depends on."""
    return probe_login.proof_digests(
        domains.read_table(domains.TABLE), read_state(dkim_keys.STATE).get("published", {})
    )


def present(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make the logins; the module's result."""
    known = digests()
    proven = read_state(probe_login.STATE).get("domains", {})
    due = probe_login.due(known, proven, everything=params["everything"])
    result: dict[str, Any] = {
        "domains": due,
        "keys": dkim_keys.fingerprints([params["fqdn"], *due]),
        "foreign_domain": min(known, default=""),
    }
    if not check_mode:
        made = probe_login.make(due, params["fqdn"], lifetime=params["lifetime"] * 60)
        result.update(prefix=made.prefix, password=made.password)
    return result


def absent(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Remove the logins and remember what was proven; the module's result."""
    if check_mode:
        return {}
    if not re.fullmatch(probe_names.PREFIX, params["prefix"]):
        raise probe_login.ProbeLoginError(f'prefix: "{params["prefix"]}" is no name that this module has made')
    probe_login.take_away(params["prefix"])
    proven = read_state(probe_login.STATE).get("domains", {})
    after = probe_login.remembered(digests(), proven, params["proven"], params["at_fault"])
    if after != proven:
        write_state(probe_login.STATE, {"domains": after})
    return {}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True, required_if=[("state", "absent", ("prefix",))])
    act = present if module.params["state"] == "present" else absent
    try:
        with host_lock(f"probe_login {module.params['state']}"):
            result = act(module.params, module.check_mode)
    except SendyardError as error:
        module.fail_json(msg=str(error), **error.facts)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
