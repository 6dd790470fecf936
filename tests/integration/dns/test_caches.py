# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What resolvers may still have of what a run replaced, as told after publishing to real Knot and BIND."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.rdata
import dns.rdatatype
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import verify
from ansible_collections.sendyard.mail.plugins.module_utils.dns.caches import Cached
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import Key, parse_name
from ansible_collections.sendyard.mail.plugins.module_utils.dns.wire import Server
from integration.dns.conftest import NAME_SERVER, Yard, run
from integration.dns.servers import ADDRESS, NameServer, free_port, soa

NET, PART = "1.9.10.in-addr.arpa.", "64-127.1.9.10.in-addr.arpa."
Start = Callable[..., NameServer]


def spf(yard: Yard, label: str = "", *values: str, **said: Any) -> dict[str, Any]:
    return yard.record(label, "TXT", values or ["ip4:10.9.1.1"], mode="spf", subject="acme", **said)


def ptr(address: str, name: str = "mx1.yard.example.", **said: Any) -> dict[str, Any]:
    place = ".".join(reversed(address.split("."))) + ".in-addr.arpa."
    return {"name": place, "type": "PTR", "values": [name], "credential": "lab", "subject": "mx1", **said}


def reverse_zone(*, soa_ttl: int, minimum: int, more: str = "") -> str:
    """A reverse zone whose SOA record has this TTL and MINIMUM."""
    made = soa(NET).replace("@ SOA", f"@ {soa_ttl} SOA").replace(" 86400 300\n", f" 86400 {minimum}\n")
    assert f"@ {soa_ttl} SOA" in made and f"86400 {minimum}\n" in made
    return made + more


def test_an_spf_record_that_gains_a_mechanism_is_told_with_its_old_ttl_and_then_nothing(yard: Yard) -> None:
    told = {"acme": Cached(1800, f"{yard.zone} TXT")}
    assert yard.publish(spf(yard), write=False).cached == told
    assert yard.publish(spf(yard)).cached == told
    again = yard.publish(spf(yard))
    assert (len(again.changes), again.cached) == (0, {})
    assert yard.publish(spf(yard, "", "ip4:10.9.1.2", was=["ip4:10.9.1.1"])).cached == told


def test_where_no_spf_record_stood_or_none_gains_anything_nothing_is_told(yard: Yard) -> None:
    assert yard.publish(spf(yard, "first")).cached == {}
    assert yard.publish(spf(yard), spf(yard, "second", "ip4:10.9.1.1", "ip4:10.9.1.2")).cached.keys() == {"acme"}
    less = yard.publish(spf(yard, "second", "ip4:10.9.1.1", was=["ip4:10.9.1.2"]))
    assert (len(less.changes), less.cached) == (1, {})
    assert yard.publish(yard.record("dkim._domainkey", "TXT", ["v=DKIM1; p="], subject="acme")).cached == {}


def test_the_servers_own_records_count_too(yard: Yard) -> None:
    """Its EHLO name has an SPF record that refuses others, and a PTR record is believed when its name leads back."""
    before = [
        yard.record("mx1", "A", ["10.9.1.1"], ttl=700, subject="mx1"),
        yard.record("mx1", "TXT", ["v=spf1 ip4:10.9.1.1 -all"], ttl=600, subject="mx1"),
    ]
    assert yard.publish(*before).cached == {}
    after = [
        yard.record("mx1", "A", ["10.9.1.1", "10.9.1.2"], ttl=700, subject="mx1"),
        yard.record(
            "mx1", "TXT", ["v=spf1 ip4:10.9.1.1 ip4:10.9.1.2 -all"], was=["v=spf1 ip4:10.9.1.1 -all"], ttl=600,
            subject="mx1",
        ),
    ]  # fmt: skip
    assert yard.publish(after[1]).cached == {"mx1": Cached(600, f"{yard.name('mx1')} TXT")}
    assert yard.publish(*after).cached == {"mx1": Cached(700, f"{yard.name('mx1')} A")}


@pytest.mark.parametrize(("soa_ttl", "minimum", "told"), [(3600, 300, 300), (60, 7200, 60)])
def test_a_new_ptr_record_is_told_with_the_negative_ttl_of_its_zone(
    server: NameServer, start: Start, soa_ttl: int, minimum: int, told: int
) -> None:
    mine = start(type(server), {NET: reverse_zone(soa_ttl=soa_ttl, minimum=minimum)})
    for write in (False, True):
        assert run(mine, [ptr("10.9.1.1")], write=write).cached == {"mx1": Cached(told, f"1.{NET} PTR")}
    outcome = run(mine, [ptr("10.9.1.1")])
    assert (len(outcome.changes), outcome.cached) == (0, {})


def test_a_ptr_record_that_is_replaced_is_told_with_its_own_ttl(server: NameServer, start: Start) -> None:
    mine = start(
        type(server), {NET: reverse_zone(soa_ttl=3600, minimum=300, more="1 777 PTR static.theirs.example.\n")}
    )
    assert run(mine, [ptr("10.9.1.1")], adopt=True).cached == {"mx1": Cached(777, f"1.{NET} PTR")}


def test_a_name_by_the_provider_counts_for_an_hour_at_most(server: NameServer, start: Start) -> None:
    mine = start(
        type(server), {NET: reverse_zone(soa_ttl=3600, minimum=300, more="1 86400 PTR static.theirs.example.\n")}
    )
    assert run(mine, [ptr("10.9.1.1")], adopt=True).cached == {"mx1": Cached(3600, f"1.{NET} PTR")}


def test_a_ptr_record_of_a_part_of_a_net_has_the_negative_ttl_of_that_zone(server: NameServer, start: Start) -> None:
    part = soa(PART).replace(" 86400 300\n", " 86400 200\n")
    net = reverse_zone(soa_ttl=3600, minimum=100, more=f"70 CNAME 70.{PART}\n64-127 NS {NAME_SERVER}\n")
    mine = start(type(server), {NET: net, PART: part})
    assert run(mine, [ptr("10.9.1.70")]).cached == {"mx1": Cached(200, f"70.{PART} PTR")}


def test_a_run_that_changes_nothing_does_not_ask_for_it(
    server: NameServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = start(type(server), {NET: reverse_zone(soa_ttl=3600, minimum=300)})
    run(mine, [ptr("10.9.1.1")])
    monkeypatch.setattr(verify, "held", None)
    assert run(mine, [ptr("10.9.1.1")]).faults == {}


def test_what_an_earlier_run_may_have_written_counts_as_if_it_were_new(
    yard: Yard, server: NameServer, start: Start
) -> None:
    """That run was killed, or not confirmed, and nobody knows what it replaced."""
    yard.publish(spf(yard), spf(yard, "first"))
    yard.publish(yard.record("mx1", "TXT", ["v=spf1 ip4:10.9.1.1 -all"], ttl=600, subject="mx1"))
    assert yard.publish(spf(yard, attempted=True)).cached == {"acme": Cached(1800, f"{yard.zone} TXT")}
    assert yard.publish(spf(yard, "first", attempted=True)).cached == {}  # it is as a first one of ours would be
    own = yard.record("mx1", "TXT", ["v=spf1 ip4:10.9.1.1 -all"], ttl=600, subject="mx1", attempted=True)
    assert yard.publish(own).cached == {}
    assert yard.publish({**own, "was": ["v=spf1 -all"]}).cached == {"mx1": Cached(600, f"{yard.name('mx1')} TXT")}
    mine = start(type(server), {NET: reverse_zone(soa_ttl=3600, minimum=300)})
    run(mine, [ptr("10.9.1.1")])
    assert run(mine, [ptr("10.9.1.1", attempted=True)]).cached == {"mx1": Cached(300, f"1.{NET} PTR")}


def test_where_nobody_answers_the_longest_is_assumed(yard: Yard) -> None:
    zone, silent = parse_name(yard.zone), Server("silent", ADDRESS, free_port())
    answering = Server("answering", ADDRESS, yard.server.port)
    assert verify.held(zone, [silent]) == verify.LONGEST_NEGATIVE
    assert verify.held(zone, [silent, answering]) == 300
    yard.server.put(yard.zone, yard.name("there"), 42, dns.rdata.from_text("IN", "A", "10.9.1.1"))
    for label, kind, seconds in [("there", "A", 42), ("there", "AAAA", 300), ("missing", "A", 300)]:
        key = Key(parse_name(yard.name(label)), dns.rdatatype.from_text(kind))
        assert verify.held(zone, [answering], key) == seconds
