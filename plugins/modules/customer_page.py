#!/usr/bin/python
# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation only: the work is done on the controller by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: customer_page
short_description: The page that a customer gets for a domain
version_added: 0.1.0
description:
  - Writes C(<domain>.html) and C(<domain>.json) to C(sendyard_report_directory). They have the settings for a program,
    code samples, each record with what stands at the authoritative name servers, and what to do next. No token is in
    them.
author: Sendyard contributors (@sendyard)
options:
  domain:
    description: The domain, which has a file.
    type: str
    required: true
  records_files:
    description: What M(sendyard.mail.wanted_records) wrote for each of its servers.
    type: list
    elements: path
    required: true
  cached:
    description: Seconds that resolvers may still have what stood before.
    type: int
    default: 0
  findings:
    description: What was there before, a sentence each.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Writes nothing.
    support: full
"""

EXAMPLES = r"""
- name: The customer has a page
  sendyard.mail.customer_page:
    domain: shop.example.com
    records_files: "{{ ansible_play_hosts | map('extract', hostvars, 'wanted') | map(attribute='file') }}"
  run_once: true
"""

RETURN = r"""
page:
  description: The HTML file.
  returned: success
  type: str
sends:
  description: Whether the domain may send, as far as this run knows.
  returned: success
  type: bool
"""
