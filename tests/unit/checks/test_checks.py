# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Every check on a world that is a table: what is in order passes, and each fault is named by its own check alone."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.checks import catalogue, dkim_checks, identity, run
from ansible_collections.sendyard.mail.plugins.module_utils.checks.model import (
    Certificate,
    Server,
    Subject,
    Unreachable,
)
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import Outcome, Verdict
from cases import card

NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
PORTS = ((25, False), (465, True))
ED25519 = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def certificate(days: float = 90, *names: str) -> Certificate:
    return Certificate(names or (card.FQDN,), NOW + dt.timedelta(days=days), b"key", b"whole")


@dataclass
class Table:
    """A world of given records and certificates (or errors) by port."""

    records: Mapping[tuple[str, str], Sequence[str]]
    shown: Mapping[int, Certificate | SendyardError] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    now: dt.datetime = NOW

    def ask(self, name: str, kind: str) -> tuple[str, ...]:
        if name in self.silent:
            raise Unreachable(f"{name} {kind}: no answer")
        return tuple(self.records.get((name, kind), ()))

    def zone(self, name: str) -> str:
        return "" if name in self.gone else ".".join(name.split(".")[-2:])

    def served(self, name: str, address: str, port: int, *, implicit: bool) -> Certificate:
        shown = self.shown.get(port, certificate())
        if isinstance(shown, SendyardError):
            raise shown
        return shown


def wrong(found: Sequence[Outcome]) -> dict[tuple[str, str], str]:
    return {(one.subject, one.check): str(one.verdict) for one in found if one.verdict is not Verdict.PASS}


def evidence(found: Sequence[Outcome], check: str, subject: str = card.FQDN) -> str:
    return next(one.evidence for one in found if (one.check, one.subject) == (check, subject))


def looked(world: Table, subjects: Sequence[Subject] = ()) -> list[Outcome]:
    return run.run(subjects or card.subjects(PORTS), world)


def test_what_is_in_order_passes_every_check() -> None:
    found = looked(Table(card.good()))
    assert wrong(found) == {}
    assert {one.check for one in found if one.subject == card.DOMAIN} == set(run.DOMAIN)
    no_return_path = {"return_path.mx", "spf.return_path"}
    assert {one.check for one in found if one.subject == card.FQDN} == set(catalogue.LOOKED_UP) - no_return_path
    assert all(one.evidence for one in found)


@pytest.mark.parametrize("fault", card.faults(), ids=str)
def test_a_fault_is_named_by_its_check_and_nothing_else_changes(fault: card.Fault) -> None:
    found = looked(Table({**card.good(), **fault.changes}), card.subjects(PORTS, fault.key))
    assert wrong(found) == fault.expected
    assert fault.says in evidence(found, fault.check, fault.subject)
    causes = {one.because for one in found if one.check in fault.unknown and one.subject == fault.subject}
    assert causes <= {fault.check}


@pytest.mark.parametrize(
    ("shown", "verdict", "unknown"),
    [
        ({25: certificate(-1)}, {"tls.days": "fail"}, ()),
        ({465: certificate(20)}, {"tls.days": "warn"}, ()),
        ({25: certificate(22)}, {}, ()),
        ({25: certificate(90, "*.yard.example")}, {}, ()),
        ({25: certificate(90, "other.example")}, {"tls.names": "fail"}, ()),
        ({25: SendyardError("127.0.0.1:25: no TLS")}, {"tls.served": "fail"}, ("tls.names", "tls.days", "tls.tlsa")),
        ({25: Unreachable("127.0.0.1:25: no answer")}, {}, ()),
        (
            {port: Unreachable("no answer") for port in (25, 465)},
            {"tls.served": "unknown"},
            ("tls.names", "tls.days", "tls.tlsa"),
        ),
    ],
)
def test_certificates(
    shown: Mapping[int, Certificate | SendyardError], verdict: dict[str, str], unknown: tuple[str, ...]
) -> None:
    expected = {(card.FQDN, check): said for check, said in [*verdict.items(), *((one, "unknown") for one in unknown)]}
    assert wrong(looked(Table(card.good(), shown))) == expected


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (f"3 1 1 {hashlib.sha256(b'key').hexdigest()}", "pass"),
        (f"3 1 2 {hashlib.sha512(b'key').hexdigest().upper()}", "pass"),
        (f"3 0 1 {hashlib.sha256(b'whole').hexdigest()}", "pass"),
        (f"3 1 0 {b'key'.hex()}", "pass"),
        (f"3 0 1 {hashlib.sha256(b'key').hexdigest()}", "fail"),
        ("2 1 1 abcd", "unknown"),
    ],
)
def test_tlsa(value: str, verdict: str) -> None:
    found = looked(Table({**card.good(), (f"_25._tcp.{card.FQDN}", "TLSA"): [value]}))
    assert {one.verdict for one in found if one.check == "tls.tlsa"} == {verdict}


def test_what_is_not_answered_is_unknown_and_so_is_what_depends_on_it() -> None:
    name = card.KEY_NAME
    found = looked(Table(card.good(), silent=(name,)))
    assert wrong(found) == {(card.DOMAIN, check): "unknown" for check in ("dkim.record", *card.OF_DKIM)}
    assert "no answer" in evidence(found, "dkim.record", card.DOMAIN)
    assert {one.because for one in found if one.check in card.OF_DKIM and one.subject == card.DOMAIN} == {"dkim.record"}


def test_of_a_domain_that_does_not_exist_nothing_else_is_said() -> None:
    found = looked(Table(card.good(), gone=(card.DOMAIN,)))
    of_domain = {check: str(verdict) for (subject, check), verdict in wrong(found).items() if subject == card.DOMAIN}
    assert of_domain.pop("domain.exists") == "fail"
    assert set(of_domain) == set(run.DOMAIN) - {"domain.exists"}
    assert set(of_domain.values()) == {"unknown"}
    assert {one.because for one in found if one.subject == card.DOMAIN} == {"", "domain.exists"}


def test_a_key_that_the_server_has_not_told_is_unknown() -> None:
    server, domain = card.subjects(PORTS)
    found = looked(Table(card.good()), [server, replace(domain, key="")])
    assert wrong(found) == {(card.DOMAIN, "dkim.match"): "unknown"}
    assert "prove.yml" in evidence(found, "dkim.match", card.DOMAIN)


def test_who_brings_a_certificate_needs_no_caa() -> None:
    server, _domain = card.subjects(PORTS)
    mine = Subject(card.FQDN, replace(server.server, issuers=None), card.SELECTOR, server.key)
    assert not [one for one in looked(Table(card.good()), [mine]) if one.check == "tls.caa"]
    nameless = Subject(card.FQDN, replace(server.server, issuers=()), card.SELECTOR, server.key)
    assert wrong(looked(Table(card.good()), [nameless])) == {(card.FQDN, "tls.caa"): "unknown"}


def test_a_check_that_hangs_is_left_and_the_others_are_done() -> None:
    release = threading.Event()

    @dataclass
    class Hanging(Table):
        def ask(self, name: str, kind: str) -> tuple[str, ...]:
            if name == card.PTR4:
                release.wait(20)
            return super().ask(name, kind)

    before = time.monotonic()
    found = run.run(card.subjects(PORTS), Hanging(card.good()), check_seconds=0.3)
    assert time.monotonic() - before < 5
    release.set()
    assert wrong(found) == {(card.FQDN, check): "unknown" for check in ("ptr.present", *card.OF_PTR)}


def test_an_error_of_a_check_is_told_and_hurts_no_other() -> None:
    odd = {**card.good(), (card.DOMAIN, "MX"): [""]}
    assert wrong(looked(Table(odd))) == {(card.DOMAIN, "mx.null"): "unknown"}


@pytest.mark.parametrize(
    ("name", "address", "generic"),
    [
        ("mx1.yard.example", "192.0.2.7", False),
        ("mta-7.yard.example", "192.0.2.7", False),
        ("mail2025.yard.example", "192.0.2.7", False),
        ("host-192-0-2-7.isp.example", "192.0.2.7", True),
        ("7.2.0.192.dyn.isp.example", "192.0.2.7", True),
        ("customer-4711.isp.example", "192.0.2.7", True),
        ("static.7.isp.example", "192.0.2.7", True),
        ("2001-0db8-0000-0000-0000-0000-0000-0007.isp.example", "2001:db8::7", True),
        ("mx1.yard.example", "2001:db8::7", False),
    ],
)
def test_a_name_of_a_customers_line_is_told(name: str, address: str, generic: bool) -> None:
    assert identity.is_generic(name, address) is generic


def test_an_ed25519_key_has_one_size() -> None:
    assert dkim_checks.size(dkim_checks.tags(f"v=DKIM1; k=ed25519; p={ED25519}")) == 256
    assert dkim_checks.size(dkim_checks.tags(f"v=DKIM1; k=ed25519; p={card.public_key()}")) is None
    assert dkim_checks.size(dkim_checks.tags(f"v=DKIM1; p={ED25519}")) is None


def test_a_server_whose_addresses_are_not_sent_from_is_reached_there_all_the_same() -> None:
    """An address without PTR is left out of sending; clients still come to it."""
    server = Server(card.FQDN, (card.V4,), (card.V4, "::2"), card.BOUNCES, (card.ISSUER,), PORTS)
    records = {**card.good(), (card.FQDN, "AAAA"): ["::2"]}
    assert wrong(looked(Table(records), [Subject(card.FQDN, server, card.SELECTOR, "")])) == {
        (card.FQDN, "dkim.match"): "unknown"
    }
