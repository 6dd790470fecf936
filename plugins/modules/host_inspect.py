#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_inspect
short_description: What preflight must know of a host
version_added: 0.1.0
description:
  - Reads release, init system, addresses, packages, listeners, the owner of the Postfix configuration, reachability of
    port 25, and SSH ports in one call. Changes nothing.
author: Sendyard contributors (@sendyard)
options:
  addresses:
    description: The addresses that the host should hold.
    type: list
    elements: str
    required: true
  packages:
    description: The Debian packages that the run will need.
    type: list
    elements: str
    required: true
  port25_targets:
    description: Mail hosts whose port 25 is tried; one that answers is enough, and an empty list leaves it out.
    type: list
    elements: str
    default: []
  fqdn:
    description: The host's own name, to know from which addresses it sends.
    type: str
    default: ""
  controller_addresses:
    description: The addresses that the controller would come from. The action plugin finds them.
    type: list
    elements: str
    default: []
  faults:
    description: What M(sendyard.mail.inventory_check) found, told where the host cannot be inspected.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reads only.
    support: full
"""

EXAMPLES = r"""
- name: The host is known
  sendyard.mail.host_inspect:
    addresses: [198.51.100.11]
    packages: [postfix, opendkim]
"""

RETURN = r"""
ansible_facts:
  description: One fact, C(sendyard), with what was found.
  returned: always
  type: dict
  contains:
    sendyard:
      description: What C(inspection.inspect) documents, with codename, postfix and dovecot (their versions).
      type: dict
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.inspection import RELEASES, inspect


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "packages": {"type": "list", "elements": "str", "required": True},
            "port25_targets": {"type": "list", "elements": "str", "default": []},
            "fqdn": {"type": "str", "default": ""},
            "controller_addresses": {"type": "list", "elements": "str", "default": []},  # from the action plugin
            "faults": {"type": "list", "elements": "str", "default": []},  # for the action plugin
        },
        supports_check_mode=True,
    )
    said = ("addresses", "packages", "port25_targets", "controller_addresses", "fqdn")
    try:
        found = inspect(**{name: module.params[name] for name in said})
    except SendyardError as error:
        module.fail_json(msg=str(error), **error.facts)
    known = RELEASES.get(found["release"], {}) if found["distribution"] == "debian" else {}
    module.exit_json(changed=False, epoch=time.time(), ansible_facts={"sendyard": {**found, **known}})


if __name__ == "__main__":
    main()
