# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""One tenant never speaks for another, from an address that nobody knows: each row of the tables at one port.

What is tried most goes to every port, over IPv4 and IPv6; all of it to all of them is a drill (tests/lab/drills).
"""

from __future__ import annotations

import re

import lab_api
import pytest
from cases.envelopes import ENVELOPES
from cases.from_forms import CASES, LOGIN
from cases.smuggling import BARE_LF, ENDS, Smuggled
from lab_tenants import FOREIGN, PLACES, Tenant, spread

HEADERS_EVERYWHERE = {
    "plain address",
    "another's address",
    "own first, another's second",
    "another's first, own second",
    "empty before another's",
    "unparsable before another's",
    "blank before the colon on the first line",
    "blank before the colon, own first",
    "own first in a list",
    "group with another's",
    "encoded word that decodes to a list",
    "another's domain after 70 KB",
}
ENVELOPES_EVERYWHERE = {
    "own address in upper case",
    "another's address",
    "another's in upper case",
    "null sender",
    "a sub-domain that was not granted",
    "source route to another's by own",
    "quoted local part with an at sign, another's domain",
}


def test_the_client_is_a_stranger_to_the_sender(tenant: Tenant) -> None:
    """Else everything below would say nothing of strangers."""
    assert tenant.faults((place, tenant.header(CASES[0])) for place in PLACES) == []
    log = lab_api.root(tenant.sender.name, "tail", "-n", "2000", "/var/log/sendyard/postfix.log").stdout
    clients = {line.partition("[")[2] for line in re.findall(rf"client=(\S+)\], .*sasl_username={LOGIN}", log)}
    for family in ("ipv4", "ipv6"):
        assert clients & set(lab_api.info()["hosts"]["stranger"][family]), clients


def test_nothing_leaves_under_another_name_or_unsigned(tenant: Tenant) -> None:
    everywhere = [case for case in CASES if case.name in HEADERS_EVERYWHERE]
    assert len(everywhere) == len(HEADERS_EVERYWHERE)
    wrong = tenant.faults((place, tenant.header(case)) for place, case in spread(CASES, everywhere))
    assert not wrong, "\n".join(wrong)


def test_nothing_leaves_from_anothers_envelope(tenant: Tenant) -> None:
    everywhere = [case for case in ENVELOPES if case.name in ENVELOPES_EVERYWHERE]
    assert len(everywhere) == len(ENVELOPES_EVERYWHERE)
    wrong = tenant.faults((place, tenant.envelope(case)) for place, case in spread(ENVELOPES, everywhere))
    assert not wrong, "\n".join(wrong)


def test_no_second_message_is_smuggled(tenant: Tenant) -> None:
    ways = [(end, by_bdat) for end in ENDS for by_bdat in (False, True)]
    wrong = tenant.smuggling_faults((place, end, by_bdat) for place, (end, by_bdat) in spread(ways))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("end", BARE_LF)
def test_the_receiver_would_take_what_is_smuggled(end: bytes) -> None:
    """The control: what a sender hands on with such an end in it arrives as three messages."""
    run = lab_api.token()
    first, own, other = (f"{name}-{run}@sink.rx.example" for name in ("first", "own", "other"))
    content = Smuggled(first, own, other, f"ceo@{FOREIGN}").content(end)
    sink, source = lab_api.address("rx", 1), lab_api.address("stranger")
    said = lab_api.smtp(sink, source=source, sender=LOGIN, recipients=[first], message=content, tls="none")
    assert said.last.code == 250, said
    lab_api.until(
        lambda: {str(mail.parsed["X-Original-To"]) for mail in lab_api.mails(run)} == {first, own, other},
        what="three messages",
    )
