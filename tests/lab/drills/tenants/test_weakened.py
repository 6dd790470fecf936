# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The controls: where one part is taken away, what the tables try gets through, so that they can see it."""

from __future__ import annotations

import lab_api
import pytest
from cases.envelopes import ENVELOPES
from cases.from_forms import CASES
from cases.smuggling import BARE_LF
from lab_hosts import Sender
from lab_submission import signers
from lab_tenants import FOREIGN, Place, Tenant, arrivals
from lab_weakened import weakened
from readers import author_domains

SIGNER = "unix:opendkim/opendkim.sock"
GATE = "unix:gate/gate.sock"
SERVICES = {587: "submission", 465: "submissions", 2525: "2525"}
ANOTHERS = next(case for case in CASES if case.name == "another's address")
EMPTY_BEFORE = next(case for case in CASES if case.name == "empty before another's")


def without(port: int, milters: str) -> dict[str, str]:
    """One listener with these milters only."""
    return {f"{SERVICES[port]}/inet/smtpd_milters": milters}


@pytest.mark.parametrize("port", SERVICES)
def test_without_the_gate_one_listener_speaks_for_another_tenant(tenant: Tenant, port: int) -> None:
    others = [Place(other, 4) for other in SERVICES if other != port]
    with weakened(tenant.sender, master=without(port, SIGNER)):
        assert tenant.faults((place, tenant.header(ANOTHERS)) for place in others) == []
        wrong = "\n".join(tenant.faults([(Place(port, 6), tenant.header(ANOTHERS))]))
    assert "refuse was expected, 250" in wrong
    assert f"a reader finds {{'{FOREIGN}'}}" in wrong
    assert f"signed by ['{FOREIGN}']" in wrong
    assert f"OpenDMARC reads {FOREIGN}" in wrong
    assert tenant.faults([(Place(port, 6), tenant.header(ANOTHERS))]) == []


def test_without_the_gate_mail_leaves_unsigned(tenant: Tenant) -> None:
    unchecked = {"submission/inet/cleanup_service_name": "cleanup"}  # without the second layer's header checks
    with weakened(tenant.sender, master=without(587, SIGNER) | unchecked):
        wrong = "\n".join(tenant.faults([(Place(587, 4), tenant.header(EMPTY_BEFORE))]))
    assert "signed by []" in wrong


def test_without_the_signer_mail_leaves_unsigned(tenant: Tenant) -> None:
    with weakened(tenant.sender, master=without(465, GATE)):
        wrong = tenant.faults([(Place(465, 4), tenant.header(CASES[0]))])
    assert wrong == [f"header: {CASES[0].name}: signed by []"]


@pytest.mark.parametrize("name", ["another's address", "null sender", "the host's own name"])
def test_without_the_binding_any_sender_passes(tenant: Tenant, name: str) -> None:
    case = next(case for case in ENVELOPES if case.name == name)
    change = {"2525/inet/smtpd_sender_restrictions": "permit"}
    with weakened(tenant.sender, master=change):
        wrong = "\n".join(tenant.faults([(Place(2525, 4), tenant.envelope(case))]))
    assert "refuse was expected, 250" in wrong
    assert "its envelope sender is" in wrong


@pytest.mark.parametrize("end", BARE_LF)
def test_a_server_that_takes_bare_newlines_is_smuggled_into(tenant: Tenant, end: bytes) -> None:
    weak = {
        "smtpd_forbid_bare_newline": "no",
        "smtpd_forbid_unauth_pipelining": "no",
        "smtpd_data_restrictions": "",
    }
    with weakened(tenant.sender, main=weak):
        wrong = tenant.smuggling_faults([(Place(587, 4), end, False)])
    assert any(line.startswith("own-") and line.endswith("is a message of its own") for line in wrong), wrong
    assert not any(line.startswith("other-") for line in wrong), "the binding still holds"


def test_a_user_who_may_submit_sends_as_the_host_only(sender: Sender) -> None:
    """The control of the local door: but for the list of users its ways lead out."""
    run = lab_api.token()
    own, other = f"own-{run}@sink.rx.example", f"other-{run}@sink.rx.example"
    with weakened(sender, main={"authorized_submit_users": "static:anyone"}):
        for author, recipient in ((f"nobody@{sender.fqdn}", own), (f"ceo@{FOREIGN}", other)):
            content = f"From: {author}\nTo: {recipient}\nSubject: {run}\n\nHello.\n"
            argv = ("-u", "nobody", "/usr/sbin/sendmail", "-f", author, recipient)
            lab_api.root(sender.name, *argv, stdin=content)
        arrived = arrivals(sender, run, {own})
    assert [(recipient, author_domains(mail.wire), signers(mail.wire)) for recipient, mail in arrived] == [
        (own, {sender.fqdn}, [sender.fqdn])
    ]
