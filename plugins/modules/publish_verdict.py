#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: publish_verdict
short_description: Say which domains were published
version_added: 0.1.0
description:
  - Fails where the own records of the host were not seen; keeps the faults of other domains for the report.
  - Writes a page, and lines of a zone file, of what a person must do for a domain or host; C(dns/) below the directory
    of reports.
author: Sendyard contributors (@sendyard)
options:
  subjects:
    description: What M(sendyard.mail.mail_dns) said of each subject.
    type: dict
    required: true
  waiting:
    description: The keys that wait for their records.
    type: list
    elements: dict
    required: true
  looked:
    description: What M(sendyard.mail.mail_dns) said of each subject that was looked at from elsewhere (state V(seen)).
    type: dict
  manual:
    description: What M(sendyard.mail.mail_dns) returned as RV(sendyard.mail.mail_dns#module:manual).
    type: dict
attributes:
  check_mode:
    description: Works on the controller alone and changes nothing there but those pages.
    support: full
"""

EXAMPLES = r"""
- name: The server's own records stand
  sendyard.mail.publish_verdict:
    subjects: "{{ published.subjects }}"
    waiting: "{{ wanted.waiting }}"
"""

RETURN = r"""
published:
  description: The keys whose records were seen on every authoritative server.
  returned: always
  type: list
  elements: dict
"""
