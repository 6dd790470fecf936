# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Receivers that misbehave: mail waits where DANE or a policy wants it to, and flows where nothing does.

Each is first shown to bite: a sender without our server does otherwise. "direct" asks mta-sts-daemon itself, as its
manual says, and "without" asks nobody.
"""

from __future__ import annotations

import pytest
from integration.transport_policy.world import World

SENT, WRONG_CERTIFICATE = "status=sent", "status=deferred (Server certificate not verified)"
NO_TLS = "status=deferred (TLS is required, but was not offered"
CASES = {
    "wrong-tlsa.signed": ("direct", SENT, WRONG_CERTIFICATE),
    "disagree.signed": ("direct", WRONG_CERTIFICATE, SENT),
    "mixed.signed": ("without", "relay=mx.mixed.signed", "relay=mx2.mixed.signed"),
    "sts.signed": ("without", SENT, WRONG_CERTIFICATE),
    "forged.plain": ("without", SENT, WRONG_CERTIFICATE),
    "expired.plain": ("without", SENT, WRONG_CERTIFICATE),
    "elsewhere.plain": ("without", SENT, WRONG_CERTIFICATE),
    "stripped.plain": ("without", SENT, NO_TLS),
}


@pytest.mark.parametrize("domain", CASES)
@pytest.mark.parametrize("transport", ["smtp", "unanswered"])
def test_a_receiver_gets_what_it_asks_for(world: World, domain: str, transport: str) -> None:
    control, otherwise, wanted = CASES[domain]
    assert otherwise in world.send(domain, control)
    assert wanted in world.send(domain, transport)


@pytest.mark.parametrize("domain", ["good.plain", "testing.plain", "nothing.plain"])
def test_what_nobody_forbids_flows(world: World, domain: str) -> None:
    assert SENT in world.send(domain)


def test_what_a_policy_wants_is_verified_and_else_it_is_not(world: World) -> None:
    world.send("good.plain")
    world.send("testing.plain")
    log = world.log("maillog")
    assert "Verified TLS connection established to mx.good.plain" in log
    assert "Untrusted TLS connection established to mx.testing.plain" in log


@pytest.mark.parametrize(
    ("next_hop", "answer"),
    [
        ("wrong-tlsa.signed", "NOTFOUND"),
        ("GOOD.plain", "OK secure match=mx.good.plain servername=hostname"),
        ("mixed.signed", "OK dane-only"),
        ("testing.plain", "NOTFOUND"),
        ("nobody.plain", "NOTFOUND"),
        ("[mx.good.plain]", "NOTFOUND"),
        ("good.plain:25", "NOTFOUND"),
        ("[192.0.2.1]", "NOTFOUND"),
    ],
)
def test_what_is_told_of_a_next_hop(world: World, next_hop: str, answer: str) -> None:
    assert world.ask(next_hop) == answer
