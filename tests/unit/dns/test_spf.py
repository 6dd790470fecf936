# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Our mechanisms go into an SPF record and out again, and nothing else of it moves."""

from __future__ import annotations

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import spf
from ansible_collections.sendyard.mail.plugins.module_utils.dns.spf import SpfError
from hypothesis import given
from hypothesis import strategies as st

OURS = ["ip4:10.9.1.1", "ip6:fd00:9::1"]


@pytest.mark.parametrize(
    ("record", "merged"),
    [
        ("v=spf1 -all", "v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 -all"),
        ("v=spf1 ?all", "v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 ?all"),
        ("v=spf1 a  mx ALL", "v=spf1 a  mx ip4:10.9.1.1 ip6:fd00:9::1 ALL"),
        ("V=SPF1 redirect=_spf.a.example", "V=SPF1 ip4:10.9.1.1 ip6:fd00:9::1 redirect=_spf.a.example"),
        ("v=spf1 redirect=b.example ~all", "v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 redirect=b.example ~all"),
        ("v=spf1 include:a.example", "v=spf1 include:a.example ip4:10.9.1.1 ip6:fd00:9::1"),
        ("v=spf1", "v=spf1 ip4:10.9.1.1 ip6:fd00:9::1"),
        ("v=spf1 ", "v=spf1  ip4:10.9.1.1 ip6:fd00:9::1"),
        ("v=spf1 -all exp=why.a.example", "v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 -all exp=why.a.example"),
        ("v=spf1 +IP4:10.9.1.1/32 ip6:FD00:9:0::1 -all", "v=spf1 +IP4:10.9.1.1/32 ip6:FD00:9:0::1 -all"),
        ("v=spf1 ip4:10.9.1.0/24 -all", "v=spf1 ip4:10.9.1.0/24 ip4:10.9.1.1 ip6:fd00:9::1 -all"),
    ],
)
def test_ours_stand_before_the_end_and_the_end_stays(record: str, merged: str) -> None:
    assert spf.merge(record, OURS) == merged
    assert spf.merge(merged, OURS) == merged


def test_what_was_ours_goes_and_what_is_wanted_still_stays() -> None:
    assert (
        spf.merge("v=spf1 ip4:10.9.1.9 mx ip4:10.9.1.1 ~all", ["ip4:10.9.1.1"], was=["ip4:10.9.1.9", "ip4:10.9.1.1"])
        == "v=spf1 mx ip4:10.9.1.1 ~all"
    )


@pytest.mark.parametrize("qualifier", ["-", "~", "?"])
def test_what_others_say_of_the_same_address_stays(qualifier: str) -> None:
    record = f"v=spf1 {qualifier}ip4:10.9.1.9 mx ~all"
    assert spf.remove(record, ["ip4:10.9.1.9"]) == record
    assert spf.merge(record, [], was=["ip4:10.9.1.9"]) == record
    assert spf.without("v=spf1 +IP4:10.9.1.9 mx ~all", ["ip4:10.9.1.9"]) == "v=spf1 mx ~all"


def test_an_all_of_ours_ends_only_a_first_record() -> None:
    assert spf.first(["ip4:10.9.1.1"]) == "v=spf1 ip4:10.9.1.1 ~all"
    assert spf.first(["ip4:10.9.1.1", "-all"]) == "v=spf1 ip4:10.9.1.1 -all"
    assert spf.merge("v=spf1 ?all", ["ip4:10.9.1.1", "-all"]) == "v=spf1 ip4:10.9.1.1 ?all"


@pytest.mark.parametrize(
    ("record", "left"),
    [
        ("v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 ~all", None),
        ("v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 -all", "v=spf1 -all"),
        ("v=spf1 ip4:10.9.1.1 mx ~all", "v=spf1 mx ~all"),
        ("v=spf1 ~all", "v=spf1 ~all"),
    ],
)
def test_a_record_that_was_only_ours_goes_wholly(record: str, left: str | None) -> None:
    assert spf.without(record, OURS) == left


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 ip4:10.9.0.256 -all",
        "v=spf1 ip4:fd00::1 -all",
        "v=spf1 ip6:10.9.0.1 -all",
        "v=spf1 inlcude:a.example -all",
        "v=spf1 include -all",
        "v=spf1 all:x",
        "v=spf1 \xff -all",
        "v=spf1\ta -all",
        "v=spf10 a -all",
    ],
)
def test_a_broken_record_is_not_made_worse(record: str) -> None:
    with pytest.raises(SpfError):
        spf.merge(record, OURS)


def test_a_contradiction_is_named() -> None:
    with pytest.raises(SpfError, match=r'has "-ip4:10\.9\.1\.1", which contradicts our "ip4:10\.9\.1\.1"'):
        spf.merge("v=spf1 -ip4:10.9.1.1 ~all", OURS)


def test_more_look_ups_than_receivers_make_are_counted() -> None:
    ten = "v=spf1 " + " ".join(f"include:s{n}.example" for n in range(9)) + " redirect=r.example"
    assert spf.lookups(ten) == 10
    assert spf.merge(ten, OURS)
    with pytest.raises(SpfError, match="needs 11 DNS look-ups"):
        spf.merge(ten, ["mx"])


def test_what_is_no_mechanism_is_not_ours() -> None:
    for text in ["redirect=a.example", "ip4:10.9.1.1 ip4:10.9.1.2", "", "ip4"]:
        with pytest.raises(SpfError):
            spf.merge("v=spf1 -all", [text])


MECHANISM = st.one_of(
    st.ip_addresses(v=4).map(lambda address: f"ip4:{address}"),
    st.ip_addresses(v=6).map(lambda address: f"ip6:{address}"),
    st.sampled_from(
        ["a", "mx", "A:mail.a.example", "mx/24", "a:b.example/24//64", "include:_spf.a.example", "exists:%{i}.b"]
    ),
)
QUALIFIED = st.tuples(st.sampled_from(["", "+", "-", "~", "?"]), MECHANISM).map("".join)
MODIFIER = st.sampled_from(["redirect=_spf.a.example", "exp=why.a.example", "unknown=thing"])
END = st.sampled_from(["", "all", "-all", "~all", "?ALL"])
GAP = st.sampled_from([" ", " ", "  "])


@st.composite
def records(draw: st.DrawFn) -> str:
    """An SPF record as other people write them, with at most six look-ups."""
    terms = [*draw(st.lists(st.one_of(QUALIFIED, MODIFIER), max_size=6)), draw(END)]
    return draw(st.sampled_from(["v=spf1", "V=spf1"])) + "".join(draw(GAP) + term for term in terms)


@st.composite
def addresses(draw: st.DrawFn) -> list[str]:
    """Mechanisms of ours, which no foreign record of these tests has."""
    numbers = draw(st.lists(st.integers(0, 255), min_size=1, max_size=4, unique=True))
    return [f"ip4:240.9.1.{number}" for number in numbers]


def without_ours(record: str) -> bool:
    return "ip4:240.9.1." not in record


@given(records().filter(without_ours), addresses(), addresses())
def test_present_change_absent_leaves_every_byte(record: str, first: list[str], second: list[str]) -> None:
    there = spf.merge(record, first)
    changed = spf.merge(there, second, was=first)
    assert spf.remove(changed, second) == record
    assert spf.remove(there, first) == record


@given(records().filter(without_ours), addresses())
def test_merging_adds_exactly_ours_in_a_place_where_they_count(record: str, ours: list[str]) -> None:
    merged = spf.merge(record, ours)
    terms = [term.text for term in spf.parse(merged)]
    assert [text for text in terms if text not in ours] == [term.text for term in spf.parse(record)]
    assert set(ours) <= set(terms)
    ends = [index for index, term in enumerate(spf.parse(merged)) if term.is_end]
    assert all(terms.index(text) < min(ends, default=len(terms)) for text in ours)
    assert spf.merge(merged, ours) == merged


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=60))
def test_any_text_is_merged_or_refused(text: str) -> None:
    try:
        merged = spf.merge(f"v=spf1 {text}", OURS)
    except SpfError:
        return
    assert {term.text for term in spf.parse(merged)} >= {term.text for term in spf.parse(f"v=spf1 {text}")}
