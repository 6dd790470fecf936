# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""check_host() by the examples of RFC 7208, and beside pyspf as another reader of the same records."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

import pytest
import spf as pyspf  # type: ignore[import-untyped]
from ansible_collections.sendyard.mail.plugins.module_utils.dns.spf_evaluate import check_host, expand
from hypothesis import given, settings
from hypothesis import strategies as st

V4, V6 = "192.0.2.3", "2001:db8::cb01"
SENDER = "strong-bad@email.example.com"

WORLD: dict[tuple[str, str], Sequence[str]] = {
    ("example.com", "A"): ["192.0.2.10", "192.0.2.11"],
    ("example.com", "AAAA"): [V6],
    ("example.com", "MX"): ["10 mail-a.example.com.", "20 mail-b.example.com."],
    ("mail-a.example.com", "A"): ["192.0.2.129"],
    ("mail-b.example.com", "A"): ["192.0.2.130"],
    # Names of MX records and such have both families: pyspf counts each that has not as a look-up that finds nothing,
    # the RFC the term.
    ("mail-a.example.com", "AAAA"): ["2001:db8::a"],
    ("mail-b.example.com", "AAAA"): ["2001:db8::b"],
    ("amy.example.com", "A"): ["192.0.2.65"],
    ("amy.example.com", "AAAA"): ["2001:db8::c"],
    ("3.2.0.192.in-addr.arpa", "PTR"): ["mail-c.example.com."],
    ("mail-c.example.com", "A"): [V4],
    ("10.2.0.192.in-addr.arpa", "PTR"): ["liar.example.com."],
    ("liar.example.com", "A"): ["198.51.100.9"],
    ("pass.example", "TXT"): ["v=spf1 +all"],
    ("softfail.example", "TXT"): ["hello", "v=spf1 ~all"],
    ("neutral.example", "TXT"): ["v=spf1 ?all"],
    ("fail.example", "TXT"): ["v=spf1 -all"],
    ("empty.example", "TXT"): ["v=spf1"],
    ("two.example", "TXT"): ["v=spf1 -all", "v=spf1 +all"],
    ("broken.example", "TXT"): ["v=spf1 ip4:300.1.1.1 +all"],
    ("circle.example", "TXT"): ["v=spf1 include:circle.example -all"],
    ("deep.example", "TXT"): ["v=spf1 " + "a:amy.example.com " * 6 + "-all"],
    ("to-pass.example", "TXT"): ["v=spf1 redirect=pass.example"],
    ("3.2.0.192._spf.example.com", "A"): ["127.0.0.2"],
    ("many.example", "MX"): [f"{n} mail-a.example.com." for n in range(11)],
}


def ask(name: str, kind: str) -> Sequence[str]:
    return WORLD.get((name.lower(), kind), ())


def by_pyspf(address: str, record: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What pyspf says of the same record in the same world."""

    def look_up(name: str, kind: str, _tcp: bool = True, _timeout: float = 30) -> list[tuple[Any, Any]]:
        values: Sequence[Any] = [record] if (name, kind) == ("example.com", "TXT") else ask(name, kind)
        if kind == "TXT":
            values = [(value.encode(),) for value in values]
        elif kind == "MX":
            values = [(int(value.split()[0]), value.split()[1].rstrip(".")) for value in values]
        elif kind == "PTR":
            values = [value.rstrip(".") for value in values]
        return [((name, kind), value) for value in values]

    monkeypatch.setattr(pyspf, "DNSLookup", look_up)
    return str(pyspf.query(i=address, s="x@example.com", h="example.com").check()[0])


def by_us(address: str, record: str) -> str:
    def with_record(name: str, kind: str) -> Sequence[str]:
        return [record] if (name, kind) == ("example.com", "TXT") else ask(name, kind)

    return str(check_host(address, "example.com", "x@example.com", with_record).result)


@pytest.mark.parametrize(
    ("record", "address", "result"),
    [
        ("v=spf1 +all", V4, "pass"),
        ("v=spf1 a -all", "192.0.2.10", "pass"),
        ("v=spf1 a -all", V6, "pass"),
        ("v=spf1 a -all", "192.0.2.12", "fail"),
        ("v=spf1 a/24 -all", "192.0.2.200", "pass"),
        ("v=spf1 a//64 -all", "2001:db8::1", "pass"),
        ("v=spf1 a:example.com/30//64 -all", "192.0.2.9", "pass"),
        ("v=spf1 a:example.org -all", V4, "fail"),
        ("v=spf1 mx -all", "192.0.2.130", "pass"),
        ("v=spf1 mx -all", V6, "fail"),
        ("v=spf1 mx:example.org -all", V4, "fail"),
        ("v=spf1 mx:many.example -all", V4, "permerror"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "pass"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.65", "fail"),
        ("v=spf1 ip6:2001:db8::/32 ~all", V6, "pass"),
        ("v=spf1 ip6:2001:db8::/32 ~all", V4, "softfail"),
        ("v=spf1 ptr -all", V4, "pass"),
        ("v=spf1 ptr -all", "192.0.2.10", "fail"),
        ("v=spf1 include:pass.example -all", V4, "pass"),
        ("v=spf1 include:fail.example ?all", V4, "neutral"),
        ("v=spf1 -include:pass.example +all", V4, "fail"),
        ("v=spf1 include:nothing.example +all", V4, "permerror"),
        ("v=spf1 include:two.example +all", V4, "permerror"),
        ("v=spf1 include:broken.example +all", V4, "permerror"),
        ("v=spf1 include:circle.example +all", V4, "permerror"),
        ("v=spf1 redirect=fail.example", V4, "fail"),
        ("v=spf1 redirect=fail.example ip4:192.0.2.3", V4, "pass"),
        ("v=spf1 redirect=nothing.example", V4, "permerror"),
        ("v=spf1 ~all redirect=pass.example", V4, "softfail"),
        ("v=spf1 redirect=pass.example redirect=pass.example", V4, "permerror"),
        ("v=spf1 exists:%{ir}._spf.%{d} -all", V4, "pass"),
        ("v=spf1 exists:%{ir}._spf.%{d} -all", "192.0.2.4", "fail"),
        ("v=spf1 exists:%{x} -all", V4, "permerror"),
        ("v=spf1 foo=1 +all foo=2", V4, "pass"),  # section 6: however often it appears; pyspf says permerror
        ("v=spf1", V4, "neutral"),
        ("v=spf1 include:deep.example a:amy.example.com a:amy.example.com mx a +all", V4, "permerror"),
        ("v=spf1 include:deep.example a:amy.example.com a:amy.example.com mx +all", V4, "pass"),
        ("v=spf1 a:x.example a:y.example a:z.example +all", V4, "permerror"),
        ("v=spf1 a:x.example a:y.example +all", V4, "pass"),
        ("v=spf1 +all a:%", V4, "permerror"),
        ("v=spf1 +all a/33", V4, "permerror"),
        ("v=spf1 +all redirect=pass.example redirect=pass.example", V4, "permerror"),
    ],
)
def test_a_record_says_what_the_rfc_says(record: str, address: str, result: str) -> None:
    assert by_us(address, record) == result


@pytest.mark.parametrize("record", ["", "v=spf10 +all", "spf1 +all"])
def test_what_is_no_record_is_none(record: str) -> None:
    assert by_us(V4, record) == "none"


def test_the_reason_names_the_term_and_its_domain() -> None:
    found = check_host(V4, "example.com", "x@example.com", lambda *_: ["v=spf1 ip4:192.0.2.3 -all"])
    assert found.why == "ip4:192.0.2.3 of example.com"


# RFC 7208 section 7.4, the examples but for %{p}.
@pytest.mark.parametrize(
    ("text", "address", "expanded"),
    [
        ("%{s}", V4, "strong-bad@email.example.com"),
        ("%{o}", V4, "email.example.com"),
        ("%{d}", V4, "email.example.com"),
        ("%{d4}", V4, "email.example.com"),
        ("%{d3}", V4, "email.example.com"),
        ("%{d2}", V4, "example.com"),
        ("%{d1}", V4, "com"),
        ("%{dr}", V4, "com.example.email"),
        ("%{d2r}", V4, "example.email"),
        ("%{l}", V4, "strong-bad"),
        ("%{l-}", V4, "strong.bad"),
        ("%{lr}", V4, "strong-bad"),
        ("%{lr-}", V4, "bad.strong"),
        ("%{l1r-}", V4, "strong"),
        ("%{ir}.%{v}._spf.%{d2}", V4, "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", V4, "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", V4, "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", V4, "example.com.trusted-domains.example.net"),
        (
            "%{ir}.%{v}._spf.%{d2}",
            V6,
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com",
        ),
        ("a%%b.example", V4, "a%b.example"),
    ],
)
def test_macros(text: str, address: str, expanded: str) -> None:
    assert expand(text, ipaddress.ip_address(address), SENDER, "email.example.com") == expanded


TERMS = st.sampled_from(
    [
        "a", "a/24", "a//32", "a:amy.example.com", "a:x.example", "mx", "mx/28", "ptr",
        "ip4:192.0.2.3", "ip4:192.0.2.0/24",
        "ip6:2001:db8::/32", "include:pass.example", "include:fail.example", "include:softfail.example",
        "include:neutral.example", "include:nothing.example", "include:two.example", "include:broken.example",
        "include:deep.example", "include:to-pass.example", "include:empty.example", "exists:%{ir}._spf.%{d}", "all",
        "ip5:1", "redirect=pass.example", "redirect=nothing.example",
    ]
)  # fmt: skip
ADDRESSES = st.sampled_from([V4, "192.0.2.10", "192.0.2.65", "192.0.2.129", "198.51.100.1", V6, "2001:db9::1"])


@settings(max_examples=400, deadline=None)
@given(terms=st.lists(st.tuples(st.sampled_from(["", "+", "-", "~", "?"]), TERMS), max_size=8), address=ADDRESSES)
def test_pyspf_says_the_same(terms: list[tuple[str, str]], address: str) -> None:
    if any("redirect" in term for _, term in terms):  # pyspf counts it also where `all` means that nobody follows it
        terms = [(sign, term) for sign, term in terms if term != "include:deep.example"]
    record = " ".join(["v=spf1", "foo=bar", *(term if "=" in term else sign + term for sign, term in terms)])
    with pytest.MonkeyPatch.context() as patch:
        theirs = by_pyspf(address, record, patch)
    assert by_us(address, record) == theirs, record
