# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Who decides about a domain: DANE, its MTA-STS policy, nobody, or nobody yet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendyard import transport_policy
from sendyard.transport_policy import NOTFOUND, Dane, Found, Judge, LookupFailed, Resolver, dane_of, decide, domain_of

STS = "secure match=mx.a.example servername=hostname"
GOOD, PKIX = f"3 1 1 {'ab' * 32}", f"1 1 1 {'ab' * 32}"


@pytest.mark.parametrize(
    ("next_hop", "domain"),
    [
        ("a.example", "a.example"),
        ("A.Example.", "a.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("example", "example"),
        *((odd, "") for odd in (
            "", ".", ".example", ".a.example", "[a.example]", "[192.0.2.1]", "[a.example]:25", "a.example:25",
            "192.0.2.1", "[IPv6:2001:db8::1]", "2001:db8::1", "a..example", "-a.example", "a-.example", "a b.example",
            "a_b.example", f"{'a' * 64}.example", f"{'a.' * 130}example", "a.example\n", "\ufdfd.\u200b", "a.1",
        )),
    ],
)  # fmt: skip
def test_a_next_hop_means_a_domain_or_none(next_hop: str, domain: str) -> None:
    assert domain_of(next_hop) == domain


@given(st.text(max_size=80))
def test_whatever_is_asked_becomes_a_name_for_dns_or_nothing(next_hop: str) -> None:
    assert set(domain_of(next_hop)) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


@pytest.mark.parametrize(
    ("dane", "policy", "answer"),
    [
        (Dane.ALL, STS, NOTFOUND),
        (Dane.ALL, "", NOTFOUND),
        (Dane.ALL, None, NOTFOUND),
        (Dane.SOME, STS, "OK dane-only"),
        (Dane.SOME, "", NOTFOUND),
        (Dane.SOME, None, "OK dane-only"),
        (Dane.NONE, STS, f"OK {STS}"),
        (Dane.NONE, "", NOTFOUND),
        (Dane.NONE, None, "TEMP"),
        (Dane.UNKNOWN, STS, "TEMP"),
        (Dane.UNKNOWN, "", NOTFOUND),
        (Dane.UNKNOWN, None, "TEMP"),
    ],
)
def test_dane_goes_before_a_policy_and_a_policy_before_nothing(dane: Dane, policy: str | None, answer: str) -> None:
    assert decide(dane, policy).startswith(answer)
    assert answer == "TEMP" or decide(dane, policy) == answer


@pytest.mark.parametrize(
    ("record", "counts"),
    [
        (GOOD, True),
        (f"2 0 1 {'ab' * 32}", True),
        (f"3 1 2 {'ab' * 64}", True),
        ("3 1 0 abcd", True),
        (f"0 1 1 {'ab' * 32}", False),
        (f"1 1 1 {'ab' * 32}", False),
        (f"3 2 1 {'ab' * 32}", False),
        (f"3 1 3 {'ab' * 32}", False),
    ],
)
def test_a_record_counts_where_postfix_compares_certificates_with_it(record: str, counts: bool) -> None:
    assert transport_policy.usable(dns.rdata.from_text("IN", "TLSA", record)) is counts


def test_a_digest_of_another_length_counts_for_nothing() -> None:
    """A newer dnspython refuses such a record itself, and with it the whole answer."""
    assert not transport_policy.usable(SimpleNamespace(usage=3, selector=1, mtype=1, cert=b"short"))


@dataclass
class Zone(Resolver):
    """A resolver that knows some records, as (name, type) -> texts; "!" is insecure, "fails" no answer at all."""

    known: dict[tuple[str, str], list[str]]
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, name: str, kind: str) -> Found:
        self.asked.append((name, kind))
        texts = self.known.get((name, kind), [])
        if texts == ["fails"]:
            raise LookupFailed(name)
        records = tuple(dns.rdata.from_text("IN", kind, text) for text in texts if text != "!")
        return Found(records, "!" not in texts, name, 300)


def hosts(count: int) -> list[str]:
    return [f"{10 + number} mx{number}.a.example." for number in range(count)]


def at(*with_tlsa: bool | None, **more: list[str]) -> dict[tuple[str, str], list[str]]:
    """A domain whose MX hosts have an address and TLSA records (True), an address (False), or none (None)."""
    known: dict[tuple[str, str], list[str]] = {("a.example", "MX"): hosts(len(with_tlsa))}
    for number, has in enumerate(with_tlsa):
        if has is not None:
            known[f"mx{number}.a.example.", "A"] = ["192.0.2.1"]
        if has:
            known[f"_25._tcp.mx{number}.a.example.", "TLSA"] = [GOOD]
    return known | {("a.example", kind): texts for kind, texts in more.items()}


@pytest.mark.parametrize(
    ("known", "dane"),
    [
        (at(True), Dane.ALL),
        (at(True, True), Dane.ALL),
        (at(True, None), Dane.ALL),
        (at(True, False), Dane.SOME),
        (at(False, False), Dane.NONE),
        (at(None), Dane.NONE),
        (at(True, MX=["!", *hosts(1)]), Dane.NONE),
        (at(True, MX=["fails"]), Dane.UNKNOWN),
        (at(True, MX=["0 ."]), Dane.NONE),
        ({}, Dane.NONE),
        (at(*[True] * 11), Dane.SOME),
        (at(*[False] * 11), Dane.NONE),
        (at(True) | {("mx0.a.example.", "A"): ["fails"]}, Dane.SOME),
        (at(True) | {("mx0.a.example.", "A"): ["!", "192.0.2.1"]}, Dane.NONE),
        (at(True) | {("_25._tcp.mx0.a.example.", "TLSA"): ["fails"]}, Dane.SOME),
        (at(True) | {("_25._tcp.mx0.a.example.", "TLSA"): ["!", GOOD]}, Dane.NONE),
        (at(True) | {("_25._tcp.mx0.a.example.", "TLSA"): [PKIX, GOOD]}, Dane.ALL),
        (at(True) | {("_25._tcp.mx0.a.example.", "TLSA"): [PKIX]}, Dane.NONE),
        (at(True) | {("mx0.a.example.", "A"): [], ("mx0.a.example.", "AAAA"): ["2001:db8::1"]}, Dane.ALL),
        ({("a.example.", "A"): ["192.0.2.1"], ("_25._tcp.a.example.", "TLSA"): [GOOD]}, Dane.ALL),
    ],
)
def test_dane_is_what_secure_records_say(known: dict[tuple[str, str], list[str]], dane: Dane) -> None:
    assert asyncio.run(dane_of(Zone(known), "a.example"))[0] is dane


class Daemon:
    """Says what it is told to, and counts how often it is asked."""

    def __init__(self, policy: str | None = STS, lasting: bool = True) -> None:
        self.said, self.asked = (policy, lasting), 0

    async def policy(self, domain: str) -> tuple[str | None, bool]:
        self.asked += 1
        await asyncio.sleep(0.01)
        return self.said

    def status(self) -> str:
        return "up"


def replies(daemon: Any, known: dict[tuple[str, str], list[str]], *rounds: int) -> list[str]:
    """What so many ask at once, again and again, of one domain."""

    async def all_of_them() -> list[str]:
        judge = Judge(Zone(known), daemon)
        found: list[str] = []
        for count in rounds:
            found += await asyncio.gather(*(judge.reply("tls", "a.example") for _ in range(count)))
        return found

    return asyncio.run(all_of_them())


def test_where_dane_governs_the_daemon_is_not_asked() -> None:
    daemon = Daemon()
    assert replies(daemon, at(True), 3) == [NOTFOUND] * 3
    assert daemon.asked == 0


def test_many_who_ask_at_once_and_soon_after_cost_one_question() -> None:
    daemon = Daemon()
    assert replies(daemon, at(False), 50, 50) == [f"OK {STS}"] * 100
    assert daemon.asked == 1


@pytest.mark.parametrize(("policy", "lasting"), [(None, True), (STS, False), ("", False)])
def test_what_may_be_otherwise_in_a_moment_is_not_held(policy: str | None, lasting: bool) -> None:
    daemon = Daemon(policy, lasting)
    replies(daemon, at(False), 1, 1)
    assert daemon.asked == 2


def test_a_fault_of_ours_means_that_mail_waits_and_is_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Daemon):
        async def policy(self, domain: str) -> tuple[str | None, bool]:
            self.asked += 1
            raise RuntimeError("broken")

    daemon = Broken()
    assert [reply[:4] for reply in replies(daemon, at(False), 2, 1)] == ["TEMP"] * 3
    assert daemon.asked == 2
    assert "event transport-policy-failed domain=a.example" in capsys.readouterr().out


def test_so_many_domains_are_held_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_policy, "_HELD_DOMAINS", 3)

    async def ask() -> tuple[int, int]:
        daemon = Daemon("")
        judge = Judge(Zone({}), daemon)  # type: ignore[arg-type]
        for number in (*range(10), 9, 8, 7, 0):
            await judge.reply("tls", f"d{number}.example")
        return len(judge._held), daemon.asked

    assert asyncio.run(ask()) == (3, 11)


def test_other_maps_and_the_status() -> None:
    judge = Judge(Zone({}), Daemon())  # type: ignore[arg-type]
    assert asyncio.run(judge.reply("status", "")) == "OK up"
    assert asyncio.run(judge.reply("postfix", "a.example")).startswith("PERM ")
