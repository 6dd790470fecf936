# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Which DMARC record applies, and where an organisation begins (RFC 9989 section 4.10)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import dmarc_walk

NONE, REJECT = "v=DMARC1; p=none", "v=DMARC1; p=reject"


def walk(domain: str, records: Mapping[str, str]) -> dmarc_walk.Found:
    texts = {f"_dmarc.{name}": value.split("|") for name, value in records.items()}
    return dmarc_walk.walk(domain, lambda name, kind: texts.get(name, []) if kind == "TXT" else [])


@pytest.mark.parametrize(
    ("domain", "records", "applies", "organisation"),
    [
        ("acme.example", {}, None, "acme.example"),
        ("acme.example", {"acme.example": NONE}, "acme.example", "acme.example"),
        ("news.acme.example", {"acme.example": NONE}, "acme.example", "acme.example"),
        ("news.acme.example", {"acme.example": NONE, "news.acme.example": REJECT}, "news.acme.example", "acme.example"),
        ("a.b.acme.example", {"b.acme.example": NONE, "acme.example": REJECT}, "acme.example", "acme.example"),
        ("acme.example", {"acme.example": "hello"}, None, "acme.example"),
        ("acme.example", {"acme.example": f"hello|{NONE}"}, "acme.example", "acme.example"),
        ("acme.example", {"acme.example": f"{NONE}|{REJECT}"}, None, "acme.example"),
        ("n.acme.example", {"n.acme.example": f"{NONE}|{NONE}", "acme.example": NONE}, "acme.example", "acme.example"),
        ("a.b.acme.example", {"b.acme.example": f"{NONE}; psd=n", "acme.example": REJECT}, "b.acme.example",
         "b.acme.example"),
        ("acme.bank", {"bank": f"{REJECT}; psd=y"}, "bank", "acme.bank"),
        ("news.acme.bank", {"bank": f"{REJECT}; psd=y"}, "bank", "acme.bank"),
        ("news.acme.bank", {"bank": f"{REJECT}; psd=y", "acme.bank": NONE}, "acme.bank", "acme.bank"),
        ("bank", {"bank": f"{REJECT}; psd=y"}, "bank", "bank"),
    ],
)  # fmt: skip
def test_policy_and_organisation(
    domain: str, records: Mapping[str, str], applies: str | None, organisation: str
) -> None:
    found = walk(domain, records)
    assert (found.policy[0] if found.policy else None) == applies
    assert found.organisation == organisation


def test_a_long_name_costs_eight_questions() -> None:
    names = dmarc_walk.names("a.b.c.d.e.f.g.h.i.j.mail.example.com")
    assert len(names) == 8
    assert names[:2] == ["a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com"]
    assert names[-1] == "com"
    assert len(dmarc_walk.names("a.b.c.d.e.f.g.com")) == 8
    assert dmarc_walk.names("a.b.com") == ["a.b.com", "b.com", "com"]


def test_nobody_is_asked_above_a_record_that_says_where_the_organisation_begins() -> None:
    assert [name for name, _ in walk("a.b.example", {"b.example": f"{NONE}; psd=n"}).at] == ["a.b.example", "b.example"]
