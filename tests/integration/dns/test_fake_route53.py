# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Route 53: what only it has. boto3 is the client on both sides; moto is first shown to be too kind, then is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import dns.name
import dns.rdata
import dns.rdatatype
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import model, verify
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import (
    AmbiguousZone,
    AuthError,
    ClockError,
    Conflict,
    Transient,
    Unsupported,
    Zone,
    ZoneNotFound,
    route53,
)
from botocore.stub import Stubber
from integration.dns.conftest import NAME_SERVER, Yard, ours, run
from integration.dns.fake_route53 import FakeRoute53
from integration.dns.servers import ADDRESS, SECRET, nasty, soa

ZONE = "acme.example."


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FakeRoute53]]:
    """Start a Route 53, stopped with the test."""
    running: list[FakeRoute53] = []

    def begin(text: str = nasty(ZONE), *, strict: bool = True) -> FakeRoute53:
        fake = FakeRoute53(tmp_path, {ZONE: text})
        fake.is_strict = strict  # type: ignore[misc]
        running.append(fake)
        fake.start()
        return fake

    yield begin
    for fake in running:
        fake.stop()


def client(fake: FakeRoute53) -> Any:
    """Somebody else's boto3."""
    return boto3.Session("AKIASOMEBODYELSE0000", "somebody else's secret", region_name="us-east-1").client(
        "route53", endpoint_url=fake.url
    )


def backend(fake: FakeRoute53, **said: Any) -> route53.Route53:
    directory = verify.Directory((), {NAME_SERVER: ((ADDRESS, fake.port),)})
    options = {"url": fake.url, "access_key_id": "AKIAOFTHETESTSALONE0", **said}
    return route53.make("lab", {"provider": "route53", **options}, SECRET, directory)


def change(action: str, value: str, name: str = f"x.{ZONE}", kind: str = "A") -> dict[str, Any]:
    return {
        "Action": action,
        "ResourceRecordSet": {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]},
    }


def send(fake: FakeRoute53, *changes: dict[str, Any]) -> None:
    zone = fake.zone(ZONE).resource_id
    client(fake).change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": list(changes)})


def test_moto_alone_takes_a_stale_delete_and_would_prove_nothing(start: Callable[..., FakeRoute53]) -> None:
    fake = start(soa(ZONE), strict=False)
    send(fake, change("CREATE", "10.9.1.1"))
    send(fake, change("UPSERT", "10.9.1.2"))
    send(fake, change("DELETE", "10.9.1.1"))
    assert fake.values(f"x.{ZONE}", "A") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([change("DELETE", "10.9.1.1")], "the values provided do not match the current values"),
        ([change("DELETE", "10.9.1.2", f"y.{ZONE}")], "it was not found"),
        ([change("CREATE", "10.9.1.3")], "it already exists"),
        ([change("CREATE", "not quoted", kind="TXT")], "enclosed in quotation marks"),
        ([change("CREATE", f'"{"x" * 256}"', kind="TXT")], "CharacterStringTooLong"),
        ([change("CREATE", "vendor.example.", kind="CNAME")], "conflicts with other records"),
    ],
)
def test_what_aws_refuses_is_refused_and_nothing_of_the_batch_done(
    start: Callable[..., FakeRoute53], changes: list[dict[str, Any]], said: str
) -> None:
    fake = start(soa(ZONE))
    send(fake, change("CREATE", "10.9.1.1"))
    send(fake, change("UPSERT", "10.9.1.2"))
    before = fake.content(ZONE)
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidChangeBatch") as refused:
        send(fake, change("CREATE", "10.9.1.1", f"fine.{ZONE}"), *changes)
    assert said in str(refused.value)
    assert fake.content(ZONE) == before


# A zone of three thousand has more pages than we have names there, as larger ones have: it is read name by name.
@pytest.mark.parametrize(("more", "first", "again"), [(170, 3, 2), (2_970, 10, 9)])
def test_calls_are_few(start: Callable[..., FakeRoute53], more: int, first: int, again: int) -> None:
    hosts = "".join(f"h{number} A 10.8.{number // 250}.{number % 250 + 1}\n" for number in range(more))
    fake = start(nasty(ZONE) + hosts)
    yard = Yard(fake, ZONE)
    counted = []
    for _run in range(2):
        with fake.traffic() as calls:
            outcome = yard.publish(*ours(yard), write=True, wait=False)
            assert not outcome.faults
        counted.append(list(calls))
    # zones, record sets, the change; with waiting there is one more for each look whether all servers have it
    assert [len(calls) for calls in counted] == [first, again]
    assert counted[0].count("ChangeResourceRecordSets") == 1


def test_a_zone_among_many_is_found_by_name_or_by_pages(start: Callable[..., FakeRoute53]) -> None:
    fake = start(soa(ZONE))
    for number in range(250):
        fake.moto.create_hosted_zone(f"d{number}.example.", private_zone=False)
    few = [dns.name.from_text(name) for name in ("mail.acme.example.", "nowhere.test.")]
    many = [dns.name.from_text(f"mail.d{number}.example.") for number in range(250)]
    with fake.traffic() as calls:
        found = backend(fake).find_zones([few[0]])
    assert (str(found[few[0]].name), calls[0], calls.count("ListHostedZonesByName")) == (ZONE, "ListHostedZones", 2)  # type: ignore[union-attr]
    assert isinstance(backend(fake).find_zones(few)[few[1]], ZoneNotFound)
    with fake.traffic() as calls:
        found = backend(fake).find_zones(many)
    assert {str(zone.name) for zone in found.values() if isinstance(zone, Zone)} == {
        f"d{number}.example." for number in range(250)
    }
    assert calls.count("ListHostedZones") == 3


def test_of_several_zones_of_a_name_the_public_one_that_is_asked_is_taken(start: Callable[..., FakeRoute53]) -> None:
    fake = start(soa(ZONE))
    mine = fake.zone(ZONE)
    private = fake.moto.create_hosted_zone(ZONE, private_zone=True, vpcid="vpc-1", vpcregion="eu-west-1")
    name = dns.name.from_text(ZONE)
    assert backend(fake).find_zones([name]) == {name: Zone(name, mine.id)}
    other = fake.moto.create_hosted_zone(ZONE, private_zone=False)
    assert len({mine.id, private.id, other.id}) == 3
    refused = backend(fake).find_zones([name])[name]
    assert isinstance(refused, AmbiguousZone)
    assert mine.id in str(refused) and other.id in str(refused)
    mine.delegation_set.name_servers[:] = [NAME_SERVER]
    other.delegation_set.name_servers[:] = ["ns-1.elsewhere.example"]
    assert backend(fake).find_zones([name]) == {name: Zone(name, mine.id)}


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"AliasTarget": {"HostedZoneId": "Z1", "DNSName": "elb.example.", "EvaluateTargetHealth": False}}, "an alias"),
        ({"HealthCheckId": "abc", "TTL": 60, "ResourceRecords": ["10.9.1.1"]}, "which would be lost"),
        ({"SetIdentifier": "one", "Weight": 10, "TTL": 60, "ResourceRecords": ["10.9.1.1"]}, "several record sets"),
    ],
)
def test_what_is_no_simple_record_set_is_left_alone(
    start: Callable[..., FakeRoute53], said: dict[str, Any], text: str
) -> None:
    fake = start(soa(ZONE))
    fake.zone(ZONE).add_rrset({"Name": f"mx1.{ZONE}", "Type": "A", **said})
    yard = Yard(fake, ZONE)
    before = fake.content(ZONE)
    outcome = yard.publish(yard.record("mx1", "A", ["10.9.1.2"], mode="member"))
    ((error,),) = outcome.faults.values()
    assert text in error
    assert fake.content(ZONE) == before


def test_what_somebody_changed_since_reading_is_a_conflict_and_nothing_is_written(
    start: Callable[..., FakeRoute53],
) -> None:
    fake = start(soa(ZONE) + "x 60 A 10.9.1.1\n")
    mine = backend(fake)
    key = model.parse_record({"name": f"x.{ZONE}", "type": "A"}).key
    zone = mine.find_zones([key.name])[key.name]
    assert isinstance(zone, Zone)
    there = mine.read(zone, [key]).rrsets[key]
    fake.put(ZONE, f"x.{ZONE}", 60, dns.rdata.from_text("IN", "A", "10.9.1.9"))
    before = fake.content(ZONE)
    after = model.RRset(key, 60, (model.parse_value(key.type, "10.9.1.2"),))
    with pytest.raises(Conflict):
        mine.apply(zone, [model.Change(key, there, after)])
    with pytest.raises(Conflict):
        mine.apply(zone, [model.Change(key, None, after)])
    assert fake.content(ZONE) == before


def test_tlsa_is_held_and_what_is_no_record_is_not_tried_again(start: Callable[..., FakeRoute53]) -> None:
    yard = Yard(start(soa(ZONE)), ZONE)
    digest = "0123456789abcdef" * 4
    assert not yard.publish(yard.record("_25._tcp.mx1", "TLSA", [f"3 1 1 {digest}"])).faults
    assert yard.server.values(yard.name("_25._tcp.mx1"), "TLSA") == [f"3 1 1 {digest}"]


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        ("Throttling", "Rate exceeded", Transient),
        ("PriorRequestNotComplete", "The request was rejected", Transient),
        ("AccessDenied", "User: x is not authorized to perform: route53:ChangeResourceRecordSets", AuthError),
        ("InvalidClientTokenId", "The security token included in the request is invalid", AuthError),
        ("RequestExpired", "Request has expired", ClockError),
        ("NoSuchHostedZone", "No hosted zone found with ID: Z1", ZoneNotFound),
        ("InvalidChangeBatch", "[Tried to create resource record set [...] but it already exists]", Conflict),
        ("InvalidChangeBatch", "[Invalid Resource Record: FATAL problem]", Unsupported),
    ],
)
def test_errors_of_aws_are_told_in_our_words(
    start: Callable[..., FakeRoute53], code: str, text: str, error: type[Exception]
) -> None:
    mine = backend(start(soa(ZONE)))
    key = model.parse_record({"name": f"x.{ZONE}", "type": "A"}).key
    after = model.RRset(key, 60, (model.parse_value(key.type, "10.9.1.2"),))
    with Stubber(mine._client) as stubber:
        stubber.add_client_error("change_resource_record_sets", code, text)
        with pytest.raises(error, match='DNS credential "lab": AWS answers ChangeResourceRecordSets with') as raised:
            mine.apply(Zone(key.name.parent(), "Z1"), [model.Change(key, None, after)])
    assert text in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_change_is_waited_for_until_all_name_servers_have_it(
    start: Callable[..., FakeRoute53], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route53, "POLL_SECONDS", 0.01)
    mine = backend(start(soa(ZONE)))
    mine._changes = ["/change/C1", "/change/C2"]
    said = {"Id": "C1", "SubmittedAt": 0}
    with Stubber(mine._client) as stubber:
        for identity, status in [("C1", "PENDING"), ("C2", "INSYNC"), ("C1", "PENDING"), ("C1", "INSYNC")]:
            stubber.add_response(
                "get_change", {"ChangeInfo": {**said, "Status": status}}, {"Id": f"/change/{identity}"}
            )
        mine.settled(5.0)
        stubber.assert_no_pending_responses()
    mine._changes = ["/change/C3"]
    with Stubber(mine._client) as stubber:
        for _look in range(3):
            stubber.add_response("get_change", {"ChangeInfo": {**said, "Status": "PENDING"}})
        with pytest.raises(Transient, match=r"of 1 changes \(/change/C3\)"):
            mine.settled(0.02)


@pytest.mark.parametrize(
    ("code", "text", "allowed"),
    [
        ("InvalidChangeBatch", "[Tried to delete resource record set [...] but it was not found]", True),
        ("AccessDenied", "User: x is not authorized to perform: route53:ChangeResourceRecordSets", False),
    ],
)
def test_whether_a_credential_may_write_is_found_out_by_deleting_what_nobody_has(
    start: Callable[..., FakeRoute53], code: str, text: str, allowed: bool
) -> None:
    fake = start(soa(ZONE))
    mine = backend(fake)
    keys = [model.parse_record({"name": f"x.{ZONE}", "type": kind}).key for kind in ("A", "TXT", "CAA", "MX")]
    zone = mine.find_zones([keys[0].name])[keys[0].name]
    assert isinstance(zone, Zone)
    before = fake.content(ZONE)
    mine.prove(zone, keys)
    assert fake.content(ZONE) == before
    with Stubber(mine._client) as stubber:
        stubber.add_response(
            "list_resource_record_sets", {"ResourceRecordSets": [], "IsTruncated": False, "MaxItems": "1"}
        )
        stubber.add_client_error("change_resource_record_sets", code, text)
        if allowed:
            mine.prove(zone, keys)
        else:
            with pytest.raises(AuthError, match="not authorized"):
                mine.prove(zone, keys)


def test_no_secret_goes_out_in_clear() -> None:
    with pytest.raises(AuthError, match="no https address"):
        route53.make("lab", {"url": "http://10.9.0.1", "access_key_id": "AKIA"}, SECRET, verify.Directory((), {}))


@pytest.mark.parametrize(
    ("said", "secret", "text"),
    [
        ({"access_key_id": "AKIA0000000000000000"}, "", "the secret access key .* is missing"),
        ({}, SECRET, "access_key_id is missing"),
        ({"access_key_id": "AKIA0000000000000000"}, "short", "fewer than 8 characters"),
        ({"access_key_id": "AKIA0000000000000000", "profile": "x"}, SECRET, "give one of them"),
        ({"profile": "nobody-has-this-profile"}, "", "nobody-has-this-profile"),
        ({"token": "x"}, "", "token is no option of provider route53"),
    ],
)
def test_credentials_that_do_not_go_together_are_refused(said: dict[str, Any], secret: str, text: str) -> None:
    with pytest.raises(AuthError, match=text) as refused:
        route53.make("lab", {"provider": "route53", **said}, secret, verify.Directory((), {}))
    assert SECRET not in str(refused.value)


def test_a_machine_without_any_credential_is_told_so(
    start: Callable[..., FakeRoute53], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = start(soa(ZONE))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    credential = {"provider": "route53", "url": fake.url}
    outcome = run(fake, ours(Yard(fake, ZONE)), credential=credential)
    assert all(
        "Give access_key_id and a secret, a profile, or the machine a role" in text
        for (text,) in outcome.faults.values()
    )
    assert outcome.faults
