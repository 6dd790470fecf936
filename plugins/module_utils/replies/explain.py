# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reply means for a sender, and what to do here."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from .registry import IANA, Category, Retry, Source, registered
from .reply import Reply, parse
from .rules import ADVICE, RFC5321, RULES, Rule

# What the class of a reply means (RFC 5321 section 4.2.1), where no row and no registered code says more.
CLASSES: Mapping[str, tuple[Category, Retry, str]] = {
    "2": (Category.ACCEPTED, Retry.DONE, "The receiver accepted it."),
    "4": (Category.THEIRS, Retry.BY_ITSELF, "A temporary refusal that says no more."),
    "5": (Category.UNKNOWN, Retry.MENDED, "A permanent refusal that says no more."),
}
FOR_A_SENDER: Mapping[str, str] = {
    "2": "accepted: nothing to do",
    "4": "temporary: the message waits in the queue and is tried again; slow down",
    "5": "permanent: the message came back; do not send it again before the cause is mended",
}
# A server that greets with 5xx: Postfix tries the others, and again (smtp_skip_5xx_greeting).
KEPT = "permanent by its code, yet the message waits in the queue and is tried again; mend the cause meanwhile"


@dataclass(frozen=True)
class Explanation:
    """A reply, explained. Empty strings, and code 0, stand for what it does not say."""

    code: int  # reply code (RFC 5321 section 4.2)
    status: str  # enhanced status code (RFC 3463)
    registered: str  # what the registry has for it
    says: str  # who says it: a receiver, or "Postfix, here"
    host: str
    text: str  # the reply without its codes
    row: str  # the row of the table that explains it; "" where only its codes do
    category: Category
    for_a_sender: str
    meaning: str
    to_do: str
    retry: Retry
    source: str  # URL
    seen: str  # ISO 8601: when the source said so


def explain(pasted: str) -> Explanation:
    """Explain a reply: as it was received, a line of Postfix's log, a bounce, a DSN's field, or a bare code.

    The first row of RULES that fits explains it, otherwise the registered status code, otherwise its class. Raises
    nothing, and takes linear time, whatever `pasted` is; only its first `MAX_LENGTH` characters are looked at.
    """
    reply = parse(pasted)
    rule = next((rule for rule in RULES if rule.fits(reply)), None)
    if rule:
        return _explanation(
            reply, category=rule.category, retry=rule.retry, meaning=rule.meaning, to_do=rule.to_do, source=rule.source,
            rule=rule,
        )  # fmt: skip
    entry = registered(reply.status)
    if entry and entry.category is not Category.UNKNOWN and reply.reply_class in ("4", "5"):
        advice = ADVICE[entry.category]
        retry = _retry(reply, entry.category)
        return _explanation(
            reply, category=entry.category, retry=retry, meaning=advice.meaning, to_do=advice.to_do, source=IANA
        )
    if reply.reply_class in CLASSES:
        category, retry, meaning = CLASSES[reply.reply_class]
    else:
        category, retry = Category.UNKNOWN, Retry.MENDED
        meaning = "There is no reply code in it." if not reply.code else "Neither yes nor no: a server asks for more."
    return _explanation(
        reply, category=category, retry=retry, meaning=meaning, to_do=ADVICE[category].to_do, source=RFC5321
    )


def _retry(reply: Reply, category: Category) -> Retry:
    """Whether a retry helps, where only the status code tells."""
    if category is Category.RECIPIENT and reply.reply_class == "5":
        return Retry.NEVER
    by_itself = category in (Category.RATE, Category.THEIRS, Category.SIZE, Category.RECIPIENT, Category.POLICY)
    return Retry.BY_ITSELF if by_itself and reply.reply_class == "4" else Retry.MENDED


def _explanation(
    reply: Reply,
    *,
    category: Category,
    retry: Retry,
    meaning: str,
    to_do: str,
    source: Source,
    rule: Rule | None = None,
) -> Explanation:
    entry = registered(reply.status)
    refused = reply.reply_class == "5"
    if refused and retry is Retry.BY_ITSELF:
        retry = Retry.MENDED  # a row for 4xx and 5xx: after the latter nobody tries again
    return Explanation(
        code=reply.code,
        status=reply.status,
        registered=entry.text if entry else "",
        says=(rule.says if rule else "") or reply.receiver,
        host=reply.host,
        text=reply.text,
        row=rule.name if rule else "",
        category=category,
        for_a_sender=KEPT if refused and reply.outcome == "deferred" else FOR_A_SENDER.get(reply.reply_class, ""),
        meaning=meaning,
        to_do=to_do,
        retry=retry,
        source=source.url,
        seen=source.seen,
    )


def as_plain(explanation: Explanation) -> dict[str, str | int]:
    """`explanation` as module results and files carry it."""
    return {key: value if isinstance(value, int) else str(value) for key, value in asdict(explanation).items()}


def render(explanation: Explanation, *, width: int = 100) -> list[str]:
    """`explanation` for a terminal of `width` columns, a line each."""
    codes = " ".join(str(part) for part in (explanation.code, explanation.status) if part) or "no code"
    host = f" ({explanation.host})" if explanation.host and explanation.host != explanation.says else ""
    row = f", row {explanation.row}" if explanation.row else ""
    told = {
        "Reply": f"{codes}: {explanation.text}" if explanation.text else codes,
        "Registered": explanation.registered,
        "Says": f"{explanation.says}{host}",
        "Kind": f"{explanation.category}; {explanation.for_a_sender}".removesuffix("; "),
        "Means": explanation.meaning,
        "To do": explanation.to_do,
        "Trying again helps": str(explanation.retry),
        "Source": f"{explanation.source} ({explanation.seen}{row})",
    }
    lines: list[str] = []
    for title, text in told.items():
        if text:
            lines += textwrap.wrap(
                text,
                max(width, 60),
                initial_indent=f"{title + ':':<20}",
                subsequent_indent=" " * 20,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines
