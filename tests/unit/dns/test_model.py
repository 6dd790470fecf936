# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Text becomes rdata at the edge, whatever it contains."""

from __future__ import annotations

from typing import Any

import dns.rdatatype
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import model
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import RecordError, parse_record, parse_value
from hypothesis import given
from hypothesis import strategies as st

TXT = dns.rdatatype.TXT


@given(st.text(max_size=700))
def test_a_txt_holds_exactly_the_text_in_strings_of_at_most_255_octets(text: str) -> None:
    value = parse_value(TXT, text)
    strings = value.rdata.strings  # type: ignore[attr-defined]
    assert b"".join(strings) == text.encode()
    assert all(len(string) <= 255 for string in strings)
    assert value.text == text


def test_a_semicolon_or_quote_in_a_txt_is_nothing_special() -> None:
    assert parse_value(TXT, 'v=DKIM1; k="rsa"').rdata.to_text() == '"v=DKIM1; k=\\"rsa\\""'


def test_chunks_do_not_make_a_txt_another() -> None:
    cut = dns.rdata.from_text("IN", "TXT", '"v=DKIM1; " "k=rsa"')
    assert model.Value(cut).identity == parse_value(TXT, "v=DKIM1; k=rsa").identity
    assert model.Value(cut).wire != parse_value(TXT, "v=DKIM1; k=rsa").wire


@pytest.mark.parametrize("text", ["10 mx1.yard.example", "10 mx1.yard.example.", "10 MX1.yard.example"])
def test_names_in_values_are_absolute_with_or_without_the_last_dot(text: str) -> None:
    value = parse_value(dns.rdatatype.MX, text)
    assert value.text.lower() == "10 mx1.yard.example."
    assert value.identity == parse_value(dns.rdatatype.MX, "10 mx1.yard.example.").identity


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"type": "A"}, "name is missing"),
        ({"name": "a.example", "type": "A", "vlaues": []}, "vlaues is unknown"),
        ({"name": "a..example", "type": "A"}, '"a..example" is no domain name'),
        ({"name": "a.example", "type": "AX"}, '"AX" is no type'),
        ({"name": "a.example", "type": "A", "mode": "mine"}, "a mode is one of own, member, spf, manual"),
        ({"name": "a.example", "type": "A", "mode": "spf"}, "mode spf is for TXT"),
        ({"name": "a.example", "type": "A", "ttl": "1h"}, '"1h" is no TTL'),
        ({"name": "a.example", "type": "A", "values": "10.9.0.1"}, "values is a list of texts"),
        ({"name": "a.example", "type": "A", "values": ["10.9.0.256"]}, '"10.9.0.256" is no value of a A record'),
        ({"name": "a.example", "type": "AAAA", "was": ["fd00::g"]}, '"fd00::g" is no value of a AAAA record'),
    ],
)
def test_what_is_no_record_is_named(record: dict[str, Any], said: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_record(record)
    assert said in str(caught.value)


def test_a_record_says_whose_it_is_or_is_its_own() -> None:
    assert parse_record({"name": "A.Example.", "type": "a"}).subjects == ("a.example",)
    assert parse_record({"name": "a.example", "type": "A", "subject": "MX1"}).subjects == ("MX1",)
    assert str(parse_record({"name": "A.Example", "type": "a"}).key) == "a.example. A"
