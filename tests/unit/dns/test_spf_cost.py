# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""SPF records are followed as a receiver follows them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import spf, spf_cost
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import DnsError

WORLD: dict[tuple[str, str], list[str]] = {
    ("one.example", "TXT"): ["v=spf1 ip4:10.9.0.1 -all"],
    ("three.example", "TXT"): ["v=spf1 include:one.example a:here.example -all", "something else"],
    ("here.example", "A"): ["10.9.0.1"],
    ("six.example", "AAAA"): ["fd00::1"],
    ("here.example", "MX"): ["10 mail.here.example."],
    ("circle.example", "TXT"): ["v=spf1 include:circle.example -all"],
    ("two.example", "TXT"): ["v=spf1 -all", "v=spf1 ~all"],
    ("odd.example", "TXT"): ["v=spf1 ipv4:10.9.0.1 -all"],
    ("end.example", "TXT"): ["v=spf1 redirect=three.example ~all"],
    ("further.example", "TXT"): ["v=spf1 redirect=three.example"],
}


def look_up(name: str, kind: str) -> Sequence[str]:
    if name == "dead.example":
        raise DnsError("nobody answers")
    return WORLD.get((name, kind), [])


def count(record: str) -> spf_cost.Cost:
    return spf_cost.count(record, "here.example", look_up)


@pytest.mark.parametrize(
    ("record", "lookups", "voids"),
    [
        ("v=spf1 ip4:10.9.0.1 ip6:fd00::/64 -all", 0, 0),
        ("v=spf1 a mx -all", 2, 0),
        ("v=spf1 a/24 mx/24//64 a:here.example/24 -all", 3, 0),
        ("v=spf1 a:six.example a:gone.example mx:gone.example -all", 3, 2),
        ("v=spf1 exists:six.example -all", 1, 1),
        ("v=spf1 include:one.example -all", 1, 0),
        ("v=spf1 include:three.example -all", 3, 0),
        ("v=spf1 ?include:three.example include:three.example -all", 6, 0),
        ("v=spf1 redirect=three.example", 3, 0),
        ("v=spf1 redirect=three.example ~all", 0, 0),
        ("v=spf1 include:end.example -all", 1, 0),
        ("v=spf1 include:further.example -all", 4, 0),
        ("v=spf1 exists:%{i}._spf.gone.example include:%{d}.gone.example ptr -all", 3, 0),
    ],
)
def test_every_term_that_asks_counts_once_each_time(record: str, lookups: int, voids: int) -> None:
    cost = count(record)
    assert (cost.lookups, cost.voids, cost.broken, cost.unknown) == (lookups, voids, "", [])
    assert not spf_cost.complaint(cost)


def test_more_than_ten_are_told_term_by_term() -> None:
    record = "v=spf1 " + "include:three.example " * 3 + "a mx -all"
    three = ", ".join(["include:three.example 3"] * 3)
    assert spf_cost.complaint(count(record)).startswith(f"it needs 11 DNS look-ups ({three}, a 1, mx 1)")
    assert not spf_cost.complaint(count(record.replace(" mx", "")))


def test_more_than_two_that_find_nothing_are_told() -> None:
    record = "v=spf1 a:x.example a:y.example a:z.example -all"
    assert spf_cost.complaint(count(record)).startswith("3 of its 3 look-ups (a:x.example 1, ")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("v=spf1 include:gone.example -all", "include:gone.example leads to gone.example, which has no SPF record"),
        ("v=spf1 include:two.example -all", "which has 2 SPF records"),
        ("v=spf1 redirect=odd.example", 'the term "ipv4:10.9.0.1"'),
    ],
)
def test_what_leads_nowhere_is_a_permerror(record: str, said: str) -> None:
    assert said in spf_cost.complaint(count(record))


def test_a_circle_ends() -> None:
    assert "DNS look-ups (include:circle.example" in spf_cost.complaint(count("v=spf1 include:circle.example -all"))


def test_what_nobody_answers_is_told_apart() -> None:
    cost = count("v=spf1 include:dead.example a:here.example -all")
    assert (cost.lookups, cost.unknown) == (2, ["include:dead.example (nobody answers)"])
    assert not spf_cost.complaint(cost)


def test_a_record_that_is_none_is_an_error() -> None:
    with pytest.raises(spf.SpfError):
        count("v=spf1 ipv4:10.9.0.1 -all")
