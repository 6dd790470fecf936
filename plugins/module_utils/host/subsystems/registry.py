# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subsystems by the name that a role calls them by.

A host compiles what a module imports anew in every run, so only the one that is asked for is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # Ansible reads imports, without running them, to know which files a host needs
    from . import auth, firewall, guard, postfix, resolver, signer, transport_policy, updates  # noqa: F401
    from .base import Subsystem

NAMES = ("auth", "firewall", "guard", "postfix", "resolver", "signer", "transport_policy", "updates")


def subsystem(name: str) -> type[Subsystem]:
    """Return the subsystem of one of NAMES: the class that is called as its module is."""
    called = name.title().replace("_", "")
    return cast("type[Subsystem]", getattr(import_module(f".{name}", __package__), called))
