#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: explain
short_description: What a receiver's reply means, and what to do
version_added: 0.1.0
description:
  - Says who replies so, what it means for a sender, whether trying again helps, and what to do here.
  - Takes a reply of one line or more, a line of Postfix's log, a bounce, the field C(Diagnostic-Code) of a delivery
    status notification (RFC 3464), or a code alone.
author: Sendyard contributors (@sendyard)
options:
  reply:
    description:
      - What the receiver said. At most 8192 characters of it are looked at.
      - If not given, the variable C(reply) of the play, which is not evaluated as a template.
    type: str
attributes:
  check_mode:
    description: Works on the controller alone and changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: A reply is explained
  sendyard.mail.explain:
    reply: "550 5.1.1 The email account that you tried to reach does not exist."
  register: told

- name: The address is taken off where trying again never helps
  ansible.builtin.debug:
    msg: take it off
  when: told.explanation.retry == 'never'
"""

RETURN = r"""
explanation:
  description: The reply, explained.
  returned: success
  type: dict
  contains:
    code:
      description: The reply code, 0 where there is none.
      type: int
    status:
      description: The enhanced status code (RFC 3463), empty where there is none.
      type: str
    registered:
      description: What IANA's registry has for it.
      type: str
    says:
      description: Who says it.
      type: str
    host:
      description: The server that said it, where a log or a bounce names it.
      type: str
    text:
      description: The reply without its codes.
      type: str
    row:
      description: The row of the table that explains it; empty where only its codes do.
      type: str
    category:
      description: >-
        One of C(accepted), C(rate), C(reputation), C(authentication), C(listed), C(content), C(recipient),
        C(size or quota), C(policy), C(tls), C(dns), C(trouble of theirs), C(trouble of ours), C(unknown).
      type: str
    for_a_sender:
      description: What its class means for a sender.
      type: str
    meaning:
      description: What it means.
      type: str
    to_do:
      description: What to do here.
      type: str
    retry:
      description: Whether trying again helps (C(by itself), C(once mended), C(never), C(not needed)).
      type: str
    source:
      description: Where that stands.
      type: str
    seen:
      description: When it stood there, as ISO 8601 has it.
      type: str
"""
