# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The fuse lets every plan through, and nothing that a plan would never do."""

from __future__ import annotations

from dataclasses import replace

import dns.name
import dns.rdatatype
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import fuse, planner
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import (
    Change,
    DnsError,
    Key,
    RRset,
    Want,
    parse_record,
    parse_value,
)
from hypothesis import given
from hypothesis import strategies as st

KEY = Key(dns.name.from_text("acme.example."), dns.rdatatype.TXT)
OURS = ["ip4:10.9.1.1", "ip4:10.9.1.2", "ip6:fd00::1"]
SPF = ["v=spf1 ~all", "v=spf1 include:a.example ip4:10.9.1.1 -all", "v=spf1 redirect=b.example", "v=spf1 ip4:10.9.1.2"]
FOREIGN = ["google-site-verification=abc", "", 'weird "quoted" ; \\ back']


def rrset(texts: list[str], ttl: int = 1800) -> RRset | None:
    return RRset(KEY, ttl, tuple(parse_value(KEY.type, text) for text in texts)) if texts else None


def want(mode: str, values: list[str], was: list[str], *, absent: bool = False) -> Want:
    record = {"name": "acme.example", "type": "TXT", "mode": mode, "values": values, "was": was}
    return parse_record(record, absent=absent)


SOME = st.lists(st.sampled_from(OURS), max_size=3, unique=True)


@given(
    mode=st.sampled_from(["own", "member", "spf"]),
    values=SOME,
    was=SOME,
    absent=st.booleans(),
    adopt=st.booleans(),
    there=st.lists(st.sampled_from([*OURS, *FOREIGN]), max_size=4, unique=True),
    record=st.lists(st.sampled_from(SPF), max_size=1),
)
def test_every_plan_passes(  # noqa: PLR0917
    mode: str, values: list[str], was: list[str], absent: bool, adopt: bool, there: list[str], record: list[str]
) -> None:
    wanted = want(mode, values, was, absent=absent)
    found = planner.Found({KEY: rrset(there + record)})
    plan = planner.plan({KEY: wanted}, found, adopt=adopt)
    fuse.check(plan.changes, {KEY: wanted}, adopt=adopt)


BEFORE = [*FOREIGN, "v=spf1 include:a.example ~all", "ours"]


@pytest.mark.parametrize(
    ("mode", "after", "said"),
    [
        ("member", ["ours", "v=spf1 include:a.example ~all"], '"google-site-verification=abc", "", "weird'),
        ("member", [], "is not ours to remove"),
        ("member", [*BEFORE, "strange"], 'nobody wants "strange"'),
        ("own", ["ours"], "is not ours to remove"),
        ("spf", FOREIGN, "more than one value would change"),
        ("spf", [*FOREIGN, "ours"], "include:a.example is not ours to remove"),
        ("spf", [*FOREIGN, "ours", "v=spf1 ip4:10.9.1.1 ~all"], "include:a.example is not ours to remove"),
        ("spf", [*FOREIGN, "ours", "v=spf1 include:a.example ip4:10.9.1.1 -all"], "~all is not ours to remove"),
        ("spf", [*FOREIGN, "ours", "v=spf1 include:a.example ip4:10.6.6.6 ~all"], "nobody wants ip4:10.6.6.6"),
        ("spf", [*BEFORE[1:], "strange"], "is no SPF record"),
    ],
)
def test_what_nobody_asked_for_blows_it(mode: str, after: list[str], said: str) -> None:
    wanted = want(mode, ["ip4:10.9.1.1"] if mode == "spf" else ["ours"], [])
    with pytest.raises(fuse.Blown, match="Nothing was written") as caught:
        fuse.check([Change(KEY, rrset(BEFORE), rrset(after))], {KEY: wanted}, adopt=False)
    assert said in str(caught.value)


def test_a_ttl_of_others_and_a_key_that_nobody_wants_blow_it() -> None:
    wanted = want("member", ["ours"], [])
    change = Change(KEY, rrset(BEFORE), rrset(BEFORE, ttl=60))
    for wants in ({KEY: wanted}, {}):
        with pytest.raises(DnsError):
            fuse.check([change], wants, adopt=True)
    fuse.check([change], {KEY: replace(wanted, mode="own")}, adopt=True)
