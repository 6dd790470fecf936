# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that a module turns into a failure; every subsystem subclasses it."""

from __future__ import annotations

from typing import Any


class SendyardError(Exception):
    """Something that a person must mend: the message says what was found and what to do.

    `facts` are handed to `fail_json` beside the message, for programs; they never hold a secret.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts
