#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_check
short_description: Check all that the owner wrote for a host
version_added: 0.1.0
description:
  - Checks types and values of every setting, names that no setting has, types of the roles' variables that the owner
    has set, files of the controller that are named, names and addresses that two servers share, and all domain files.
  - Asks nothing of the host. Warns of domains at fault, which are no faults of the host.
author: Sendyard contributors (@sendyard)
attributes:
  check_mode:
    description: Works on the controller alone and changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: The inventory is checked
  sendyard.mail.inventory_check:
  register: inventory
"""

RETURN = r"""
faults:
  description: What is wrong with the settings of this host, one sentence each.
  returned: always
  type: list
  elements: str
bind_addresses:
  description: The addresses that the host should hold, without those that are at fault.
  returned: always
  type: list
  elements: str
port25_targets:
  description: The mail hosts whose port 25 is to be tried, none where that setting is at fault.
  returned: always
  type: list
  elements: str
zones:
  description: Whether the settings that zones depend on are right.
  returned: always
  type: bool
ansible_facts:
  description: C(sendyard_domain_faults), a list of subject, message and left_alone; C(sendyard_run), whose they are.
  returned: always
  type: dict
"""
