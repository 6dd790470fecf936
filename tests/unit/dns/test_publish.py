# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Publishing while others write the same records, with a zone that is a dictionary and a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dns.name
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import model, publish, verify
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import Caps, Conflict, Zone
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import Change, Key, RRset
from ansible_collections.sendyard.mail.plugins.module_utils.dns.planner import Found

ZONE = Zone(dns.name.from_text("acme.example."))
DIRECTORY = verify.Directory((), {"ns1.lab.example.": (("127.0.0.1", 53),)})
ROUND = 0.5  # seconds that reading takes


class Clock:
    """What publish knows as time: passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Contended:
    """A backend whose first `conflicts` writes of a name, or all, come after somebody else's."""

    caps = Caps("batch", compare_and_swap=True, value_level=True, sees_delegations=True)

    def __init__(self, clock: Clock, conflicts: Mapping[str, int]) -> None:
        self.clock, self.conflicts = clock, dict(conflicts)
        self.content: dict[Key, RRset] = {}
        self.rounds = 0

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone]:
        return dict.fromkeys(names, ZONE)

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        return ("ns1.lab.example.",)

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        self.rounds += 1
        self.clock.now += ROUND
        return Found({key: self.content.get(key) for key in keys})

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        return [changes]

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        for change in changes:
            label = change.key.name.labels[0].decode()
            if self.conflicts.get(label, 0) > 0:
                self.conflicts[label] -= 1
                raise Conflict("somebody else changes the same records again and again")
        self.content |= {change.key: change.after for change in changes if change.after}

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Every credential may write."""

    def settled(self, seconds: float) -> None:
        """What is written is everywhere."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time as publish sees it; writers who wait always wait for as long as they may."""
    clock = Clock()
    monkeypatch.setattr(publish, "time", clock)
    monkeypatch.setattr(publish.random, "uniform", lambda low, high: high)
    monkeypatch.setattr(publish, "_await_the_world", lambda *_: None)
    return clock


def bring(backend: Contended, *labels: str) -> publish.Outcome:
    outcome = publish.Outcome()
    wants = [
        model.parse_record(
            {
                "name": f"{label}.acme.example",
                "type": "A",
                "values": ["10.9.1.1"],
                "credential": "lab",
                "subject": label,
            }
        )
        for label in labels
    ]
    publish.publish(wants, {"lab": backend}, publish.Settings(), DIRECTORY, outcome)
    return outcome


def test_who_met_others_waits_for_rounds_of_the_length_that_they_have(clock: Clock) -> None:
    outcome = bring(Contended(clock, {"a": 4}), "a")
    assert (outcome.faults, len(outcome.changes)) == ({}, 1)
    assert clock.now - 100.0 == 6 * ROUND + (2 + 4 + 8 + 16) * ROUND


def test_who_always_meets_others_ends_in_time_and_stops_nobody_else(clock: Clock) -> None:
    labels = [f"d{number}" for number in range(100)]
    backend = Contended(clock, {"d7": 1000})
    outcome = bring(backend, *labels)
    assert list(outcome.faults) == ["d7"]
    assert len(outcome.changes) == 99
    assert publish.CONFLICT_SECONDS <= clock.now - 100.0 < publish.CONFLICT_SECONDS + backend.rounds * ROUND
    assert backend.rounds < 40
