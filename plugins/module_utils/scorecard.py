# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scorecard: what is checked, how a finding reads, and what a run's end is worth.

A probe makes an `Outcome` for each place it looked at, a check of what the world sees one for its subject; a `Row`
joins those of one check and subject; the report holds the rows of each host, the faults of single domains, and the exit
code of the run.
"""

from __future__ import annotations

import enum
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .checks import catalogue, model
from .replies import explain as replies

Verdict = model.Verdict
CHECKS = catalogue.CHECKS
FORMAT = 1
MAX_EVIDENCE = 3  # different findings that one row quotes


class Standing(enum.StrEnum):
    """How a whole run stands, the best first. `stopped`: a host failed, or was not reached, before it was proven."""

    FINE = "fine"
    UNPROVEN = "unproven"
    DOMAINS_AT_FAULT = "domains_at_fault"
    STOPPED = "stopped"
    REJECTED = "rejected"


class FailOn(enum.StrEnum):
    """What of a scorecard fails the run: what must be so and is not, what should be so too, or nothing."""

    MUST = "must"
    SHOULD = "should"
    NEVER = "never"

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts that count as a rejection."""
        return (Verdict.WARN, Verdict.FAIL) if self is FailOn.SHOULD else (Verdict.FAIL,)


# What a run exits with by them; 4, an unreachable host, is for Ansible itself to tell.
EXIT_CODES: Mapping[Standing, int] = {
    Standing.FINE: 0,
    Standing.UNPROVEN: 0,
    Standing.DOMAINS_AT_FAULT: 3,
    Standing.STOPPED: 2,
    Standing.REJECTED: 2,
}


@dataclass(frozen=True)
class Outcome:
    """What one check found at one place. `subject` is the host's name, or the domain whose matter it is."""

    check: str
    verdict: Verdict
    subject: str
    evidence: str
    where: str = ""
    because: str = ""  # the check that kept this one from being tried


@dataclass(frozen=True)
class Row:
    """One line of a scorecard: a check of a subject, over all the places where it was tried."""

    check: str
    verdict: Verdict
    subject: str
    evidence: str
    where: tuple[str, ...]
    because: str = ""


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
    fail_on: FailOn = FailOn.MUST

    @property
    def wrong(self) -> tuple[Row, ...]:
        """The rows that count as failures."""
        return tuple(row for row in self.rows if row.verdict in self.fail_on.verdicts)

    @property
    def tried(self) -> bool:
        """True where sessions and a message have shown how it stands, and not only what can be looked up."""
        return any(row.check in catalogue.PROVEN for row in self.rows)

    @property
    def rejected(self) -> bool:
        """True where a receiver would reject what this host sends, or it takes what it must not."""
        return any(row.subject == self.fqdn for row in self.wrong)


@dataclass(frozen=True)
class Report:
    """A whole run: its hosts in order of the inventory, and the domains at fault."""

    hosts: tuple[HostReport, ...]
    faults: tuple[Fault, ...] = ()
    generated: str = ""  # ISO 8601, UTC
    fail_on: FailOn = FailOn.MUST

    @property
    def exit_code(self) -> int:
        """What the run exits with, as far as it is the scorecard's to say."""
        rejected = self.standing in (Standing.REJECTED, Standing.DOMAINS_AT_FAULT)
        return 0 if rejected and self.fail_on is FailOn.NEVER else EXIT_CODES[self.standing]

    @property
    def standing(self) -> Standing:
        """The worst of what was found."""
        if any(host.rejected for host in self.hosts):
            return Standing.REJECTED
        if any(host.stopped for host in self.hosts):
            return Standing.STOPPED
        if self.all_faults:
            return Standing.DOMAINS_AT_FAULT
        return Standing.FINE if all(host.tried for host in self.hosts) else Standing.UNPROVEN

    @property
    def all_faults(self) -> tuple[Fault, ...]:
        """What was handed in, and the domains whose own message did not pass."""
        proven = tuple(
            Fault(row.subject, f"{row.check} failed on {host.name}: {row.evidence}")
            for host in self.hosts
            for row in host.wrong
            if row.subject != host.fqdn
        )
        return tuple(dict.fromkeys(self.faults + proven))


def rows(outcomes: Iterable[Outcome]) -> tuple[Row, ...]:
    """Join outcomes by check and subject, subjects as they came and checks as in CHECKS; the worst verdict counts.

    What failed because of another check that failed is unknown: there is one thing to mend, not two.
    """
    grouped: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault((outcome.subject, outcome.check), []).append(outcome)
    subjects = {subject: number for number, subject in enumerate(dict.fromkeys(key[0] for key in grouped))}
    checks = {check: number for number, check in enumerate(CHECKS)}
    joined = {place: _row(found) for place, found in grouped.items()}
    told = (_with_cause(row, joined) for row in joined.values())
    return tuple(sorted(told, key=lambda row: (subjects[row.subject], checks[row.check])))


def _with_cause(row: Row, joined: Mapping[tuple[str, str], Row]) -> Row:
    if row.verdict is not Verdict.FAIL:
        return row
    for need in CHECKS[row.check].needs:
        cause = joined.get((row.subject, need))
        if cause and (cause.verdict is Verdict.FAIL or cause.because):
            root = cause.because or need
            return replace(
                row, verdict=Verdict.UNKNOWN, because=root, evidence=f"because of {root}; it saw: {row.evidence}"
            )
    return row


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
        because=ranked[0].because,
    )


def outcome_from(value: Mapping[str, str]) -> Outcome:
    """Read what `as_plain` wrote."""
    return Outcome(
        check=value["check"],
        verdict=Verdict(value["verdict"]),
        subject=value["subject"],
        evidence=value["evidence"],
        where=value.get("where", ""),
        because=value.get("because", ""),
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
        "fail_on": str(report.fail_on),
        "hosts": {
            host.name: {
                "fqdn": host.fqdn,
                "verdict": verdict_of(host),
                "stopped": host.stopped,
                "proven": host.proven,
                "checks": [_row_as_json(row) for row in host.rows],
            }
            for host in report.hosts
        },
        "faults": [asdict(fault) for fault in report.all_faults],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    check = CHECKS[row.check]
    explained = explanation_of(row)
    return {
        "id": row.check,
        "group": check.group,
        "level": str(check.level),
        "title": check.title,
        "subject": row.subject,
        "verdict": str(row.verdict),
        "evidence": row.evidence,
        "because": row.because,
        "where": list(row.where),
        "rule": check.rule,
        "sources": {name: asdict(source) for name, source in catalogue.sources(check).items()},
        "codes": dict(check.codes),
        "fix": fix_of(row) if row.verdict is not Verdict.PASS else "",
        "explained": replies.as_plain(explained) if explained else None,
    }


def explanation_of(row: Row) -> replies.Explanation | None:
    """What the receiver's reply means that the evidence quotes; None where it quotes none, or the message was taken."""
    if row.check != "delivered.accepted" or row.verdict is Verdict.PASS:
        return None
    explanation = replies.explain(row.evidence)
    return explanation if explanation.row or explanation.code else None


def fix_of(row: Row) -> str:
    """The one thing to do."""
    if row.because:
        return f"Mend {row.because} first."
    explanation = explanation_of(row)
    return explanation.to_do if explanation else CHECKS[row.check].fix


def verdict_of(host: HostReport) -> str:
    """How one host stands: stopped, rejected, unproven or accepted."""
    if host.stopped:
        return "stopped"
    if host.rejected:
        return "rejected"
    return "accepted" if host.tried else "unproven"


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
    heading = f"{host.name} ({host.fqdn}): {verdict_of(host)}" + (f"; {told}" if told else "")
    lines = ["", heading, "-" * min(len(heading), width)]
    if host.proven:
        lines.append(f"  as it was proven at {host.proven}")
    if not host.tried and not host.stopped:
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
        explanation = explanation_of(row)
        if explanation:
            lines += _wrapped(f"{explanation.says} means: {explanation.meaning}", " " * len(head), width)
        if row.verdict in (Verdict.WARN, Verdict.FAIL) or explanation:
            lines += _wrapped(f"fix: {fix_of(row)}", " " * len(head), width)
    looked_up = sum(row.subject == host.fqdn for row in host.rows) - sum(row.subject == host.fqdn for row in shown)
    if looked_up:
        lines.append(f"pass    {looked_up} checks of its records, names and certificates: scorecard.html has each")
    if proven:
        plural = "domain" if len(proven) == 1 else "domains"
        lines += _wrapped(f"pass    {len(proven)} {plural}: {_listed(proven)}", " " * 8, width, first="")
    return lines


def _shown(host: HostReport) -> tuple[list[Row], list[str]]:
    """The rows to show, and the domains of which every row passed: ten thousand of them are one line.

    What was looked up and passed is not shown either.
    """
    wrong = {row.subject for row in host.rows if row.verdict is not Verdict.PASS}
    proven = sorted({row.subject for row in host.rows} - wrong - {host.fqdn})
    rows_shown = [
        row
        for row in host.rows
        if row.verdict is not Verdict.PASS or (row.subject == host.fqdn and row.check in catalogue.PROVEN)
    ]
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
    found = {row.verdict for host in report.hosts for row in host.rows}
    fine = "Fine: receivers that check would accept what these servers send."
    if Verdict.UNKNOWN in found:
        fine = "Nothing is wrong that could be tried; each unknown check says why it was not."
    if Verdict.WARN in found:
        fine = "Receivers would take what these servers send; each warning says what counts against it."
    sentences = {
        Standing.FINE: fine,
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


def report_from(
    hosts: Sequence[Mapping[str, Any]],
    faults: Sequence[Mapping[str, str]],
    generated: str,
    fail_on: FailOn = FailOn.MUST,
) -> Report:
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
                fail_on=fail_on,
            )
            for host in hosts
        ),
        faults=tuple(Fault(fault["subject"], fault["message"]) for fault in faults),
        generated=generated,
        fail_on=fail_on,
    )
