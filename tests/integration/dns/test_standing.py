# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""How a domain's records stand in the world, as its customer's page shows them, by real name servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dns.rdata
from ansible_collections.sendyard.mail.plugins.module_utils import records
from ansible_collections.sendyard.mail.plugins.module_utils.dns import model, standing, verify
from ansible_collections.sendyard.mail.plugins.module_utils.dns.standing import Standing
from integration.dns.conftest import ADDRESSES, KEY, NAME_SERVER, Yard
from integration.dns.servers import ADDRESS, Knot, NameServer, nasty

MERGED = "v=spf1 include:_spf.vendor.example a:mail.vendor.example ip4:10.9.1.1 ip6:fd00:9::1 ?all"


def wanted(yard: Yard) -> list[dict[str, Any]]:
    """The records of a domain with a return path on one server."""
    domain = yard.zone.removesuffix(".")
    return records.domain_records(
        domain, "mx1-1", KEY, ADDRESSES, return_path="bounces", fqdn="mx1.lab.example", credential="lab"
    )


def look(yard: Yard, wanted: Sequence[dict[str, Any]], *others: NameServer) -> dict[tuple[str, str], Standing]:
    """How they stand, by label and type."""
    override = {
        f"ns{number}.lab.example.": ((ADDRESS, one.port),) for number, one in enumerate((yard.server, *others), 1)
    }
    assert NAME_SERVER in override
    found = standing.look([model.parse_record(one) for one in wanted], verify.Directory((), override))
    return {(one.name.removesuffix(yard.zone).removesuffix("."), one.type): one for one in found}


def test_what_is_missing_what_differs_and_then_all_is_present(yard: Yard) -> None:
    found = look(yard, wanted(yard))
    assert {label: one.state for label, one in found.items()} == {
        ("", "TXT"): "wrong",
        ("mx1-1._domainkey", "TXT"): "missing",
        ("_dmarc", "TXT"): "missing",
        ("bounces", "MX"): "missing",
        ("bounces", "TXT"): "missing",
    }
    spf = found["", "TXT"]
    assert (spf.value, spf.ttl) == (MERGED, 1800)
    assert spf.found == "v=spf1 include:_spf.vendor.example a:mail.vendor.example ?all"
    assert found["mx1-1._domainkey", "TXT"].value == f"v=DKIM1; k=rsa; p={KEY}"
    assert found["bounces", "MX"].value == "10 mx1.lab.example."

    yard.publish(*wanted(yard))
    found = look(yard, wanted(yard))
    assert {one.state for one in found.values()} == {"present"}, found
    assert (found["", "TXT"].value, found["", "TXT"].found) == (MERGED, "")
    assert found["bounces", "MX"].value == "10 mx1.lab.example."


def test_another_key_in_our_place_is_wrong_and_says_what_should_be_there(yard: Yard) -> None:
    yard.publish(*wanted(yard))
    name = yard.name("mx1-1._domainkey")
    yard.server.put(yard.zone, name, 300, dns.rdata.from_text("IN", "TXT", '"v=DKIM1; p=AAAA"'))
    one = look(yard, wanted(yard))["mx1-1._domainkey", "TXT"]
    assert (one.state, one.found, one.value) == ("wrong", "v=DKIM1; p=AAAA", f"v=DKIM1; k=rsa; p={KEY}")
    assert "which we did not write" in one.note


def test_a_policy_of_others_that_stays_is_present_with_a_note(yard: Yard) -> None:
    theirs = "v=DMARC1; p=reject; rua=mailto:x@vendor.example"
    yard.server.put(yard.zone, yard.name("_dmarc"), 300, dns.rdata.from_text("IN", "TXT", f'"{theirs}"'))
    one = look(yard, wanted(yard))["_dmarc", "TXT"]
    assert (one.state, one.value) == ("present", theirs)
    assert "is not ours and stays" in one.note


def test_a_server_that_lags_behind_is_named(yard: Yard, start: Callable[..., NameServer]) -> None:
    yard.publish(*wanted(yard))
    late = start(Knot, {yard.zone: nasty(yard.zone)})
    one = look(yard, wanted(yard), late)["mx1-1._domainkey", "TXT"]
    assert one.state == "missing"
    assert one.note.startswith("ns2.lab.example.")


def test_where_nobody_answers_nothing_is_known(yard: Yard) -> None:
    silent = verify.Directory((), {NAME_SERVER: ((ADDRESS, 9),)})
    found = standing.look([model.parse_record(one) for one in wanted(yard)], silent)
    assert {one.state for one in found} == {"unknown"}
    assert all(one.value and one.note for one in found)
