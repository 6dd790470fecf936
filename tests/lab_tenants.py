# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What a login tries in order to speak for another tenant, through every port, and what the receiver makes of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeVar

import lab_api
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from cases.envelopes import ENVELOPES, Envelope, Names
from cases.from_forms import ACCEPT, BODY, CASES, GOOD, LOGIN, OWN, Case
from cases.smuggling import END, Smuggled
from lab_hosts import Login, Sender
from lab_submission import SUBMISSION, Tunnels, logged_in, signers
from readers import author_domains

FOREIGN = "news.globex.example"  # the other tenant of the lab
IN_A_SESSION = 8  # at the tenth error in a session Postfix begins to answer slowly
Row = TypeVar("Row")


@dataclass(frozen=True)
class Place:
    """Where a sender takes mail of clients."""

    port: int
    family: Literal[4, 6]


PLACES = tuple(Place(port, family) for port, family in product(SUBMISSION, (4, 6)))


@dataclass(frozen=True)
class Attempt:
    """One message that is offered."""

    name: str
    expected: Literal["accept", "refuse"]
    mail_from: str  # the whole command
    content: bytes


@dataclass(frozen=True)
class Tenant:
    """A client of a sender who speaks from the stranger's address."""

    sender: Sender
    login: Login
    stranger: Tunnels

    @property
    def names(self) -> Names:
        """What the table of envelopes calls them."""
        bounces = f"bounces.{self.sender.fqdn}"
        return Names(FOREIGN, self.sender.fqdn, bounces)

    def header(self, case: Case) -> Attempt:
        """A row of the table of headers."""
        return Attempt(f"header: {case.name}", case.expected, f"MAIL FROM:<{LOGIN}>", case.content(FOREIGN))

    def envelope(self, case: Envelope) -> Attempt:
        """A row of the table of envelopes."""
        return Attempt(f"envelope: {case.name}", case.expected, case.command(self.names), GOOD + BODY)

    def faults(self, attempts: Iterable[tuple[Place, Attempt]]) -> list[str]:
        """Offer everything; what was answered or has arrived otherwise than it must, a line each."""
        run = lab_api.token()
        by_place: dict[Place, list[tuple[str, Attempt]]] = {}
        for number, (place, attempt) in enumerate(attempts):
            by_place.setdefault(place, []).append((f"{run}-{number:04d}@sink.rx.example", attempt))
        named = {recipient: attempt for offers in by_place.values() for recipient, attempt in offers}
        where = {recipient: place for place, offers in by_place.items() for recipient, _ in offers}
        replies: dict[str, smtp.Reply] = {}
        for place, offers in by_place.items():
            for start in range(0, len(offers), IN_A_SESSION):
                with logged_in(
                    self.sender, self.login, place.port, family=place.family, through=self.stranger
                ) as opened:
                    for recipient, attempt in offers[start : start + IN_A_SESSION]:
                        replies[recipient] = offer(opened, attempt, recipient)
        wrong = [
            f"{named[recipient].name} on {where[recipient]}: {named[recipient].expected} was expected, {reply} came"
            for recipient, reply in replies.items()
            if not (reply.positive if named[recipient].expected == ACCEPT else reply.permanent)
        ]
        taken = {recipient for recipient, reply in replies.items() if reply.positive}
        for recipient, mail in arrivals(self.sender, run, taken):
            name = named[recipient].name if recipient in named else recipient
            wrong += [f"{name}: {fault}" for fault in misreadings(mail, taken)]
        return wrong

    def taken_faults(self, place: Place, contents: Sequence[bytes]) -> tuple[int, list[str]]:
        """Offer messages of which nobody knows what must become; how many were taken, and what is wrong with those."""
        run = lab_api.token()
        named = {f"{run}-{number:04d}@sink.rx.example": content for number, content in enumerate(contents)}
        replies: dict[str, smtp.Reply] = {}
        for start in range(0, len(contents), IN_A_SESSION):
            with logged_in(self.sender, self.login, place.port, family=place.family, through=self.stranger) as opened:
                for recipient in list(named)[start : start + IN_A_SESSION]:
                    attempt = Attempt("", "refuse", f"MAIL FROM:<{LOGIN}>", named[recipient])
                    replies[recipient] = offer(opened, attempt, recipient)
        wrong = [
            f"{named[one]!r}: {reply}" for one, reply in replies.items() if not (reply.positive or reply.permanent)
        ]
        taken = {recipient for recipient, reply in replies.items() if reply.positive}
        for recipient, mail in arrivals(self.sender, run, taken):
            wrong += [f"{named.get(recipient, recipient)!r}: {fault}" for fault in misreadings(mail, taken)]
        return len(taken), wrong

    def smuggling_faults(self, attempts: Iterable[tuple[Place, bytes, bool]]) -> list[str]:
        """Smuggle behind each of these ends, by BDAT where it says so; what came of it that must not, a line each."""
        run = lab_api.token()
        taken: dict[str, str] = {}
        for number, (place, end, by_bdat) in enumerate(attempts):
            said, recipient = self._smuggle(place, end, f"{run}-{number:04d}", by_bdat=by_bdat)
            if said:
                taken[recipient] = f"{end!r} by {'BDAT' if by_bdat else 'DATA'} on {place}"
        wrong = []
        for recipient, mail in arrivals(self.sender, run, taken):
            if recipient not in taken:
                wrong.append(f"{recipient} is a message of its own")
            wrong += [f"{taken.get(recipient, recipient)}: {fault}" for fault in misreadings(mail, taken)]
        return wrong

    def _smuggle(self, place: Place, end: bytes, word: str, *, by_bdat: bool) -> tuple[bool, str]:
        """One try; whether the first message was taken, and to whom it went."""
        first = f"first-{word}@sink.rx.example"
        smuggled = Smuggled(first, f"own-{word}@sink.rx.example", f"other-{word}@sink.rx.example", f"ceo@{FOREIGN}")
        content = smuggled.content(end)
        with logged_in(self.sender, self.login, place.port, family=place.family, through=self.stranger) as opened:
            assert opened.command(f"MAIL FROM:<{LOGIN}>").positive
            assert opened.command(f"RCPT TO:<{first}>").positive
            if by_bdat:
                # A piece ends within the end, and one with it.
                cut = content.index(end) + len(end)
                reply = opened.bdat([content[: cut - 1], content[cut - 1 : cut], content[cut:]])
            else:
                reply = opened.data_raw(content + END, shown="(smuggling)")
            opened.last_replies()
        return reply.positive, first


def offer(opened: smtp.Session, attempt: Attempt, recipient: str) -> smtp.Reply:
    """The first reply that is not positive, or the one to the message; the session is as before then."""
    reply = opened.command(attempt.mail_from)
    if reply.positive:
        reply = opened.command(f"RCPT TO:<{recipient}>")
    if reply.positive:
        reply = opened.data(attempt.content)
    opened.command("RSET")
    return reply


def queued(sender: Sender, word: str) -> bool:
    """Whether anything to a recipient with this word waits to be delivered."""
    lines = lab_api.root(sender.name, "postqueue", "-j").stdout.splitlines()
    return any(word in one["address"] for line in lines for one in json.loads(line)["recipients"])


def arrivals(sender: Sender, run: str, taken: Collection[str]) -> list[tuple[str, lab_api.Mail]]:
    """The messages of a run with their recipients, once all that were taken are here and nothing waits any more."""
    lab_api.until(lambda: not queued(sender, run), what=f"an empty queue of {sender.name}", deadline=120, pause=0.5)

    def look() -> list[tuple[str, lab_api.Mail]] | None:
        found = [(str(mail.parsed["X-Original-To"]), mail) for mail in lab_api.mails(run)]
        return found if {recipient for recipient, _ in found} >= set(taken) else None

    if not taken:
        return [(str(mail.parsed["X-Original-To"]), mail) for mail in lab_api.mails(run)]
    return lab_api.until(look, what="all that was taken", deadline=60, pause=0.5)


def misreadings(mail: lab_api.Mail, taken: Collection[str]) -> list[str]:
    """Where a receiver does not see one message of OWN's alone: from, signature, alignment, envelope."""
    recipient = str(mail.parsed["X-Original-To"])
    wrong = [] if recipient in taken else [f"{recipient} got what was not taken"]
    if (read := author_domains(mail.wire)) != {OWN}:
        wrong.append(f"a reader finds {read}")
    if OWN not in (signed := signers(mail.wire)):
        wrong.append(f"signed by {signed}")
    if f"dmarc=pass header.from={OWN}" not in mail.results:
        wrong.append(f"the receiver says {mail.results}")
    if mail.opendmarc.lower() != OWN:
        wrong.append(f"OpenDMARC reads {mail.opendmarc or 'nothing'}")
    if not str(mail.parsed["Return-Path"]).lower().endswith(f"@{OWN}>"):
        wrong.append(f"its envelope sender is {mail.parsed['Return-Path']}")
    return wrong


def spread(rows: Sequence[Row], everywhere: Collection[Row] = ()) -> list[tuple[Place, Row]]:
    """Each row at one of the places in turn, those that are to go `everywhere` at each of them."""
    once = [(PLACES[number % len(PLACES)], row) for number, row in enumerate(rows) if row not in everywhere]
    return [*once, *product(PLACES, everywhere)]


def rows_called(*names: str) -> list[Case | Envelope]:
    """Rows of both tables by their names."""
    known: dict[str, Case | Envelope] = {row.name: row for row in (*CASES, *ENVELOPES)}
    return [known[name] for name in names]
