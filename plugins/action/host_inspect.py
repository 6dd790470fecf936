# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the host's clock around its inspection, from this side of the connection, and say where this side is.

Where the host cannot be inspected, what is wrong with its settings is told all the same: preflight gets no further.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Adds `clock_off`, in seconds, to what the module found, and in which run that was (`inspected_in`).

    Addresses that must wait come with the seconds left, by the host's clock; here it becomes `expires`, by a clock of
    this machine that nobody sets (`time.monotonic()`), since it holds for this run alone.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        beside = "".join(f"\n  {fault}" for fault in self._task.args.get("faults") or ())
        beside = f"\nWrong beside that:{beside}" if beside else ""
        before = time.time()
        try:
            arguments = {
                **self._task.args,
                "controller_addresses": sorted(set(_own_addresses(self._task.args["addresses"]))),
            }
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(f"{error}{beside}") from None  # Ansible would say a cause again
        after = time.time()
        if result.get("failed"):
            result["msg"] = f"{result.get('msg', '')}{beside}"
        if "epoch" in result:
            epoch = result.pop("epoch")
            off = epoch - before if epoch < before else max(0.0, epoch - after)
            found = result["ansible_facts"]["sendyard"]
            found["clock_off"] = off
            found["inspected_in"] = owner.this_run()
            for one in found["sending"]["unused"].values():
                one["expires"] = time.monotonic() + one.pop("seconds")
        return result


def _own_addresses(addresses: Iterable[str]) -> Iterator[str]:
    """Yield the addresses that this machine would speak to `addresses` from. Nothing is sent.

    The SSH session tells the host one, of one family. Behind address translation what is found here does no good, and
    no harm either.
    """
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as link:
            link.connect((address, 9))
            yield str(link.getsockname()[0])
