# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Every fault through the wire: a Knot with the zones, and listeners that show certificates; one thing is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dns.rcode
import dns.update
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.checks import run
from ansible_collections.sendyard.mail.plugins.module_utils.checks.network import Network
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import parse_value
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import Outcome, Verdict
from cases import card
from integration.dns.servers import ADDRESS, Knot
from tls import Authority, Issued, mail_server

ZONES = ["yard.example.", "acme.example.", "third.example.", "example.", "127.in-addr.arpa.", "0.ip6.arpa."]
NAME_SERVER = "ns1.lab.test."
HEAD = f"@ 5 SOA {NAME_SERVER} hostmaster.lab.test. 1 3600 600 86400 5\n@ 5 NS {NAME_SERVER}\n"

Ports = tuple[tuple[int, bool], ...]


def zone_of(name: str) -> str:
    return max((zone for zone in ZONES if f".{name}.".endswith(f".{zone}")), key=len)


@pytest.fixture(scope="module")
def knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    server = Knot(tmp_path_factory.mktemp("knot"), dict.fromkeys(ZONES, HEAD))
    server.start()
    put(server, card.good())
    yield server
    server.stop()


def put(knot: Knot, records: Mapping[tuple[str, str], Sequence[str]]) -> None:
    """Have these values, and no others, at their places."""
    for (name, kind), values in records.items():
        update = dns.update.UpdateMessage(zone_of(name))
        update.delete(f"{name}.", kind)
        for value in values:
            update.add(f"{name}.", 5, parse_value(dns.rdatatype.from_text(kind), value).rdata)
        assert knot.update(update) == dns.rcode.NOERROR


@contextmanager
def wrong_with(knot: Knot, changes: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[None]:
    put(knot, changes)
    try:
        yield
    finally:
        put(knot, {place: card.good().get(place, ()) for place in changes})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ports(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    directory = tmp_path_factory.mktemp("listeners")
    with listeners(directory, authority.issue(card.FQDN)) as found:
        yield found


@contextmanager
def listeners(directory: Path, issued: Issued | None) -> Iterator[Ports]:
    """Two listeners, with STARTTLS and with TLS at once, that show this; None: the first has no certificate."""
    pem = directory / "pair.pem"
    pem.write_text(issued.certificate + issued.key if issued else "")
    with mail_server(pem) as starttls, mail_server(pem, implicit=True) as implicit:
        yield ((starttls.port, False), (implicit.port, True))


def look(knot: Knot, ports: Ports, key: str = "") -> list[Outcome]:
    network = Network([f"{ADDRESS}@{knot.port}"], {NAME_SERVER: [(ADDRESS, knot.port)]})
    return run.run(card.subjects(ports, key), network)


def wrong(found: Sequence[Outcome]) -> dict[tuple[str, str], str]:
    return {(one.subject, one.check): str(one.verdict) for one in found if one.verdict is not Verdict.PASS}


def evidence(found: Sequence[Outcome], check: str, subject: str) -> str:
    return next(one.evidence for one in found if (one.check, one.subject) == (check, subject))


def test_what_is_in_order_passes(knot: Knot, ports: Ports) -> None:
    found = look(knot, ports)
    assert wrong(found) == {}
    assert len(found) > 40


@pytest.mark.parametrize("fault", card.faults(), ids=str)
def test_a_fault_in_a_zone(fault: card.Fault, knot: Knot, ports: Ports) -> None:
    with wrong_with(knot, fault.changes):
        found = look(knot, ports, fault.key)
    assert wrong(found) == fault.expected
    assert fault.says in evidence(found, fault.check, fault.subject)


@pytest.mark.parametrize("shown", card.SHOWN, ids=str)
def test_a_fault_of_a_certificate(shown: card.Shown, knot: Knot, authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue(shown.of, days=shown.days) if shown.tls else None
    with listeners(tmp_path, issued) as ports:
        found = look(knot, ports)
    unknown = {(card.FQDN, check): "unknown" for check in shown.unknown}
    assert wrong(found) == {(card.FQDN, shown.check): shown.verdict, **unknown}
    assert shown.says in evidence(found, shown.check, card.FQDN)


def test_a_key_behind_a_cname_is_found(knot: Knot, ports: Ports) -> None:
    there = card.good()[card.KEY_NAME, "TXT"]
    moved = {(card.KEY_NAME, "TXT"): (), ("slot1.third.example", "TXT"): there}
    with wrong_with(knot, moved), wrong_with(knot, {(card.KEY_NAME, "CNAME"): ["slot1.third.example."]}):
        assert wrong(look(knot, ports)) == {}


def test_name_servers_that_are_silent_leave_everything_unknown_in_time(knot: Knot, ports: Ports) -> None:
    silent = knot.port
    knot.stop()
    try:
        before = time.monotonic()
        found = look(knot, ports)
        assert time.monotonic() - before < 15
    finally:
        knot.port = silent
        knot.run()
    assert {one.verdict for one in found if not one.check.startswith("tls.")} == {Verdict.UNKNOWN}
    assert {one.verdict for one in found if one.check == "tls.served"} == {Verdict.PASS}
