# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The module as Ansible calls it: Hetzner's API in memory, and a real Knot for the zones of names and addresses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.name
import dns.rdata
import dns.update
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import DnsError
from ansible_collections.sendyard.mail.plugins.module_utils.rdns import Standing, Unsettable, assign, hetzner
from ansible_collections.sendyard.mail.plugins.module_utils.records import reverse_name
from ansible_collections.sendyard.mail.plugins.modules import mail_rdns
from integration.dns.fake_hetzner_addresses import HetznerAddresses
from integration.dns.servers import ADDRESS, SECRET, Knot, NameServer, soa

NAME, ZONE = "mx1.yard.example", "yard.example."
V4, SHARED, V6 = "10.9.1.1", "10.9.1.70", "fd00:9::1"  # the name of SHARED is a CNAME into a zone of its own
NET4, NET6, PART = "1.9.10.in-addr.arpa.", "9.0.0.0.0.0.d.f.ip6.arpa.", "64-127.1.9.10.in-addr.arpa."
ZONES = {
    ZONE: soa(ZONE) + f"mx1 A {V4}\nmx1 A {SHARED}\nmx1 AAAA {V6}\nmx2 A 10.9.1.2\n",
    NET4: soa(NET4) + f"70 CNAME 70.{PART}\n64-127 NS ns1.lab.example.\n",
    NET6: soa(NET6),
    PART: soa(PART),
}
WRONG = "a-wrong-token-of-somebody"
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    server = Knot(tmp_path_factory.mktemp("knot"), ZONES)
    server.start()
    yield server
    server.stop()


def set_ptr(knot: NameServer, address: str, name: str | None, ttl: int = 300) -> None:
    """Have the reverse zones say what an address is called."""
    place = dns.name.from_text(f"70.{PART}" if address == SHARED else reverse_name(address))
    zone = next(zone for zone in (PART, NET4, NET6) if place.is_subdomain(dns.name.from_text(zone)))
    update = dns.update.UpdateMessage(zone)
    update.delete(place)
    if name:
        update.add(place, ttl, dns.rdata.from_text("IN", "PTR", f"{name}."))
    assert knot.update(update) == 0


@pytest.fixture
def fake(knot: NameServer, tmp_path: Path) -> Iterator[HetznerAddresses]:
    """A project whose names are in the zones at once."""
    made = HetznerAddresses(tmp_path / "hetzner", {})
    made.start()
    for place in (V4, SHARED, "fd00:9::/64"):
        made.hold("primary_ips", place)
    for address in (V4, SHARED, V6):
        set_ptr(knot, address, None)
    made.on_named = lambda address, name: set_ptr(knot, address, name)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not there is not looked for long; and a token of the environment is wrong."""
    monkeypatch.setattr(assign, "LOOK_SECONDS", 1.0)
    monkeypatch.setenv("WRONG_TOKEN", WRONG)


@pytest.fixture
def run(knot: NameServer, fake: HetznerAddresses, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the module and return what it says; `text` is all of it."""

    def call(*addresses: str, name: str = NAME, **args: Any) -> dict[str, Any]:
        wanted = [{"address": address, "name": name, "credential": "lab", "subject": "mx1"} for address in addresses]
        said = {
            "addresses": wanted,
            "credentials": {"lab": fake.credential()},
            "name_servers": {"ns1.lab.example": [ADDRESS, knot.port]},
            "deadline": 20,
            "_ansible_diff": True,
            **args,
        }
        with patch_module_args(said), pytest.raises(SystemExit):
            mail_rdns.main()
        text = capsys.readouterr().out
        return {**json.loads(text), "text": text}

    return call


def test_addresses_are_named_and_seen_and_then_nothing_changes(run: Run, fake: HetznerAddresses) -> None:
    first = run(V4, SHARED, "FD00:9:0::1")
    assert (first["changed"], first["subjects"], first["pending"]) == (True, {"mx1": {"ok": True}}, {})
    assert first["seen"] == {"mx1": [V4, SHARED, V6]}
    assert first["diff"][0]["before"] == "static.1.1.9.10.clients.your-server.example\n"
    assert [one["after"] for one in first["diff"]] == [f"{NAME}\n"] * 3
    fake.requests.clear()
    again = run(V4, SHARED, V6)
    assert (again["changed"], again["diff"], again["seen"]) == (False, [], first["seen"])
    assert [request.method for request in fake.requests] == ["GET"]


def test_check_mode_says_the_same_and_changes_nothing(run: Run, fake: HetznerAddresses) -> None:
    said = run(V4, _ansible_check_mode=True)
    assert (said["changed"], len(said["diff"]), said["seen"]) == (True, 1, {"mx1": [V4]})
    assert {request.method for request in fake.requests} == {"GET"}
    missing = run(V4, name="mx2.yard.example", _ansible_check_mode=True)
    assert (missing["changed"], missing["subjects"]) == (True, {"mx1": {"ok": True}})
    assert "mx2.yard.example does not lead to it" in missing["notes"]["mx1"][0]


def test_how_long_resolvers_may_have_what_stood_before_is_told(run: Run, knot: NameServer) -> None:
    """The negative TTL of the zone, that of the zone behind a CNAME too, or the TTL of another name."""
    new = {"mx1": {"seconds": 300, "record": f"{reverse_name(V4)}. PTR"}}
    assert run(V4, _ansible_check_mode=True)["cached"] == new
    assert run(V4)["cached"] == new
    assert run(V4)["cached"] == {}
    assert run(SHARED)["cached"] == {"mx1": {"seconds": 300, "record": f"{reverse_name(SHARED)}. PTR"}}
    set_ptr(knot, V6, "static.theirs.example", ttl=3000)
    assert run(V4, V6)["cached"] == {"mx1": {"seconds": 3000, "record": f"{reverse_name(V6)}. PTR"}}


@pytest.mark.parametrize("name", ["mx2.yard.example", "nosuch.yard.example", "mx1.nowhere.example"])
def test_a_name_that_does_not_lead_to_the_address_is_refused(run: Run, fake: HetznerAddresses, name: str) -> None:
    said = run(V4, name=name)
    assert (said["changed"], said["seen"], said["pending"]) == (False, {}, {})
    error = said["subjects"]["mx1"]["error"]
    assert f"{V4}: {name} does not lead to it, so that its PTR record is not set" in error
    assert f"Publish {name}. A {V4} first." in error
    assert {request.method for request in fake.requests} == {"GET"}


def test_one_address_that_its_name_lacks_refuses_no_other(run: Run) -> None:
    said = run("10.9.1.3", V4)
    assert said["seen"] == {"mx1": [V4]}
    assert said["subjects"]["mx1"]["error"].startswith("10.9.1.3: mx1.yard.example does not lead to it")


@pytest.mark.parametrize("state", ["present", "checked"])
def test_an_address_of_somebody_else_is_named(run: Run, fake: HetznerAddresses, knot: NameServer, state: str) -> None:
    fake.holders.clear()
    said = run(V4, state=state)
    assert not said["changed"]
    assert f"{V4} belongs to no Primary IP" in said["subjects"]["mx1"]["error"]
    assert said["seen"] == {}
    if state == "present":  # somebody else has named it
        set_ptr(knot, V4, NAME)
        assert run(V4)["seen"] == {"mx1": [V4]}


def test_checked_changes_nothing(run: Run, fake: HetznerAddresses) -> None:
    said = run(V4, V6, state="checked")
    assert (said["changed"], said["subjects"], said["seen"]) == (False, {"mx1": {"ok": True}}, {})
    assert {request.method for request in fake.requests} == {"GET"}


@pytest.mark.parametrize("address", [V4, SHARED, V6])
def test_what_dns_does_not_show_yet_is_pending(
    run: Run, fake: HetznerAddresses, knot: NameServer, address: str
) -> None:
    fake.on_named = lambda address, name: None
    for changed in (True, False):
        said = run(address, deadline=1)
        assert (said["changed"], said["subjects"]) == (changed, {"mx1": {"ok": True}})
        assert (said["pending"], said["seen"]) == ({"mx1": [address]}, {})
        ((text,),) = said["notes"].values()
        assert f"{address}: the provider has {NAME} as its name, and DNS does not show it yet" in text
        assert "ns1.lab.example." in text
    set_ptr(knot, address, NAME)
    said = run(address)
    assert (said["changed"], said["pending"], said["seen"]) == (False, {}, {"mx1": [address]})


def test_another_name_beside_ours_is_not_ours(run: Run, knot: NameServer) -> None:
    assert run(V4)["seen"]
    knot.put(NET4, reverse_name(V4) + ".", 300, dns.rdata.from_text("IN", "PTR", "other.example."))
    assert run(V4)["pending"] == {"mx1": [V4]}


def test_a_provider_that_gives_up_is_told(run: Run, fake: HetznerAddresses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hetzner.Hetzner, "set", lambda self, address, name: None)
    said = run(V4, deadline=1)
    assert f"{V4}: the provider took {NAME} as its name and has static.1.1.9.10" in said["subjects"]["mx1"]["error"]
    assert (said["pending"], said["seen"]) == ({}, {})


def test_a_write_that_is_refused_is_one_addresss_fault(run: Run, fake: HetznerAddresses) -> None:
    fake.fail_actions = [("action_failed", "no")]
    said = run(V4, V6)
    assert f"{V4}: its PTR record was not set" in said["subjects"]["mx1"]["error"]
    assert (said["changed"], said["seen"]) == (True, {"mx1": [V6]})


@pytest.mark.parametrize("state", ["present", "checked"])
@pytest.mark.parametrize("how", ["secret", "secret_file", "secret_env"])
def test_a_wrong_token_is_told_and_not_shown(
    run: Run, fake: HetznerAddresses, tmp_path: Path, how: str, state: str
) -> None:
    (tmp_path / "token").write_text(f"{WRONG}\n")
    value = {"secret": WRONG, "secret_file": str(tmp_path / "token"), "secret_env": "WRONG_TOKEN"}[how]
    credential = {name: said for name, said in fake.credential().items() if name != "secret"}
    said = run(V4, credentials={"lab": {**credential, how: value}}, state=state)
    assert said["subjects"]["mx1"]["error"].startswith('DNS credential "lab": ')
    assert "It is not accepted" in said["subjects"]["mx1"]["error"]
    assert WRONG not in said["text"]
    assert SECRET not in said["text"]


def test_a_credential_that_is_not_there_is_the_fault_of_all_who_want_it(run: Run) -> None:
    said = run(V4, credentials={})
    assert 'there is no DNS credential "lab"' in said["subjects"]["mx1"]["error"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"deadline": 0}, "let no server answer"),
        ({"name_servers": {"ns1.lab.example": "x"}}, "needs a list of address and port"),
        ({"addresses": [{"address": V4}]}, "an address has: address, name, credential, subject"),
        (
            {"addresses": [{"address": "10.9.1.256", "name": NAME, "credential": "lab", "subject": "mx1"}]},
            '"10.9.1.256" is no IP address',
        ),
    ],
)
def test_arguments_that_say_nothing_are_refused(run: Run, args: dict[str, Any], words: str) -> None:
    said = run(V4, **args)
    assert said["failed"]
    assert words in said["msg"]


class Deaf:
    """A provider that cannot set anything."""

    def names(self, addresses: Any) -> dict[str, Standing | DnsError]:
        return {address: Unsettable(f"{address}: nobody can set it") for address in addresses}


@pytest.mark.parametrize("there", [True, False])
def test_what_a_provider_cannot_set_counts_where_it_is_there(
    run: Run, knot: NameServer, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hetzner.Hetzner, "names", Deaf.names)
    set_ptr(knot, V6, NAME if there else None)
    said = run(V6)
    assert (said["changed"], said["subjects"], said["pending"]) == (False, {"mx1": {"ok": True}}, {})
    assert (said["seen"], said["notes"]) == (
        ({"mx1": [V6]}, {}) if there else ({}, {"mx1": [f"{V6}: nobody can set it"]})
    )
    assert run(V6, state="checked")["subjects"] == {"mx1": {"ok": True}}
