# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One server's proof from the controller: every probe at every place, then a real message for each domain that is
due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..scorecard import Outcome, Verdict
from . import delivered, probe_names, probes
from .delivered import Sent
from .names import Names
from .session import LISTENERS, Endpoint, Listener

NOT_SENT = "not tried: sendyard_prove_recipient names no mailbox elsewhere that takes the message"
NOT_FETCHED = "not seen: no sendyard_prove_fetch_command reads the receiver's mailbox"
DELIVERED = (
    "delivered.spf",
    "delivered.dkim",
    "delivered.dmarc",
    "delivered.signature",
    "delivered.tls",
    "delivered.privacy",
)


@dataclass(frozen=True)
class Order:
    """What to prove; the arguments of the module prove_smtp, whose documentation describes them."""

    fqdn: str
    addresses: tuple[str, ...]
    prefix: str
    password: str = field(repr=False)
    bounce_domain: str
    canary: str
    foreign_domain: str
    domains: tuple[str, ...] = ()
    recipient: str = ""
    fetch_command: tuple[str, ...] = ()
    ca_file: str | None = None
    resolver: tuple[str, ...] = ()
    compare_25: tuple[str, ...] = ()
    deadline: float = 60.0
    listeners: tuple[Listener, ...] = LISTENERS

    def login(self, domain: str) -> probes.Login:
        """The login of this proof that speaks for `domain`."""
        return probes.Login(
            username=probe_names.login_name(self.prefix, domain, self.fqdn),
            password=self.password,
            sender=probe_names.sender_address(self.prefix, domain),
        )

    def target(self) -> probes.Target:
        """What the probes are to try. Looks up the hosts to compare with."""
        return probes.Target(
            fqdn=self.fqdn,
            addresses=self.addresses,
            login=self.login(self.fqdn),
            # Relaying is refused before anyone looks whether this mailbox exists.
            recipient=self.recipient or f"prover@{self.foreign_domain}",
            canary=self.canary,
            foreign_domain=self.foreign_domain,
            bounce_domain=self.bounce_domain,
            ca_file=self.ca_file,
            other_25=tuple(filter(None, map(Names(self.resolver).address, self.compare_25))),
            listeners=self.listeners,
        )


@dataclass(frozen=True)
class Proof:
    """What was found; `untraced` are messages that were taken and not seen at the receiver, for the host's log to
    tell.
    """

    outcomes: tuple[Outcome, ...]
    untraced: tuple[Sent, ...]
    proven: tuple[str, ...]
    at_fault: tuple[str, ...]


def prove(order: Order) -> Proof:
    """Try everything. What is found wrong is an outcome, never an exception.

    Raises:
        DeliveryError: the receiver's mailbox cannot be read.
        NamesError, DeliveryError: a Python package is missing on the controller.
    """
    target = order.target()
    outcomes = probes.run(target)
    endpoints = _submission_endpoints(target, outcomes)
    if not order.recipient or not endpoints:
        reason = NOT_SENT if endpoints else "not tried: no submission port could be reached"
        outcomes += _unknown(order.fqdn, ("delivered.accepted", *DELIVERED), reason)
        return Proof(tuple(outcomes), (), (), ())
    # A listener without gate and signer lets mail out as it comes: each must show a signed message of its own.
    messages = [(endpoint, order.login(order.fqdn)) for endpoint in endpoints]
    messages += [(endpoints[0], order.login(domain)) for domain in order.domains]
    run_token = probes.new_token()
    sent, refused = delivered.send_all(target, messages, run_token)
    judged, untraced = _judge(order, sent, run_token)
    outcomes += refused + judged
    wrong = {outcome.subject for outcome in outcomes if outcome.verdict is Verdict.FAIL}
    seen = {one.domain for one in sent} - {one.domain for one in untraced}
    return Proof(
        outcomes=tuple(outcomes),
        untraced=tuple(untraced),
        proven=tuple(domain for domain in order.domains if domain in seen - wrong),
        at_fault=tuple(domain for domain in order.domains if domain in wrong),
    )


def _submission_endpoints(target: probes.Target, outcomes: Sequence[Outcome]) -> list[Endpoint]:
    """Of each port for clients the first place that answered."""
    reached = {o.where for o in outcomes if o.check == "smtp.reachable" and o.verdict is Verdict.PASS}
    by_port: dict[int, Endpoint] = {}
    for endpoint in target.endpoints:
        if endpoint.listener.submission and str(endpoint) in reached:
            by_port.setdefault(endpoint.listener.port, endpoint)
    return list(by_port.values())


def _judge(order: Order, sent: Sequence[Sent], run_token: str) -> tuple[list[Outcome], list[Sent]]:
    """Fetch and judge what was sent; also returns what was not seen, which the host's log must tell."""
    if not order.fetch_command:
        # Of the other domains the log's "accepted" is all there is to say.
        return _unknown(order.fqdn, DELIVERED, NOT_FETCHED), list(sent)
    messages = delivered.fetch(order.fetch_command, run_token, count=len(sent), deadline=order.deadline)
    outcomes = delivered.judge_all(messages, sent, host=order.fqdn, look_up=Names(order.resolver).txt)
    lost = {o.subject for o in outcomes if o.check == "delivered.accepted" and o.verdict is Verdict.FAIL}
    return outcomes, [one for one in sent if one.domain in lost]


def _unknown(subject: str, checks: Sequence[str], reason: str) -> list[Outcome]:
    return [Outcome(check, Verdict.UNKNOWN, subject, reason) for check in checks]
