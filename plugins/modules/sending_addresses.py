#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sending_addresses
short_description: Find out which addresses must not be sent from, or not yet
version_added: 0.1.0
description:
  - Those whose PTR record is not the server's name; receivers refuse mail from there. Those that are new and of which
    nobody can see what their PTR record is.
  - Those that are new, while resolvers may have what stood before in the records that were changed for them. Where that
    is over within the owner's C(sendyard_cache_wait), RV(wait) says for how long the run must wait; else they are left
    out, and the host is to remember RV(unused). C(sendyard_new_addresses_at_once) uses them all the same.
  - Keeps those left out as the fact C(sendyard_not_sent_from), and warns of them. RV(refused) says so where no other
    address is left; the PTR record does not count where the owner's C(sendyard_require_ptr) is false.
author: Sendyard contributors (@sendyard)
options:
  manual:
    description: What M(sendyard.mail.mail_dns) returned as RV(sendyard.mail.mail_dns#module:manual).
    type: dict
  unseen:
    description: What it returned as RV(sendyard.mail.mail_dns#module:unseen).
    type: dict
  cached:
    description: What it returned as RV(sendyard.mail.mail_dns#module:cached).
    type: dict
  provider:
    description: What M(sendyard.mail.mail_rdns) returned.
    type: dict
attributes:
  check_mode:
    description: Works on the controller alone and changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Addresses that lead back to the server's name are sent from, and no others
  sendyard.mail.sending_addresses:
    manual: "{{ published.manual }}"
    unseen: "{{ published.unseen }}"
    cached: "{{ published.cached }}"
"""

RETURN = r"""
ansible_facts:
  description: C(sendyard_not_sent_from), public addresses as the owner writes them.
  returned: always
  type: dict
wait:
  description: How many seconds the run must wait before it uses those that are not left out; 0 for none.
  returned: always
  type: int
refused:
  description: Why there is no address to send from, empty where there is one.
  returned: always
  type: str
unused:
  description: New addresses, each with C(seconds) for which resolvers may have what stood before at C(record).
  returned: always
  type: dict
"""
