# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The fake of Gandi LiveDNS as a client that knows nothing of us uses it; and what only this provider has.

Gandi has no client of its own in Python. The fake follows its documentation (fake_gandi.py), and the client of
octodns-gandi, which others run against the real one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dns.name
import dns.rdata
import pytest
import requests
from ansible_collections.sendyard.mail.plugins.module_utils.dns import credentials, model, verify
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import (
    Conflict,
    Unsupported,
    Zone,
    ZoneNotFound,
    gandi,
)
from integration.dns.conftest import Yard, ours, run
from integration.dns.fake_gandi import FakeGandi
from integration.dns.fakes import Refused
from integration.dns.servers import SECRET, NameServer, nasty
from octodns_gandi import (
    GandiClient,
    GandiClientBadRequest,
    GandiClientForbidden,
    GandiClientNotFound,
    GandiClientUnauthorized,
)

ZONE = "acme.example."
RECORDS = "/livedns/domains/acme.example/records"
Start = Callable[..., NameServer]


@pytest.fixture
def fake(start: Start) -> FakeGandi:
    server = start(FakeGandi, {ZONE: nasty(ZONE), "globex.example.": nasty("globex.example.")})
    assert isinstance(server, FakeGandi)
    return server


@pytest.fixture
def yard(fake: FakeGandi) -> Yard:
    return Yard(fake, ZONE)


def client(fake: FakeGandi, token: str = SECRET, per_page: int = 500) -> Any:
    made = GandiClient(token, per_page)
    made.endpoint = f"{fake.url}/v5"
    return made


def open_zone(fake: FakeGandi) -> tuple[Any, Zone]:
    """Return a backend and the zone."""
    known = {"lab": fake.credential()}
    backend = credentials.backend("lab", known, credentials.secrets(["lab"], known, {}), verify.Directory((), {}))
    name = dns.name.from_text(ZONE)
    zone = backend.find_zones([name])[name]
    assert isinstance(zone, Zone)
    return backend, zone


def change(backend: Any, zone: Zone, name: str, kind: str, value: str, *, ttl: int = 600) -> model.Change:
    """Return the change that adds a value to what stands there."""
    key = model.parse_record({"name": name, "type": kind, "values": [value]}).key
    before = backend.read(zone, [key]).rrsets[key]
    there = before.values if before else ()
    added = model.parse_value(key.type, value)
    return model.Change(key, before, model.RRset(key, before.ttl if before else ttl, (*there, added)))


def test_another_client_lists_creates_updates_and_deletes(fake: FakeGandi) -> None:
    other = client(fake, per_page=3)
    assert [domain["fqdn"] for domain in other.domains()] == ["acme.example", "globex.example"]
    assert other.zone("acme.example")["fqdn"] == "acme.example"
    listed = other.zone_records("acme.example")
    assert len(listed) == len(fake.stored[ZONE])
    (child,) = [rrset for rrset in listed if rrset["rrset_type"] == "NS" and rrset["rrset_name"] == "child"]
    assert child["rrset_values"] == ["ns1.child.acme.example."]  # relative in the answer, which that client knows of
    assert len([request for request in fake.requests if request.path.endswith("/records")]) == len(listed) // 3 + 1

    new = {"rrset_name": "new", "rrset_type": "TXT", "rrset_ttl": 600, "rrset_values": ['"a b"', "plain"]}
    other.record_create("acme.example", new)
    assert fake.values("new.acme.example.", "TXT") == ['"a b"', '"plain"']
    changed = {"rrset_ttl": 900, "rrset_values": ['"c"']}
    assert other._request("PUT", f"{RECORDS}/new/TXT", data=changed).json() == {"message": "DNS Record Created"}
    assert other._request("GET", f"{RECORDS}/new/TXT").json().items() >= changed.items()
    assert len(other._request("GET", f"{RECORDS}/new").json()) == 1
    other.record_delete("acme.example", "new", "TXT")
    assert fake.values("new.acme.example.", "TXT") == []


def test_another_client_raises_its_own_errors(fake: FakeGandi) -> None:
    with pytest.raises(GandiClientForbidden, match="Access was denied"):
        client(fake, "wrong-token").domains()
    nobody = client(fake)
    del nobody._session.headers["Authorization"]
    with pytest.raises(GandiClientUnauthorized):
        nobody.domains()
    with pytest.raises(GandiClientNotFound, match="Unknown domain"):
        client(fake).zone("initech.example")
    with pytest.raises(GandiClientNotFound, match="Can't find the DNS record"):
        client(fake).record_delete("acme.example", "none", "A")
    with pytest.raises(requests.HTTPError, match="409"):
        taken = {"rrset_name": "a", "rrset_type": "A", "rrset_ttl": 600, "rrset_values": ["10.9.1.1"]}
        client(fake).record_create("acme.example", taken)
    fake.fail_next.append(Refused(429, {"code": 429, "message": "too many requests"}))
    with pytest.raises(requests.HTTPError, match="429"):
        client(fake).domains()


@pytest.mark.parametrize(
    ("kind", "ttl", "value", "said"),
    [
        ("A", 299, "10.9.1.1", "rrset_ttl"),
        ("A", 2592001, "10.9.1.1", "rrset_ttl"),
        ("A", 600, "300.1.1.1", "rrset_values"),
        ("HTTPS", 600, "1 . alpn=h2", "rrset_type"),
        ("ALIAS", 600, "vendor.example.", "rrset_type"),
        ("TXT", 600, f'"{"x" * 256}"', "rrset_values"),
    ],
)
def test_what_the_provider_refuses(fake: FakeGandi, kind: str, ttl: int, value: str, said: str) -> None:
    body = {"rrset_name": "x", "rrset_type": kind, "rrset_ttl": ttl, "rrset_values": [value]}
    with pytest.raises(GandiClientBadRequest, match=said):
        client(fake).record_create("acme.example", body)


def test_calls_of_a_first_run_and_of_a_second(fake: FakeGandi, yard: Yard) -> None:
    assert not yard.publish(*ours(yard)).faults
    methods = [request.method for request in fake.requests]
    assert (methods.count("PUT"), methods.count("DELETE")) == (11, 0)
    assert len(methods) == 2 + 1 + 2 + 2 + 11 + 11  # lists to an empty page, NS; each name right before it is written
    fake.requests.clear()
    assert not yard.publish(*ours(yard)).changes
    assert [request.method for request in fake.requests] == ["GET"] * 5
    fake.requests.clear()
    assert not yard.publish(*ours(yard), state="absent").faults
    methods = [request.method for request in fake.requests]
    assert (methods.count("PUT"), methods.count("DELETE")) == (1, 10)  # the SPF record is somebody else's again


def test_values_of_others_travel_back_as_they_came(fake: FakeGandi, yard: Yard) -> None:
    theirs = ['"one"   "two"', '"\\097bc"', '"semi;colon" ']
    fake.stored[ZONE]["odd", "TXT"] = {"rrset_ttl": 1234, "rrset_values": theirs}
    fake.stored[ZONE]["@", "CAA"] = {"rrset_ttl": 7200, "rrset_values": ["0 issue ca.example", '0  iodef "mailto:x@y"']}
    before = fake.content(ZONE)
    wanted = [
        yard.record("odd", "TXT", ["ip4:10.9.1.1"], mode="spf"),
        yard.record("", "CAA", ['0 issue "acme.example"'], mode="member"),
    ]
    assert not yard.publish(*wanted).faults
    (body,) = [request.body for request in fake.requests if request.path.endswith("/odd/TXT") and request.body]
    assert body == {"rrset_ttl": 1234, "rrset_values": [*theirs, '"v=spf1 ip4:10.9.1.1 ~all"']}
    assert not yard.publish(*wanted, state="absent").faults
    assert fake.content(ZONE) == before


def test_what_another_writer_puts_back_is_mended_with_their_bytes(
    fake: FakeGandi, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = '"one"   "two"'
    fake.stored[ZONE]["odd", "TXT"] = {"rrset_ttl": 1234, "rrset_values": [theirs]}
    real = gandi.Gandi.apply
    lost: list[int] = []

    def losing(self: gandi.Gandi, zone: Zone, changes: list[model.Change]) -> None:
        real(self, zone, changes)
        if not lost:
            lost.append(1)
            fake.stored[ZONE]["odd", "TXT"] = {"rrset_ttl": 1234, "rrset_values": ['"third"']}

    monkeypatch.setattr(gandi.Gandi, "apply", losing)
    outcome = yard.publish(yard.record("odd", "TXT", ["ours"], mode="member"))
    assert not outcome.faults
    assert set(fake.stored[ZONE]["odd", "TXT"]["rrset_values"]) == {theirs, '"third"', '"ours"'}


def test_too_many_requests_waits_as_long_as_it_is_told(fake: FakeGandi) -> None:
    backend, zone = open_zone(fake)
    wanted = change(backend, zone, "new.acme.example", "A", "10.9.1.1")
    fake.fail_next += [Refused(429, {"message": "slow down"}, Retry_After="1")] * 2
    began = time.monotonic()
    backend.apply(zone, [wanted])
    assert 2 <= time.monotonic() - began < 5
    assert fake.values("new.acme.example.", "A") == ["10.9.1.1"]


def test_a_wrong_token_is_named_and_not_shown(fake: FakeGandi, yard: Yard) -> None:
    outcome = run(fake, ours(yard), credential=fake.credential(secret="pat_wrong_token"))
    for (text,) in outcome.faults.values():
        assert text.startswith('DNS credential "lab": ')
        assert "It is not accepted" in text
        assert "Access was denied" in text
        assert "pat_wrong_token" not in text
    assert outcome.faults


def test_more_zones_and_record_sets_than_a_page(start: Start) -> None:
    zones = {f"z{number}.example.": nasty(f"z{number}.example.") for number in range(520)}
    zones["z519.example."] += "".join(f"h{number} A 10.8.{number // 250}.{number % 250}\n" for number in range(1100))
    zones["z519.example."] += 'zzz TXT "last"\n'
    fake = start(FakeGandi, {**zones, "sub.z519.example.": nasty("sub.z519.example.")})
    assert isinstance(fake, FakeGandi)
    yard = Yard(fake, "z519.example.")
    wanted = [yard.record("zzz", "TXT", ["last"]), yard.record("h1099", "A", ["10.8.4.99"])]
    outcome = yard.publish(*wanted, yard.record("x.sub", "TXT", ["deep"]))
    assert (outcome.faults, list(map(str, outcome.changes))) == ({}, ["x.sub.z519.example. TXT"])
    assert ("x", "TXT") in fake.stored["sub.z519.example."]  # in the longest zone
    lists = [request for request in fake.requests if request.path.endswith(("/domains", "/z519.example/records"))]
    assert [request.query["page"] for request in lists] == [*"123", *"1234"]


def test_pages_that_are_shorter_than_asked_for_are_read_to_the_end(fake: FakeGandi, yard: Yard) -> None:
    fake.longest_page = 3
    assert len(yard.publish(*ours(yard)).changes) == 11
    assert not yard.publish(*ours(yard)).changes


def test_the_organisation_is_asked_for(fake: FakeGandi) -> None:
    record = {"name": f"x.{ZONE}", "type": "A", "values": ["10.9.1.1"], "credential": "lab"}
    for said in ({}, {"sharing_id": "0a1b"}):
        fake.requests.clear()
        run(fake, [record], credential=fake.credential(**said), write=False)
        assert fake.requests[0].query.items() >= said.items()
        assert ("sharing_id" in fake.requests[0].query) == bool(said)


def test_what_came_since_reading_is_not_overwritten(fake: FakeGandi) -> None:
    backend, zone = open_zone(fake)
    for name, kind, rdata in (
        ("a", "A", dns.rdata.from_text("IN", "A", "10.9.0.7")),
        ("new", "TXT", dns.rdata.from_text("IN", "TXT", '"theirs"')),
        ("alias", "TXT", dns.rdata.from_text("IN", "CNAME", "vendor.example.")),
    ):
        wanted = change(backend, zone, f"{name}.{ZONE}", kind, "10.9.1.1")
        fake.put(ZONE, f"{name}.{ZONE}", 3600, rdata)
        before = fake.content(ZONE)
        with pytest.raises(Conflict, match="since it was read"):
            backend.apply(zone, [wanted])
        assert fake.content(ZONE) == before
    fake.stored[ZONE]["@", "A"] = {"rrset_ttl": 600, "rrset_values": ["10.9.0.1"]}
    wanted = change(backend, zone, ZONE, "A", "10.9.1.1")
    fake.stored[ZONE]["@", "ALIAS"] = {"rrset_ttl": 600, "rrset_values": ["vendor.example."]}
    with pytest.raises(Conflict, match="since it was read"):
        backend.apply(zone, [wanted])


def test_what_is_gone_already_needs_no_deleting(fake: FakeGandi, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, zone = open_zone(fake)
    key = change(backend, zone, f"a.{ZONE}", "A", "10.9.1.1").key
    before = backend.read(zone, [key]).rrsets[key]
    monkeypatch.setattr(gandi, "refuse_if_changed", lambda *_: None)
    for _ in range(2):
        backend.apply(zone, [model.Change(key, before, None)])
    assert fake.values(f"a.{ZONE}", "A") == []


def test_an_alias_at_the_apex_locks_its_addresses_and_nothing_else(fake: FakeGandi, yard: Yard) -> None:
    fake.stored[ZONE]["@", "ALIAS"] = {"rrset_ttl": 600, "rrset_values": ["web.vendor.example."]}
    before = fake.content(ZONE)
    addresses = [yard.record("", "A", ["10.9.1.1"], subject="a"), yard.record("", "AAAA", ["fd00::1"], subject="b")]
    outcome = yard.publish(*addresses, yard.record("", "TXT", ["ours"], mode="member"))
    assert sorted(outcome.faults) == ["a", "b"]
    (text,) = outcome.faults["a"]
    assert text.startswith(f"{ZONE} A: Gandi serves the addresses of web.vendor.example. there (ALIAS). Remove")
    assert {value for *_, value in fake.content(ZONE) - before} == {'"ours"'}
    assert not yard.publish(*addresses, state="absent").faults


def test_a_ttl_that_it_does_not_take_is_never_sent(fake: FakeGandi) -> None:
    backend, zone = open_zone(fake)
    for ttl in (60, 2592001):
        with pytest.raises(Unsupported, match=f"new.{ZONE} A: .* from 300 to 2592000 seconds, not {ttl}"):
            backend.apply(zone, [change(backend, zone, f"new.{ZONE}", "A", "10.9.1.1", ttl=ttl)])
    assert {request.method for request in fake.requests} == {"GET"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("TXT", f"v=DKIM1; k=rsa; p={'M' * 392}"),
        ("TXT", 'say "so"; back\\slash é'),
        ("MX", "5 mail.acme.example."),
        ("SRV", "1 2 443 mail.acme.example."),
        ("CNAME", "mail.acme.example."),
        ("CAA", '0 issue "ca.example; account=1"'),
        ("TLSA", f"3 1 1 {'ab' * 32}"),
        ("AAAA", "fd00:9::1"),
    ],
)
def test_every_type_comes_back_as_it_was_meant(yard: Yard, kind: str, value: str) -> None:
    want = yard.record("new", kind, [value])
    assert not yard.publish(want).faults
    assert not yard.publish(want).changes


def test_names_in_values_are_relative_to_the_zone(fake: FakeGandi, yard: Yard) -> None:
    fake.stored[ZONE]["m", "MX"] = {"rrset_ttl": 3600, "rrset_values": ["10 mail", "20 mail.vendor.example."]}
    values = [f"10 mail.{ZONE}", "20 mail.vendor.example."]
    outcome = yard.publish(yard.record("m", "MX", values, ttl=3600))
    assert (outcome.changes, outcome.faults) == ({}, {})
    fake.stored[ZONE]["c", "CNAME"] = {"rrset_ttl": 3600, "rrset_values": ["@"]}
    ((text,),) = yard.publish(yard.record("c", "TXT", ["ours"])).faults.values()
    assert f"the name is a CNAME to {ZONE}" in text


def test_a_value_that_cannot_be_read_is_a_fault_for_its_key_alone(fake: FakeGandi, yard: Yard) -> None:
    fake.stored[ZONE]["odd", "A"] = {"rrset_ttl": 600, "rrset_values": ["no address"]}
    outcome = yard.publish(yard.record("odd", "A", ["10.9.1.2"], subject="odd"), yard.record("even", "A", ["10.9.1.3"]))
    ((text,),) = outcome.faults.values()
    assert f"odd.{ZONE} A holds what cannot be read" in text
    assert yard.server.values(yard.name("even"), "A") == ["10.9.1.3"]


def test_a_list_without_pages_is_read_once(fake: FakeGandi, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FakeGandi._page

    def whole(self: FakeGandi, request: Any, items: list[Any]) -> Any:
        request.query = {}
        return real(self, request, items)

    monkeypatch.setattr(FakeGandi, "_page", whole)
    backend, zone = open_zone(fake)
    assert backend.read(zone, [change(backend, zone, f"{name}.{ZONE}", "A", "10.9.1.1").key for name in "ab"])


def test_a_zone_that_is_gone_is_named(fake: FakeGandi) -> None:
    backend, zone = open_zone(fake)
    keys = [change(backend, zone, f"{name}.{ZONE}", "A", "10.9.1.1").key for name in "ab"]
    fake.zones = {"globex.example.": ""}
    with pytest.raises(ZoneNotFound, match=f"zone {ZONE} is gone"):
        backend.read(zone, keys)
    with pytest.raises(ZoneNotFound, match=f"zone {ZONE} is gone"):
        backend.name_servers(zone)


def test_a_strange_answer_is_an_error(fake: FakeGandi, yard: Yard) -> None:
    fake.fail_next += [Refused(200, {"surprise": True})]
    ((text,),) = run(fake, [yard.record("x", "A", ["10.9.1.1"])]).faults.values()
    assert "answers GET /domains with no list" in text
