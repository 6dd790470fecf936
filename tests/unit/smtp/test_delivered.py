# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A message that is all right passes every check; each thing that goes wrong fails the check that is about it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dkim
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.scorecard import Verdict
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import delivered, probe_names, probes
from ansible_collections.sendyard.mail.plugins.module_utils.smtp.names import TxtLookup
from unit.smtp import servers
from unit.smtp.servers import FQDN, Server
from unit.smtp.test_probes import SUBMISSION, target

DOMAIN = "acme.example"
PREFIX = "probe-0123456789abcdef"
SENT = delivered.Sent(
    domain=DOMAIN,
    token="syp1n0",
    login=probe_names.login_name(PREFIX, DOMAIN, FQDN),
    queue_id="4ABC",
    client="198.51.100.9",
)
RESULTS = f"""Authentication-Results: mx.rx.example; dmarc=pass (p=reject dis=none) header.from={DOMAIN}
Authentication-Results: mx.rx.example;
\tdkim=pass (2048-bit key; unprotected) header.d={DOMAIN} header.i=@{DOMAIN} header.a=rsa-sha256 header.s=mx-1
Authentication-Results: mx.rx.example; spf=pass (sender SPF authorized)
\tsmtp.mailfrom={PREFIX}@{DOMAIN} (client-ip=10.1.2.3)
"""
ARRIVED = f"""Received: from {FQDN} ({FQDN} [10.1.2.3])
\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))
\tby mx.rx.example (Postfix) with ESMTPS id 969B81D095F
\tfor <prover@rx.example>; Tue, 24 Nov 2026 00:00:01 +0000 (UTC)
"""
SUBMITTED = f"""Received: by {FQDN} (Postfix) id 4cABC1
\tfor <prover@rx.example>; Tue, 24 Nov 2026 00:00:00 +0000 (UTC)
"""


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A private RSA key (PEM) and the record that publishes its public half."""
    pem = tmp_path_factory.mktemp("dkim") / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", pem, "2048"], check=True, capture_output=True, timeout=60)
    public = subprocess.run(
        ["openssl", "rsa", "-in", pem, "-pubout"], check=True, capture_output=True, timeout=60
    ).stdout.splitlines()
    return pem.read_bytes(), b"v=DKIM1; k=rsa; p=" + b"".join(public[1:-1])


@pytest.fixture
def look_up(key: tuple[bytes, bytes]) -> TxtLookup:
    return {f"mx-1._domainkey.{DOMAIN}": key[1], "mx-1._domainkey.globex.example": key[1]}.get


@pytest.fixture
def make(key: tuple[bytes, bytes]) -> Callable[..., bytes]:
    """Build the message as it lies at the receiver; each argument replaces one part of it."""

    def build(
        *, results: str = RESULTS, arrived: str = ARRIVED, submitted: str = SUBMITTED, signed_by: str = DOMAIN
    ) -> bytes:
        content = probes.message(f"{PREFIX}@{DOMAIN}", "prover@rx.example", token=SENT.token)
        signed = dkim.sign(content, b"mx-1", signed_by.encode(), key[0]) if signed_by else b""
        whole = (results + arrived + submitted).encode() + signed + content
        return whole.replace(b"\r\n", b"\n")

    return build


def verdicts(raw: bytes, look_up: TxtLookup) -> dict[str, Verdict]:
    outcomes = delivered.judge(raw, SENT, host=FQDN, look_up=look_up)
    assert {outcome.subject for outcome in outcomes} == {DOMAIN}
    return {outcome.check: outcome.verdict for outcome in outcomes}


def test_a_message_that_is_all_right_passes(make: Callable[..., bytes], look_up: TxtLookup) -> None:
    outcomes = delivered.judge(make(), SENT, host=FQDN, look_up=look_up)
    assert {o.verdict for o in outcomes} == {Verdict.PASS}, [o for o in outcomes if o.verdict is not Verdict.PASS]
    assert len(outcomes) == 7


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("delivered.spf", {"results": RESULTS.replace("spf=pass", "spf=fail")}),
        (
            "delivered.spf",
            {"results": RESULTS.replace(f"smtp.mailfrom={PREFIX}@{DOMAIN}", "smtp.mailfrom=x@globex.example")},
        ),
        ("delivered.dkim", {"results": RESULTS.replace("dkim=pass", "dkim=neutral")}),
        ("delivered.dkim", {"results": RESULTS.replace(f"header.d={DOMAIN}", "header.d=globex.example")}),
        ("delivered.dmarc", {"results": RESULTS.replace("dmarc=pass", "dmarc=fail")}),
        ("delivered.signature", {"signed_by": "globex.example"}),
        ("delivered.signature", {"signed_by": ""}),
        ("delivered.tls", {"arrived": ARRIVED.replace("ESMTPS", "ESMTP").replace("TLSv1.3", "nothing")}),
        ("delivered.privacy", {"submitted": SUBMITTED.replace(f"by {FQDN}", f"from c ([198.51.100.9]) by {FQDN}")}),
        ("delivered.privacy", {"submitted": SUBMITTED.replace(f"by {FQDN}", f"from c ([IPv6:2001:db8::9]) by {FQDN}")}),
        (
            "delivered.privacy",
            {"submitted": SUBMITTED.replace("id 4cABC1", f"(Authenticated sender: {SENT.login}) id 4c")},
        ),
        ("delivered.privacy", {"submitted": SUBMITTED.replace("id 4cABC1", "")}),
        ("delivered.privacy", {"submitted": SUBMITTED.partition(";")[0] + "\n"}),
        ("delivered.privacy", {"submitted": ""}),
        ("delivered.privacy", {"submitted": f"X-Client: [198.51.100.9]\n{SUBMITTED}"}),
    ],
)
def test_what_is_wrong_fails_its_check_alone(
    make: Callable[..., bytes], look_up: TxtLookup, check: str, changes: dict[str, str]
) -> None:
    found = verdicts(make(**changes), look_up)
    assert {name for name, verdict in found.items() if verdict is not Verdict.PASS} == {check}
    assert found[check] is Verdict.FAIL


def test_a_body_that_was_changed_on_the_way_fails_the_signature(make: Callable[..., bytes], look_up: TxtLookup) -> None:
    raw = make().replace(b"Nobody needs to answer", b"Everybody needs to answer")
    assert verdicts(raw, look_up)["delivered.signature"] is Verdict.FAIL


def test_a_key_that_is_not_published_fails_the_signature(make: Callable[..., bytes]) -> None:
    assert verdicts(make(), {}.get)["delivered.signature"] is Verdict.FAIL


def test_a_receiver_that_says_nothing_proves_nothing(make: Callable[..., bytes], look_up: TxtLookup) -> None:
    found = verdicts(make(results=""), look_up)
    told = {found[check] for check in ("delivered.spf", "delivered.dkim", "delivered.dmarc")}
    assert told == {Verdict.UNKNOWN}


def test_what_our_own_server_wrote_is_no_word_of_the_receiver(make: Callable[..., bytes], look_up: TxtLookup) -> None:
    found = verdicts(make(results=RESULTS.replace("mx.rx.example", FQDN)), look_up)
    assert found["delivered.dmarc"] is Verdict.UNKNOWN


def test_a_login_that_is_the_senders_address_is_no_secret_where_the_sender_stands(
    make: Callable[..., bytes], look_up: TxtLookup
) -> None:
    sent = dataclasses.replace(SENT, login=f"{PREFIX}@{DOMAIN}")
    outcomes = delivered.judge(make(), sent, host=FQDN, look_up=look_up)
    assert {outcome.verdict for outcome in outcomes} == {Verdict.PASS}
    leaking = make(submitted=SUBMITTED.replace("id 4cABC1", f"(Authenticated sender: {sent.login}) id 4c"))
    found = {outcome.check: outcome.verdict for outcome in delivered.judge(leaking, sent, host=FQDN, look_up=look_up)}
    assert found["delivered.privacy"] is Verdict.FAIL


def test_a_message_that_did_not_arrive_or_arrived_twice_is_told(make: Callable[..., bytes], look_up: TxtLookup) -> None:
    lost = delivered.judge_all([], [SENT], host=FQDN, look_up=look_up)
    assert [(o.check, o.verdict) for o in lost] == [("delivered.accepted", Verdict.FAIL)]
    assert "4ABC" in lost[0].evidence
    twice = delivered.judge_all([make(), make()], [SENT], host=FQDN, look_up=look_up)
    assert "it arrived 2 times" in {o.evidence for o in twice if o.verdict is Verdict.FAIL}


def test_one_token_is_not_taken_for_another_that_it_begins(make: Callable[..., bytes], look_up: TxtLookup) -> None:
    other = delivered.Sent(DOMAIN, "syp1n", SENT.login, "4XYZ", SENT.client)
    assert [o.verdict for o in delivered.judge_all([make()], [other], host=FQDN, look_up=look_up)] == [Verdict.FAIL]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mx.example; none", ("mx.example", [])),
        ("mx.example 1; spf=pass smtp.mailfrom=a@b.example", ("mx.example", [("spf", "pass")])),
        ('mx.example; dkim=pass reason="a; b=c"; spf = none', ("mx.example", [("dkim", "pass"), ("spf", "none")])),
        ("mx.example (a (nested; spf=pass) comment); dmarc/1=Fail", ("mx.example", [("dmarc", "fail")])),
        (r"mx.example; dkim=fail (\); spf=pass)", ("mx.example", [("dkim", "fail")])),
        ("", ("", [])),
    ],
)
def test_authentication_results_are_parsed(value: str, expected: tuple[str, list[tuple[str, str]]]) -> None:
    server, results = delivered.authentication_results(value)
    assert (server, [(r.method, r.result) for r in results]) == expected


def test_an_mbox_is_split_and_unquoted() -> None:
    mbox = (
        b"From a@b Tue Nov 24 00:00:00 2026\nSubject: 1\n\n>From here\n>>From there\n\nFrom c@d Tue\nSubject: 2\n\nx\n"
    )
    first, second = delivered.split_mbox(mbox)
    assert first == b"Subject: 1\n\nFrom here\n>From there\n\n"
    assert second == b"Subject: 2\n\nx\n"
    assert delivered.split_mbox(b"") == []


def fetcher(tmp_path: Path, body: str) -> list[str]:
    script = tmp_path / "fetch"
    script.write_text(f"import sys, pathlib\n{body}")
    return [sys.executable, str(script)]


def test_fetching_waits_until_everything_is_there(tmp_path: Path) -> None:
    command = fetcher(
        tmp_path,
        f"seen = pathlib.Path({str(tmp_path / 'seen')!r})\n"
        "calls = len(seen.read_text()) + 1 if seen.exists() else 1\n"
        "seen.write_text('x' * calls)\n"
        "print('From a\\nSubject: ' + sys.argv[1] + '\\n\\n', end='') if calls > 1 else None\n",
    )
    assert delivered.fetch(command, "tok", count=1, deadline=20, pause=0.05) == [b"Subject: tok\n\n"]


def test_fetching_ends_at_its_deadline(tmp_path: Path) -> None:
    assert delivered.fetch(fetcher(tmp_path, ""), "tok", count=1, deadline=0.3, pause=0.1) == []


def test_a_fetch_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(delivered.DeliveryError, match=r"ended with 3: no lab"):
        delivered.fetch(fetcher(tmp_path, "print('no lab', file=sys.stderr); sys.exit(3)"), "t", count=1, deadline=1)
    with pytest.raises(delivered.DeliveryError, match="cannot be run"):
        delivered.fetch([str(tmp_path / "nothing")], "t", count=1, deadline=1)


def test_sending_tells_the_queue_id_and_what_was_refused(ca: servers.Ca) -> None:
    server = Server(ca, SUBMISSION)
    own = probes.Login(servers.USERNAME, servers.PASSWORD, f"{PREFIX}@{FQDN}")
    foreign = probes.Login(servers.USERNAME, servers.PASSWORD, f"{PREFIX}@globex.example")
    with server.run() as endpoint:
        sent, failures = delivered.send_all(target(ca, endpoint), [(endpoint, own), (endpoint, foreign)], "run")
    assert [(one.domain, one.token, one.queue_id, one.client) for one in sent] == [(FQDN, "runn0", "4ABC", "127.0.0.1")]
    assert [(o.subject, o.check, o.verdict) for o in failures] == [("globex.example", "submit.accepted", Verdict.FAIL)]
    assert b"token: runn0" in server.taken[0][2]
