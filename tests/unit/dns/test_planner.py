# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What is decided at a key, from what is wanted and what is there."""

from __future__ import annotations

from typing import Any

import dns.name
import dns.rdata
import dns.rdatatype
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import dmarc, planner
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import (
    DnsError,
    Key,
    RRset,
    Value,
    Want,
    parse_record,
)
from hypothesis import given
from hypothesis import strategies as st

NAME = "acme.example"


def want(kind: str = "TXT", *, absent: bool = False, name: str = NAME, **said: Any) -> Want:
    return parse_record({"name": name, "type": kind, **said}, absent=absent)


def found(kind: str, *texts: str, name: str = NAME, ttl: int = 1800) -> RRset:
    """A record set as a server answers with it; TXT in zone-file form."""
    kind_number = dns.rdatatype.from_text(kind)
    values = (Value(dns.rdata.from_text("IN", kind, text)) for text in texts)
    return RRset(Key(dns.name.from_text(name), kind_number), ttl, tuple(values))


def texts(rrset: RRset | None) -> list[str]:
    return [value.text for value in rrset.values] if rrset else []


def after(wanted: Want, there: RRset | None, **said: Any) -> RRset | None:
    """What stands there when it is done."""
    change, _ = planner.decide(wanted, there, **said)
    return change.after if change else there


def test_an_own_record_set_is_made_kept_and_replaced() -> None:
    wanted = want("A", values=["10.9.1.1"], ttl=300)
    made = after(wanted, None)
    assert (texts(made), made.ttl if made else 0) == (["10.9.1.1"], 300)
    assert planner.decide(wanted, made) == (None, "")
    moved = want("A", values=["10.9.1.2"], was=["10.9.1.1"], ttl=300)
    assert texts(after(moved, made)) == ["10.9.1.2"]


def test_other_chunks_of_the_same_txt_are_no_change() -> None:
    wanted = want(values=["v=DKIM1; k=rsa; p=AAAA"], ttl=1800)
    assert planner.decide(wanted, found("TXT", '"v=DKIM1; k=rsa; " "p=AAAA"')) == (None, "")


def test_foreign_content_is_shown_beside_ours() -> None:
    with pytest.raises(planner.PlanError) as caught:
        planner.decide(want("MX", values=["10 mx1.yard.example"]), found("MX", "10 mail.vendor.example."))
    assert 'acme.example. MX holds "10 mail.vendor.example."' in str(caught.value)
    assert 'wanted is "10 mx1.yard.example."' in str(caught.value)
    assert "sendyard_publish_adopt" in str(caught.value)


def test_adopting_replaces() -> None:
    wanted = want("MX", values=["10 mx1.yard.example"])
    assert texts(after(wanted, found("MX", "10 mail.vendor.example."), adopt=True)) == ["10 mx1.yard.example."]


@pytest.mark.parametrize("mode", ["own", "member", "spf"])
def test_nothing_stands_beside_a_cname(mode: str) -> None:
    wanted = want(values=["mx"], mode=mode)
    with pytest.raises(planner.PlanError, match=r"CNAME to vendor\.example"):
        planner.decide(wanted, None, alias=dns.name.from_text("vendor.example"))


def test_a_member_brings_its_values_only() -> None:
    there = found("CAA", '0 issue "ca.example"', '0 issue "old.example"')
    wanted = want("CAA", mode="member", values=['0 issue "acme.example"'], was=['0 issue "old.example"'], ttl=60)
    result = after(wanted, there)
    assert (texts(result), result.ttl if result else 0) == (['0 issue "ca.example"', '0 issue "acme.example"'], 1800)


def test_absent_removes_ours_and_nothing_else() -> None:
    there = found("A", "10.9.1.1", "10.9.1.2", "10.9.1.3")
    assert texts(after(want("A", values=["10.9.1.1"], was=["10.9.1.2"], absent=True), there)) == ["10.9.1.3"]
    assert after(want("A", values=["10.9.1.1"], absent=True), found("A", "10.9.1.1")) is None


def test_two_spf_records_are_refused_with_both_texts() -> None:
    there = found("TXT", '"v=spf1 -all"', '"v=spf1 mx -all"', '"v=spf10"')
    with pytest.raises(DnsError, match=r'has 2 SPF records, "v=spf1 -all", "v=spf1 mx -all"'):
        planner.decide(want(mode="spf", values=["mx"]), there)


def test_spf_leaves_the_other_texts_as_they_are() -> None:
    there = found("TXT", '"v=spf1 -all"', '"\\255\\254"', '"a" "b"', '""')
    result = after(want(mode="spf", values=["mx"]), there)
    assert result is not None
    assert texts(result)[0] == "v=spf1 mx -all"
    assert result.values[1:] == there.values[1:]


@pytest.mark.parametrize(
    ("there", "wanted", "adopt", "stands"),
    [
        ("v=DMARC1; p=reject", "v=DMARC1; p=none", False, "v=DMARC1; p=reject"),
        (
            "v=DMARC1; p=none; rua=mailto:a@b.example",
            "v=DMARC1; p=reject",
            False,
            "v=DMARC1; p=none; rua=mailto:a@b.example",
        ),
        ("v=DMARC1; p=none; rua=mailto:a@b.example", "v=DMARC1; p=reject", True, "v=DMARC1; p=reject"),
        ("v=DMARC1; p=reject", "v=DMARC1; p=none", True, "v=DMARC1; p=reject"),
    ],
)
def test_a_foreign_dmarc_record_is_never_weakened(there: str, wanted: str, adopt: bool, stands: str) -> None:
    name = "_dmarc.acme.example"
    result = after(want(name=name, values=[wanted]), found("TXT", f'"{there}"', name=name), adopt=adopt)
    assert texts(result) == [stands]


def test_a_broken_dmarc_record_is_a_fault() -> None:
    name = "_dmarc.acme.example"
    with pytest.raises(planner.PlanError):
        planner.decide(want(name=name, values=["v=DMARC1; p=none"]), found("TXT", '"v=DMARC1; p=noen"', name=name))


def test_our_own_dmarc_record_follows_our_will() -> None:
    name = "_dmarc.acme.example"
    wanted = want(name=name, values=["v=DMARC1; p=none"], was=["v=DMARC1; p=reject"])
    assert texts(after(wanted, found("TXT", '"v=DMARC1; p=reject"', name=name))) == ["v=DMARC1; p=none"]


@pytest.mark.parametrize(
    ("above", "ours", "published"),
    [
        ("v=DMARC1; p=reject", "none", False),
        ("v=DMARC1; p=reject; sp=none", "none", True),
        ("v=DMARC1; p=none", "none", True),
        ("v=DMARC1; p=quarantine", "reject", True),
        ("", "none", True),
    ],
)
def test_a_name_below_is_not_weakened_by_a_first_record(above: str, ours: str, published: bool) -> None:
    wanted = want(name="_dmarc.news.acme.example", values=[f"v=DMARC1; p={ours}"])
    upper = found("TXT", f'"{above}"', name="_dmarc.acme.example")
    plan = planner.plan({wanted.key: wanted}, planner.Found({wanted.key: None, upper.key: upper if above else None}))
    assert bool(plan.changes) is published
    assert bool(plan.notes) is not published
    assert planner.ancestors(wanted.key, dns.name.from_text("acme.example")) == (upper.key,)


@pytest.mark.parametrize(
    ("there", "ours", "follows"),
    [
        ("v=DMARC1; p=none", "v=DMARC1; p=quarantine; rua=mailto:us@a.example", True),
        ("v=DMARC1; p=reject", "v=DMARC1; p=none", False),
        ("v=DMARC1; p=reject; rua=mailto:us@a.example", "v=DMARC1; p=none; rua=mailto:us@a.example", True),
        ("v=DMARC1; p=none; rua=mailto:they@b.example", "v=DMARC1; p=none; rua=mailto:us@a.example", False),
        ("v=DMARC1; p=none; rua=mailto:they@b.example", "v=DMARC1; p=reject", False),
        ("v=DMARC1; p=none; sp=reject", "v=DMARC1; p=quarantine", False),
    ],
)
def test_a_policy_that_only_we_can_have_written_follows_our_will(there: str, ours: str, follows: bool) -> None:
    name = "_dmarc.acme.example"
    result = after(want(name=name, values=[ours]), found("TXT", f'"{there}"', name=name))
    assert texts(result) == [ours if follows else there]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("v=DMARC1; p=reject", "reject"),
        ("v=DMARC1;p=Quarantine;", "quarantine"),
        ("v=DMARC1; rua=mailto:a@b.example", "none"),
        ("v=DMARC1", ""),
        ("p=reject; v=DMARC1", ""),
        ("v=DMARC2; p=reject", ""),
        ("", ""),
    ],
)
def test_which_policy_stands(text: str, policy: str) -> None:
    assert dmarc.policy(text) == policy


def test_servers_of_a_domain_want_one_record_together() -> None:
    wants = [
        want(mode="spf", values=["ip4:10.9.1.1"], was=["ip4:10.9.1.2"], subject="one"),
        want(mode="spf", values=["ip4:10.9.1.2"], subject="two"),
    ]
    combined, refused = planner.combine(wants)
    (both,) = combined.values()
    assert (both.subjects, refused) == (("one", "two"), [])
    there = found("TXT", '"v=spf1 ip4:10.9.1.2 mx -all"')
    assert texts(after(both, there)) == ["v=spf1 ip4:10.9.1.2 mx ip4:10.9.1.1 -all"]


def test_what_one_server_gives_up_and_another_takes_over_stays() -> None:
    """The address of a PTR moved from one server to the other within a run."""
    wants = [
        want(values=[], was=["one.example"], subject="one"),
        want(values=["two.example"], subject="two"),
    ]
    combined, _ = planner.combine(wants)
    (both,) = combined.values()
    assert texts(after(both, found("TXT", "one.example"))) == ["two.example"]
    (alone,) = planner.combine(wants[:1])[0].values()
    assert after(alone, found("TXT", "one.example")) is None


FOREIGN_TXT = st.lists(st.binary(max_size=40), min_size=1, max_size=3).map(
    lambda strings: Value(
        dns.rdata.from_wire(1, 16, wire := b"".join(bytes([len(s)]) + s for s in strings), 0, len(wire))
    )
)
FOREIGN = st.lists(FOREIGN_TXT, max_size=5, unique_by=lambda value: value.wire)
OURS = st.lists(st.integers(0, 20), min_size=1, max_size=3, unique=True)


def bytes_of(rrset: RRset | None) -> set[bytes]:
    return {value.wire for value in rrset.values} if rrset else set()


@given(FOREIGN, OURS, OURS, st.sampled_from(["member", "spf"]))
def test_present_change_absent_leaves_what_others_wrote(
    foreign: list[Value], first: list[int], second: list[int], mode: str
) -> None:
    key = want().key
    there = RRset(key, 1800, tuple(foreign)) if foreign else None
    firsts, seconds = ([f"ip4:240.9.1.{number}" for number in numbers] for numbers in (first, second))
    present = want(mode=mode, values=firsts)
    changed = want(mode=mode, values=seconds, was=firsts)
    state = there
    for step in (present, changed):
        state = after(step, state)
        assert state is not None
        assert bytes_of(there) <= bytes_of(state)
        assert state.ttl == (1800 if there else step.ttl)
        assert after(step, state) == state
    assert after(want(mode=mode, values=seconds, was=firsts, absent=True), state) == there
