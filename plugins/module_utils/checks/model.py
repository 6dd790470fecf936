# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check is, what it is about, what it is given to look at, and what it says."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import SendyardError


class Verdict(enum.StrEnum):
    """What a check found, the best first. `unknown`: it could not be tried, and its evidence says why."""

    PASS = "pass"  # noqa: S105  not a password
    UNKNOWN = "unknown"
    WARN = "warn"
    FAIL = "fail"


class Level(enum.StrEnum):
    """What is at stake: `must`, mail is rejected or others do harm; `should`, it counts against mail; `info`."""

    MUST = "must"
    SHOULD = "should"
    INFO = "info"


@dataclass(frozen=True)
class Check:
    """One thing that a receiver, or an abuser, would find out.

    Attributes:
        group: the letter of its group, a key of `catalogue.GROUPS`.
        title: what is so where it passes.
        rule: who demands it; what it names is a key of `catalogue.SOURCES`.
        fix: the one thing to do where it fails.
        codes: what receivers that mind answer, by receiver.
        needs: checks of the same subject without which it says nothing.
    """

    group: str
    title: str
    rule: str
    fix: str
    level: Level = Level.MUST
    codes: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a check found: its evidence is what was asked, and what came back."""

    verdict: Verdict
    evidence: str


def passed(evidence: str) -> Finding:
    return Finding(Verdict.PASS, evidence)


def failed(evidence: str) -> Finding:
    return Finding(Verdict.FAIL, evidence)


def warned(evidence: str) -> Finding:
    return Finding(Verdict.WARN, evidence)


def unknown(evidence: str) -> Finding:
    return Finding(Verdict.UNKNOWN, evidence)


@dataclass(frozen=True)
class Server:
    """A server as its owner describes it.

    Attributes:
        addresses: public ones that it sends from.
        reached_at: those that clients and bounces come to, the ones that it does not send from among them.
        issuers: what the authority that certifies it is called in CAA records; None where no authority does.
        ports: (port, whether TLS begins at once) of its listeners, the one for the world first.
    """

    fqdn: str
    addresses: tuple[str, ...]
    reached_at: tuple[str, ...]
    bounce_domain: str
    issuers: tuple[str, ...] | None = None
    ports: tuple[tuple[int, bool], ...] = ((25, False), (587, False), (465, True), (2525, False))


@dataclass(frozen=True)
class Subject:
    """A sending domain on one server; the server's own name is one too.

    Attributes:
        selector: of the DKIM key that the server signs with.
        key: hex sha256 of that key's DER SubjectPublicKeyInfo, "" where the server has not told it.
        return_name: the domain's return path, "" where it has none.
    """

    name: str
    server: Server
    selector: str
    key: str = ""
    return_name: str = ""


@dataclass(frozen=True)
class Certificate:
    """A certificate as it was served, whether it is valid or not. The digests and `key`, `whole` are of DER."""

    names: tuple[str, ...]
    not_after: dt.datetime
    key: bytes = field(repr=False)  # SubjectPublicKeyInfo
    whole: bytes = field(repr=False)


class Unreachable(SendyardError):
    """Nobody answered, so that nothing is known. The message says who was asked."""


class World(Protocol):
    """What can be looked up. Every method raises Unreachable where nobody answers within seconds."""

    @property
    def now(self) -> dt.datetime:
        """The time, UTC."""

    def ask(self, name: str, kind: str) -> tuple[str, ...]:
        """Return the values of a record set as text, CNAMEs followed; () where there are none."""

    def zone(self, name: str) -> str:
        """Return the zone that a name stands in, "" where the name does not exist."""

    def served(self, name: str, address: str, port: int, *, implicit: bool) -> Certificate:
        """Return what a listener shows to a client that asks for `name`.

        Raises:
            SendyardError: there is a listener, and it shows none.
        """


def told(name: str, kind: str, values: Sequence[str]) -> str:
    """Return a question and its answer, for a person."""
    return f"{name} {kind}: " + (", ".join(values) if values else "nothing")


def same_address(text: str, address: str) -> bool:
    """Return whether two spellings are one address."""
    try:
        return ipaddress.ip_address(text) == ipaddress.ip_address(address)
    except ValueError:
        return False
