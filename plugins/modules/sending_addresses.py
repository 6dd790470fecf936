#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sending_addresses
short_description: Find out which addresses must not be sent from
version_added: 0.1.0
description:
  - Those whose PTR record is not the server's name; receivers refuse mail from there.
  - Keeps them as the fact C(sendyard_not_sent_from), and warns of them. Fails where no other address is left, unless
    the owner's C(sendyard_require_ptr) is false.
author: Sendyard contributors (@sendyard)
options:
  manual:
    description: What M(sendyard.mail.mail_dns) returned as RV(sendyard.mail.mail_dns#module:manual).
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
"""

RETURN = r"""
ansible_facts:
  description: C(sendyard_not_sent_from), public addresses as the owner writes them.
  returned: always
  type: dict
"""
