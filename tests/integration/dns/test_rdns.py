# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Names of addresses at their providers: the fake under Hetzner's own client, EC2 by botocore's Stubber."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import hcloud
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import rdns
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import AuthError, Conflict, Transient, route53
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import DnsError
from ansible_collections.sendyard.mail.plugins.module_utils.rdns import NotHeld, Standing, Unsettable, ec2, hetzner
from botocore.stub import Stubber
from hcloud.actions import ActionFailedException
from integration.dns.fake_hetzner import refused
from integration.dns.fake_hetzner_addresses import HetznerAddresses
from integration.dns.servers import SECRET

V4, V6, NAME = "10.9.1.1", "fd00:9::1", "mx1.yard.example"
DEFAULT = "static.1.1.9.10.clients.your-server.example"


@pytest.fixture
def fake(start: Callable[..., HetznerAddresses]) -> HetznerAddresses:
    made = start(HetznerAddresses, {})
    made.hold("primary_ips", V4)
    made.hold("primary_ips", "fd00:9::/64")
    return made


@pytest.fixture
def provider(fake: HetznerAddresses) -> Iterator[rdns.Provider]:
    made = connect(fake)
    yield made
    made.close()


def connect(fake: HetznerAddresses, **changed: Any) -> rdns.Provider:
    known = {"lab": fake.credential(**changed)}
    return rdns.connect("lab", known, rdns.secret_of("lab", known, {}))


def client_of(fake: HetznerAddresses, token: str = SECRET) -> hcloud.Client:
    return hcloud.Client(token=token, api_endpoint=f"{fake.url}/v1", poll_interval=0.01)


def asked(fake: HetznerAddresses) -> list[str]:
    """Return what was asked since last time."""
    found = [f"{request.method} {request.path.removeprefix('/v1')}" for request in fake.requests]
    fake.requests.clear()
    return found


# Hetzner's own client


def test_the_client_lists_and_names_all_that_has_addresses(fake: HetznerAddresses) -> None:
    fake.hold("floating_ips", "fd00:9:1::/64")
    fake.hold("servers", "10.9.1.2", "fd00:9:2::/64")
    fake.hold("load_balancers", "10.9.1.3", "fd00:9:3::1")
    client = client_of(fake)
    first, second = client.primary_ips.get_all()
    assert (first.ip, first.dns_ptr) == (V4, [{"ip": V4, "dns_ptr": DEFAULT}])
    assert (second.ip, second.type, second.dns_ptr) == ("fd00:9::/64", "ipv6", [])
    assert [one.id for one in client.primary_ips.get_list(ip=V4).primary_ips] == [first.id]
    for holder, address in [
        (second, V6),
        (client.floating_ips.get_all()[0], "fd00:9:1::1"),
        (client.servers.get_all()[0], "fd00:9:2::1"),
        (client.load_balancers.get_all()[0], "fd00:9:3::1"),
    ]:
        holder.change_dns_ptr(address, NAME).wait_until_finished()
    assert client.primary_ips.get_by_id(second.id).dns_ptr == [{"ip": V6, "dns_ptr": NAME}]
    server = client.servers.get_all()[0].public_net
    assert (server.ipv4.dns_ptr, server.ipv6.network) == (DEFAULT.replace("1.1.9", "2.1.9"), "fd00:9:2::")
    assert server.ipv6.dns_ptr == [{"ip": "fd00:9:2::1", "dns_ptr": NAME}]
    assert client.load_balancers.get_all()[0].public_net.ipv6.dns_ptr == NAME
    second.change_dns_ptr(V6, None).wait_until_finished()
    assert client.primary_ips.get_by_id(second.id).dns_ptr == []


def test_the_client_gets_the_errors_that_it_knows(fake: HetznerAddresses) -> None:
    def code(ask: Callable[[], Any]) -> Any:
        with pytest.raises(hcloud.APIException) as caught:
            ask()
        return caught.value.code

    assert code(client_of(fake, "wrong").primary_ips.get_all) == "unauthorized"
    client = client_of(fake)
    first, second = client.primary_ips.get_all()
    assert code(lambda: client.primary_ips.get_by_id(1)) == "not_found"
    assert code(lambda: second.change_dns_ptr(V4, NAME)) == "invalid_input"
    assert code(lambda: first.change_dns_ptr(V4, "no_name")) == "invalid_input"
    fake.fail_actions = [("action_failed", "no")]
    with pytest.raises(ActionFailedException):
        first.change_dns_ptr(V4, NAME).wait_until_finished()
    fake.read_only = True
    assert code(lambda: first.change_dns_ptr(V4, NAME)) == "token_readonly"


# ours, at Hetzner


def test_one_list_finds_the_addresses_of_servers(fake: HetznerAddresses, provider: rdns.Provider) -> None:
    assert provider.names([V4, V6]) == {V4: Standing(DEFAULT), V6: Standing(None)}
    assert asked(fake) == ["GET /primary_ips"]
    provider.set(V6, NAME)
    assert [path.partition(" /")[2].partition("/")[0] for path in asked(fake)] == ["primary_ips", "actions"]
    assert provider.names([V6]) == {V6: Standing(NAME)}


@pytest.mark.parametrize("kind", ["floating_ips", "servers", "load_balancers"])
def test_other_lists_are_read_where_they_are_needed(fake: HetznerAddresses, provider: rdns.Provider, kind: str) -> None:
    place = "fd00:9:1::1" if kind == "load_balancers" else "fd00:9:1::/64"
    number = fake.hold(kind, place) if kind == "floating_ips" else fake.hold(kind, "10.9.1.2", place)
    assert provider.names([V4, "fd00:9:1::1"])["fd00:9:1::1"] == Standing(None)
    assert len(asked(fake)) == 1 + hetzner.KINDS.index(kind)
    provider.set("fd00:9:1::1", NAME)
    assert fake.holders[number].names["fd00:9:1::1"] == NAME
    assert provider.names(["fd00:9:1::1"]) == {"fd00:9:1::1": Standing(NAME)}


def test_more_than_a_page_is_read_until_all_are_found(fake: HetznerAddresses, provider: rdns.Provider) -> None:
    for number in range(100):
        fake.hold("primary_ips", f"10.9.2.{number}")
    provider.names(["10.9.2.60"])
    assert len(asked(fake)) == 2


def test_an_address_of_somebody_else_is_named(fake: HetznerAddresses, provider: rdns.Provider) -> None:
    found = provider.names([V4, "10.9.9.9"])
    assert found[V4] == Standing(DEFAULT)
    assert isinstance(found["10.9.9.9"], NotHeld)
    assert "10.9.9.9 belongs to no Primary IP" in str(found["10.9.9.9"])
    assert 'DNS credential "lab"' in str(found["10.9.9.9"])


def test_a_busy_holder_is_waited_for(
    fake: HetznerAddresses, provider: rdns.Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hetzner, "LONGEST_PAUSE", 0.05)
    provider.names([V4])
    fake.fail_next = [refused(423, "locked", "primary ip is locked")]
    provider.set(V4, NAME)
    assert provider.names([V4]) == {V4: Standing(NAME)}
    monkeypatch.setattr(hetzner, "ACTION_SECONDS", 0.1)
    fake.fail_next = [refused(423, "locked", "primary ip is locked")] * 9
    with pytest.raises(Conflict, match="locked"):
        provider.set(V4, NAME)


def test_a_failed_action_says_whose(fake: HetznerAddresses, provider: rdns.Provider) -> None:
    provider.names([V4])
    fake.fail_actions = [("action_failed", "the name is bad")]
    with pytest.raises(Transient, match=r"PTR record of 10\.9\.1\.1: change_dns_ptr .* the name is bad"):
        provider.set(V4, NAME)


def test_a_token_that_may_only_read_is_told(fake: HetznerAddresses, provider: rdns.Provider) -> None:
    provider.names([V4])
    fake.read_only = True
    with pytest.raises(AuthError, match="only allowed to perform GET"):
        provider.set(V4, NAME)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"secret": ""}, "has no secret"),
        ({"zone": "x"}, "zone is no option"),
        ({"url": "http://api.example"}, "no https address"),
        ({"provider": "rfc2136"}, "sets no PTR records"),
    ],
)
def test_a_credential_that_cannot_do_it_says_why(fake: HetznerAddresses, said: dict[str, Any], words: str) -> None:
    with pytest.raises(AuthError, match=words):
        connect(fake, **said)
    with pytest.raises(AuthError, match='no DNS credential "other"; known: lab'):
        rdns.secret_of("other", {"lab": {}}, {})


# ours, at EC2

IDS = {"198.51.100.1": "eipalloc-1", "198.51.100.2": "eipalloc-2"}
ONE, TWO = IDS


@pytest.fixture
def aws() -> Iterator[Stubber]:
    """Botocore's client, which checks every parameter; what comes unasked for fails the test."""
    key = {"aws_access_key_id": "AKIA", "aws_secret_access_key": SECRET}
    with Stubber(boto3.session.Session(**key).client("ec2", region_name="eu-central-1")) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def ours(aws: Stubber) -> ec2.Ec2:
    return ec2.Ec2(aws.client, 'DNS credential "aws" in region eu-central-1')


def listed(aws: Stubber, *addresses: str, asked: tuple[str, ...] = (), attributes: list[dict[str, Any]]) -> None:
    """Have AWS say what Elastic IPs there are, and their attributes."""
    held = [{"PublicIp": address, "AllocationId": IDS[address], "Domain": "vpc"} for address in addresses]
    filters = [{"Name": "public-ip", "Values": list(asked or addresses)}]
    aws.add_response("describe_addresses", {"Addresses": held}, {"Filters": filters})
    if addresses:
        ids = {"AllocationIds": [IDS[address] for address in addresses], "Attribute": "domain-name"}
        aws.add_response("describe_addresses_attribute", {"Addresses": attributes}, ids)


def test_elastic_ips_have_names_or_none(aws: Stubber) -> None:
    first = {"PublicIp": ONE, "AllocationId": IDS[ONE], "PtrRecord": f"{NAME}."}
    listed(aws, ONE, TWO, attributes=[first])
    assert ours(aws).names([ONE, TWO]) == {ONE: Standing(f"{NAME}."), TWO: Standing(None)}


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("PENDING", Standing(f"{NAME}.")),
        ("SUCCEEDED", Standing("old.example.")),
        ("FAILED", Standing("old.example.", "no forward record")),
    ],
)
def test_what_aws_does_with_a_name_is_told(aws: Stubber, status: str, standing: Standing) -> None:
    update = {"Value": f"{NAME}.", "Status": status, "Reason": "no forward record"}
    said = {"PublicIp": ONE, "AllocationId": IDS[ONE], "PtrRecord": "old.example.", "PtrRecordUpdate": update}
    listed(aws, ONE, attributes=[said])
    assert ours(aws).names([ONE]) == {ONE: standing}


def test_attributes_come_in_pages(aws: Stubber) -> None:
    provider = ours(aws)
    held = [{"PublicIp": address, "AllocationId": IDS[address]} for address in (ONE, TWO)]
    aws.add_response("describe_addresses", {"Addresses": held})
    ids = {"AllocationIds": list(IDS.values()), "Attribute": "domain-name"}
    for more, address in (({}, ONE), ({"NextToken": "next"}, TWO)):
        said = {"PublicIp": address, "AllocationId": IDS[address], "PtrRecord": address}
        token = {} if more else {"NextToken": "next"}
        aws.add_response("describe_addresses_attribute", {"Addresses": [said], **token}, {**ids, **more})
    assert provider.names([ONE, TWO]) == {ONE: Standing(ONE), TWO: Standing(TWO)}


def test_an_elastic_ip_is_named(aws: Stubber) -> None:
    listed(aws, ONE, attributes=[])
    answer = {"PublicIp": ONE, "AllocationId": IDS[ONE], "PtrRecordUpdate": {"Value": NAME, "Status": "PENDING"}}
    asked = {"AllocationId": IDS[ONE], "DomainName": NAME}
    aws.add_response("modify_address_attribute", {"Address": answer}, asked)
    provider = ours(aws)
    provider.names([ONE])
    provider.set(ONE, NAME)


def test_addresses_that_aws_cannot_name_are_told_apart(aws: Stubber) -> None:
    listed(aws, asked=(ONE,), attributes=[])
    found = ours(aws).names([ONE, "2001:db8::1"])
    assert isinstance(found[ONE], NotHeld)
    assert "is no Elastic IP of DNS credential" in str(found[ONE])
    assert isinstance(found["2001:db8::1"], Unsettable)
    assert "which are IPv4" in str(found["2001:db8::1"])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UnauthorizedOperation", "AuthError"),
        ("AuthFailure", "AuthError"),
        ("RequestExpired", "ClockError"),
        ("RequestLimitExceeded", "Transient"),
        ("InvalidParameterValue", "Unsupported"),
    ],
)
def test_errors_of_aws_are_ours(aws: Stubber, code: str, kind: str) -> None:
    aws.add_client_error("describe_addresses", code, "says AWS")
    with pytest.raises(DnsError, match=f"AWS answers {code}: says AWS") as caught:
        ours(aws).names([ONE])
    assert type(caught.value).__name__ == kind


@pytest.mark.parametrize(
    ("said", "secret", "words"),
    [
        ({}, "", "has no region"),
        ({"region": "eu-central-1", "access_key_id": "AKIA"}, "", "the secret access key .* is missing"),
        ({"region": "eu-central-1"}, SECRET, "access_key_id is missing"),
        ({"region": "eu-central-1", "access_key_id": "A", "profile": "p"}, SECRET, "access_key_id and profile"),
        ({"region": "eu-central-1", "profile": "nosuch"}, "", "nosuch"),
        ({"regoin": "eu-central-1"}, "", "regoin is no option"),
    ],
)
def test_an_aws_credential_says_what_is_wrong_with_it(said: dict[str, Any], secret: str, words: str) -> None:
    with pytest.raises(AuthError, match=words) as caught:
        rdns.connect("aws", {"aws": {"provider": "route53", **said}}, secret)
    assert SECRET not in str(caught.value)


def test_an_aws_credential_needs_no_secret() -> None:
    assert rdns.secret_of("aws", {"aws": {"provider": "route53"}}, {}) == ""
    known = {"provider": "route53", "region": "eu-central-1", "access_key_id": "AKIA", "secret": SECRET}
    assert rdns.secret_of("aws", {"aws": known}, {}) == SECRET
    rdns.connect("aws", {"aws": known}, SECRET).close()


def test_a_role_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = boto3.session.Session, []

    class Session(real):  # type: ignore[misc,valid-type]  # boto3 has no types
        def __init__(self, **said: Any) -> None:
            super().__init__(**said)
            made.append(said)

        def client(self, service: str, **said: Any) -> Any:
            client = super().client(service, **said)
            if service == "sts":
                stubber = Stubber(client)
                keys = {"AccessKeyId": "ASIAxxxxxxxxxxxxxxxx", "SecretAccessKey": "taken", "SessionToken": "token"}
                answer = {"Credentials": {**keys, "Expiration": "2030-01-01T00:00:00Z"}}
                asked = {"RoleArn": "arn:aws:iam::123456789012:role/mail", "RoleSessionName": "sendyard"}
                stubber.add_response("assume_role", answer, asked)
                stubber.activate()
            return client

    monkeypatch.setattr(boto3.session, "Session", Session)
    said = {"region": "eu-central-1", "access_key_id": "AKIA", "role_arn": "arn:aws:iam::123456789012:role/mail"}
    found = route53.session("aws", said, SECRET)
    assert found.get_credentials().token == "token"  # of a test
    assert [one.get("aws_access_key_id") for one in made] == ["AKIA", "ASIAxxxxxxxxxxxxxxxx"]
