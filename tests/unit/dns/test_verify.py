# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Which servers are waited for, and which are passed over."""

from __future__ import annotations

from collections.abc import Iterable

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import model, verify, wire
from ansible_collections.sendyard.mail.plugins.module_utils.dns.wire import Server

KEY = model.parse_record({"name": "acme.example", "type": "A"}).key
HOLDS = verify.Expectation(KEY, lambda rrset: rrset is not None)
V4, V6 = Server("ns1.", "10.9.0.53"), Server("ns1.", "fd00:9::53")


def answer(*, there: bool = True) -> dns.message.Message:
    message = dns.message.make_response(dns.message.make_query(KEY.name, KEY.type))
    message.flags |= dns.flags.AA
    if there:
        message.answer.append(dns.rrset.from_text(KEY.name, 60, "IN", "A", "10.9.1.1"))
    return dns.message.from_wire(message.to_wire())


class World:
    """Name servers that say what a test tells them to; every server's answers are used up one by one, but the last."""

    def __init__(self, said: dict[Server, list[wire.Answers]]) -> None:
        self.said = said
        self.asked: list[Server] = []

    def ask(self, server: Server, keys: Iterable[model.Key], expires: float) -> wire.Answers:
        self.asked.append(server)
        answers = self.said[server]
        return answers.pop(0) if len(answers) > 1 else answers[0]


GOOD = wire.Answers({KEY: answer()})
EMPTY = wire.Answers({KEY: answer(there=False)})
NO_ROUTE = wire.Answers(silence="fd00:9::53 does not answer (Network is unreachable)", no_route=True)
DEAD = wire.Answers(silence="fd00:9::53 does not answer (Connection refused)")


def wait(monkeypatch: pytest.MonkeyPatch, said: dict[Server, list[wire.Answers]]) -> tuple[list[str], list[Server]]:
    world = World(said)
    monkeypatch.setattr(wire, "ask_udp", world.ask)
    return [failure.reason for failure in verify.wait({server: [HOLDS] for server in said}, 0.4)], world.asked


def test_only_a_server_that_lags_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures, asked = wait(monkeypatch, {V4: [GOOD], V6: [EMPTY, EMPTY, GOOD]})
    assert (failures, asked.count(V4), asked.count(V6)) == ([], 1, 3)


def test_a_family_without_a_route_is_passed_over_where_the_other_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(monkeypatch, {V4: [GOOD], V6: [NO_ROUTE]})[0] == []


def test_a_server_that_cannot_be_reached_at_all_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Server("ns2.", "10.9.0.54")
    assert wait(monkeypatch, {other: [GOOD], V6: [NO_ROUTE]})[0] == [NO_ROUTE.silence]
    assert wait(monkeypatch, {V4: [GOOD], V6: [DEAD]})[0] == [DEAD.silence]


def test_an_answer_from_a_cache_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    cached = answer()
    cached.flags &= ~dns.flags.AA
    (reason,) = wait(monkeypatch, {V4: [wire.Answers({KEY: cached})]})[0]
    assert "does not serve the zone (it answered NOERROR, not authoritative)" in reason


def test_a_server_is_named_once_with_its_records() -> None:
    failures = [verify.Failure(V4, KEY, "ns1. lags")] * 5
    assert verify.summary(failures, 60) == (
        "ns1. lags after 60 s: acme.example. A, acme.example. A, acme.example. A and 2 more."
    )


def test_a_zone_without_name_servers_is_not_seen_by_anybody() -> None:
    with pytest.raises(verify.NotPropagated, match=r"zone acme\.example\. has no NS records"):
        verify.Directory((), {}).servers(KEY.name, ())


def test_a_resolver_in_a_name_servers_place_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    message = answer()
    message.flags = dns.flags.QR | dns.flags.RA
    ((reason,), _asked) = wait(monkeypatch, {V4: [wire.Answers({KEY: message})]})
    assert "something on the way from this machine to port 53 answers in its place" in reason


ZONE = dns.name.from_text("acme.example.")


@pytest.mark.parametrize(
    ("said", "asked", "found"),
    [
        (("ns1.a.",), ("ns1.a.",), ("ns1.a.",)),
        (("ns1.a.", "ns2.a."), ("ns1.a.", "ns3.a."), ("ns1.a.", "ns2.a.", "ns3.a.")),
        ((), ("ns1.a.",), ("ns1.a.",)),
    ],
)
def test_the_worlds_servers_and_the_zones_own_are_asked(
    monkeypatch: pytest.MonkeyPatch, said: tuple[str, ...], asked: tuple[str, ...], found: tuple[str, ...]
) -> None:
    monkeypatch.setattr(wire, "name_servers", lambda zone, resolvers: asked)
    assert verify.Directory((), {}).world(ZONE, said) == found


def test_a_zone_that_the_world_asks_elsewhere_or_not_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "name_servers", lambda zone, resolvers: ("ns1.new.",))
    with pytest.raises(verify.OtherZone, match=r"the world asks ns1\.new\., but .* names ns1\.inside\., ns2\.inside\."):
        verify.Directory((), {}).world(ZONE, ("ns1.inside.", "ns2.inside."))
    monkeypatch.setattr(wire, "name_servers", lambda zone, resolvers: ())
    with pytest.raises(verify.NotPropagated, match=r"Enter ns1\.a\. for it at the registrar"):
        verify.Directory((), {}).world(ZONE, ("ns1.a.",))
    assert verify.Directory((), {"ns1.a.": (("127.0.0.1", 53),)}).world(ZONE, ("ns9.a.",)) == ("ns9.a.",)
