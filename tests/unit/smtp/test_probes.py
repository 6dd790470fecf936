# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each probe passes a server that is right and fails the same server with one mistake."""

from __future__ import annotations

import dataclasses
import errno
import socket

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import Verdict
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import probes
from ansible_collections.sendyard.mail.plugins.module_utils.smtp.session import Endpoint, Listener
from unit.smtp import servers
from unit.smtp.servers import FQDN, Server

SMTP = Listener(25, submission=False)
SUBMISSION = Listener(587)
SUBMISSIONS = Listener(465, implicit_tls=True)
LISTENERS = {"25": SMTP, "587": SUBMISSION, "465": SUBMISSIONS}


def target(ca: servers.Ca, *endpoints: Endpoint, **changes: object) -> probes.Target:
    made = probes.Target(
        fqdn=FQDN,
        addresses=tuple(dict.fromkeys(endpoint.address for endpoint in endpoints)) or ("127.0.0.1",),
        login=probes.Login(servers.USERNAME, servers.PASSWORD, f"probe-0123456789abcdef@{FQDN}"),
        recipient="prover@rx.example",
        canary=f"canary@{FQDN}",
        foreign_domain="globex.example",
        bounce_domain=f"bounces.{FQDN}",
        ca_file=str(ca.ca_file),
        listeners=tuple(dict.fromkeys(endpoint.listener for endpoint in endpoints)),
        timeout=5.0,
    )
    return dataclasses.replace(made, **changes)


def probe_named(check: str) -> probes.Probe:
    return next(probe for probe in probes.PROBES if probe.check == check)


def verdict_of(ca: servers.Ca, check: str, server: Server) -> probes.Outcome:
    with server.run() as endpoint:
        return probes.try_probe(target(ca, endpoint), probe_named(check), endpoint)


APPLICABLE = [
    (probe.check, port) for probe in probes.PROBES for port, listener in LISTENERS.items() if probe.listeners(listener)
]


@pytest.mark.parametrize(("check", "port"), APPLICABLE)
def test_a_right_server_passes(ca: servers.Ca, check: str, port: str) -> None:
    outcome = verdict_of(ca, check, Server(ca, LISTENERS[port]))
    assert outcome.verdict is Verdict.PASS, outcome.evidence
    assert outcome.subject == FQDN


MISTAKES = [
    ("smtp.greeting", "25", {"greeting": "vps123.provider.example"}),
    ("smtp.vrfy", "25", {"vrfy_tells": True}),
    ("tls.starttls", "25", {"offers_tls": False}),
    ("tls.starttls", "587", {"offers_tls": False}),
    ("tls.starttls", "587", {"says_tls_and_stays_in_clear": True}),
    ("tls.certificate", "25", {"wrong_certificate": True}),
    ("tls.certificate", "465", {"wrong_certificate": True}),
    ("tls.versions", "25", {"old_tls": True}),
    ("tls.versions", "587", {"old_tls": True}),
    ("tls.versions", "465", {"old_tls": True}),
    ("tls.suites", "25", {"weak_suites": True}),
    ("tls.suites", "465", {"weak_suites": True}),
    ("tls.injection", "25", {"keeps_plaintext": True}),
    ("tls.injection", "587", {"keeps_plaintext": True}),
    ("auth.clear", "587", {"auth_in_clear": True}),
    ("auth.clear", "25", {"auth_on_25": True}),
    ("auth.wrong_password", "587", {"any_password": True}),
    ("auth.wrong_password", "465", {"any_password": True}),
    ("relay.refused", "25", {"relays": True}),
    ("relay.refused", "587", {"relays": True}),
    ("relay.refused", "465", {"relays": True}),
    ("sender.envelope", "587", {"any_sender": True}),
    ("sender.header", "587", {"any_from": True}),
    ("sender.header", "465", {"any_from": True}),
    ("sender.null", "587", {"null_sender": True}),
    ("submit.accepted", "587", {"refuses_messages": True}),
    ("submit.accepted", "465", {"wrong_certificate": True}),
    ("mailbox.postmaster", "25", {"no_postmaster": True}),
    ("mailbox.bounces", "25", {"no_bounces": True}),
]


@pytest.mark.parametrize(("check", "port", "mistake"), MISTAKES)
def test_a_wrong_server_fails(ca: servers.Ca, check: str, port: str, mistake: dict[str, object]) -> None:
    outcome = verdict_of(ca, check, Server(ca, LISTENERS[port], **mistake))
    assert outcome.verdict is Verdict.FAIL, outcome.evidence


def test_every_probe_has_a_server_that_it_fails() -> None:
    covered = {check for check, _, _ in MISTAKES} | {"smuggling.refused"}
    assert covered == {probe.check for probe in probes.PROBES}


@pytest.mark.parametrize("end", [end for _, ends in probes.FALSE_ENDS for end in ends], ids=repr)
@pytest.mark.parametrize("port", ["25", "587", "465"])
def test_each_false_end_of_data_is_noticed(ca: servers.Ca, port: str, end: bytes) -> None:
    server = Server(ca, LISTENERS[port], false_ends=(end,))
    outcome = verdict_of(ca, "smuggling.refused", server)
    assert outcome.verdict is Verdict.FAIL, outcome.evidence
    assert len(server.taken) > len(probes.FALSE_ENDS[0][1]), "the second message was to arrive at this server"


def test_a_refused_bare_newline_is_as_good_as_one_message(ca: servers.Ca) -> None:
    outcome = verdict_of(ca, "smuggling.refused", Server(ca, SUBMISSION, refuses_bare_lf=True))
    assert outcome.verdict is Verdict.PASS
    assert "LF . CR LF: 521 5.5.2" in outcome.evidence
    assert "CR . CR LF, CR . CR, CR LF . CR: one message" in outcome.evidence


def test_a_password_does_not_go_to_a_server_with_another_certificate(ca: servers.Ca) -> None:
    server = Server(ca, SUBMISSION, wrong_certificate=True, any_from=True)
    outcome = verdict_of(ca, "sender.header", server)
    assert outcome.verdict is Verdict.UNKNOWN
    assert "certificate is not valid" in outcome.evidence
    assert not server.taken


@pytest.mark.parametrize("check", [check for check, port in APPLICABLE if port == "587"])
def test_a_password_does_not_go_to_a_server_that_stays_in_clear(ca: servers.Ca, check: str) -> None:
    server = Server(ca, SUBMISSION, says_tls_and_stays_in_clear=True, auth_in_clear=True)
    verdict_of(ca, check, server)
    assert servers.PASSWORD not in server.passwords


@pytest.mark.parametrize("port", ["587", "465"])
def test_a_login_is_not_tried_where_the_certificate_was_not_verified(ca: servers.Ca, port: str) -> None:
    with Server(ca, LISTENERS[port]).run() as endpoint:
        against = target(ca, endpoint)
        with against.session(endpoint) as opened, pytest.raises(probes.SmtpError, match="not verified"):
            against.log_in(opened)
    assert not any("AUTH" in line.text for line in opened.dialogue if line.who == "C")


def test_a_put_off_says_nothing_about_the_server(ca: servers.Ca) -> None:
    finding = probes.refused(probes.Reply(421, ("4.7.0 too many connections",)), "a relay")
    assert finding.verdict is Verdict.UNKNOWN


def test_a_temporary_refusal_is_a_fault() -> None:
    finding = probes.refused(probes.Reply(454, ("4.7.1 Relay access denied",)), "a relay")
    assert finding.verdict is Verdict.FAIL
    assert "try again for days" in finding.evidence


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_a_port_that_refuses_is_a_fault_and_stops_its_other_probes(ca: servers.Ca) -> None:
    closed = Endpoint(FQDN, "127.0.0.1", Listener(closed_port()))
    outcomes = probes.run(target(ca, closed))
    assert [(outcome.check, outcome.verdict) for outcome in outcomes] == [("smtp.reachable", Verdict.FAIL)]


def test_a_controller_that_reaches_port_25_nowhere_proves_nothing_about_25(
    ca: servers.Ca, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = Endpoint(FQDN, "127.0.0.9", SMTP)  # nothing listens on 127.0.0.9:25
    outcome = probes.reach(target(ca, closed, other_25=("127.0.0.8",)), closed)
    assert outcome.verdict is Verdict.UNKNOWN
    assert "127.0.0.8" in outcome.evidence
    monkeypatch.setattr(probes, "_any_25", lambda _target: True)
    assert probes.reach(target(ca, closed), closed).verdict is Verdict.FAIL


def test_a_controller_without_ipv6_says_so(ca: servers.Ca, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_route(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", no_route)
    endpoint = Endpoint(FQDN, "2001:db8::25", SUBMISSION)
    outcome = probes.reach(target(ca, endpoint), endpoint)
    assert outcome.verdict is Verdict.UNKNOWN
    assert "no way to 2001:db8::25" in outcome.evidence


def test_a_whole_run_tries_every_probe_everywhere(ca: servers.Ca) -> None:
    with (
        Server(ca, SMTP).run() as smtp,
        Server(ca, SUBMISSION).run() as submission,
        Server(ca, SUBMISSIONS).run() as submissions,
    ):
        outcomes = probes.run(target(ca, smtp, submission, submissions))
    assert {outcome.verdict for outcome in outcomes} == {Verdict.PASS}, [o for o in outcomes if o.verdict != "pass"]
    assert {outcome.check for outcome in outcomes} == {probe.check for probe in probes.PROBES} | {"smtp.reachable"}
    assert {outcome.where for outcome in outcomes} == {str(smtp), str(submission), str(submissions)}


def test_ipv6_is_spoken(ca: servers.Ca) -> None:
    with Server(ca, SUBMISSION, address="::1").run() as endpoint:
        outcome = probes.try_probe(target(ca, endpoint), probe_named("submit.accepted"), endpoint)
    assert outcome.verdict is Verdict.PASS
    assert outcome.where == f"[::1]:{endpoint.listener.port}"


def test_each_probe_is_tried_where_it_tells_something_new(ca: servers.Ca) -> None:
    """A server with three addresses is not asked everything three times: it limits how often a client may connect."""
    addresses = ("198.51.100.1", "198.51.100.2", "2001:db8::1")
    endpoints = [Endpoint(FQDN, address, SUBMISSION) for address in addresses]

    def places(at: str) -> list[str]:
        probe = probes.Probe("x", probes.everywhere, probes.greeting, at=at)
        return [endpoint.address for endpoint in probes._places(probe, endpoints)]

    assert places("address") == list(addresses)
    assert places("family") == ["198.51.100.1", "2001:db8::1"]
    assert places("host") == ["198.51.100.1"]
    assert probes._places(probe_named("auth.clear"), endpoints) == [endpoints[0], endpoints[2]]
    assert probes._places(probe_named("smtp.vrfy"), endpoints) == []
