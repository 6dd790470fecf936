# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose arguments stay out of the journal. Of Ansible, since every other place is closed to modules."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule


class QuietModule(AnsibleModule):  # type: ignore[misc]  # Ansible has no types
    """For arguments that are large, or hold what not everybody may read who reads the journal.

    AnsibleModule's own `no_log` does not do it: what the task says, or does not say, takes its place.
    """

    def log(self, msg: str, log_args: Any = None) -> None:
        """Log nothing."""
