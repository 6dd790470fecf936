# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records in zones: what is wanted, what is there, what to change, and whether the world sees it."""

# Credentials that need no entry of the owner's, nor a secret.
NEED_NO_ENTRY = {"manual": {"provider": "manual"}}
# Providers whose credentials set the PTR records of addresses too.
PTR_PROVIDERS = ("hetzner", "route53")
