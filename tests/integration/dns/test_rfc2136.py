# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Publishing to real Knot and real BIND by dynamic updates: what no other way to change a zone has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import dns.message
import dns.name
import dns.rdata
import dns.rdatatype
import dns.update
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import records
from ansible_collections.sendyard.mail.plugins.module_utils.dns import credentials, model, spf, verify, wire
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import Conflict, Zone
from integration.dns.conftest import ADDRESSES, KEY, NAME_SERVER, Yard, run
from integration.dns.servers import ADDRESS, KEY_NAME, Bind, Knot, NameServer, free_port, soa


def test_an_alias_that_came_since_reading_is_a_conflict(yard: Yard) -> None:
    key = model.parse_record(yard.record("new", "TXT", ["ours"])).key
    known = {"lab": yard.server.credential()}
    backend = credentials.backend("lab", known, credentials.secrets(["lab"], known, {}), verify.Directory((), {}))
    zone = backend.find_zones([key.name])[key.name]
    assert isinstance(zone, Zone)
    assert backend.read(zone, [key]).rrsets == {key: None}
    update = dns.update.UpdateMessage(yard.zone)
    update.add(key.name, 60, "CNAME", "vendor.example.")
    assert yard.server.update(update) == 0
    with pytest.raises(Conflict):
        backend.apply(zone, [model.Change(key, None, model.RRset(key, 60, (model.parse_value(key.type, "ours"),)))])
    backend.close()


def test_what_the_server_accepts_and_drops_is_noticed(yard: Yard) -> None:
    before = yard.foreign()
    outcome = yard.publish(yard.record("a", "CNAME", ["vendor.example"]))
    ((text,),) = outcome.faults.values()
    assert f"zone {yard.zone}: the server accepts the update and does not keep it: a.{yard.zone} CNAME" in text
    assert yard.foreign() == before


@pytest.mark.parametrize("below", [False, True], ids=["one wildcard", "one below the name too"])
def test_a_wildcard_that_has_what_we_want_is_not_taken_for_ours(yard: Yard, below: bool) -> None:
    update = dns.update.UpdateMessage(yard.zone)
    update.add(yard.name("*"), 3600, "A", "10.9.1.1")
    if below:
        update.add(yard.name("*.mx1"), 3600, "A", "10.9.1.1")
    assert yard.server.update(update) == 0
    before = yard.foreign()
    want = yard.record("mx1", "A", ["10.9.1.1"], ttl=3600)
    for changes in (1, 0):
        outcome = yard.publish(want)
        assert (outcome.faults, len(outcome.changes)) == ({}, changes)
    assert yard.foreign() - before == {(yard.name("mx1"), 1, 3600, bytes([10, 9, 1, 1]))}
    for changes in (1, 0):
        outcome = yard.publish(want, state="absent")
        assert (outcome.faults, len(outcome.changes)) == ({}, changes)
    assert yard.foreign() == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"secret": "YW5vdGhlciBzZWNyZXQgYWx0b2dldGhlcg=="}, "with another secret or algorithm (BADSIG)"),
        ({"key_algorithm": "hmac-sha512"}, 'does not accept key "sendyard."'),
        ({"key_name": "stranger."}, 'does not accept key "stranger." of credential "lab" in zone'),
        ({"port": 1}, "does not take a TCP connection (Connection refused)"),
    ],
)
@pytest.mark.parametrize("state", ["present", "checked"])
def test_a_credential_that_is_refused_is_named(yard: Yard, changed: dict[str, object], said: str, state: str) -> None:
    serial = yard.server.serial(yard.zone)
    outcome = run(
        yard.server, [yard.record("x", "A", ["10.9.1.1"])], credential=yard.server.credential(**changed), state=state
    )
    ((text,),) = outcome.faults.values()
    assert said in text
    assert "YW5v" not in text
    assert yard.server.serial(yard.zone) == serial


@pytest.mark.parametrize("state", ["present", "checked"])
def test_a_zone_that_the_server_lacks_stops_no_other(yard: Yard, state: str) -> None:
    missing = {"name": "nowhere.test", "type": "A", "values": ["10.9.1.1"], "credential": "lab"}
    outcome = yard.publish(missing, yard.record("there", "A", ["10.9.1.1"]), state=state)
    assert list(outcome.faults) == ["nowhere.test"]
    assert "has no zone that holds nowhere.test. (it answered REFUSED" in outcome.faults["nowhere.test"][0]
    assert yard.server.values(yard.name("there"), "A") == (["10.9.1.1"] if state == "present" else [])


@pytest.mark.parametrize("state", ["present", "checked"])
def test_a_zone_that_the_key_is_not_for_is_named(start: Callable[..., NameServer], state: str) -> None:
    zones = {zone: soa(zone) for zone in ["example.", "acme.example."]}
    server = start(Knot, zones, closed=("example.",))
    wanted = [
        {"name": name, "type": "A", "values": ["10.9.1.1"], "credential": "lab"}
        for name in ["nosuch.example", "there.acme.example"]
    ]
    outcome = run(server, wanted, state=state)
    assert list(outcome.faults) == ["nosuch.example"]
    ((text,),) = outcome.faults.values()
    assert 'does not accept key "sendyard." of credential "lab" in zone example. (NOTAUTH)' in text
    assert "the nearest it has to nosuch.example." in text


@pytest.mark.parametrize(
    ("kind", "grants"),
    [
        (Knot, {"grants": "    update-type: [TXT]"}),
        (Bind, {"policy": f"grant {KEY_NAME} zonesub TXT;"}),
    ],
    ids=["knot", "bind"],
)
@pytest.mark.parametrize("state", ["present", "checked"])
def test_what_a_key_may_not_change_is_one_subjects_fault(
    start: Callable[..., NameServer], kind: type[NameServer], grants: dict[str, str], state: str
) -> None:
    server = start(kind, {"acme.example.": soa("acme.example.")}, **grants)
    wanted = [
        {"name": f"{label}.acme.example", "type": kind, "values": [value], "credential": "lab", "subject": label}
        for label, kind, value in [
            ("one", "TXT", "1"),
            ("two", "A", "10.9.1.1"),
            ("three", "TXT", "3"),
            ("four", "TXT", "4"),
        ]
    ]
    outcome = run(server, wanted, state=state)
    assert list(outcome.faults) == ["two"]
    assert 'key "sendyard." of credential "lab" may not change these records' in outcome.faults["two"][0]
    if state == "present":
        assert len(outcome.changes) == 3


WRITERS = 8


def test_without_prerequisites_concurrent_writers_do_lose(yard: Yard) -> None:
    """The control of the test above: the same job by reading, merging and writing alone."""
    barrier = threading.Barrier(WRITERS)

    def write(number: int) -> None:
        texts = yard.server.values(yard.zone, "TXT")
        old = next(text for text in texts if spf.is_spf(text.strip('"')))
        barrier.wait(10)
        update = dns.update.UpdateMessage(yard.zone)
        update.delete(yard.zone, dns.rdata.from_text("IN", "TXT", old))
        new = spf.merge(old.strip('"'), [f"ip4:10.9.2.{number}"])
        update.add(yard.zone, 1800, dns.rdata.from_text("IN", "TXT", f'"{new}"'))
        assert yard.server.update(update) == 0

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    records = [text for text in yard.server.values(yard.zone, "TXT") if spf.is_spf(text.strip('"'))]
    assert len(records) > 1  # receivers answer permerror


def test_what_is_optional_and_refused_stops_nothing_else_of_its_subject(start: Callable[..., NameServer]) -> None:
    server = start(Bind, {"acme.example.": soa("acme.example.")}, policy=f"grant {KEY_NAME} zonesub A;")
    said = {"credential": "lab", "subject": "mx1"}
    report = {"name": "*._report._dmarc.acme.example", "type": "TXT", "values": ["v=DMARC1"], "optional": True, **said}
    wanted = [{"name": "mx1.acme.example", "type": "A", "values": ["10.9.1.1"], **said}, report]
    for state in ("checked", "present"):
        outcome = run(server, wanted, state=state)
        assert (outcome.faults, len(outcome.notes["mx1"])) == ({}, 1)
    assert server.values("mx1.acme.example.", "A") == ["10.9.1.1"]


def test_an_spf_record_that_costs_too_much_with_its_includes_is_left_as_it_is(yard: Yard) -> None:
    def spf_at(label: str, text: str) -> None:
        yard.server.put(yard.zone, yard.name(label), 3600, model.parse_value(dns.rdatatype.TXT, text).rdata)

    zone = yard.zone.removesuffix(".")
    spf_at("vendor", f"v=spf1 {f'a:a.{zone} ' * 4}-all")
    spf_at("ten", f"v=spf1 include:vendor.{zone} include:vendor.{zone} -all")
    spf_at("eleven", f"v=spf1 include:vendor.{zone} include:vendor.{zone} a:a.{zone} -all")
    wants = [yard.record(label, "TXT", ["ip4:10.9.1.1"], mode="spf") for label in ("ten", "eleven")]
    before = yard.foreign()
    for write in (False, True):
        outcome = yard.publish(*wants, write=write)
        ((subject, (text,)),) = outcome.faults.items()
        assert subject == f"eleven.{zone}"
        assert f"it needs 11 DNS look-ups (include:vendor.{zone} 5, include:vendor.{zone} 5, a:a.{zone} 1)" in text
    assert len(yard.foreign() - before) == 1
    assert "ip4:10.9.1.1 -all" in yard.server.values(yard.name("ten"), "TXT")[0]


def secondary_of(start: Callable[..., NameServer], zone: str) -> tuple[NameServer, NameServer]:
    """Return a Knot and a BIND that gets the zone from it when it is told."""
    port = free_port()
    text = soa(zone, "ns1.lab.example.", "ns2.lab.example.")
    first = start(Knot, {zone: text}, secondary=port)
    return first, start(Bind, {zone: text}, primary=first.port, port=port)


def both(first: NameServer, second_port: int) -> dict[str, tuple[tuple[str, int], ...]]:
    return {NAME_SERVER: ((ADDRESS, first.port),), "ns2.lab.example.": ((ADDRESS, second_port),)}


def test_all_servers_are_waited_for(start: Callable[..., NameServer]) -> None:
    first, second = secondary_of(start, "acme.example.")
    wanted = records.domain_records("acme.example", "mx1-1", KEY, ADDRESSES, credential="lab")
    outcome = run(first, wanted, others=both(first, second.port), deadline=20.0)
    assert (outcome.faults, len(outcome.changes)) == ({}, 3)
    assert second.values("mx1-1._domainkey.acme.example", "TXT") == first.values("mx1-1._domainkey.acme.example", "TXT")


def test_a_server_that_lags_is_named_with_the_records(start: Callable[..., NameServer]) -> None:
    first = start(Knot, {"acme.example.": soa("acme.example.", "ns1.lab.example.", "ns2.lab.example.")})
    second = start(Bind, first.zones, primary=first.port)  # nobody tells it, and it asks once an hour
    wanted = records.domain_records("acme.example", "mx1-1", KEY, ADDRESSES, credential="lab")
    outcome = run(first, wanted, others=both(first, second.port), deadline=1.0)
    ((text,),) = outcome.faults.values()
    assert f"ns2.lab.example. ({ADDRESS} port {second.port}) does not answer with it yet after 1 s" in text
    assert "mx1-1._domainkey.acme.example. TXT" in text
    assert "ns1" not in text
    assert len(outcome.changes) == 3


@pytest.mark.parametrize("silent", [False, True], ids=["nothing listens", "nothing answers"])
def test_a_dead_server_is_named(yard: Yard, silent: bool) -> None:
    update = dns.update.UpdateMessage(yard.zone)
    update.add(yard.zone, 3600, "NS", "ns2.lab.example.")
    assert yard.server.update(update) == 0
    with Silence() as port:
        others = both(yard.server, port if silent else free_port())
        began = time.monotonic()
        outcome = run(yard.server, [yard.record("x", "A", ["10.9.1.1"])], others=others, deadline=2.0)
    ((text,),) = outcome.faults.values()
    assert text.startswith("ns2.lab.example. (127.0.0.1 port")
    assert "ns1" not in text
    assert time.monotonic() - began < 12


def test_a_server_without_the_zone_is_named(yard: Yard, start: Callable[..., NameServer]) -> None:
    lame = start(Bind, {"acme.example.": soa("acme.example.")})
    others = {NAME_SERVER: ((ADDRESS, yard.server.port), (ADDRESS, lame.port))}
    outcome = run(yard.server, [yard.record("x", "A", ["10.9.1.1"])], others=others, deadline=1.0)
    ((text,),) = outcome.faults.values()
    assert text.startswith(
        f"ns1.lab.example. ({ADDRESS} port {lame.port}) does not serve the zone (it answered REFUSED"
    )


def test_name_servers_are_found_by_the_resolver_that_is_named(yard: Yard) -> None:
    resolver = [f"{ADDRESS}@{yard.server.port}"]
    update = dns.update.UpdateMessage(yard.zone)
    update.add(yard.name("ns"), 60, "AAAA", "fd00:9::53")
    update.add(yard.name("ns"), 60, "A", "10.9.0.53")
    assert yard.server.update(update) == 0
    assert wire.addresses(yard.name("ns"), resolver) == ("10.9.0.53", "fd00:9::53")
    assert wire.addresses("fd00::1", resolver) == ("fd00::1",)
    for missing in ["nothing", "loc"]:
        with pytest.raises(wire.WireError, match=yard.name(missing)):
            wire.addresses(yard.name(missing), resolver)


class Silence:
    """A port that takes questions and answers none."""

    def __enter__(self) -> int:
        import socket

        port = free_port()
        self.tcp, self.udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        self.tcp.bind((ADDRESS, port))
        self.udp.bind((ADDRESS, port))
        self.tcp.listen()
        return port

    def __exit__(self, *_: object) -> None:
        self.tcp.close()
        self.udp.close()


def test_large_record_sets_are_read_and_written(yard: Yard) -> None:
    update = dns.update.UpdateMessage(yard.zone)
    for number in range(60):
        update.add(yard.name("big"), 60, dns.rdata.from_text("IN", "TXT", f'"{number:03}{"x" * 200}"'))
    assert yard.server.update(update) == 0
    before = yard.foreign()
    want = yard.record("big", "TXT", ["ip4:10.9.1.1"], mode="spf")
    assert not yard.publish(want).faults
    assert len(yard.server.values(yard.name("big"), "TXT")) == 61
    yard.publish(want, state="absent")
    assert yard.foreign() == before


def test_many_records_go_in_few_messages_and_seconds(yard: Yard) -> None:
    wanted = [yard.record(f"k{number}._domainkey", "TXT", [records.dkim(KEY)]) for number in range(400)]
    before = yard.server.serial(yard.zone)
    began = time.monotonic()
    outcome = yard.publish(*wanted)
    assert not outcome.faults
    assert time.monotonic() - began < 30
    assert len(outcome.changes) == 400
    assert yard.server.serial(yard.zone) - before < 12  # messages of up to 60,000 octets


NET, PART = "1.9.10.in-addr.arpa.", "0-63.1.9.10.in-addr.arpa."
PARENT = soa(NET) + f"0-63 NS ns1.lab.example.\n5 CNAME 5.{PART}\n6 PTR theirs.example.\n7 CNAME nowhere.test.\n"


def ptr(number: int, **said: object) -> dict[str, object]:
    """Return the record by which an address of the network has a name."""
    return {"name": f"{number}.{NET}", "type": "PTR", "values": ["mx1.yard.example."], "credential": "lab", **said}


@pytest.mark.parametrize("kind", [Knot, Bind])
def test_a_ptr_record_stands_where_the_name_of_the_address_leads(
    start: Callable[..., NameServer], kind: type[NameServer]
) -> None:
    """RFC 2317: the provider's zone of a /24 has a CNAME for each address, into our zone of a part of it."""
    server = start(kind, {NET: PARENT, PART: soa(PART)})
    parent = server.content(NET)
    checked = run(server, [ptr(5)], state="checked")
    assert (checked.faults, server.values(f"5.{PART}", "PTR")) == ({}, [])
    assert not run(server, [ptr(5)]).faults
    assert server.values(f"5.{PART}", "PTR") == ["mx1.yard.example."]
    again = run(server, [ptr(5), ptr(8)])
    assert [str(key) for key in again.changes] == [f"8.{NET} PTR"]
    run(server, [ptr(8)], state="absent")
    assert server.content(NET) == parent
    moved = run(server, [ptr(5, values=[], was=["mx1.yard.example."])])
    assert (moved.faults, server.values(f"5.{PART}", "PTR")) == ({}, [])


def test_a_ptr_record_that_leads_to_nobodys_zone_is_named_there(start: Callable[..., NameServer]) -> None:
    server = start(Knot, {NET: PARENT, PART: soa(PART)})
    outcome = run(server, [ptr(7), ptr(6)])
    assert "has no zone that holds nowhere.test." in outcome.faults[f"7.{NET}".removesuffix(".")][0]
    assert "theirs.example." in outcome.faults[f"6.{NET}".removesuffix(".")][0]


def test_what_a_person_must_enter_is_where_the_name_leads(start: Callable[..., NameServer]) -> None:
    server = start(Knot, {NET: PARENT, PART: soa(PART)})
    said = [ptr(5, subject="mx1"), ptr(8, subject="mx1")]
    outcome = run(server, said, credential={"provider": "manual"})
    asked = [(str(zone.name), str(change.key.name)) for zone, change, _subjects in outcome.by_hand]
    assert sorted(asked) == [(PART, f"5.{PART}"), (NET, f"8.{NET}")]
    assert {str(name): str(leads) for name, leads in outcome.moved.items()} == {f"5.{PART}": f"5.{NET}"}
    server.put(PART, f"5.{PART}", 300, dns.rdata.from_text("IN", "PTR", "mx1.yard.example."))
    outcome = run(server, said, credential={"provider": "manual"})
    assert [str(change.key.name) for _zone, change, _subjects in outcome.by_hand] == [f"8.{NET}"]
