# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The fake of Hetzner DNS under Hetzner's own client, and what our backend does that is special to Hetzner."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import dns.name
import dns.rdata
import dns.rdatatype
import hcloud
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import (
    credentials,
    hetzner_cloud,
    model,
    publish,
    verify,
)
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import (
    AuthError,
    Conflict,
    Transient,
    Unsupported,
    Zone,
    hetzner,
)
from hcloud.actions import ActionFailedException
from hcloud.zones import ZoneRecord
from integration.dns.conftest import Yard, ours, run
from integration.dns.fake_hetzner import FakeZone, Hetzner, refused
from integration.dns.servers import SECRET, nasty, soa

ZONE = "acme.example."


@pytest.fixture
def fake(start: Callable[..., Hetzner]) -> Hetzner:
    return start(Hetzner, {ZONE: nasty(ZONE)})


@pytest.fixture
def yard(fake: Hetzner) -> Yard:
    return Yard(fake, ZONE)


@pytest.fixture
def client(fake: Hetzner) -> hcloud.Client:
    return client_of(fake)


def client_of(fake: Hetzner, token: str = SECRET) -> hcloud.Client:
    return hcloud.Client(token=token, api_endpoint=f"{fake.url}/v1", poll_interval=0.01)


@pytest.fixture
def backend(fake: Hetzner) -> Iterator[hetzner.Hetzner]:
    made = backend_of(fake)
    yield made
    made.close()


def backend_of(fake: Hetzner, **changed: Any) -> hetzner.Hetzner:
    known = {"lab": fake.credential(**changed)}
    made = credentials.backend("lab", known, credentials.secrets(["lab"], known, {}), verify.Directory((), {}))
    assert isinstance(made, hetzner.Hetzner)
    return made


def zone_of(backend: hetzner.Hetzner, name: str = ZONE) -> Zone:
    apex = dns.name.from_text(name)
    zone = backend.find_zones([apex])[apex]
    assert isinstance(zone, Zone)
    return zone


def key_of(label: str, kind: str) -> model.Key:
    return model.Key(dns.name.from_text(label, dns.name.from_text(ZONE)), dns.rdatatype.from_text(kind))


def change_to(before: model.RRset | None, key: model.Key, ttl: int, *texts: str) -> model.Change:
    """Return the change to values, those that stand there as they were read."""
    there = {value.text: value for value in before.values} if before else {}
    values = tuple(there.get(text) or model.parse_value(key.type, text) for text in texts)
    return model.Change(key, before, model.RRset(key, ttl, values) if values else None)


def calls(fake: Hetzner) -> Counter[str]:
    """Return how many requests of each kind came since it was asked last."""
    counted: Counter[str] = Counter()
    for request in fake.requests:
        last = request.path.rsplit("/", 1)[-1]
        counted[f"{request.method} {'action' if '/actions/' in request.path and last.isdecimal() else last}"] += 1
    fake.requests.clear()
    return counted


# Hetzner's own client


def test_the_client_lists_zones_over_pages_and_finds_one_by_name(start: Callable[..., Hetzner]) -> None:
    names = [f"z{number:03}.example." for number in range(60)]
    fake = start(Hetzner, {name: soa(name) for name in names})
    zones = client_of(fake).zones
    assert [f"{zone.name}." for zone in zones.get_all()] == names
    assert [request.query["page"] for request in fake.requests] == ["1", "2"]
    (one,) = zones.get_all(name="z042.example")
    assert (one.mode, one.ttl, one.status, one.record_count) == ("primary", 3600, "ok", 2)
    assert one.authoritative_nameservers.assigned == ["ns1.lab.example."]
    assert zones.get("z042.example").id == zones.get(one.id).id


def test_the_client_lists_record_sets_over_pages_and_by_name_and_type(yard: Yard, client: hcloud.Client) -> None:
    for number in range(60):
        yard.server.put(ZONE, yard.name(f"h{number}"), 300, dns.rdata.from_text("IN", "A", "10.9.0.9"))
    zone = client.zones.get("acme.example")
    assert len(zone.get_rrset_all()) > 70
    assert {(rrset.name, rrset.ttl) for rrset in zone.get_rrset_all(type=["TXT", "CAA"])} == {
        ("@", 1800),
        ("@", 7200),
        ("chunks", None),
        ("*.wild", 300),
    }
    (apex,) = zone.get_rrset_all(name="@", type=["TXT"])
    assert [record.value for record in apex.records][2] == '"weird \\"quoted\\" ; semi \\\\ back"'
    assert [record.comment for record in apex.records][:2] == ["not ours, 0", None]


def test_the_client_creates_changes_and_deletes_record_sets(yard: Yard, client: hcloud.Client) -> None:
    before = yard.foreign()
    zone = client.zones.get("acme.example")
    made = zone.create_rrset(name="new", type="A", ttl=600, records=[ZoneRecord("10.9.1.1", comment="first")])
    assert made.action.status == "running"
    made.action.wait_until_finished()
    rrset = made.rrset
    for action in [
        lambda: zone.add_rrset_records(rrset, [ZoneRecord("10.9.1.2")], ttl=600),
        lambda: zone.update_rrset_records(rrset, [ZoneRecord("10.9.1.2", comment="second")]),
        lambda: zone.change_rrset_ttl(rrset, 900),
    ]:
        action().wait_until_finished()
    there = zone.get_rrset("new", "A")
    assert there.ttl == 900
    assert [(record.value, record.comment) for record in there.records] == [
        ("10.9.1.1", "first"),
        ("10.9.1.2", "second"),
    ]
    zone.remove_rrset_records(rrset, [ZoneRecord("10.9.1.1")]).wait_until_finished()
    zone.set_rrset_records(rrset, [ZoneRecord("10.9.1.3")]).wait_until_finished()
    assert yard.server.values(yard.name("new"), "A") == ["10.9.1.3"]
    zone.change_rrset_ttl(rrset, None).wait_until_finished()
    assert yard.server.ttl(yard.name("new"), "A") == 3600
    zone.delete_rrset(rrset).action.wait_until_finished()
    zone.add_rrset_records(rrset, [ZoneRecord("10.9.1.4")]).wait_until_finished()  # creates it
    zone.remove_rrset_records(rrset, [ZoneRecord("10.9.1.4")]).wait_until_finished()  # deletes it
    assert yard.foreign() == before


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"name": "a", "type": "A", "records": [ZoneRecord("10.9.1.1")]}, "uniqueness_error"),
        ({"name": "new", "type": "A", "records": [ZoneRecord("mail")]}, "invalid_input"),
        ({"name": "new", "type": "A", "records": []}, "invalid_input"),
        ({"name": "new", "type": "A", "records": [ZoneRecord("10.9.1.1")] * 2}, "invalid_input"),
        ({"name": "new", "type": "A", "ttl": 59, "records": [ZoneRecord("10.9.1.1")]}, "invalid_input"),
        ({"name": "New", "type": "A", "records": [ZoneRecord("10.9.1.1")]}, "invalid_input"),
        ({"name": "new.acme.example", "type": "A", "records": [ZoneRecord("10.9.1.1")]}, "invalid_input"),
        ({"name": "new", "type": "LOC", "records": [ZoneRecord("52 N 4 E 1m")]}, "invalid_input"),
        ({"name": "new", "type": "TXT", "records": [ZoneRecord("no quotes")]}, "invalid_input"),
        ({"name": "new", "type": "TXT", "records": [ZoneRecord(f'"{"x" * 256}"')]}, "invalid_input"),
        ({"name": "s1._domainkey", "type": "TXT", "records": [ZoneRecord('"beside"')]}, "invalid_input"),
        ({"name": "a", "type": "CNAME", "records": [ZoneRecord("mail.vendor.example.")]}, "invalid_input"),
    ],
)
def test_the_client_is_refused_what_is_wrong(client: hcloud.Client, said: dict[str, Any], code: str) -> None:
    with pytest.raises(hcloud.APIException) as caught:
        client.zones.get("acme.example").create_rrset(**said)
    assert caught.value.code == code


def test_the_clients_own_errors_are_raised(fake: Hetzner, client: hcloud.Client) -> None:
    zone = client.zones.get("acme.example")
    txt, caa = zone.get_rrset("@", "TXT"), zone.get_rrset("@", "CAA")
    zone.change_rrset_protection(caa, change=True).wait_until_finished()
    stranger = [ZoneRecord('"stranger"')]

    def locked() -> None:
        fake.action_seconds = 60
        zone.add_rrset_records(txt, stranger)
        zone.add_rrset_records(txt, [ZoneRecord('"another"')])

    def limited() -> None:
        client._client._retry_max_retries = 0
        fake.fail_next.append(refused(429, "rate_limit_exceeded", "limit reached"))
        zone.get_rrset("@", "TXT")

    for action, code in [
        (client_of(fake, "a wrong token").zones.get_all, "unauthorized"),
        (lambda: client.zones.get("nowhere.example"), "not_found"),
        (lambda: zone.get_rrset("nothing", "A"), "not_found"),
        (lambda: zone.remove_rrset_records(txt, stranger), "invalid_input"),
        (lambda: zone.update_rrset_records(txt, [ZoneRecord('"stranger"', comment="x")]), "invalid_input"),
        (lambda: zone.add_rrset_records(txt, [ZoneRecord('""')]), "invalid_input"),
        (lambda: zone.add_rrset_records(txt, stranger, ttl=60), "invalid_input"),
        (lambda: zone.add_rrset_records(caa, [ZoneRecord('0 issue ";"')]), "protected"),
        (lambda: zone.delete_rrset(caa), "protected"),
        (limited, "rate_limit_exceeded"),
        (locked, "locked"),
    ]:
        with pytest.raises(hcloud.APIException) as caught:
            action()
        assert caught.value.code == code
    fake.read_only = True
    with pytest.raises(hcloud.APIException, match="token_readonly"):
        zone.delete_rrset(txt)
    fake.named(ZONE).mode = "secondary"
    with pytest.raises(hcloud.APIException, match="incorrect_zone_mode"):
        zone.get_rrset_all()


def test_the_client_sees_an_action_fail(fake: Hetzner, client: hcloud.Client) -> None:
    before = fake.content(ZONE)
    fake.fail_actions.append(("action_failed", "the zone could not be published"))
    zone = client.zones.get("acme.example")
    with pytest.raises(ActionFailedException, match="could not be published"):
        zone.create_rrset(name="new", type="A", records=[ZoneRecord("10.9.1.1")]).action.wait_until_finished()
    assert fake.content(ZONE) == before


# our backend


def test_eleven_records_take_few_calls(yard: Yard, fake: Hetzner) -> None:
    assert not yard.publish(*ours(yard)).faults
    # zones, and once more until they are settled; read, and read again; ten new sets, one SPF record merged
    assert calls(fake) == {
        "GET zones": 2,
        "GET rrsets": 2,
        "POST rrsets": 10,
        "GET TXT": 1,
        "POST set_records": 1,
        "GET action": 11,
    }
    assert not yard.publish(*ours(yard)).faults
    assert calls(fake) == {"GET zones": 1, "GET rrsets": 1}


def test_a_zone_with_many_records_is_read_name_by_name(yard: Yard, fake: Hetzner, backend: hetzner.Hetzner) -> None:
    keys = [key_of("@", "TXT"), key_of("a", "A"), key_of("s1._domainkey", "TXT"), key_of("nothing", "MX")]
    zone = zone_of(backend)
    whole = backend.read(zone, keys)
    assert [request.query["page"] for request in fake.requests[1:]] == ["1"]
    for number in range(450):
        fake.put(ZONE, f"h{number}.{ZONE}", 300, dns.rdata.from_text("IN", "A", "10.9.0.9"))
    zone_of(backend)
    fake.requests.clear()
    assert backend.read(zone, keys) == whole
    assert [request.query["name"] for request in fake.requests] == ["@", "a", "nothing", "s1._domainkey"]
    fake.requests.clear()
    more = [key_of(f"h{number}", "A") for number in range(7)]
    assert len(backend.read(zone, [*keys, *more]).rrsets) == 11
    assert [request.query["page"] for request in fake.requests] == ["1", "2", "3", "4", "5"]


def test_zones_are_found_over_pages_and_the_longest_holds_a_name(start: Callable[..., Hetzner]) -> None:
    names = ["example.", *(f"z{number}.example." for number in range(60)), "sub.z59.example."]
    fake = start(Hetzner, {name: soa(name) for name in names})
    backend = backend_of(fake)
    wanted = {
        "a.sub.z59.example.": "sub.z59.example.",
        "asub.z59.example.": "z59.example.",
        "az59.example.": "example.",
        "z59.example.": "z59.example.",
    }
    found = backend.find_zones([dns.name.from_text(name) for name in [*wanted, "elsewhere.test."]])
    assert {str(name): str(getattr(zone, "name", "")) for name, zone in found.items()} == {
        **wanted,
        "elsewhere.test.": "",
    }
    assert [request.query["page"] for request in fake.requests] == ["1", "2"]
    zone = found[dns.name.from_text("z59.example.")]
    assert isinstance(zone, Zone)
    assert backend.name_servers(zone) == ("ns1.lab.example.",)
    backend.close()


def test_two_zones_of_one_name_are_refused(yard: Yard, fake: Hetzner) -> None:
    fake.projects_zones[7] = FakeZone(ZONE)
    ((text,),) = yard.publish(yard.record("x", "A", ["10.9.1.1"])).faults.values()
    assert "has 2 zones named acme.example. (1000, 7)" in text


@pytest.mark.parametrize("state", ["present", "checked"])
def test_a_secondary_zone_is_not_ours_to_change(yard: Yard, fake: Hetzner, state: str) -> None:
    fake.named(ZONE).mode = "secondary"
    ((text,),) = yard.publish(yard.record("x", "A", ["10.9.1.1"]), state=state).faults.values()
    assert "zone acme.example. is in mode secondary at the project of DNS credential" in text
    assert "Name the credential of those" in text


@pytest.mark.parametrize("state", ["present", "checked"])
def test_a_wrong_token_is_named_and_not_shown(fake: Hetzner, yard: Yard, state: str) -> None:
    credential = fake.credential(secret="wrong-and-secret")
    outcome = run(fake, [yard.record("x", "A", ["10.9.1.1"])], credential=credential, state=state)
    ((text,),) = outcome.faults.values()
    assert text.startswith('DNS credential "lab": ')
    assert "401: unable to authenticate. It is not accepted" in text
    assert "wrong-and-secret" not in text
    assert "wrong-and-secret" not in repr(vars(backend_of(fake, secret="wrong-and-secret")))


@pytest.mark.parametrize("state", ["present", "checked"])
def test_a_token_that_may_only_read_is_found_out(yard: Yard, fake: Hetzner, state: str) -> None:
    before = yard.foreign()
    fake.read_only = True
    ((text,),) = yard.publish(yard.record("x", "A", ["10.9.1.1"]), state=state).faults.values()
    assert "only allowed to perform GET requests" in text
    assert yard.foreign() == before


@pytest.mark.parametrize(
    ("changed", "said"), [({"server": "x"}, "server is no option"), ({"url": "http://x"}, "https")]
)
def test_options_are_checked(fake: Hetzner, changed: dict[str, str], said: str) -> None:
    with pytest.raises(AuthError, match=said):
        backend_of(fake, **changed)


def test_too_many_requests_are_sent_again_when_asked_to(yard: Yard, fake: Hetzner) -> None:
    fake.fail_next = [refused(429, "rate_limit_exceeded", "limit reached", Retry_After="1")]
    began = time.monotonic()
    assert not yard.publish(yard.record("x", "A", ["10.9.1.1"])).faults
    assert 1.0 <= time.monotonic() - began < 3


def test_a_write_waits_for_its_action(yard: Yard, fake: Hetzner) -> None:
    fake.action_seconds = 0.4
    assert not yard.publish(yard.record("x", "A", ["10.9.1.1"]), yard.record("y", "A", ["10.9.1.1"])).faults
    assert calls(fake)["POST rrsets"] == 2  # the second was not sent into the lock of the first


def test_a_zone_that_another_locks_is_waited_for(yard: Yard, fake: Hetzner, client: hcloud.Client) -> None:
    fake.action_seconds = 1.0
    zone = client.zones.get("acme.example")
    zone.change_rrset_ttl(zone.get_rrset("a", "A"), 300)
    fake.action_seconds = 0.0
    assert [action.command for action in zone.get_actions(status=["running"])] == ["change_rrset_ttl"]
    assert not yard.publish(yard.record("x", "A", ["10.9.1.1"])).faults
    assert yard.server.values(yard.name("x"), "A") == ["10.9.1.1"]


def test_an_action_that_does_not_end_is_not_waited_for_forever(
    fake: Hetzner, backend: hetzner.Hetzner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hetzner_cloud, "ACTION_SECONDS", 0.3)
    fake.action_seconds = 60
    with pytest.raises(Transient, match=r"new.acme.example. A: create_rrset \(action \d+\) is not done after 0 s"):
        backend.apply(zone_of(backend), [change_to(None, key_of("new", "A"), 600, "10.9.1.1")])


def test_an_action_that_fails_is_told_with_its_code(yard: Yard, fake: Hetzner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "CONFLICT_SECONDS", 0.05)
    fake.fail_actions = [("action_failed", "the zone could not be published")] * 20
    ((text,),) = yard.publish(yard.record("x", "A", ["10.9.1.1"])).faults.values()
    assert "x.acme.example. A: create_rrset (action" in text
    assert "the zone could not be published (action_failed)" in text


@pytest.mark.parametrize("status", ["updating", "error"])
def test_a_zone_that_is_not_at_the_name_servers_is_named(yard: Yard, fake: Hetzner, status: str) -> None:
    fake.named(ZONE).status = status
    ((text,),) = yard.publish(yard.record("x", "A", ["10.9.1.1"]), deadline=0.5).faults.values()
    assert f"have not all that was written, of acme.example ({status})" in text


def test_a_protected_record_set_is_left_and_said_to_be(yard: Yard, client: hcloud.Client) -> None:
    zone = client.zones.get("acme.example")
    zone.change_rrset_protection(zone.get_rrset("@", "TXT"), change=True).wait_until_finished()
    before = yard.foreign()
    outcome = yard.publish(
        yard.record("", "TXT", ["ip4:10.9.1.1"], mode="spf", subject="spf"),
        yard.record("", "CAA", ['0 issue "acme.example"'], mode="member", subject="caa"),
    )
    assert list(outcome.faults) == ["spf"]
    assert "is protected from changes at Hetzner. Lift its protection" in outcome.faults["spf"][0]
    assert before <= yard.foreign()
    assert len(yard.foreign() - before) == 1


def test_what_others_said_of_their_values_and_sets_stays(yard: Yard, fake: Hetzner) -> None:
    before = fake.content(ZONE)
    assert not yard.publish(
        yard.record("", "TXT", ["ip4:10.9.1.1"], mode="spf"),
        yard.record("", "CAA", ['0 issue "acme.example"'], mode="member"),
        yard.record("", "MX", ["20 mail.acme.example"], mode="member"),
    ).faults
    gone, new = before - fake.content(ZONE), fake.content(ZONE) - before
    spf = next(iter(gone))
    assert len(gone) == 1
    # our SPF terms came into their record, with its comment; the others have the TTLs of their sets, none with MX
    assert {entry[:5] + entry[6:] for entry in new} == {
        spf[:5] + spf[6:],
        ("@", "CAA", 7200, "{'of': 'others'}", False, None),
        ("@", "MX", None, "{'of': 'others'}", False, None),
    }
    sent = [request.body for request in fake.requests if request.path.endswith("/add_records")]
    assert sorted(sent, key=len) == [
        {"records": [{"value": "20 mail.acme.example."}]},
        {"records": [{"value": '0 issue "acme.example"'}], "ttl": 7200},
    ]


def test_values_of_others_are_sent_back_as_they_are_spelt(yard: Yard, fake: Hetzner) -> None:
    spelt = ['"\\118=spf1 ?all"', '"plain"  "and spaced"', '"semi\\;colon"']
    records = [{"value": value, "comment": ""} for value in spelt]
    fake.named(ZONE).rrsets["odd", "TXT"] = {"ttl": None, "labels": {}, "change": False, "records": records}
    before = fake.content(ZONE)
    want = yard.record("odd", "TXT", ["ip4:10.9.1.1"], mode="spf")
    assert not yard.publish(want).faults
    assert {entry[5] for entry in before - fake.content(ZONE)} == {spelt[0]}
    assert {entry[2] for entry in fake.content(ZONE) if entry[0] == "odd"} == {None}


def test_a_name_without_a_last_dot_is_below_the_zone(fake: Hetzner, backend: hetzner.Hetzner) -> None:
    records = [{"value": "10 mail", "comment": None}]
    fake.named(ZONE).rrsets["odd", "MX"] = {"ttl": None, "labels": {}, "change": False, "records": records}
    key = key_of("odd", "MX")
    rrset = backend.read(zone_of(backend), [key]).rrsets[key]
    assert rrset
    assert [value.text for value in rrset.values] == ["10 mail.acme.example."]


def test_a_value_that_cannot_be_read_is_a_fault_of_its_key_alone(yard: Yard, fake: Hetzner) -> None:
    fake.named(ZONE).rrsets["@", "TXT"]["records"].append({"value": '"open', "comment": None})
    fake.resolve = lambda wire: b""  # it cannot serve this either, and a plan needs no name server
    outcome = yard.publish(
        yard.record("", "TXT", ["ip4:10.9.1.1"], mode="spf", subject="spf"),
        yard.record("", "CAA", ['0 issue "acme.example"'], mode="member", subject="caa"),
        write=False,
    )
    assert list(outcome.faults) == ["spf"]
    assert "acme.example. TXT holds what cannot be read" in outcome.faults["spf"][0]


CAME, WENT = '"came"', '"google-site-verification=abc"'


@pytest.mark.parametrize("what", ["a value came", "a value went", "the set went", "a comment changed"])
@pytest.mark.parametrize("how", ["replace", "remove"])
def test_what_somebody_changed_since_reading_is_not_overwritten(
    fake: Hetzner, backend: hetzner.Hetzner, client: hcloud.Client, what: str, how: str
) -> None:
    zone, key = zone_of(backend), key_of("@", "TXT")
    before = backend.read(zone, [key]).rrsets[key]
    assert before
    texts = [value.text for value in before.values]
    after = [text for text in texts if not text.startswith("google")] + (["ours"] if how == "replace" else [])
    change = change_to(before, key, before.ttl, *after)
    other = client.zones.get("acme.example")
    rrset = other.get_rrset("@", "TXT")
    {
        "a value came": lambda: other.add_rrset_records(rrset, [ZoneRecord(CAME)]),
        "a value went": lambda: other.remove_rrset_records(rrset, [ZoneRecord(WENT)]),
        "the set went": lambda: other.delete_rrset(rrset),
        "a comment changed": lambda: other.update_rrset_records(rrset, [ZoneRecord('""', comment="new")]),
    }[what]()
    now = fake.content(ZONE)
    if how == "remove" and what in ("a value came", "a comment changed", "the set went"):
        backend.apply(zone, [change])  # a removal holds the value that goes alone, and what is gone is gone
        assert {entry[5] for entry in now - fake.content(ZONE)} <= {WENT}
        assert fake.content(ZONE) <= now
        return
    with pytest.raises(Conflict):
        backend.apply(zone, [change])
    assert fake.content(ZONE) == now


def test_a_set_that_came_since_reading_is_a_conflict(fake: Hetzner, backend: hetzner.Hetzner) -> None:
    zone, key = zone_of(backend), key_of("new", "A")
    fake.put(ZONE, str(key.name), 600, dns.rdata.from_text("IN", "A", "10.9.0.7"))
    now = fake.content(ZONE)
    with pytest.raises(Conflict, match="already exists"):
        backend.apply(zone, [change_to(None, key, 600, "10.9.1.1")])
    assert fake.content(ZONE) == now


@pytest.mark.parametrize("what", ["the value", "another TTL"])
def test_what_came_since_reading_where_a_value_is_added_is_a_conflict(
    fake: Hetzner, backend: hetzner.Hetzner, client: hcloud.Client, what: str
) -> None:
    zone, key = zone_of(backend), key_of("@", "CAA")
    before = backend.read(zone, [key]).rrsets[key]
    other = client.zones.get("acme.example")
    rrset = other.get_rrset("@", "CAA")
    if what == "the value":
        other.add_rrset_records(rrset, [ZoneRecord('0 issue "acme.example"')])
    else:
        other.change_rrset_ttl(rrset, 300)
    now = fake.content(ZONE)
    change = change_to(before, key, 7200, '0 issue "ca.example"', '0 issue "acme.example"')
    with pytest.raises(Conflict, match="changed by somebody else"):
        backend.apply(zone, [change])
    assert fake.content(ZONE) == now


def test_a_ttl_that_hetzner_does_not_take_is_told(yard: Yard) -> None:
    assert not yard.publish(yard.record("x", "A", ["10.9.1.1"], ttl=300)).faults
    for label in ("x", "y"):
        ((text,),) = yard.publish(yard.record(label, "A", ["10.9.1.1"], ttl=30)).faults.values()
        assert "422: invalid input in field 'ttl': must be between 60" in text


def test_a_refusal_that_is_nobodys_change_stays_one(fake: Hetzner, backend: hetzner.Hetzner) -> None:
    zone, key = zone_of(backend), key_of("@", "CAA")
    before = backend.read(zone, [key]).rrsets[key]
    fake.requests.clear()
    fake.fail_next = [refused(422, "invalid_input", "no such issuer")]
    with pytest.raises(Unsupported, match="no such issuer"):
        backend.apply(zone, [change_to(before, key, 7200, '0 issue "ca.example"', '0 issue "acme.example"')])
