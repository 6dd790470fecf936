#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Debian packages that are there, and have started nothing
version_added: 0.1.0
description:
  - Installs what is missing of Debian's packages without recommended ones, while C(/usr/sbin/policy-rc.d) forbids that
    anything is started. A policy that is there already stands aside meanwhile.
  - Finishes an installation that was killed, however far it came, and waits while another program installs packages.
author: Sendyard contributors (@sendyard)
options:
  names:
    description: The packages. Of C(one|other), any will do, and the first is installed where none is there.
    type: list
    elements: str
    required: true
  preseeds:
    description:
      - Answers to packages' questions, as lines for C(debconf-set-selections). Only those of missing packages are set.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says what would be installed, as a difference.
    support: full
  diff_mode:
    description: The missing packages, a line each.
    support: full
"""

EXAMPLES = r"""
- name: Packages are there
  sendyard.mail.packages:
    names: [unbound, chrony|ntpsec]
"""

RETURN = r"""
installed:
  description: The packages that were missing.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.inspection import (
    installation_is_unfinished,
    missing_packages,
)
from ansible_collections.sendyard.mail.plugins.module_utils.packages import install


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "preseeds": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    names = module.params["names"]
    missing = missing_packages(names)
    changed = bool(missing) or installation_is_unfinished()
    if changed and not module.check_mode:
        try:
            install(names, module.params["preseeds"])
        except SendyardError as error:
            module.fail_json(msg=str(error), **error.facts)
    after = "".join(f"{name}\n" for name in missing)
    diff = {"before_header": "packages", "after_header": "packages", "before": "", "after": after}
    module.exit_json(changed=changed, installed=missing, diff=diff)


if __name__ == "__main__":
    main()
