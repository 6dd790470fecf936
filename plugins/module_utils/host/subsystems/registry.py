# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subsystems by the name that a role calls them by."""

from __future__ import annotations

from .auth import Auth
from .base import Subsystem
from .firewall import Firewall
from .guard import Guard
from .postfix import Postfix
from .resolver import Resolver
from .signer import Signer
from .updates import Updates

SUBSYSTEMS: dict[str, type[Subsystem]] = {
    kind.name: kind for kind in (Auth, Firewall, Guard, Postfix, Resolver, Signer, Updates)
}
