# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scorecard: what is checked, how a finding reads, and what a run's end is worth.

A probe makes an `Outcome` for each place it looked at; a `Row` joins those of one check and subject; the report holds
the rows of each host, the faults of single domains, and the exit code of the run.
"""

from __future__ import annotations

import enum
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .replies import explain as replies

FORMAT = 1
MAX_EVIDENCE = 3  # different findings that one row quotes


class Verdict(enum.StrEnum):
    """What a check found. `unknown`: it could not be tried from here, and its evidence says why."""

    PASS = "pass"  # noqa: S105  not a password
    UNKNOWN = "unknown"
    FAIL = "fail"


class Standing(enum.StrEnum):
    """How a whole run stands, the best first. `stopped`: a host failed, or was not reached, before it was proven."""

    FINE = "fine"
    UNPROVEN = "unproven"
    DOMAINS_AT_FAULT = "domains_at_fault"
    STOPPED = "stopped"
    REJECTED = "rejected"


# What a run exits with by them; 4, an unreachable host, is for Ansible itself to tell.
EXIT_CODES: Mapping[Standing, int] = {
    Standing.FINE: 0,
    Standing.UNPROVEN: 0,
    Standing.DOMAINS_AT_FAULT: 3,
    Standing.STOPPED: 2,
    Standing.REJECTED: 2,
}


@dataclass(frozen=True)
class Check:
    """One thing a receiver, or an abuser, would find out: who demands it, and what to do where it fails."""

    title: str
    rule: str
    fix: str


CHECKS: Mapping[str, Check] = {
    "smtp.reachable": Check(
        "the four ports answer",
        "RFC 8314, RFC 5321 section 4.5.1",
        "Open 25, 465, 587 and 2525 (tcp) in the provider's firewall; see `systemctl status postfix@-` on the host.",
    ),
    "smtp.greeting": Check(
        "banner and EHLO carry the host's name",
        "RFC 5321 section 4.3.1; receivers compare it with PTR",
        "Run site.yml: it writes `myhostname`. Whatever answers now is not the Postfix it configured.",
    ),
    "smtp.vrfy": Check(
        "VRFY tells nobody who has a mailbox",
        "RFC 5321 section 7.3",
        "Run site.yml: it sets `disable_vrfy_command = yes`.",
    ),
    "tls.starttls": Check(
        "STARTTLS is offered and works",
        "Gmail 5.7.29, RFC 3207",
        "Look at the certificate files that main.cf names, then run playbooks/serve.yml.",
    ),
    "tls.certificate": Check(
        "the certificate is valid for the name",
        "RFC 8314 section 3, RFC 9525",
        "Run playbooks/serve.yml; with `acme`, the host's name must resolve and port 80 be open.",
    ),
    "tls.versions": Check(
        "TLS below 1.2 is refused",
        "RFC 8996",
        "Run site.yml: it sets `smtpd_tls_protocols` and `smtpd_tls_mandatory_protocols` to >=TLSv1.2.",
    ),
    "tls.suites": Check(
        "cipher suites that hide nothing are refused",
        "RFC 9325 section 4.2.1",
        "Run site.yml: it sets `smtpd_tls_ciphers` and `smtpd_tls_mandatory_ciphers` to high.",
    ),
    "tls.injection": Check(
        "what was pipelined behind STARTTLS in clear is not obeyed",
        "CVE-2011-0411, RFC 3207 section 4.2",
        "Do not put a proxy that speaks SMTP before the host's ports.",
    ),
    "auth.clear": Check(
        "AUTH is neither offered nor taken in clear, nor on 25 at all",
        "RFC 4954 section 4, RFC 8314",
        "Run site.yml: it sets `smtpd_tls_auth_only`, and `smtpd_sasl_auth_enable` for the submission ports only.",
    ),
    "auth.wrong_password": Check(
        "a wrong password gets 535",
        "RFC 4954 section 6",
        "Look at Dovecot's log on the host: `journalctl -u dovecot`.",
    ),
    "relay.refused": Check(
        "nobody relays without a login",
        "open relays are listed within hours",
        "Run site.yml; look for permit_mynetworks or permit_… in master.cf's listeners.",
    ),
    "sender.envelope": Check(
        "a login cannot use another domain's envelope sender",
        "RFC 6409 section 6.1",
        "Run site.yml: it sets `reject_sender_login_mismatch` for the submission ports.",
    ),
    "sender.header": Check(
        "a login cannot use another domain's From:",
        "DMARC: the host signs for the domain of From:",
        "See `systemctl status sendyard-gate` on the host, and that every submission port names it in smtpd_milters.",
    ),
    "sender.null": Check(
        "a login cannot send from the null sender",
        "RFC 5321 section 4.5.5",
        "Run site.yml: `submission_sender_restrictions` refuses it.",
    ),
    "smuggling.refused": Check(
        "one transaction yields one message",
        "CVE-2023-51764",
        "Run site.yml: it sets `smtpd_forbid_bare_newline`. Put no proxy that speaks SMTP before the host's ports.",
    ),
    "submit.accepted": Check(
        "a login can submit a message",
        "RFC 6409",
        "The evidence has the server's reply; its log on the host says more.",
    ),
    "mailbox.postmaster": Check(
        "postmaster@ and abuse@ are accepted",
        "RFC 5321 section 4.5.1, RFC 2142",
        "Run site.yml; see the log on the host for the reason of the refusal.",
    ),
    "mailbox.bounces": Check(
        "bounces are accepted",
        "RFC 5321 section 4.5.5; a sender that takes no bounces is refused",
        "Run site.yml; see the log on the host for the reason of the refusal.",
    ),
    "delivered.accepted": Check(
        "the message was accepted by the receiver",
        "",
        "The receiver's reply says what it wants; playbooks/explain.yml says what a reply means.",
    ),
    "delivered.spf": Check(
        "the receiver saw SPF pass",
        "Gmail 5.7.27, Yahoo, Microsoft 5.7.515",
        "Run playbooks/publish.yml; what the host sends from must be one of its addresses in the inventory.",
    ),
    "delivered.dkim": Check(
        "the receiver saw DKIM pass",
        "Gmail 5.7.30, Yahoo, Microsoft 5.7.515",
        "Run playbooks/publish.yml; compare the selector's record with the host's key.",
    ),
    "delivered.dmarc": Check(
        "the receiver saw DMARC pass",
        "Gmail 5.7.31 and 5.7.32, Yahoo, Microsoft 5.7.515",
        "Run playbooks/publish.yml; From:, DKIM d= and the envelope sender must share the domain.",
    ),
    "delivered.signature": Check(
        "the signature verifies against the published key",
        "RFC 6376",
        "Run playbooks/publish.yml; if the key's record is right, something on the way rewrote the message.",
    ),
    "delivered.tls": Check(
        "the message left over TLS",
        "Gmail 5.7.29",
        "See `smtp_tls_security_level` on the host, and whether the receiver offers STARTTLS.",
    ),
    "delivered.privacy": Check(
        "the client's address and login did not leave",
        "personal data",
        "Run site.yml: it hides the client's session in Received.",
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What one check found at one place. `subject` is the host's name, or the domain whose matter it is."""

    check: str
    verdict: Verdict
    subject: str
    evidence: str
    where: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a scorecard: a check of a subject, over all the places where it was tried."""

    check: str
    verdict: Verdict
    subject: str
    evidence: str
    where: tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """Something wrong with one domain, which the others do not suffer from."""

    subject: str
    message: str


@dataclass(frozen=True)
class HostReport:
    """The scorecard of one host. `stopped` says why it could not be proven, "" where it could."""

    name: str
    fqdn: str
    rows: tuple[Row, ...] = ()
    stopped: str = ""
    proven: str = ""  # ISO 8601, where the proof is an earlier run's

    @property
    def rejected(self) -> bool:
        """True where a receiver would reject what this host sends, or it takes what it must not."""
        return any(row.verdict is Verdict.FAIL and row.subject == self.fqdn for row in self.rows)


@dataclass(frozen=True)
class Report:
    """A whole run: its hosts in order of the inventory, and the domains at fault."""

    hosts: tuple[HostReport, ...]
    faults: tuple[Fault, ...] = ()
    generated: str = ""  # ISO 8601, UTC

    @property
    def standing(self) -> Standing:
        """The worst of what was found."""
        if any(host.rejected for host in self.hosts):
            return Standing.REJECTED
        if any(host.stopped for host in self.hosts):
            return Standing.STOPPED
        if self.all_faults:
            return Standing.DOMAINS_AT_FAULT
        return Standing.FINE if all(host.rows for host in self.hosts) else Standing.UNPROVEN

    @property
    def all_faults(self) -> tuple[Fault, ...]:
        """What was handed in, and the domains whose own message did not pass."""
        proven = tuple(
            Fault(row.subject, f"{row.check} failed on {host.name}: {row.evidence}")
            for host in self.hosts
            for row in host.rows
            if row.verdict is Verdict.FAIL and row.subject != host.fqdn
        )
        return tuple(dict.fromkeys(self.faults + proven))


def rows(outcomes: Iterable[Outcome]) -> tuple[Row, ...]:
    """Join outcomes by check and subject, subjects as they came and checks as in CHECKS; the worst verdict counts."""
    grouped: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault((outcome.subject, outcome.check), []).append(outcome)
    subjects = list(dict.fromkeys(key[0] for key in grouped))
    checks = list(CHECKS)
    joined = [_row(found) for found in grouped.values()]
    return tuple(sorted(joined, key=lambda row: (subjects.index(row.subject), checks.index(row.check))))


def _row(found: Sequence[Outcome]) -> Row:
    """One row of outcomes of the same check and subject. Where not all passed, those that did have nothing to tell."""
    ranked = sorted(found, key=lambda outcome: list(Verdict).index(outcome.verdict), reverse=True)
    worst = ranked[0].verdict
    told = [outcome for outcome in ranked if worst is Verdict.PASS or outcome.verdict is not Verdict.PASS]
    evidence = list(dict.fromkeys(outcome.evidence for outcome in told))
    if worst is Verdict.PASS:
        evidence = evidence[:1]
    more = f" (and {len(evidence) - MAX_EVIDENCE} more)" if len(evidence) > MAX_EVIDENCE else ""
    return Row(
        check=found[0].check,
        verdict=worst,
        subject=found[0].subject,
        evidence="; ".join(evidence[:MAX_EVIDENCE]) + more,
        where=tuple(dict.fromkeys(outcome.where for outcome in told if outcome.where)),
    )


def outcome_from(value: Mapping[str, str]) -> Outcome:
    """Read what `as_plain` wrote."""
    return Outcome(
        check=value["check"],
        verdict=Verdict(value["verdict"]),
        subject=value["subject"],
        evidence=value["evidence"],
        where=value.get("where", ""),
    )


def as_plain(outcome: Outcome) -> dict[str, str]:
    """`outcome` as module results and files carry it."""
    return {key: str(value) for key, value in asdict(outcome).items()}


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs. `fix` and `rule` stand beside each row, so that a reader needs no catalogue."""
    return {
        "format": FORMAT,
        "generated": report.generated,
        "verdict": str(report.standing),
        "hosts": {
            host.name: {
                "fqdn": host.fqdn,
                "verdict": _host_verdict(host),
                "stopped": host.stopped,
                "proven": host.proven,
                "checks": [
                    {
                        "id": row.check,
                        "title": CHECKS[row.check].title,
                        "subject": row.subject,
                        "verdict": str(row.verdict),
                        "evidence": row.evidence,
                        "where": list(row.where),
                        "rule": CHECKS[row.check].rule,
                        "fix": _fix(row) if row.verdict is not Verdict.PASS else "",
                        "explained": replies.as_plain(explained) if (explained := _explained(row)) else None,
                    }
                    for row in host.rows
                ],
            }
            for host in report.hosts
        },
        "faults": [asdict(fault) for fault in report.all_faults],
    }


def _explained(row: Row) -> replies.Explanation | None:
    """What the receiver's reply means that the evidence quotes; None where it quotes none, or the message was taken."""
    if row.check != "delivered.accepted" or row.verdict is Verdict.PASS:
        return None
    explanation = replies.explain(row.evidence)
    return explanation if explanation.row or explanation.code else None


def _fix(row: Row) -> str:
    explanation = _explained(row)
    return explanation.to_do if explanation else CHECKS[row.check].fix


def _host_verdict(host: HostReport) -> str:
    if host.stopped:
        return "stopped"
    if host.rejected:
        return "rejected"
    return "unproven" if not host.rows else "accepted"


def render(report: Report, *, width: int = 100) -> list[str]:
    """The report for a terminal of `width` columns, a line each: what passed in one line, what did not with its fix."""
    lines: list[str] = []
    for host in report.hosts:
        lines += _render_host(host, width)
    if report.all_faults:
        lines += ["", f"Domains at fault: {len(report.all_faults)}"]
        for fault in report.all_faults:
            lines += _wrapped(f"{fault.subject}: {fault.message}", "  ", width)
    return [*lines, "", *_wrapped(verdict_line(report), "", width)]


def _render_host(host: HostReport, width: int) -> list[str]:
    counted = {verdict: sum(row.verdict is verdict for row in host.rows) for verdict in Verdict}
    told = ", ".join(f"{number} {verdict}" for verdict, number in counted.items() if number)
    heading = f"{host.name} ({host.fqdn}): {_host_verdict(host)}" + (f"; {told}" if told else "")
    lines = ["", heading, "-" * min(len(heading), width)]
    if host.proven:
        lines.append(f"  as it was proven at {host.proven}")
    if not host.rows and not host.stopped:
        lines.append("  not proven: run playbooks/prove.yml")
    if host.stopped:
        lines += _wrapped(host.stopped, "  ", width)
    shown, proven = _shown(host)
    id_width = max((len(row.check) for row in shown), default=0)
    said = ""
    for row in shown:
        subject = "" if row.subject == host.fqdn else f"{row.subject}: "
        repeated, said = row.evidence == said and row.verdict is Verdict.UNKNOWN, row.evidence
        head = f"{row.verdict:<8}{row.check:<{id_width}}  "
        place = f" [{', '.join(row.where)}]" if row.where and row.verdict is not Verdict.PASS else ""
        lines += _wrapped(
            head + subject + ("likewise" if repeated else row.evidence + place), " " * len(head), width, first=""
        )
        explanation = _explained(row)
        if explanation:
            lines += _wrapped(f"{explanation.says} means: {explanation.meaning}", " " * len(head), width)
        if row.verdict is Verdict.FAIL or explanation:
            lines += _wrapped(f"fix: {_fix(row)}", " " * len(head), width)
    if proven:
        plural = "domain" if len(proven) == 1 else "domains"
        lines += _wrapped(f"pass    {len(proven)} {plural}: {_listed(proven)}", " " * 8, width, first="")
    return lines


def _shown(host: HostReport) -> tuple[list[Row], list[str]]:
    """The rows to show, and the domains of which every row passed: ten thousand of them are one line."""
    wrong = {row.subject for row in host.rows if row.verdict is not Verdict.PASS}
    proven = sorted({row.subject for row in host.rows} - wrong - {host.fqdn})
    rows_shown = [row for row in host.rows if row.subject == host.fqdn or row.verdict is not Verdict.PASS]
    return rows_shown, proven


def _listed(names: Sequence[str], most: int = 5) -> str:
    """The first of `names`, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def verdict_line(report: Report) -> str:
    """The whole run in one sentence."""
    at_fault = _listed(list(dict.fromkeys(fault.subject for fault in report.all_faults)))
    rejected = ", ".join(host.name for host in report.hosts if host.rejected)
    stopped = ", ".join(host.name for host in report.hosts if host.stopped)
    known = all(row.verdict is Verdict.PASS for host in report.hosts for row in host.rows)
    fine = "Fine: receivers that check would accept what these servers send."
    sentences = {
        Standing.FINE: fine
        if known
        else "Nothing is wrong that could be tried; each unknown check says why it was not.",
        Standing.UNPROVEN: "Nothing is known to be wrong; not every server was proven.",
        Standing.DOMAINS_AT_FAULT: f"The servers are fine, but these domains are at fault: {at_fault}.",
        Standing.STOPPED: f"Stopped before it could be proven: {stopped}.",
        Standing.REJECTED: f"Would be rejected, or takes what it must not: {rejected}. Each failure says what to do.",
    }
    return sentences[report.standing]


def _wrapped(text: str, indent: str, width: int, *, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, len(indent) + 40),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def report_from(hosts: Sequence[Mapping[str, Any]], faults: Sequence[Mapping[str, str]], generated: str) -> Report:
    """Build the report from what the plays gathered.

    `hosts`: {"name", "fqdn", "outcomes": [as_plain…], "stopped": why there are none or "", "proven": when, if not now}.
    """
    return Report(
        hosts=tuple(
            HostReport(
                name=host["name"],
                fqdn=host["fqdn"],
                rows=rows(outcome_from(value) for value in host["outcomes"]),
                stopped=host["stopped"],
                proven=host.get("proven", ""),
            )
            for host in hosts
        ),
        faults=tuple(Fault(fault["subject"], fault["message"]) for fault in faults),
        generated=generated,
    )
