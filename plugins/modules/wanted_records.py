#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wanted_records
short_description: Compute the DNS records that a host and its domains need
version_added: 0.1.0
description:
  - Writes them to a file of the run on the controller, for M(sendyard.mail.mail_dns).
author: Sendyard contributors (@sendyard)
options:
  part:
    description:
      - The server's own records with those of domains that changed or of all, or only the zones to check; or only the
        server's PTR records, as records that somebody else sets; or only its TLSA record.
    type: str
    choices: [changed, all, zones, reverse, tlsa]
    default: changed
  domain:
    description: The one domain whose records are wanted, and no others; with O(part=changed) or V(all).
    type: str
  pending:
    description: The keys that wait for their records, from M(sendyard.mail.dkim_keys).
    type: dict
    default: {}
  tlsa:
    description: With O(part=tlsa), what M(sendyard.mail.certificate) returned as C(tlsa).
    type: dict
attributes:
  check_mode:
    description: Works on the controller alone and changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Every record is computed
  sendyard.mail.wanted_records:
    pending: "{{ keys.pending }}"
  register: wanted
"""

RETURN = r"""
file:
  description: The file with the records.
  returned: always
  type: str
subject:
  description: With O(part=tlsa), the name of the record, which is the subject that M(sendyard.mail.mail_dns) speaks of.
  returned: with O(part=tlsa)
  type: str
waiting:
  description: The keys that wait for these records, as domain, subject and digest.
  returned: always
  type: list
  elements: dict
"""
