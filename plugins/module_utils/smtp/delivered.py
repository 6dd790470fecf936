# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real message, sent as a client, fetched from its receiver, and judged: by what the receiver wrote and by ourselves.

The receiver's Authentication-Results (RFC 8601) are its word. The signature is verified once more here, against the
key that the name servers publish, since a receiver can be lenient or wrong.
"""

from __future__ import annotations

import email
import email.utils
import ipaddress
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message

from ..errors import SendyardError
from ..scorecard import Outcome, Verdict
from .names import TxtLookup
from .probes import Login, Target, message, submit
from .session import Endpoint, SmtpError

# Fields that name the sender's address, which a customer's login may be equal to.
SENDER_FIELDS = frozenset({"from", "sender", "reply-to", "return-path", "authentication-results", "dkim-signature"})

QUEUED_AS = re.compile(r"queued as ([0-9A-Za-z]+)")
LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f.:]+)\]")
MBOX_FROM = re.compile(rb"^From .*\n", re.MULTILINE)


class DeliveryError(SendyardError):
    """The receiver's mailbox cannot be read, or what is needed to judge a message is missing."""


@dataclass(frozen=True)
class Sent:
    """A message that the server has taken at `where`. `client` is the address it was submitted from."""

    domain: str
    token: str
    login: str
    queue_id: str
    client: str
    where: str = ""


# --- sending and fetching ---------------------------------------------------------------------------------------


def send(target: Target, endpoint: Endpoint, login: Login, token: str) -> Sent:
    """Submit one message to the recipient at `endpoint` as `login`.

    Raises:
        SmtpError: the session broke, or something of it was refused.
    """
    with target.session(endpoint, verify=True) as opened:
        target.log_in(opened, login)
        content = message(login.sender, target.recipient, token=token)
        reply = submit(opened, login.sender, target.recipient, content)
        queued = QUEUED_AS.search(reply.text)
        return Sent(
            domain=login.sender.rpartition("@")[2],
            token=token,
            login=login.username,
            queue_id=queued[1] if queued else "",
            client=opened.local_address,
            where=str(endpoint),
        )


def send_all(
    target: Target, order: Sequence[tuple[Endpoint, Login]], run_token: str, *, at_once: int = 4
) -> tuple[list[Sent], list[Outcome]]:
    """Submit a message at each place for the login beside it; returns what was taken, and a failure for what was not.

    Every message's token begins with `run_token`, so that all are fetched by one look.
    """

    def attempt(numbered: tuple[int, tuple[Endpoint, Login]]) -> Sent | Outcome:
        number, (endpoint, login) = numbered
        try:
            return send(target, endpoint, login, f"{run_token}n{number}")
        except SmtpError as error:
            verdict = Verdict.UNKNOWN if error.kind == "busy" else Verdict.FAIL
            domain = login.sender.rpartition("@")[2]
            return Outcome("submit.accepted", verdict, domain, str(error), str(endpoint))

    with ThreadPoolExecutor(max_workers=at_once) as pool:
        results = list(pool.map(attempt, enumerate(order)))
    taken = [result for result in results if isinstance(result, Sent)]
    return taken, [result for result in results if isinstance(result, Outcome)]


def split_mbox(content: bytes) -> list[bytes]:
    """The messages of an mbox (RFC 4155), their quoted From_ lines restored."""
    messages = MBOX_FROM.split(content)[1:]
    return [re.sub(rb"^>(>*From )", rb"\1", text, flags=re.MULTILINE) for text in messages]


def fetch(command: Sequence[str], token: str, *, count: int, deadline: float, pause: float = 1.0) -> list[bytes]:
    """Run `command` with `token` as its last argument until it prints `count` messages or `deadline` seconds are over.

    Returns what was there in the end.

    Raises:
        DeliveryError: the command cannot be run, or fails.
    """
    end = time.monotonic() + deadline
    while True:
        try:
            done = subprocess.run([*command, token], capture_output=True, timeout=max(deadline, 30.0), check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeliveryError(f"sendyard_prove_fetch_command: {command[0]} cannot be run: {error}") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-500:]
            raise DeliveryError(f"sendyard_prove_fetch_command: {command[0]} ended with {done.returncode}: {said}")
        messages = split_mbox(done.stdout)
        if len(messages) >= count or time.monotonic() + pause >= end:
            return messages
        time.sleep(pause)


# --- what the receiver wrote ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """One result of an Authentication-Results field: `properties` such as {"header.d": "acme.example"}."""

    method: str
    result: str
    properties: Mapping[str, str]


def without_comments(value: str) -> str:
    """`value` without RFC 5322 comments, nested ones included; quoted strings stay."""
    kept: list[str] = []
    depth = 0
    quoted = False
    characters = iter(value)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            kept += [character, following] if not depth else []
        elif character == '"' and not depth:
            quoted = not quoted
            kept.append(character)
        elif not quoted and character in "()":
            depth = depth + 1 if character == "(" else max(0, depth - 1)
        elif not depth:
            kept.append(character)
    return "".join(kept)


def authentication_results(value: str) -> tuple[str, tuple[Result, ...]]:
    """The authserv-id and the results of one field body (RFC 8601 section 2.2)."""
    parts = re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*$)', without_comments(value))
    server = parts[0].split()[0].lower() if parts[0].split() else ""
    results = []
    for part in parts[1:]:
        pairs = re.findall(r'([A-Za-z0-9._/-]+)\s*=\s*("[^"]*"|[^\s;]+)', part)
        if not pairs:
            continue
        (method, result), *properties = pairs
        results.append(
            Result(
                method.partition("/")[0].lower(),
                result.lower(),
                {name.lower(): text.strip('"').lower() for name, text in properties},
            )
        )
    return server, tuple(results)


def _domain_of(value: str) -> str:
    return value.rpartition("@")[2]


def _told(results: Sequence[Result], method: str, domain: str, property_name: str) -> tuple[Verdict, str]:
    """What a receiver's `method` says of `domain`: pass only where the passing property is this very domain."""
    found = [result for result in results if result.method == method]
    if not found:
        return Verdict.UNKNOWN, f"the receiver wrote no {method} result"
    said = "; ".join(f"{r.method}={r.result} {property_name}={r.properties.get(property_name, '?')}" for r in found)
    good = any(r.result == "pass" and _domain_of(r.properties.get(property_name, "")) == domain for r in found)
    return (Verdict.PASS if good else Verdict.FAIL), said


# --- judging one message ----------------------------------------------------------------------------------------


def judge(raw: bytes, sent: Sent, *, host: str, look_up: TxtLookup) -> list[Outcome]:
    """Everything a delivered message tells: about `sent.domain`, and about the server `host` that sent it."""
    parsed = email.message_from_bytes(raw)
    fields = [authentication_results(str(value)) for value in parsed.get_all("Authentication-Results", [])]
    results = [result for server, found in fields if server != host for result in found]
    received = [" ".join(str(value).split()) for value in parsed.get_all("Received", [])]
    first_by = received[0] if received else "no Received field"

    def outcome(check: str, verdict: Verdict, evidence: str) -> Outcome:
        return Outcome(check, verdict, sent.domain, evidence, sent.where)

    return [
        outcome("delivered.accepted", Verdict.PASS, f"it arrived: {_without_detail(first_by)}"),
        outcome("delivered.spf", *_told(results, "spf", sent.domain, "smtp.mailfrom")),
        outcome("delivered.dkim", *_told(results, "dkim", sent.domain, "header.d")),
        outcome("delivered.dmarc", *_told(results, "dmarc", sent.domain, "header.from")),
        outcome("delivered.signature", *signature(raw, sent.domain, look_up)),
        outcome("delivered.tls", *_left_over_tls(received, host)),
        outcome("delivered.privacy", *_private(parsed, received, sent, host)),
    ]


def _without_detail(received: str) -> str:
    """A Received field as one short line: who took it, how, and when."""
    return " ".join(without_comments(received).split()).replace(" ;", ";")


def signature(raw: bytes, domain: str, look_up: TxtLookup) -> tuple[Verdict, str]:
    """Verify every DKIM signature; all must be of `domain`, since another one's reputation is not ours to use.

    Raises:
        DeliveryError: dkimpy is not installed.
    """
    try:
        import dkim  # noqa: PLC0415  only the controller has it, and only this needs it
    except ImportError as error:
        raise DeliveryError("the Python package dkimpy is missing on the controller: pip install dkimpy") from error
    count = len(email.message_from_bytes(raw).get_all("DKIM-Signature", []))
    if not count:
        return Verdict.FAIL, "the message carries no DKIM-Signature"
    told = []
    for index in range(count):
        try:
            verifier = dkim.DKIM(raw)
            good = verifier.verify(idx=index, dnsfunc=lambda name, **_: look_up(name.decode().rstrip(".")))
            signed_by = verifier.domain.decode().lower()
            selector = verifier.selector.decode()
        except dkim.DKIMException as error:
            return Verdict.FAIL, f"signature {index + 1}: {error}"
        if not good:
            return Verdict.FAIL, f"the signature d={signed_by} s={selector} does not verify"
        if signed_by != domain:
            return Verdict.FAIL, f"a signature is of d={signed_by}, expected {domain} alone"
        told.append(f"d={signed_by} s={selector} {verifier.signature_fields[b'a'].decode()}")
    return Verdict.PASS, "; ".join(told)


def _left_over_tls(received: Sequence[str], host: str) -> tuple[Verdict, str]:
    """The Received field of whoever took the message from `host` says how it came (RFC 3848: ESMTPS)."""
    hops = [value for value in received if not re.search(rf"\bby {re.escape(host)}\b", value)]
    from_host = [value for value in hops if re.search(rf"\b{re.escape(host)}\b", value)]
    if not from_host:
        return Verdict.UNKNOWN, "no Received field names this server as the one it came from"
    version = re.search(r"TLSv?1[._]\d", from_host[0])
    if version or re.search(r"\bwith (?:UTF8)?E?SMTPSA?\b", from_host[0]):
        return Verdict.PASS, version[0] if version else "ESMTPS"
    return Verdict.FAIL, f"it came in clear: {from_host[0]}"


def _private(parsed: Message, received: Sequence[str], sent: Sent, host: str) -> tuple[Verdict, str]:
    """The server's own Received field has queue id and date, but neither client nor login; no other field has them."""
    header = "\n".join(f"{name}: {value}" for name, value in parsed.items() if name.lower() not in SENDER_FIELDS)
    if sent.login in header:
        return Verdict.FAIL, "the header holds the login's name"
    if sent.client in [found for found in LITERAL.findall(header) if _is_address(found)]:
        return Verdict.FAIL, f"the header holds the client's address {sent.client}"
    own = [value for value in received if re.search(rf"\bby {re.escape(host)}\b", value)]
    if len(own) != 1:
        return Verdict.FAIL, f"{len(own)} Received fields are by {host}, expected one"
    addresses = [found for found in LITERAL.findall(own[0]) if _is_address(found)]
    if addresses:
        return Verdict.FAIL, f"the server's Received field holds {', '.join(addresses)}: {own[0]}"
    date = own[0].rpartition(";")[2]
    if " id " not in own[0] or email.utils.parsedate_tz(date) is None:
        return Verdict.FAIL, f"the server's Received field has no queue id or no date: {own[0]}"
    return Verdict.PASS, own[0]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def judge_all(messages: Sequence[bytes], sent: Sequence[Sent], *, host: str, look_up: TxtLookup) -> list[Outcome]:
    """Judge every message of `sent`; one that did not arrive is a failure of `delivered.accepted` alone.

    A message that arrived twice, or one with a run's token that was never sent, is a failure of the host.
    """
    outcomes: list[Outcome] = []
    for one in sent:
        marker = re.compile(rf"\b{re.escape(one.token)}\b".encode())
        found = [raw for raw in messages if marker.search(raw)]
        if not found:
            outcomes.append(
                Outcome(
                    "delivered.accepted", Verdict.FAIL, one.domain, f"it did not arrive ({one.queue_id})", one.where
                )
            )
            continue
        outcomes += judge(found[0], one, host=host, look_up=look_up)
        if len(found) > 1:
            evidence = f"it arrived {len(found)} times"
            outcomes.append(Outcome("delivered.accepted", Verdict.FAIL, one.domain, evidence, one.where))
    return outcomes
