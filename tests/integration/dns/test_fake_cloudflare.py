# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The fake of Cloudflare answers Cloudflare's own client as Cloudflare does; and what only our backend of it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import cloudflare
import dns.name
import dns.rdatatype
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import records
from ansible_collections.sendyard.mail.plugins.module_utils.dns import credentials, model, publish, verify
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import (
    AmbiguousZone,
    AuthError,
    Backend,
    Conflict,
    Transient,
    Unsupported,
    Zone,
    ZoneNotFound,
)
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import cloudflare as ours_of_it
from integration.dns.conftest import KEY, Yard, ours
from integration.dns.fake_cloudflare import ROOT, Cloudflare, errors, too_fast
from integration.dns.fakes import Request
from integration.dns.servers import SECRET, nasty

ACME, PARENT = "acme.example.", "example."


@pytest.fixture
def fake(start: Callable[..., Any]) -> Cloudflare:
    made: Cloudflare = start(Cloudflare, {ACME: nasty(ACME)})
    return made


@pytest.fixture
def yard(fake: Cloudflare) -> Yard:
    return Yard(fake, ACME)


@pytest.fixture
def client(fake: Cloudflare) -> cloudflare.Cloudflare:
    return their_client(fake)


@pytest.fixture
def backend(fake: Cloudflare) -> Iterator[Backend]:
    made = our_backend(fake)
    yield made
    made.close()


def their_client(fake: Cloudflare, token: str = SECRET) -> cloudflare.Cloudflare:
    return cloudflare.Cloudflare(api_token=token, base_url=f"{fake.url}{ROOT}", max_retries=0)


def our_backend(fake: Cloudflare, **changed: Any) -> Backend:
    known = {"lab": fake.credential(**changed)}
    return credentials.backend("lab", known, credentials.secrets(["lab"], known, {}), verify.Directory((), {}))


def name(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


def key(label: str, kind: str) -> model.Key:
    return model.Key(name(f"{label}.{ACME}" if label else ACME), dns.rdatatype.from_text(kind))


def zone_of(backend: Backend, text: str = ACME) -> Zone:
    zone = backend.find_zones([name(text)])[name(text)]
    assert isinstance(zone, Zone), zone
    return zone


def calls(fake: Cloudflare) -> list[str]:
    """Return what was asked since this was called last, with ids left out."""
    said = [f"{r.method} {'/'.join(p for p in r.path[len(ROOT) :].split('/') if len(p) < 32)}" for r in fake.requests]
    fake.requests.clear()
    return said


def one_fault(outcome: publish.Outcome) -> str:
    ((text,),) = outcome.faults.values()
    return text


# The fake, by Cloudflare's own client


def test_their_client_lists_zones_over_pages(fake: Cloudflare, client: cloudflare.Cloudflare) -> None:
    for number in range(7):
        fake.add_zone(f"z{number}.example.")
    zones = list(client.zones.list(per_page=5))
    assert [zone.name for zone in zones] == ["acme.example", *(f"z{number}.example" for number in range(7))]
    assert [zone.id for zone in client.zones.list(name="z3.example")] == [fake.zone_id("z3.example")]
    zone = client.zones.get(zone_id=fake.zone_id(ACME))
    assert zone
    assert (zone.status, zone.name_servers) == ("active", ["ns1.lab.example"])


def test_their_client_lists_creates_updates_and_deletes(fake: Cloudflare, client: cloudflare.Cloudflare) -> None:
    zone = fake.zone_id(ACME)
    before = fake.content(ACME)
    everything = list(client.dns.records.list(zone_id=zone, per_page=5))
    assert len(everything) == len(before) == len({record.id for record in everything})
    made = client.dns.records.create(
        zone_id=zone, type="TXT", name="news", content='"one" "two"', ttl=300, comment="theirs", tags=["a:b"]
    )
    assert made
    assert (made.name, made.content, made.comment) == ("news.acme.example", '"one" "two"', "theirs")
    assert fake.values(f"news.{ACME}", "TXT") == ['"one" "two"']
    found = list(client.dns.records.list(zone_id=zone, name={"exact": "NEWS.acme.example"}))
    assert [record.id for record in found] == [made.id]
    said: dict[str, Any] = {"type": "TXT", "name": "news.acme.example", "ttl": 60, "content": '"three"'}
    changed = client.dns.records.edit(made.id, zone_id=zone, **said)
    assert changed
    assert (changed.content, changed.comment, changed.tags) == ('"three"', "theirs", ["a:b"])
    put = client.dns.records.update(made.id, zone_id=zone, **said | {"content": '"four"'})
    assert put
    assert (put.content, put.comment, put.tags) == ('"four"', None, [])
    client.dns.records.delete(made.id, zone_id=zone)
    assert fake.content(ACME) == before


def test_their_client_writes_a_batch_wholly_or_not_at_all(fake: Cloudflare, client: cloudflare.Cloudflare) -> None:
    zone = fake.zone_id(ACME)
    made = client.dns.records.create(zone_id=zone, type="A", name="old", content="10.9.9.1", ttl=1)
    assert made
    before = fake.content(ACME)
    data = {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab" * 32}
    posts: list[Any] = [
        {"type": "MX", "name": "old", "content": "mail.acme.example", "priority": 5, "ttl": 60},
        {"type": "TLSA", "name": "_25._tcp.old", "data": data, "ttl": 60},
        {"type": "CAA", "name": "old", "data": {"flags": 0, "tag": "issue", "value": "ca.example"}, "ttl": 60},
    ]
    gone = [{"id": made.id}]
    with pytest.raises(cloudflare.NotFoundError):
        client.dns.records.batch(zone_id=zone, posts=posts, deletes=[*gone, *gone])  # type: ignore[list-item]
    assert fake.content(ACME) == before
    client.dns.records.batch(zone_id=zone, posts=posts, deletes=gone)  # type: ignore[arg-type]
    assert fake.values(f"old.{ACME}", "A") == []
    assert fake.values(f"old.{ACME}", "MX") == ["5 mail.acme.example."]
    assert fake.values(f"old.{ACME}", "CAA") == ['0 issue "ca.example"']
    assert fake.values(f"_25._tcp.old.{ACME}", "TLSA") == ["3 1 1 " + "ab" * 32]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"type": "A", "name": "a", "content": "10.9.0.1", "ttl": 3600}, 81058),
        ({"type": "CNAME", "name": "a", "content": "vendor.example", "ttl": 1}, 81053),
        ({"type": "A", "name": "s1._domainkey", "content": "10.9.0.1", "ttl": 1}, 81054),
        ({"type": "A", "name": "new", "content": "10.9.0.256", "ttl": 1}, 1004),
        ({"type": "A", "name": "new", "content": "10.9.0.1", "ttl": 59}, 1004),
        ({"type": "MX", "name": "new", "content": "mail.acme.example", "ttl": 60}, 1004),
        ({"type": "TXT", "name": "new", "content": "x", "ttl": 60, "proxied": True}, 1004),
        ({"type": "TLSA", "name": "new", "data": {"usage": 3}, "ttl": 60}, 1004),
    ],
)
def test_their_client_is_refused_what_cannot_be(
    fake: Cloudflare, client: cloudflare.Cloudflare, said: dict[str, Any], code: int
) -> None:
    with pytest.raises(cloudflare.BadRequestError) as refused:
        client.dns.records.create(zone_id=fake.zone_id(ACME), **said)
    assert [error.code for error in refused.value.errors] == [code]


def test_their_client_raises_its_own_errors(fake: Cloudflare, client: cloudflare.Cloudflare) -> None:
    zone = fake.zone_id(ACME)
    with pytest.raises(cloudflare.NotFoundError):
        client.zones.get(zone_id="f" * 32)
    with pytest.raises(cloudflare.NotFoundError):
        client.dns.records.delete("f" * 32, zone_id=zone)
    with pytest.raises(cloudflare.PermissionDeniedError):
        list(their_client(fake, "wrong" * 8).zones.list())
    with pytest.raises(cloudflare.BadRequestError):
        list(their_client(fake, "short").zones.list())
    fake.may_write = False
    with pytest.raises(cloudflare.PermissionDeniedError):
        client.dns.records.delete("f" * 32, zone_id=zone)
    fake.fail_next = [errors(401, 1000, "Invalid API Token"), too_fast(1)]
    with pytest.raises(cloudflare.AuthenticationError):
        list(client.zones.list())
    with pytest.raises(cloudflare.RateLimitError):
        list(client.zones.list())


# Calls


def test_eleven_record_sets_take_five_calls_and_two_when_all_is_there(fake: Cloudflare, yard: Yard) -> None:
    assert len(yard.publish(*ours(yard)).changes) == 11
    read = "GET /zones/dns_records"
    assert calls(fake) == ["GET /zones", read, read, "POST /zones/dns_records/batch", read]
    assert yard.publish(*ours(yard)).changes == {}
    assert calls(fake) == ["GET /zones", read]


def test_only_ours_is_sent_and_a_record_of_others_keeps_what_it_says_besides(fake: Cloudflare, yard: Yard) -> None:
    yard.publish(*ours(yard))
    (batch,) = [request.body for request in fake.requests if request.method == "POST"]
    (patch,) = batch["patches"]
    assert set(batch) == {"patches", "posts"}
    assert set(patch) == {"id", "type", "name", "ttl", "content"}
    there = fake.stored[fake.zone_id(ACME)][patch["id"]]
    assert (there["comment"], there["tags"], there["content"]) == ("do not touch", ["owner:them"], patch["content"])
    assert "vendor" in patch["content"]


def test_more_than_a_page_of_records(fake: Cloudflare, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours_of_it, "RECORDS_A_PAGE", 10)
    assert not yard.publish(*ours(yard)).faults
    assert calls(fake).count("GET /zones/dns_records") == 3 + 3 + 4
    assert yard.publish(*ours(yard)).changes == {}


def test_a_huge_zone_is_asked_by_name(fake: Cloudflare, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours_of_it, "RECORDS_A_PAGE", 3)
    zone = zone_of(backend)
    fake.requests.clear()
    found = backend.read(zone, [key("a", "A"), key("s1._domainkey", "TXT"), key("none", "A")])
    assert [request.query.get("name.exact") for request in fake.requests] == [
        None,
        "a.acme.example",
        "none.acme.example",
        "s1._domainkey.acme.example",
    ]
    rrset = found.rrsets[key("a", "A")]
    assert rrset
    assert [value.text for value in rrset.values] == ["10.9.0.1"]
    assert found.rrsets[key("none", "A")] is None
    assert found.aliases == {name(f"s1._domainkey.{ACME}"): name("s1.dkim.vendor.example.")}


def test_a_list_that_changes_from_page_to_page_is_read_again(
    fake: Cloudflare, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours_of_it, "RECORDS_A_PAGE", 10)
    zone, real, left = zone_of(backend), fake.answer, [1]

    def answer(request: Request) -> Any:
        if request.query.get("page") == "2" and left[0]:  # all behind the first page move by one
            left[0] -= 1
            fake.add(ACME, type="A", name=f"h{left[0]}.acme.example", content="10.9.9.9")
        return real(request)

    monkeypatch.setattr(fake, "answer", answer)
    keys = [key(label, "TXT") for label in ("chunks", "none", "other")]
    assert backend.read(zone, keys).rrsets[keys[0]]
    left[0] = 3
    with pytest.raises(Transient, match="changed 3 times while it was read"):
        backend.read(zone, keys)


def test_what_is_more_than_a_batch_is_several(fake: Cloudflare, yard: Yard) -> None:
    wants = [yard.record(f"h{number}", "A", [f"10.9.3.{number}", f"10.9.4.{number}"]) for number in range(130)]
    assert not yard.publish(*wants).faults
    sizes = [len(request.body["posts"]) for request in fake.requests if request.method == "POST"]
    assert sizes == [200, 60]


# Zones


def test_zones_are_found_on_whatever_page_by_their_longest_name(fake: Cloudflare, backend: Backend) -> None:
    for number in range(120):
        fake.add_zone(f"z{number}.example.")
    fake.add_zone(f"sub.{ACME}")
    names = [name(f"mail.z{number}.example.") for number in range(120)]
    names += [name(f"a.b.sub.{ACME}"), name(f"notsub.{ACME}"), name("notacme.example.")]
    found = backend.find_zones(names)
    assert calls(fake) == ["GET /zones"] * 3
    assert [zone.name for zone in found.values() if isinstance(zone, Zone)] == [
        *(name(f"z{number}.example.") for number in range(120)),
        name(f"sub.{ACME}"),
        name(ACME),
    ]
    assert isinstance(found[names[-1]], ZoneNotFound)


def test_few_names_among_many_zones_are_asked_for(fake: Cloudflare, backend: Backend) -> None:
    for number in range(400):
        fake.add_zone(f"z{number}.example.")
    fake.add_zone("deep.z399.example.")
    assert zone_of(backend, "x.deep.z399.example.").name == name("deep.z399.example.")
    asked = [request.query.get("name") for request in fake.requests]
    assert asked == [None, "deep.z399.example", "x.deep.z399.example", "z399.example"]


def test_two_zones_of_one_name_are_refused_where_both_could_be_asked(fake: Cloudflare, backend: Backend) -> None:
    second = fake.add_zone(ACME, status="moved")
    assert zone_of(backend).token == fake.zone_id(ACME)
    fake.zone_objects[second]["status"] = "active"
    found = backend.find_zones([name(ACME)])[name(ACME)]
    assert isinstance(found, AmbiguousZone)
    assert second in str(found)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            {"status": "pending"},
            "is pending, so the world asks others for it. Enter its name servers (ns1.lab.example.)",
        ),
        ({"status": "moved"}, "is moved, so the world asks others"),
        ({"type": "partial"}, "is no full one (partial)"),
        ({"type": "secondary"}, "is a copy (secondary)"),
    ],
)
def test_a_zone_that_the_world_does_not_ask_is_refused(
    fake: Cloudflare, yard: Yard, said: dict[str, Any], why: str
) -> None:
    fake.add_zone(PARENT)
    fake.zone_objects[fake.zone_id(ACME)] |= said
    before = fake.content(ACME)
    assert why in one_fault(yard.publish(yard.record("new", "A", ["10.9.1.1"])))
    assert fake.content(ACME) == before


def test_names_of_name_servers_are_those_assigned_and_the_owners_own(fake: Cloudflare, backend: Backend) -> None:
    fake.zone_objects[fake.zone_id(ACME)] |= {
        "name_servers": ["Lara.ns.cloudflare.com", "abe.ns.cloudflare.com"],
        "vanity_name_servers": ["ns1.acme.example"],
    }
    expected = ("abe.ns.cloudflare.com.", "lara.ns.cloudflare.com.", "ns1.acme.example.")
    assert backend.name_servers(zone_of(backend)) == expected
    assert our_backend(fake).name_servers(Zone(name(ACME), fake.zone_id(ACME))) == expected
    assert calls(fake) == ["GET /zones", "GET /zones"]


# Errors


def test_a_provider_that_asks_to_wait_is_obeyed(fake: Cloudflare, backend: Backend) -> None:
    fake.fail_next = [too_fast(1)]
    began = time.monotonic()
    zone_of(backend)
    assert time.monotonic() - began >= 1
    assert calls(fake) == ["GET /zones"] * 2


@pytest.mark.parametrize(
    "token", ["wrong" * 8, "no-token", f"Bearer {SECRET}", "two\nlines long", "tökén-with-ümlaut…"]
)
def test_a_wrong_token_is_named_and_not_shown(fake: Cloudflare, token: str) -> None:
    with pytest.raises(AuthError) as refused:
        our_backend(fake, secret=token).find_zones([name(ACME)])
    assert 'DNS credential "lab"' in str(refused.value)
    assert not [part for part in token.split() if part != "Bearer" and part in str(refused.value)]
    assert SECRET not in repr(our_backend(fake))


def test_a_token_that_may_only_read_is_noticed_before_anything_is_written(fake: Cloudflare, yard: Yard) -> None:
    fake.may_write = False
    assert "Authentication error" in one_fault(yard.publish(yard.record("x", "A", ["10.9.1.1"]), state="checked"))


def test_a_short_token_and_an_option_that_is_none_are_refused(fake: Cloudflare) -> None:
    with pytest.raises(AuthError, match="fewer than 8"):
        our_backend(fake, secret="short")
    with pytest.raises(AuthError, match="zone_id is no option of provider cloudflare; it has provider, url"):
        our_backend(fake, zone_id="1")
    with pytest.raises(AuthError, match="no https address"):
        our_backend(fake, url="http://api.cloudflare.com/client/v4")


def test_a_zone_that_is_gone_is_said_to_be(fake: Cloudflare, backend: Backend) -> None:
    zone = zone_of(backend)
    del fake.zone_objects[zone.token]
    with pytest.raises(ZoneNotFound, match=r"zone acme\.example\. is gone"):
        backend.read(zone, [key("a", "A")])


# What may not be changed, and what may


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"proxied": True, "ttl": 1}, "is proxied: the world is told addresses of Cloudflare, which take no mail"),
        ({"meta": {"read_only": True, "email_routing": True}}, "is managed by Email Routing and cannot be changed"),
        ({"meta": {"read_only": True}}, "is managed by Cloudflare and cannot"),
    ],
)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_locked_records_are_left_alone(
    fake: Cloudflare, yard: Yard, said: dict[str, Any], why: str, state: str
) -> None:
    fake.add(ACME, **{"type": "A", "name": "mail.acme.example", "content": "10.9.1.1", "ttl": 600, **said})
    before = fake.content(ACME)
    assert why in one_fault(yard.publish(yard.record("mail", "A", ["10.9.1.1"], ttl=300), state=state, adopt=True))
    assert fake.content(ACME) == before


def test_a_locked_record_stops_no_other(fake: Cloudflare, yard: Yard) -> None:
    fake.add(
        ACME, type="MX", name="acme.example", content="route1.mx.cloudflare.net", priority=7, meta={"read_only": 1}
    )
    outcome = yard.publish(
        yard.record("", "MX", ["10 mx1.acme.example"], mode="member", subject="mx"), yard.record("x", "A", ["10.9.1.1"])
    )
    assert list(outcome.faults) == ["mx"]
    assert fake.values(f"x.{ACME}", "A") == ["10.9.1.1"]


def test_beside_a_flattened_alias_of_the_zone_all_but_addresses_may_stand(fake: Cloudflare, yard: Yard) -> None:
    fake.add(ACME, type="CNAME", name="acme.example", content="shop.vendor.example", proxied=True)
    outcome = yard.publish(
        yard.record("", "TXT", ["ours"], mode="member"), yard.record("", "A", ["10.9.1.1"], subject="web")
    )
    assert list(outcome.faults) == ["web"]
    assert "the zone itself is a CNAME to shop.vendor.example., which Cloudflare serves as addresses" in one_fault(
        outcome
    )
    assert '"ours"' in fake.values(ACME, "TXT")


def test_what_does_not_parse_is_a_fault_of_its_key_alone(fake: Cloudflare, backend: Backend) -> None:
    fake.add(ACME, type="CAA", name="odd.acme.example", content="not a CAA at all", data=None)
    found = backend.read(zone_of(backend), [key("odd", "CAA"), key("a", "A")])
    assert "holds what cannot be read" in str(found.faults[key("odd", "CAA")])
    assert found.rrsets[key("a", "A")]


def test_text_that_somebody_sent_without_quotes_is_one_value(fake: Cloudflare, yard: Yard) -> None:
    odd = 'say "hi" \\ ; ' + "x" * 300
    fake.add(ACME, type="TXT", name="raw.acme.example", content=odd, ttl=120)
    fake.add(ACME, type="TXT", name="raw.acme.example", content="v=spf1 a ~all", ttl=120)
    before = fake.content(ACME)
    want = yard.record("raw", "TXT", ["ip4:10.9.1.1"], mode="spf")
    assert not yard.publish(want).faults
    assert '"v=spf1 a ip4:10.9.1.1 ~all"' in fake.values(f"raw.{ACME}", "TXT")
    assert len(before - fake.content(ACME)) == 1
    assert not yard.publish(want, state="absent").faults
    assert len(before - fake.content(ACME)) == 1  # ours came back in quotes
    assert any(record["content"] == odd for record in fake.stored[fake.zone_id(ACME)].values())


def test_an_automatic_ttl_is_what_is_served_and_a_member_takes_it(fake: Cloudflare, yard: Yard) -> None:
    fake.add(ACME, type="TXT", name="auto.acme.example", content='"theirs"', ttl=1)
    assert not yard.publish(yard.record("auto", "TXT", ["ours"], mode="member", ttl=3600)).faults
    ttls = {r["ttl"] for r in fake.stored[fake.zone_id(ACME)].values() if r["name"] == "auto.acme.example"}
    assert ttls == {1}
    fake.add(ACME, type="A", name="host.acme.example", content="10.9.1.1", ttl=1)
    assert yard.publish(yard.record("host", "A", ["10.9.1.1"], ttl=300)).changes == {}
    assert len(yard.publish(yard.record("host", "A", ["10.9.1.1"], ttl=900)).changes) == 1
    assert fake.ttl(f"host.{ACME}", "A") == 900


def test_ttls_that_differ_are_seen_as_the_least_and_stay(fake: Cloudflare, yard: Yard) -> None:
    for number, ttl in ((1, 7200), (2, 600)):
        fake.add(ACME, type="TXT", name="mixed.acme.example", content=f'"theirs {number}"', ttl=ttl)
    before = fake.content(ACME)
    assert not yard.publish(yard.record("mixed", "TXT", ["ours"], mode="member", ttl=60)).faults
    (ours_now,) = fake.content(ACME) - before
    assert before < fake.content(ACME)
    assert fake.stored[fake.zone_id(ACME)][ours_now[0]]["ttl"] == 600


@pytest.mark.parametrize("ttl", [1, 0, 86401])
def test_a_ttl_that_cloudflare_does_not_have_is_refused(fake: Cloudflare, yard: Yard, ttl: int) -> None:
    before = fake.content(ACME)
    assert f"no TTL of {ttl} s; it takes 60 to 86400" in one_fault(
        yard.publish(yard.record("x", "A", ["10.9.1.1"], ttl=ttl))
    )
    assert fake.content(ACME) == before


def test_what_we_write_of_every_type_is_served(fake: Cloudflare, yard: Yard) -> None:
    wants = [
        yard.record("n", "MX", ["0 ."]),
        yard.record("n", "CAA", ['128 issue "ca.example; account=1"']),
        yard.record("_s._tcp.n", "SRV", ["1 2 443 host.acme.example"]),
        yard.record("_25._tcp.n", "TLSA", ["3 1 1 " + "cd" * 32]),
        yard.record("k._domainkey", "TXT", [records.dkim(KEY)]),
        yard.record("q", "TXT", ['say "hi" \\ ; ü']),
        yard.record("n", "AAAA", ["fd00:9:0:0::1"]),
        yard.record("p", "PTR", ["host.acme.example"]),
    ]
    before = fake.content(ACME)
    assert not yard.publish(*wants).faults
    assert yard.publish(*wants).changes == {}
    assert fake.values(f"n.{ACME}", "MX") == ["0 ."]
    assert fake.values(f"q.{ACME}", "TXT") == ['"say \\"hi\\" \\\\ ; \\195\\188"']
    assert not yard.publish(*wants, state="absent").faults
    assert fake.content(ACME) == before


def test_a_type_that_is_not_written_is_left_to_a_person(fake: Cloudflare, yard: Yard) -> None:
    assert "HTTPS records cannot be written at Cloudflare by this program; enter 1 . " in one_fault(
        yard.publish(yard.record("h", "HTTPS", ["1 . alpn=h2"]))
    )


# Others at the same time


def change(backend: Backend, zone: Zone, at: model.Key, *texts: str) -> model.Change:
    before = backend.read(zone, [at]).rrsets[at]
    values = tuple(model.parse_value(at.type, text) for text in texts)
    return model.Change(at, before, model.RRset(at, before.ttl if before else 60, values) if values else None)


@pytest.mark.parametrize("texts", [["10.9.1.1"], []], ids=["changed", "deleted"])
def test_what_somebody_changed_since_it_was_read_is_not_overwritten(
    fake: Cloudflare, backend: Backend, texts: list[str]
) -> None:
    zone, at = zone_of(backend), key("a", "A")
    late = change(backend, zone, at, *texts)
    (record,) = [r for r in fake.stored[zone.token].values() if r["name"] == "a.acme.example"]
    fake.stored[zone.token][record["id"]] = record | {"content": "10.9.7.7"}
    before = fake.content(ACME)
    with pytest.raises(Conflict, match="was changed by somebody else"):
        backend.apply(zone, [late])
    assert fake.content(ACME) == before


def test_an_alias_that_came_since_reading_is_a_conflict(fake: Cloudflare, backend: Backend) -> None:
    zone, at = zone_of(backend), key("new", "TXT")
    late = change(backend, zone, at, "ours")
    fake.add(ACME, type="CNAME", name="new.acme.example", content="vendor.example")
    with pytest.raises(Conflict):
        backend.apply(zone, [late])


def test_who_is_faster_by_milliseconds_is_noticed_by_cloudflare_and_nothing_is_written(
    fake: Cloudflare, yard: Yard
) -> None:
    yard.publish(yard.record("gone", "A", ["10.9.1.1"]), yard.record("there", "A", ["10.9.1.1"]))
    zone = fake.zone_id(ACME)
    (record,) = [r for r in fake.stored[zone].values() if r["name"] == "gone.acme.example"]
    fake.meanwhile = lambda: fake.stored[zone].pop(record["id"])
    outcome = yard.publish(
        yard.record("gone", "A", ["10.9.1.1"]), yard.record("there", "A", ["10.9.1.1"]), state="absent"
    )
    assert not outcome.faults
    assert [request.method for request in fake.requests].count("POST") == 3
    fake.meanwhile = lambda: fake.add(ACME, type="A", name="both.acme.example", content="10.9.1.1", ttl=3600) and None
    assert not yard.publish(yard.record("both", "A", ["10.9.1.1"])).faults
    assert fake.values(f"both.{ACME}", "A") == ["10.9.1.1"]


def test_what_is_refused_for_itself_is_no_conflict(fake: Cloudflare, backend: Backend) -> None:
    zone, at = zone_of(backend), key("x", "A")
    late = change(backend, zone, at, "10.9.1.1")
    fake.meanwhile = lambda: _refuse(errors(400, 81045, "The record quota has been exceeded."))
    with pytest.raises(Unsupported, match="quota"):
        backend.apply(zone, [late])


def _refuse(refused: Exception) -> None:
    raise refused
