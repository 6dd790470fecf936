# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole proof against servers of the test: what is told when there is no receiver, or none that tells."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import Verdict
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import delivered, prove
from ansible_collections.sendyard.mail.plugins.module_utils.smtp.session import Listener
from unit.smtp import servers
from unit.smtp.servers import FQDN, PASSWORD, USERNAME, Server


@pytest.fixture
def few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes have their own tests."""
    real = prove.probes.run
    monkeypatch.setattr(prove.probes, "run", lambda target: real(target, probes=()))


def order(ca: servers.Ca, listener: Listener, **more: object) -> prove.Order:
    return prove.Order(
        fqdn=FQDN,
        addresses=("127.0.0.1",),
        prefix=USERNAME.partition("=")[0],
        password=PASSWORD,
        bounce_domain=f"bounces.{FQDN}",
        canary=f"canary@{FQDN}",
        foreign_domain="globex.example",
        ca_file=str(ca.ca_file),
        listeners=(listener,),
        **more,
    )


def verdicts(proof: prove.Proof, subject: str) -> dict[str, Verdict]:
    return {outcome.check: outcome.verdict for outcome in proof.outcomes if outcome.subject == subject}


def test_without_a_recipient_nothing_is_sent_and_that_is_said(ca: servers.Ca, few_probes: None) -> None:
    server = Server(ca, Listener(587))
    with server.run() as endpoint:
        proof = prove.prove(order(ca, endpoint.listener))
    found = verdicts(proof, FQDN)
    assert {check for check, verdict in found.items() if verdict is Verdict.UNKNOWN} == {
        "delivered.accepted",
        *prove.DELIVERED,
    }
    assert all("sendyard_prove_recipient" in o.evidence for o in proof.outcomes if o.verdict is Verdict.UNKNOWN)
    assert server.taken == []


def test_without_a_way_to_fetch_the_log_must_tell(ca: servers.Ca, few_probes: None) -> None:
    with Server(ca, Listener(587)).run() as endpoint:
        proof = prove.prove(order(ca, endpoint.listener, recipient="me@rx.example", domains=("acme.example",)))
    assert verdicts(proof, "acme.example") == {"submit.accepted": Verdict.FAIL}, "this server knows one login"
    assert [(sent.queue_id, sent.domain) for sent in proof.untraced] == [("4ABC", FQDN)]
    assert verdicts(proof, FQDN)["delivered.dkim"] is Verdict.UNKNOWN
    assert "delivered.accepted" not in verdicts(proof, FQDN)


def test_every_port_for_clients_gets_a_message_of_its_own(ca: servers.Ca, few_probes: None) -> None:
    first, second = Server(ca, Listener(587)), Server(ca, Listener(465, implicit_tls=True))
    with first.run() as one, second.run() as other:
        both = replace(order(ca, one.listener, recipient="me@rx.example"), listeners=(one.listener, other.listener))
        proof = prove.prove(both)
    assert [sent.where for sent in proof.untraced] == [str(one), str(other)]
    assert [len(server.taken) for server in (first, second)] == [1, 1]


def test_a_domain_that_cannot_send_is_at_fault_alone(ca: servers.Ca, few_probes: None, tmp_path: Path) -> None:
    fetch = tmp_path / "fetch.py"
    taken = tmp_path / "taken.json"
    fetch.write_text(f"import json, sys\nfor text in json.load(open({str(taken)!r})):\n    print('From x\\n' + text)\n")
    server = Server(ca, Listener(587))  # it knows one login: that of the own domain

    class Recorder(list):  # type: ignore[type-arg]
        def append(self, item: tuple[str, list[str], bytes]) -> None:
            super().append(item)
            taken.write_text(json.dumps([content.decode().replace("\r\n", "\n") for _, _, content in self]))

    server.taken = Recorder()
    with server.run() as endpoint:
        proof = prove.prove(
            order(
                ca,
                endpoint.listener,
                recipient="me@rx.example",
                domains=("acme.example",),
                fetch_command=(sys.executable, str(fetch)),
                deadline=20,
            )
        )
    assert verdicts(proof, "acme.example") == {"submit.accepted": Verdict.FAIL}
    assert (proof.proven, proof.at_fault, proof.untraced) == ((), ("acme.example",), ())
    own = verdicts(proof, FQDN)
    assert own["delivered.accepted"] is Verdict.PASS
    assert own["delivered.signature"] is Verdict.FAIL  # this server signs nothing


def test_a_server_that_cannot_be_reached_is_told_once(ca: servers.Ca, few_probes: None) -> None:
    with Server(ca, Listener(587)).run() as endpoint:
        pass
    proof = prove.prove(order(ca, endpoint.listener, recipient="me@rx.example"))
    found = verdicts(proof, FQDN)
    assert found["smtp.reachable"] is Verdict.FAIL
    assert found["delivered.accepted"] is Verdict.UNKNOWN


def test_a_package_that_is_missing_is_named(ca: servers.Ca, few_probes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dkim", None)
    with pytest.raises(delivered.DeliveryError, match="dkimpy"):
        delivered.signature(b"Subject: x\r\n\r\n", FQDN, {}.get)
