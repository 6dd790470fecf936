#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_keys
short_description: The DKIM keys of a host, which sign only after their records were seen
version_added: 0.1.0
description:
  - Makes an RSA key for every domain of the host's table in one call; private keys never leave the host.
  - A key signs after O(state=published) named its domain, and until then mail of the domain is deferred.
author: Sendyard contributors (@sendyard)
options:
  domains_file:
    description: The compiled table of the host's domains. The action plugin of this name fills it in.
    type: path
  selector:
    description: The selector of this host, one for all its domains.
    type: str
    required: true
  state:
    description: Make what is missing, or let those of O(published) sign.
    type: str
    choices: [made, published]
    default: made
  tell_all:
    description: Tell every key among C(pending), so that all records can be published anew.
    type: bool
    default: false
  tell:
    description: Domains whose keys are told among C(pending) too, whatever is known of their records.
    type: list
    elements: str
    default: []
  published:
    description: The domains whose records were seen, each with C(domain) and the C(digest) that O(state=made) told.
    type: list
    elements: dict
    default: []
  unused:
    description:
      - The host's addresses that nothing may be sent from yet, each with C(seconds) that are left, and C(record), the
        record of which resolvers may have what stood before until then. With O(state=published), the host remembers it.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Says what would be made, moved or retired.
    support: full
  diff_mode:
    description: Names the domains, never a key.
    support: full
"""

EXAMPLES = r"""
- name: Every domain has a key of its own on this host
  sendyard.mail.dkim_keys:
    selector: mta1-1
"""

RETURN = r"""
pending:
  description:
    - By domain, selector, public_key and digest of keys whose records may not be published.
    - C(earlier) is the settings that those records were made of or, written by a run that was not confirmed, may be; of
      each only what differs from those of now. C(attempted), whether such a run may have written the addresses of now.
  returned: success
  type: dict
retired:
  description: Domains that left the host; their keys no longer sign.
  returned: success
  type: list
  elements: str
total:
  description: How many domains the host has, its own name among them.
  returned: success
  type: int
digest:
  description: Names all records at once.
  returned: success
  type: str
"""

from ansible_collections.sendyard.mail.plugins.module_utils import dkim_keys
from ansible_collections.sendyard.mail.plugins.module_utils.domains import keep_table, read_table
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.host.lock import host_lock
from ansible_collections.sendyard.mail.plugins.module_utils.quiet_module import QuietModule


def main() -> None:
    module = QuietModule(  # `published` is a line for every domain
        argument_spec={
            "domains_file": {"type": "path"},
            "selector": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["made", "published"], "default": "made"},
            "tell_all": {"type": "bool", "default": False},
            "tell": {"type": "list", "elements": "str", "default": []},
            "published": {"type": "list", "elements": "dict", "default": []},
            "unused": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    path, selector, dry = module.params["domains_file"], module.params["selector"], module.check_mode
    where = dkim_keys.Directories()
    try:
        table = read_table(path)
        with host_lock("dkim_keys"):
            if module.params["state"] == "made":
                told = {name: module.params[name] for name in ("tell_all", "tell")}
                outcome = dkim_keys.make(table, selector, where, dry=dry, **told)
            else:
                seen, unused = module.params["published"], module.params["unused"]
                outcome = dkim_keys.publish(table, selector, seen, where, dry=dry, unused=unused)
            if not dry:
                keep_table(path)
    except SendyardError as error:
        module.fail_json(msg=str(error), **error.facts)
    after = [f"{name}: a new key" for name in outcome.made]
    after += [f"{name}: signs" for name in outcome.moved]
    after += [f"{name}: signs no longer" for name in outcome.retired]
    after += [f"{name}: its key is its owner's alone again" for name in outcome.repaired]
    module.exit_json(
        changed=outcome.changed,
        pending=outcome.pending,
        retired=list(outcome.retired),
        total=outcome.total,
        digest=outcome.digest,
        diff={"before": "", "after": "".join(f"{line}\n" for line in after)},
    )


if __name__ == "__main__":
    main()
