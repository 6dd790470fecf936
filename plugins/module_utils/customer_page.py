# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a customer gets for a domain: settings for a program, records to copy, and what to do next. Pure.

`facts` makes of what a run found a mapping, which is kept as JSON; `html` makes the page of that and of the samples. No
token is in either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from difflib import SequenceMatcher
from html import escape
from typing import Any

from .dns import dmarc
from .dns.standing import MISSING, PRESENT, UNKNOWN, WRONG, Standing
from .html_page import code, details, document, host_part
from .records import SPF_LABEL
from .scorecard import Verdict

PORTS = (
    (587, "STARTTLS", "what most programs expect"),
    (465, "TLS from the start", "also called SMTPS or SSL/TLS"),
    (2525, "STARTTLS", "where a network lets neither of the others out"),
)
# Samples are programs that run as they are; this is what in them is the customer's.
SAMPLE = {"fqdn": "mta1.example.com", "domain": "shop.example.com", "username": "app@shop.example.com"}
SAMPLES = {
    "send_mail.py": "Python, smtplib",
    "nodemailer.mjs": "Node.js, Nodemailer",
    "phpmailer.php": "PHP, PHPMailer",
    "swaks.sh": "Shell, swaks",
}
LOOKS = {PRESENT: "good", MISSING: "bad", WRONG: "bad", UNKNOWN: "open"}
VERDICTS = {Verdict.PASS: "good", Verdict.FAIL: "bad"}


def facts(
    domain: str,
    *,
    fqdns: Sequence[str],
    usernames: Sequence[str],
    by_hand: bool,
    standings: Sequence[Standing],
    selectors: Mapping[str, str],
    return_name: str,
    fault: str,
    cached: int,
    findings: Sequence[str],
    proof: Sequence[Mapping[str, str]],
    now: str,
) -> dict[str, Any]:
    """Return what the page says, as JSON has it.

    Args:
        fqdns: names of the domain's servers; `selectors`: which of them signs with which DKIM selector.
        by_hand: whether a person changes the zone.
        return_name: where the domain's mail returns to, "" for nowhere.
        fault: why the domain does not send yet, "" where it does.
        cached: seconds that resolvers may still have earlier records.
        findings: what was there before.
        proof: outcomes of the proving message, as `scorecard.as_plain` has them.
        now: when all of this was seen, ISO 8601.
    """
    records = [
        {
            **asdict(one),
            "name": (name := one.name.removesuffix(".")),
            "zone": one.zone.removesuffix("."),
            "host_part": host_part(one.name, one.zone) if one.zone else name,
            "purpose": _purpose(name, one.type, domain, selectors, return_name),
        }
        for one in standings
    ]
    return {
        "domain": domain,
        "seen": now,
        "sends": not fault,
        "fault": fault,
        "servers": list(fqdns),
        "ports": [{"port": port, "security": security, "note": note} for port, security, note in PORTS],
        "usernames": list(usernames),
        "records": records,
        "findings": list(findings),
        "proof": [dict(one) for one in proof],
        "next": _next(domain, records, by_hand=by_hand, fault=fault, cached=cached, proof=proof),
    }


def _purpose(name: str, kind: str, domain: str, selectors: Mapping[str, str], return_name: str) -> str:
    if name.startswith("_dmarc."):
        return "DMARC: what receivers do with mail that only claims to be from the domain"
    if name.endswith(f"._domainkey.{domain}"):
        selector = name.removesuffix(f"._domainkey.{domain}")
        return f"DKIM: the key by which receivers verify what {selectors.get(selector, 'a server')} signs"
    if name == return_name:
        return "Return path: bounces come to the servers" if kind == "MX" else "Return path: who may send by that name"
    if name == f"{SPF_LABEL}.{domain}":
        return "SPF: the servers' addresses, in a record that the domain's own includes"
    return "SPF: which servers may send for the domain"


def _next(
    domain: str,
    records: Sequence[Mapping[str, Any]],
    *,
    by_hand: bool,
    fault: str,
    cached: int,
    proof: Sequence[Mapping[str, str]],
) -> list[str]:
    """Return what to do, in that order, a sentence or two each."""
    steps = []
    to_do = [one for one in records if one["state"] in (MISSING, WRONG)]
    if to_do and by_hand:
        zones = ", ".join(dict.fromkeys(one["zone"] for one in to_do))
        steps.append(
            f"Enter the {len(to_do)} records below that are missing or wrong where the zone {zones} is kept, and leave "
            "everything else there as it is. Then have the domain onboarded again: it goes on from there."
        )
    elif fault:
        steps.append(
            f"The domain does not send yet: {fault} Then have the domain onboarded again: it goes on from there."
        )
    steps += [f"{one['evidence']} ({one['check']})" for one in proof if one["verdict"] == Verdict.FAIL]
    if not fault:
        steps.append(
            "Put the settings below into your program, and send a message to a mailbox that you can look into."
        )
        if cached:
            steps.append(
                f"Receivers may know the earlier records for {-(-cached // 60)} minutes more; send little until then."
            )
    policies = [dmarc.policy(one["value"]) for one in records if one["name"] == f"_dmarc.{domain}"]
    if policies == ["none"]:
        steps.append(
            "The DMARC record asks for nothing (p=none). Have reports sent to you (rua), and ask for p=quarantine or "
            "p=reject when they show that all your mail passes."
        )
    return steps


def html(page: Mapping[str, Any], samples: Mapping[str, str]) -> str:
    """Return the page. `samples` are the files of SAMPLES, by name, as they are kept."""
    state = ("good", "sends") if page["sends"] else ("open", "does not send yet")
    return document(
        f"Sending mail as {page['domain']}",
        [
            f"<p>{_badge(*state)} As seen at {escape(page['seen'])}.</p>",
            "<h2>What to do next</h2>",
            f"<ol>{''.join(f'<li>{escape(step)}</li>' for step in page['next'])}</ol>",
            "<h2>Settings for your program</h2>",
            _settings(page),
            "<h2>DNS records</h2>",
            "<p>A TXT value is entered as one text, without quotation marks. Providers take the name as host part, and "
            "add the zone themselves, or in full.</p>",
            *(_record(number, one) for number, one in enumerate(page["records"], 1)),
            *_list("What was there before", [escape(one) for one in page["findings"]]),
            *_list("The message that proves it", [_outcome(one) for one in page["proof"]]),
            "<h2>In your program</h2>",
            "<p>Each takes the token from the environment variable <code>SMTP_TOKEN</code>. Put an address of yours in "
            "the place of you@example.org.</p>",
            *(
                f"<h3>{escape(SAMPLES[name])}</h3><pre>{code(sample(text, page))}</pre>"
                for name, text in samples.items()
            ),
        ],
    )


def sample(text: str, page: Mapping[str, Any]) -> str:
    """Return a sample with the customer's server, login and domain in the place of the examples."""
    own = {
        SAMPLE["username"]: (page["usernames"] or [f"app@{page['domain']}"])[0],
        SAMPLE["domain"]: page["domain"],
        SAMPLE["fqdn"]: page["servers"][0],
    }
    return re.sub("|".join(map(re.escape, own)), lambda found: str(own[found[0]]), text)


def _settings(page: Mapping[str, Any]) -> str:
    rows = [("Server (host)", " ".join(map(code, page["servers"])))]
    rows += [(f"Port {one['port']}", f"{escape(one['security'])}, {escape(one['note'])}") for one in page["ports"]]
    rows += [
        ("Login", " ".join(map(code, page["usernames"])) or "none yet"),
        (
            "Password",
            "the token that was shown when the login was made; it is kept nowhere, and a lost one is replaced",
        ),
        ("From:", f"any address @{escape(page['domain'])}, and no other domain's"),
    ]
    return f"<section>{details(rows)}</section>"


def _record(number: int, one: Mapping[str, Any]) -> str:
    rows = [
        ("Type", code(one["type"])),
        ("Host part", code(one["host_part"])),
        ("or full name", code(one["name"])),
    ]
    if one["value"]:
        rows.append(("Value", code(one["value"])))
    if one["found"]:
        rows.append(("There now", code(one["found"])))
        if one["value"]:
            rows.append(("Difference", f"<code>{difference(one['found'], one['value'])}</code>"))
        else:
            rows.append(("To do", "remove it"))
    rows.append(("TTL", code(str(one["ttl"]))))
    if one["note"]:
        rows.append(("Note", escape(one["note"])))
    title = f"{number}. {escape(one['purpose'])} {_badge(LOOKS[one['state']], one['state'])}"
    return f"<section><h3>{title}</h3>{details(rows)}</section>"


def difference(found: str, value: str) -> str:
    """Return how `found` becomes `value`, as HTML: words that go in <del>, words that come in <ins>."""
    before, after = re.findall(r"\s+|[^\s;]+|;", found), re.findall(r"\s+|[^\s;]+|;", value)
    parts = []
    for action, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if action == "equal":
            parts.append(escape("".join(before[i:j])))
            continue
        parts += [f"<del>{escape(''.join(before[i:j]))}</del>"] if j > i else []
        parts += [f"<ins>{escape(''.join(after[k:m]))}</ins>"] if m > k else []
    return "".join(parts)


def _outcome(one: Mapping[str, str]) -> str:
    badge = _badge(VERDICTS.get(Verdict(one["verdict"]), "open"), one["verdict"])
    return f"{badge} {escape(one['check'])}: {escape(one['evidence'])}"


def _list(title: str, items: Sequence[str]) -> list[str]:
    """Return a heading and the items below it, which are HTML already; nothing where there are none."""
    return [f"<h2>{escape(title)}</h2>", f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"] if items else []


def _badge(look: str, text: str) -> str:
    return f'<span class="state {look}">{escape(text)}</span>'
