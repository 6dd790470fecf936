#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: domain_logins
short_description: Which login may send for which domain, where each daemon looks it up
version_added: 0.1.0
description:
  - Writes the owners that the gate reads, Dovecot's passwd-file and Postfix's maps of senders and return paths, for all
    domains at once.
  - Nothing needs a reload.
author: Sendyard contributors (@sendyard)
options:
  domains_file:
    description: The compiled table of the host's domains. The action plugin of this name fills it in.
    type: path
attributes:
  check_mode:
    description: Says for which domains and logins something would change.
    support: full
  diff_mode:
    description: Names domains and logins, never a hash.
    support: full
"""

EXAMPLES = r"""
- name: Each login owns its domains
  sendyard.mail.domain_logins:
"""

RETURN = r"""
domains:
  description: Domains whose logins, limits or return path came, changed or went.
  returned: success
  type: list
  elements: str
total:
  description: How many logins the host knows.
  returned: success
  type: int
digest:
  description: Names the whole table.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sendyard.mail.plugins.module_utils import domain_logins
from ansible_collections.sendyard.mail.plugins.module_utils.domains import keep_table, read_table
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.host.lock import host_lock


def main() -> None:
    module = AnsibleModule(argument_spec={"domains_file": {"type": "path"}}, supports_check_mode=True)
    path, dry = module.params["domains_file"], module.check_mode
    try:
        table = read_table(path)
        with host_lock("domain_logins"):
            outcome = domain_logins.apply(table, domain_logins.Places(), dry=dry)
            if not dry:
                keep_table(path)
    except SendyardError as error:
        module.fail_json(msg=str(error), **error.facts)
    after = [f"{name}: other logins, limits or return path\n" for name in outcome.domains]
    after += [f"{name}: another password\n" for name in outcome.passwords]
    if outcome.repaired:
        after.append("the files are written anew: they are not as the last run left them\n")
    module.exit_json(
        changed=outcome.changed,
        domains=list(outcome.domains),
        total=outcome.total,
        digest=outcome.digest,
        diff={"before": "", "after": "".join(after)},
    )


if __name__ == "__main__":
    main()
