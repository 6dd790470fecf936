# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scorecard as a page for people and as JUnit XML for CI. Pure: a report goes in, text comes out.

The page needs nothing but itself: no script, no image, no font. What passed is folded away by `details`, which a
printer is told to unfold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from xml.etree import ElementTree

from .checks import catalogue
from .checks.model import Check
from .scorecard import CHECKS, HostReport, Report, Row, Verdict, explanation_of, fix_of, verdict_line, verdict_of

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 60rem; padding: 0 1rem; }
body { color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 1.5rem 0 .3rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.when { color: #555; }
.stands { border-left: .4rem solid #767676; padding: .3rem .8rem; font-weight: 600; }
article { border: 1px solid #bbb; border-left-width: .4rem; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
article { break-inside: avoid; }
article h4 { display: flex; flex-wrap: wrap; gap: .1rem .6rem; align-items: baseline; font-size: 1rem; margin: 0; }
.word { border-radius: 4px; color: #fff; font-size: .8rem; padding: 0 .5rem; text-transform: uppercase; }
code { font: 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.id { color: #555; font-weight: 400; }
dl { display: grid; grid-template-columns: 7rem 1fr; gap: .1rem .8rem; margin: .3rem 0; }
dt { color: #555; }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
a { color: #0b57a4; }
summary { cursor: pointer; padding: .3rem 0; }
.fail { border-color: #b3261e; } .word.fail { background: #b3261e; }
.warn { border-color: #8a5a00; } .word.warn { background: #8a5a00; }
.unknown { border-color: #5f5f5f; } .word.unknown { background: #5f5f5f; }
.pass { border-color: #1b6e3c; } .word.pass { background: #1b6e3c; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .3rem; } }
@media print { body { font-size: 11px; margin: 0; max-width: none; } code { font-size: 10px; } }
@media print { details::details-content { content-visibility: visible; display: block; } }
"""
STANDS = {"accepted": "pass", "unproven": "unknown", "stopped": "fail", "rejected": "fail"}
WORST_FIRST = (Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN)
DOMAINS_SHOWN = 200  # that passed, by name; a page of ten thousand is read by nobody
NOT_IN_XML = re.compile(r"[^\t\n\r -\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")  # XML 1.0 section 2.2


def html(report: Report) -> str:
    """Return the page."""
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Scorecard: {escape(str(report.standing))}</title><style>{STYLE}</style></head><body><main>",
            "<h1>Scorecard</h1>",
            f'<p class="stands {_standing_class(report)}">{escape(verdict_line(report))}</p>',
            f'<p class="when">Made {escape(report.generated)}.</p>',
            *_faults(report),
            *(line for host in report.hosts for line in _host(host)),
            "</main></body></html>\n",
        ]
    )


def _standing_class(report: Report) -> str:
    found = {row.verdict for host in report.hosts for row in host.rows}
    if report.exit_code:
        return "fail"
    return next((str(verdict) for verdict in WORST_FIRST if verdict in found), "pass" if found else "unknown")


def _faults(report: Report) -> Iterable[str]:
    """What is wrong with single domains and is not in their rows: a file that cannot be read, a zone that is not."""
    if report.faults:
        yield "<h2>Domains at fault</h2>"
        yield from (
            f'<article class="fail"><h4>{escape(fault.subject)}</h4><p>{escape(fault.message)}</p></article>'
            for fault in report.faults
        )


def _host(host: HostReport) -> Iterable[str]:
    standing = verdict_of(host)
    counted = Counter(row.verdict for row in host.rows)
    told = ", ".join(f"{counted[verdict]} {verdict}" for verdict in (Verdict.PASS, *WORST_FIRST) if counted[verdict])
    yield f"<section><h2>{escape(host.name)} ({escape(host.fqdn)})</h2>"
    yield f'<p><span class="word {STANDS[standing]}">{standing}</span> {told}</p>'
    if host.proven:
        yield f'<p class="when">Its sessions and message are those of {escape(host.proven)}.</p>'
    if host.stopped:
        yield f"<p>{escape(host.stopped)}</p>"
    elif not host.tried:
        yield "<p>Not proven: run playbooks/prove.yml.</p>"
    subjects = dict.fromkeys(row.subject for row in host.rows)
    wrong = {row.subject for row in host.rows if row.verdict is not Verdict.PASS}
    for subject in subjects:
        if subject == host.fqdn or subject in wrong:
            yield from _subject(subject, [row for row in host.rows if row.subject == subject])
    passed = sorted(set(subjects) - wrong - {host.fqdn})
    if passed:
        more = f" and {len(passed) - DOMAINS_SHOWN} more" if len(passed) > DOMAINS_SHOWN else ""
        yield f"<h3>{len(passed)} domain{'s' * (len(passed) > 1)} of which every check passed</h3>"
        yield f"<p>{escape(', '.join(passed[:DOMAINS_SHOWN]))}{more}</p>"
    yield "</section>"


def _subject(subject: str, found: Sequence[Row]) -> Iterable[str]:
    yield f"<h3>{escape(subject)}</h3>"
    for verdict in WORST_FIRST:
        yield from (_row(row) for row in found if row.verdict is verdict)
    passed = [row for row in found if row.verdict is Verdict.PASS]
    if passed:
        yield f"<details><summary>{len(passed)} passed</summary>"
        for letter, name in catalogue.GROUPS.items():
            of_group = [row for row in passed if CHECKS[row.check].group == letter]
            if of_group:
                yield f"<p><strong>{letter}. {escape(name)}</strong></p>"
                yield from map(_row, of_group)
        yield "</details>"


def _row(row: Row) -> str:
    check = CHECKS[row.check]
    details = [("Found", f"<code>{escape(row.evidence)}</code>")]
    if row.where and row.verdict is not Verdict.PASS:
        details.append(("Where", f"<code>{escape(', '.join(row.where))}</code>"))
    if explanation := explanation_of(row):
        details.append(("It means", _with_code(f"{explanation.says}: {explanation.meaning}")))
    if row.verdict is not Verdict.PASS:
        details.append(("To do", f"<strong>{_with_code(fix_of(row))}</strong>"))
        if check.codes:
            details.append(("Replies", escape("; ".join(f"{who}: {code}" for who, code in check.codes))))
    if check.rule:
        details.append(("Rule", _rule(check)))
    listed = "".join(f"<dt>{label}</dt><dd>{text}</dd>" for label, text in details)
    return (
        f'<article class="{row.verdict}"><h4><span class="word {row.verdict}">{row.verdict}</span> '
        f'{escape(check.title)} <code class="id">{escape(row.check)}</code></h4><dl>{listed}</dl></article>'
    )


def _with_code(text: str) -> str:
    """`text` as HTML, what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _rule(check: Check) -> str:
    """The rule, each source that it names with a link and its date."""
    dated = "; ".join(
        f'<a href="{escape(source.where)}">{escape(name)}</a> ({source.date})'
        for name, source in catalogue.sources(check).items()
    )
    return escape(check.rule) + (f" &mdash; {dated}" if dated else "")


def junit(report: Report) -> str:
    """Return JUnit XML: a suite for each host, a case for each row. What is unknown was skipped, which is no pass."""
    suites = ElementTree.Element("testsuites", name="scorecard")
    for host in report.hosts:
        cases = [_case(host, row) for row in host.rows]
        if host.stopped or not host.tried:
            case = ElementTree.Element("testcase", classname=host.fqdn, name="proven")
            said = _xml(host.stopped or "not proven")
            ElementTree.SubElement(case, "error" if host.stopped else "skipped", message=said)
            cases.append(case)
        _suite(suites, host.name, cases)
    if report.faults:
        _suite(suites, "domains", [_fault_case(fault.subject, fault.message) for fault in report.faults])
    ElementTree.indent(suites, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _suite(suites: ElementTree.Element, name: str, cases: Sequence[ElementTree.Element]) -> None:
    counted = {
        total: str(sum(case.find(tag) is not None for case in cases))
        for total, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    suite = ElementTree.SubElement(suites, "testsuite", {"name": name, "tests": str(len(cases)), **counted})
    suite.extend(cases)


def _case(host: HostReport, row: Row) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=_xml(row.subject), name=row.check)
    if row in host.wrong:
        failure = ElementTree.SubElement(case, "failure", message=_xml(row.evidence), type=str(row.verdict))
        failure.text = _xml(f"{CHECKS[row.check].rule}\nTo do: {fix_of(row)}")
    elif row.verdict is Verdict.UNKNOWN:
        ElementTree.SubElement(case, "skipped", message=_xml(row.evidence))
    else:
        said = ElementTree.SubElement(case, "system-out")
        to_do = "" if row.verdict is Verdict.PASS else f"\nTo do: {fix_of(row)}"
        said.text = _xml(f"{row.verdict}: {row.evidence}{to_do}")
    return case


def _fault_case(subject: str, message: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=_xml(subject), name="domain")
    ElementTree.SubElement(case, "failure", message=_xml(message), type="fail")
    return case


def _xml(text: str) -> str:
    """`text` without what no XML document may hold; the DNS may say anything."""
    return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
