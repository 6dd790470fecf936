#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: offboard
short_description: Take a sending domain out of the inventory
version_added: 0.1.0
description:
  - Takes the variable C(domain) of the play, whose file it moves to C(offboarded) below the directory of the domain
    files. What is still to be removed from its zone is kept beside it until that is gone.
author: Sendyard contributors (@sendyard)
options:
  state:
    description:
      - V(known) finds the domain, V(moved) moves its file, V(gone) removes the customer's page and what was kept of the
        records.
    type: str
    choices: [known, moved, gone]
    required: true
  records_files:
    description: With O(state=moved), what M(sendyard.mail.wanted_records) wrote for each of its servers.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Moves and removes nothing.
    support: full
"""

EXAMPLES = r"""
- name: The domain is known
  sendyard.mail.offboard:
    state: known
  run_once: true
  register: offboarded
"""

RETURN = r"""
name:
  description: The domain.
  returned: with O(state=known)
  type: str
servers:
  description: The inventory names of its servers.
  returned: with O(state=known)
  type: list
  elements: str
there:
  description: Whether its file is still in its place.
  returned: with O(state=known)
  type: bool
left:
  description: Whether there is anything left to do.
  returned: with O(state=known)
  type: bool
records_file:
  description: The records to remove.
  returned: with O(state=moved)
  type: str
"""
