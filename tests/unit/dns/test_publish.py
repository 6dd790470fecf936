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


class Careless(Contended):
    """A backend that takes whole record sets, and another writer who put back what it had read before we wrote."""

    caps = Caps("rrset", compare_and_swap=False, value_level=False, sees_delegations=True)

    def __init__(self, clock: Clock, there: list[str], overwritten_by: list[list[str]]) -> None:
        super().__init__(clock, {})
        self.overwritten_by = overwritten_by
        self.put(there)

    def put(self, texts: list[str]) -> None:
        values = tuple(model.parse_value(KEY.type, text) for text in texts)
        self.content[KEY] = RRset(KEY, 60, values)

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        super().apply(zone, changes)
        if self.overwritten_by:
            self.put(self.overwritten_by.pop(0))

    def texts(self) -> list[str]:
        return sorted(value.text for value in self.content[KEY].values)


KEY = model.parse_record({"name": "shared.acme.example", "type": "TXT", "values": ["ours"]}).key


def bring_text(backend: Careless) -> publish.Outcome:
    outcome = publish.Outcome()
    said = {"name": "shared.acme.example", "type": "TXT", "mode": "member", "values": ["ours"], "credential": "lab"}
    publish.publish([model.parse_record(said)], {"lab": backend}, publish.Settings(), DIRECTORY, outcome)
    return outcome


def test_what_a_writer_took_along_is_put_back_once(clock: Clock) -> None:
    backend = Careless(clock, ["theirs"], [["another's"]])
    assert not bring_text(backend).faults
    assert backend.texts() == ["another's", "ours", "theirs"]


def test_what_vanishes_again_and_again_is_told_loudly(clock: Clock) -> None:
    backend = Careless(clock, ["theirs"], [["another's"], ["another's"], ["another's"]])
    ((text,),) = bring_text(backend).faults.values()
    assert (
        '"theirs", which we did not write, was there before this run, vanished, was put back and vanished again' in text
    )


def test_an_spf_record_that_was_changed_meanwhile_is_not_put_back_beside_the_new_one(clock: Clock) -> None:
    backend = Careless(clock, ["v=spf1 mx -all", "theirs"], [["v=spf1 a mx -all", "theirs", "ours"]])
    assert not bring_text(backend).faults
    assert backend.texts() == ["ours", "theirs", "v=spf1 a mx -all"]
