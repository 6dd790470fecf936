#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_verdict
short_description: Say everything that is wrong with a host at once
version_added: 0.1.0
description:
  - Fails with all faults of inventory, host and zones together, or passes.
author: Sendyard contributors (@sendyard)
options:
  faults:
    description: What M(sendyard.mail.inventory_check) found.
    type: list
    elements: str
    default: []
  zones:
    description: What M(sendyard.mail.mail_dns) said of each subject.
    type: dict
    default: {}
  addresses:
    description: What M(sendyard.mail.mail_rdns) said of each subject.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Works on the controller alone and changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Nothing is wrong
  sendyard.mail.preflight_verdict:
    faults: "{{ inventory.faults }}"
"""

RETURN = r"""
msg:
  description: Everything that is wrong, a line each.
  returned: failure
  type: str
"""
