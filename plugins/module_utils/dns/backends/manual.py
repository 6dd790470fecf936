# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person changes the zone. We read it as the world does, merge ours into what is there, and say what to enter."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .. import reader, wire
from ..model import Change, DnsError, Key
from ..planner import Found
from ..verify import Directory
from . import Backend, Caps, Transient, Unsupported, Zone, ZoneNotFound, check_options

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.message
    import dns.name
    import dns.rcode

NEEDS_SECRET = False
TIMEOUT = 10.0  # seconds that a name server has for all questions


def make(name: str, said: Mapping[str, Any], secret: str, directory: Directory) -> Manual:
    """Return the backend of the credential `name`; it has no options. Raises AuthError for one."""
    check_options(name, "manual", said, ())
    return Manual(directory)


class Manual(Backend):
    """All zones of the world, none of which it can change."""

    caps = Caps(atomic="batch", compare_and_swap=True, value_level=True, sees_delegations=True, writes=False)

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the zone of each name as the world finds it."""
        found: dict[dns.name.Name, Zone | DnsError] = {}
        for name in names:
            try:
                apex = self._directory.zone_of(name)
            except DnsError as error:
                found[name] = error
                continue
            found[name] = (
                Zone(apex)
                if apex
                else ZoneNotFound(f"nobody in the world knows a zone that holds {name}. Register the domain first.")
            )
        return found

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return those that the world asks."""
        return self._directory.world(zone.name, ())

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key, as the first name server says that answers."""
        servers = self._directory.servers(zone.name, self.name_servers(zone))

        def ask(asked: Sequence[Key]) -> list[dns.message.Message]:
            silence = ""
            for server in servers:
                answers = wire.ask_udp(server, asked, time.monotonic() + TIMEOUT)
                if all(key in answers.messages for key in asked):
                    return [answers.messages[key] for key in asked]
                silence = silence or answers.silence or f"{server} does not answer"
            raise Transient(f"zone {zone.name} cannot be read: {silence}")

        def fault(key: Key, answer: dns.message.Message) -> DnsError:
            code = dns.rcode.to_text(answer.rcode())
            return Unsupported(f"a name server of zone {zone.name} does not answer for {key} ({code})")

        return reader.read(keys, ask, fault)

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return nothing: nothing is written."""
        return []

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Refuse: there is no way to write."""
        raise Unsupported(f"zone {zone.name} is changed by hand")

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Read, which is all that there is."""
        self.read(zone, keys)

    def settled(self, seconds: float) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Nothing is open."""
