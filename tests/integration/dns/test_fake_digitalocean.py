# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The fake of DigitalOcean as its own client, pydo, uses it; and what only this provider has."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dns.name
import dns.rdata
import pydo
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import credentials, model, verify
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import (
    Conflict,
    Unsupported,
    Zone,
    ZoneNotFound,
    digitalocean,
)
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from integration.dns.conftest import Yard, ours, run
from integration.dns.fake_digitalocean import FakeDigitalOcean
from integration.dns.fakes import Refused
from integration.dns.servers import SECRET, NameServer, nasty

ZONE = "acme.example."
Start = Callable[..., NameServer]
PLAIN = {"enforce_https": False}  # azure-core sends no token over http unless told to


@pytest.fixture
def fake(start: Start) -> FakeDigitalOcean:
    server = start(FakeDigitalOcean, {ZONE: nasty(ZONE), "globex.example.": nasty("globex.example.")})
    assert isinstance(server, FakeDigitalOcean)
    return server


@pytest.fixture
def yard(fake: FakeDigitalOcean) -> Yard:
    return Yard(fake, ZONE)


def client(fake: FakeDigitalOcean, token: str = SECRET) -> Any:
    return pydo.Client(token, endpoint=fake.url, retry_total=0).domains


def open_zone(fake: FakeDigitalOcean, **changed: Any) -> tuple[Any, Zone]:
    """Return a backend and the zone."""
    known = {"lab": fake.credential(**changed)}
    backend = credentials.backend("lab", known, credentials.secrets(["lab"], known, {}), verify.Directory((), {}))
    name = dns.name.from_text(ZONE)
    zone = backend.find_zones([name])[name]
    assert isinstance(zone, Zone)
    return backend, zone


def change(backend: Any, zone: Zone, name: str, kind: str, *values: str) -> model.Change:
    """Return the change that adds `values` to what stands there."""
    key = model.parse_record({"name": name, "type": kind, "values": list(values)}).key
    before = backend.read(zone, [key]).rrsets[key]
    added = tuple(model.parse_value(key.type, value) for value in values)
    there = before.values if before else ()
    return model.Change(key, before, model.RRset(key, before.ttl if before else 60, (*there, *added)))


def test_the_providers_own_client_lists_creates_updates_and_deletes(fake: FakeDigitalOcean) -> None:
    domains = client(fake)
    assert [domain["name"] for domain in domains.list(**PLAIN)["domains"]] == ["acme.example", "globex.example"]
    assert domains.get("acme.example", **PLAIN)["domain"]["name"] == "acme.example"
    listed = domains.list_records("acme.example", per_page=5, page=2, **PLAIN)
    assert len(listed["domain_records"]) == 5
    assert listed["meta"]["total"] == len(fake.stored[ZONE])
    assert "page=3" in listed["links"]["pages"]["next"]
    (mx,) = domains.list_records("acme.example", name="acme.example", type="MX", **PLAIN)["domain_records"]
    assert (mx["name"], mx["data"], mx["priority"]) == ("@", "mail.vendor.example", 10)

    body = {"type": "CAA", "name": "sub", "data": "ca.example.", "flags": 0, "tag": "issue", "ttl": 60, "port": None}
    made = domains.create_record("acme.example", body, **PLAIN)["domain_record"]
    assert (made["name"], made["data"], made["tag"], made["port"]) == ("sub", "ca.example", "issue", None)
    assert fake.values("sub.acme.example.", "CAA") == ['0 issue "ca.example"']
    for update in (domains.update_record, domains.patch_record):
        changed = update("acme.example", made["id"], {"type": "CAA", "data": "other.example.", "ttl": 90}, **PLAIN)
        assert (changed["domain_record"]["data"], changed["domain_record"]["ttl"]) == ("other.example", 90)
    assert domains.get_record("acme.example", made["id"], **PLAIN)["domain_record"] == changed["domain_record"]
    assert domains.delete_record("acme.example", made["id"], **PLAIN) is None
    assert fake.values("sub.acme.example.", "CAA") == []


def test_the_providers_own_client_raises_its_own_errors(fake: FakeDigitalOcean) -> None:
    with pytest.raises(ClientAuthenticationError):
        client(fake, "wrong-token").list(**PLAIN)
    assert client(fake).get("initech.example", **PLAIN)["id"] == "not_found"  # so pydo does: 404 is no error to it
    assert client(fake).delete_record("acme.example", 1, **PLAIN)["id"] == "not_found"
    fake.fail_next.append(Refused(429, {"id": "too_many_requests", "message": "API Rate limit exceeded."}))
    with pytest.raises(HttpResponseError) as caught:
        client(fake).list(**PLAIN)
    assert caught.value.status_code == 429


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"type": "TLSA", "name": "x", "data": "3 1 1 00"}, "Type is not included in the list"),
        ({"type": "MX", "name": "@", "data": "mail.acme.example", "priority": 1}, "needs to end with a dot"),
        ({"type": "MX", "name": "@", "data": "mail.acme.example."}, "Priority is not a number"),
        ({"type": "A", "name": "x", "data": "300.1.1.1"}, "IP address"),
        ({"type": "A", "name": "x", "data": "10.9.1.1", "ttl": 29}, "greater than or equal to 30"),
        ({"type": "TXT", "name": "x", "data": "back\\slash"}, "Data is invalid"),
        ({"type": "TXT", "name": "x", "data": "x" * 508}, "Data is invalid"),
        ({"type": "TXT", "name": "x", "data": ""}, "can't be blank"),
        ({"type": "CNAME", "name": "a", "data": "acme.example."}, "cannot share a name"),
        ({"type": "TXT", "name": "s1._domainkey", "data": "x"}, "cannot share a name"),
    ],
)
def test_what_the_provider_refuses(fake: FakeDigitalOcean, body: dict[str, Any], said: str) -> None:
    before = fake.content(ZONE)
    with pytest.raises(HttpResponseError) as caught:
        client(fake).create_record("acme.example", body, **PLAIN)
    assert caught.value.status_code == 422
    assert said in caught.value.response.text()
    assert fake.content(ZONE) == before


def test_a_put_demands_the_dot_that_answers_do_not_have(fake: FakeDigitalOcean) -> None:
    (mx,) = client(fake).list_records("acme.example", type="MX", **PLAIN)["domain_records"]
    with pytest.raises(HttpResponseError):
        client(fake).update_record("acme.example", mx["id"], {"type": "MX", "ttl": 90}, **PLAIN)


def test_calls_of_a_first_run_and_of_a_second(fake: FakeDigitalOcean, yard: Yard) -> None:
    assert not yard.publish(*ours(yard)).faults
    asked = [(request.method, request.path.rpartition("/")[2]) for request in fake.requests]
    writes = [request for request in asked if request[0] != "GET"]
    assert sorted(method for method, _ in writes) == ["POST"] * 10 + ["PUT"]  # the SPF record changes in place
    assert len(asked) == 4 + 11 + 11  # zones, NS, all before and after; each key right before it is written
    fake.requests.clear()
    assert not yard.publish(*ours(yard)).changes
    assert [request.method for request in fake.requests] == ["GET"] * 3


def test_no_request_holds_what_others_wrote(fake: FakeDigitalOcean, yard: Yard) -> None:
    yard.publish(*ours(yard), yard.record("", "CAA", ['0 issue "acme.example"'], mode="member"))
    bodies = " ".join(str(request.body) for request in fake.requests if request.body)
    for theirs in ("google-site-verification", "weird", "part one", "ca.example'", "10.9.0.1"):
        assert theirs not in bodies
    assert "'data': 'acme.example.'" in bodies


def test_too_many_requests_waits_as_long_as_it_is_told(fake: FakeDigitalOcean, yard: Yard) -> None:
    backend, zone = open_zone(fake)
    wanted = change(backend, zone, "new.acme.example", "A", "10.9.1.1")
    fake.fail_next += [Refused(429, {"id": "too_many_requests", "message": "slow down"}, Retry_After="1")] * 2
    began = time.monotonic()
    backend.apply(zone, [wanted])
    assert 2 <= time.monotonic() - began < 5
    assert fake.values("new.acme.example.", "A") == ["10.9.1.1"]


def test_a_wrong_token_is_named_and_not_shown(fake: FakeDigitalOcean, yard: Yard) -> None:
    outcome = run(fake, ours(yard), credential=fake.credential(secret="dop_v1_wrong_token"))
    for (text,) in outcome.faults.values():
        assert text.startswith('DNS credential "lab": ')
        assert "It is not accepted" in text
        assert "Unable to authenticate you" in text
        assert "dop_v1_wrong_token" not in text
    assert outcome.faults


def test_more_zones_and_records_than_a_page(start: Start) -> None:
    zones = {f"z{number}.example.": nasty(f"z{number}.example.") for number in range(230)}
    zones["z229.example."] += "".join(f"h{number} A 10.8.{number // 250}.{number % 250}\n" for number in range(900))
    zones["z229.example."] += 'zzz TXT "last"\n'
    fake = start(FakeDigitalOcean, {**zones, "sub.z229.example.": nasty("sub.z229.example.")})
    assert isinstance(fake, FakeDigitalOcean)
    yard = Yard(fake, "z229.example.")
    outcome = yard.publish(yard.record("zzz", "TXT", ["last"]), yard.record("x.sub", "TXT", ["deep"]))
    assert (outcome.faults, list(map(str, outcome.changes))) == ({}, ["x.sub.z229.example. TXT"])
    assert fake.values("x.sub.z229.example.", "TXT") == ['"deep"']
    assert any(said["name"] == "x" for said in fake.stored["sub.z229.example."].values())  # in the longest zone
    asked = [request for request in fake.requests if request.path.endswith("/z229.example/records")]
    assert [request.query.get("name", "") for request in asked] == ["z229.example", "zzz.z229.example"]
    fake.requests.clear()  # five pages for fewer requests than six names
    assert not yard.publish(*ours(yard)).faults
    pages = [request.query["page"] for request in fake.requests if request.query.keys() == {"page", "per_page"}]
    assert pages == ["1", "2", *"12345", *"12345"]  # of zones, of records before and after


def test_what_came_since_reading_is_not_overwritten(fake: FakeDigitalOcean) -> None:
    backend, zone = open_zone(fake)
    for kind, value, theirs in (("TXT", "v=spf1 -all", '"theirs"'), ("CNAME", "x.acme.example", "y.acme.example.")):
        wanted = change(backend, zone, f"new-{kind}.acme.example", kind, value)
        rdata = dns.rdata.from_text("IN", "TXT" if kind == "TXT" else "CNAME", theirs)
        fake.put(ZONE, f"new-{kind}.acme.example.", 60, rdata)
        before = fake.content(ZONE)
        with pytest.raises(Conflict, match="changed by somebody else since it was read"):
            backend.apply(zone, [wanted])
        assert fake.content(ZONE) == before
    wanted = change(backend, zone, "alias.acme.example", "TXT", "ours")
    fake.put(ZONE, "alias.acme.example.", 60, dns.rdata.from_text("IN", "CNAME", "y.acme.example."))
    with pytest.raises(Conflict, match="became a CNAME"):
        backend.apply(zone, [wanted])


def test_a_value_that_somebody_edited_or_deleted_is_not_overwritten(fake: FakeDigitalOcean) -> None:
    backend, zone = open_zone(fake)
    key = model.parse_record({"name": "a.acme.example", "type": "A", "values": ["10.9.1.1"]}).key
    before = backend.read(zone, [key]).rrsets[key]
    wanted = model.Change(key, before, model.RRset(key, 60, (model.parse_value(key.type, "10.9.1.1"),)))
    number = before.values[0].token["id"]
    fake.stored[ZONE][number] = fake.stored[ZONE][number] | {"data": "10.9.0.9"}
    with pytest.raises(Conflict):
        backend.apply(zone, [wanted])
    assert fake.stored[ZONE][number]["data"] == "10.9.0.9"
    del fake.stored[ZONE][number]
    with pytest.raises(Conflict):
        backend.apply(zone, [wanted])


def test_a_record_that_goes_while_it_is_written_is_a_conflict_or_gone(
    fake: FakeDigitalOcean, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, zone = open_zone(fake)
    key = model.parse_record({"name": "a.acme.example", "type": "A", "values": ["10.9.1.1"]}).key
    before = backend.read(zone, [key]).rrsets[key]
    monkeypatch.setattr(digitalocean, "refuse_if_changed", lambda *_: None)
    del fake.stored[ZONE][before.values[0].token["id"]]
    with pytest.raises(Conflict):
        backend.apply(
            zone, [model.Change(key, before, model.RRset(key, 60, (model.parse_value(key.type, "10.9.1.1"),)))]
        )
    backend.apply(zone, [model.Change(key, before, None)])


@pytest.mark.parametrize("kind", ["TLSA", "SSHFP"])
def test_a_type_that_it_lacks_is_a_fault_for_that_record_alone(yard: Yard, kind: str) -> None:
    value = {"TLSA": f"3 1 1 {'ab' * 32}", "SSHFP": f"4 2 {'ab' * 32}"}[kind]
    wanted = [yard.record("_25._tcp", kind, [value], subject="mx1"), yard.record("own", "A", ["10.9.1.1"])]
    outcome = yard.publish(*wanted)
    ((text,),) = outcome.faults.values()
    assert text.startswith(f"_25._tcp.{ZONE} {kind}: DigitalOcean holds no {kind} records. Enter it with")
    assert yard.server.values(yard.name("own"), "A") == ["10.9.1.1"]
    assert not yard.publish(*wanted, state="absent").faults


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("TXT", "back\\slash"),
        ("TXT", "é"),
        ("TXT", '"quoted"'),
        ("TXT", "x" * 505),
        ("CAA", '0 issue "ca.example; account=1"'),
        ("CAA", '0 issue ";"'),
        ("TLSA", f"3 1 1 {'ab' * 32}"),
    ],
)
def test_what_it_would_not_keep_as_it_is_is_never_sent(fake: FakeDigitalOcean, kind: str, value: str) -> None:
    backend, zone = open_zone(fake)
    wanted = change(backend, zone, "new.acme.example", kind, value)
    with pytest.raises(Unsupported, match=f"new.acme.example. {kind}: DigitalOcean .*Enter it with a provider"):
        backend.apply(zone, [wanted])
    assert {request.method for request in fake.requests} == {"GET"}


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        ("TXT", f"v=DKIM1; k=rsa; p={'M' * 392}", f"v=DKIM1; k=rsa; p={'M' * 392}"),
        ("TXT", 'say "so"', 'say "so"'),
        ("MX", "5 acme.example.", "@"),
        ("SRV", "1 2 443 mail.acme.example.", "mail.acme.example"),
        ("CNAME", "mail.acme.example.", "mail.acme.example"),
        ("CAA", '128 iodef "mailto:caa@acme.example"', "mailto:caa@acme.example"),
        ("CAA", '0 issuewild "ca.example"', "ca.example"),
        ("AAAA", "fd00:9::1", "fd00:9::1"),
    ],
)
def test_every_type_comes_back_as_it_was_meant(yard: Yard, kind: str, value: str, data: str) -> None:
    want = yard.record("new", kind, [value])
    assert not yard.publish(want).faults
    assert not yard.publish(want).changes
    assert isinstance(yard.server, FakeDigitalOcean)
    (said,) = [said for said in yard.server.stored[ZONE].values() if said["name"] == "new"]
    assert said["data"] == data


def test_a_value_that_cannot_be_read_is_a_fault_for_its_key_alone(fake: FakeDigitalOcean, yard: Yard) -> None:
    yard.publish(yard.record("odd", "A", ["10.9.1.1"]))
    (said,) = [said for said in fake.stored[ZONE].values() if said["name"] == "odd"]
    fake.rdatas[said["id"]] = dns.rdata.from_text("IN", "A", "10.9.1.1")
    said["data"] = "no address"
    outcome = yard.publish(yard.record("odd", "A", ["10.9.1.2"], subject="odd"), yard.record("even", "A", ["10.9.1.3"]))
    ((text,),) = outcome.faults.values()
    assert f"odd.{ZONE} A holds what cannot be read" in text
    assert yard.server.values(yard.name("even"), "A") == ["10.9.1.3"]


def test_an_spf_record_entered_with_quotes_is_the_one_that_is_merged(fake: FakeDigitalOcean, yard: Yard) -> None:
    yard.server.put(ZONE, f"q.{ZONE}", 600, dns.rdata.from_text("IN", "TXT", '"v=spf1 a ~all"'))
    (said,) = [said for said in fake.stored[ZONE].values() if said["name"] == "q"]
    said["data"] = '"v=spf1 a ~all"'
    assert not yard.publish(yard.record("q", "TXT", ["ip4:10.9.1.1"], mode="spf")).faults
    assert fake.values(f"q.{ZONE}", "TXT") == ['"v=spf1 a ip4:10.9.1.1 ~all"']


def test_other_ttls_of_others_stay(fake: FakeDigitalOcean, yard: Yard) -> None:
    fake.put(ZONE, ZONE, 900, dns.rdata.from_text("IN", "CAA", '0 issue "slow.example"'))
    before = fake.content(ZONE)
    want = yard.record("", "CAA", ['0 issue "acme.example"'], mode="member")
    assert not yard.publish(want).faults
    assert before < fake.content(ZONE)
    assert {said["ttl"] for said in fake.stored[ZONE].values() if said["data"] == "acme.example"} == {900}
    yard.publish(want, state="absent")
    assert fake.content(ZONE) == before


def test_a_value_that_changes_among_others_keeps_its_own_ttl(fake: FakeDigitalOcean, yard: Yard) -> None:
    fake.put(ZONE, ZONE, 60, dns.rdata.from_text("IN", "TXT", '"short"'))
    before = fake.content(ZONE)
    want = yard.record("", "TXT", ["ip4:10.9.1.1"], mode="spf")
    assert not yard.publish(want).faults
    (spf,) = [said for said in fake.stored[ZONE].values() if "10.9.1.1" in said["data"]]
    assert spf["ttl"] == 1800
    yard.publish(want, state="absent")
    assert fake.content(ZONE) == before


def test_a_zone_that_is_gone_is_named(fake: FakeDigitalOcean) -> None:
    backend, zone = open_zone(fake)
    keys = [change(backend, zone, f"{name}.{ZONE}", "A", "10.9.1.1").key for name in "ab"]
    fake.zones = {"globex.example.": ""}
    with pytest.raises(ZoneNotFound, match=f"zone {ZONE} is gone"):
        backend.read(zone, keys)
    with pytest.raises(ZoneNotFound, match=f"zone {ZONE} is gone"):
        backend.name_servers(zone)


def test_a_strange_answer_is_an_error(fake: FakeDigitalOcean, yard: Yard) -> None:
    fake.fail_next += [Refused(200, {"surprise": True})]
    ((text,),) = run(fake, [yard.record("x", "A", ["10.9.1.1"])]).faults.values()
    assert "answers GET /v2/domains without domains" in text
