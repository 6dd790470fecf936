#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: onboard
short_description: Write down a new sending domain
version_added: 0.1.0
description:
  - Checks the domain, says what DNS has of it already, and writes its file with a login, unless that file is there.
  - Takes the variables C(domain), C(host) (servers, all of them if not given), C(dns) (a credential, C(manual) if not
    given), C(login) (C(app)) and C(token_file) of the play. On a terminal it asks for those that are not given.
  - The login's token is shown once on the terminal, or written to C(token_file), for its owner alone to read. Without
    either nothing is changed. It is in no result and no log.
  - Refuses where the domain's file is there and says something else.
author: Sendyard contributors (@sendyard)
options: {}
attributes:
  check_mode:
    description: Writes nothing and makes no token.
    support: full
"""

EXAMPLES = r"""
- name: The domain is known, and written down
  sendyard.mail.onboard:
  run_once: true
  register: onboarded
"""

RETURN = r"""
name:
  description: The domain.
  returned: success
  type: str
servers:
  description: The inventory names of its servers.
  returned: success
  type: list
  elements: str
dns:
  description: The credential that changes its zone.
  returned: success
  type: str
usernames:
  description: Its logins.
  returned: success
  type: list
  elements: str
findings:
  description: What DNS says of a new one, a sentence each.
  returned: success
  type: list
  elements: str
written:
  description: Whether its file is there; false in check mode where it would be new.
  returned: success
  type: bool
"""
