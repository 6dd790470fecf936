#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: public_view
short_description: What the world sees of a server and its domains
version_added: 0.1.0
description:
  - Asks the name servers of the zones for what receivers ask, and the server's ports for their certificates, from the
    controller. Nothing runs on the host. The checks run side by side, each with a deadline.
  - A check that fails does not fail the task; M(sendyard.mail.scorecard) judges.
author: Sendyard contributors (@sendyard)
options:
  scope:
    description:
      - The domains to look at besides the server's own.
      - V(run), those that this run, or the last proof, was about; V(all), every one of the server.
    type: str
    choices: [run, all]
    default: run
attributes:
  check_mode:
    description: Looks at nothing, since nothing was published.
    support: full
requirements: [dnspython, cryptography]
"""

EXAMPLES = r"""
- name: It is known what the world sees of the server and all its domains
  sendyard.mail.public_view:
    scope: all
"""

RETURN = r"""
looked_at:
  description: How many names were looked at.
  returned: always
  type: int
"""
