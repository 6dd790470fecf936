# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a login that exists for minutes, to prove a server, is named.

The login `probe-<hex>=<domain>@<fqdn of the host>` may send as `probe-<hex>@<domain>` and as nothing else. Name and
right are one: Postfix (a pcre: map) and the gate read the domain out of the login, so no table changes when one is
made. Only the host's root can make one, and no customer's login may begin with "probe-".
"""

from __future__ import annotations

import re
import secrets

PREFIX = re.compile(r"probe-[0-9a-f]{16,64}")


def new_prefix() -> str:
    """A name that nobody guesses and no earlier run had."""
    return f"probe-{secrets.token_hex(8)}"


def login_name(prefix: str, domain: str, fqdn: str) -> str:
    """The login that speaks for `domain` on host `fqdn`. Both in lower case and A-labels."""
    return f"{prefix}={domain}@{fqdn}"


def sender_address(prefix: str, domain: str) -> str:
    """The one address, in envelope and From:, that such a login may use."""
    return f"{prefix}@{domain}"
