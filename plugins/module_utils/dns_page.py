# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page from which a person enters records at a provider, and the same as lines of a zone file.

Pure: what `mail_dns` returns as `manual` goes in, text comes out. The page needs nothing but itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .html_page import code, details, document, host_part

VERBS = {"enter": "Enter", "replace": "Replace", "remove": "Remove"}


def zone_lines(subject: str, to_do: Sequence[Mapping[str, Any]]) -> str:
    """Return what to do as lines of a zone file; what is to go is a comment."""
    lines = [f"; {subject}: what is missing in the zone, or not as it should be"]
    for one in to_do:
        if one["old"] and one["old"] != one["value"]:
            lines.append(f"; remove: {one['name']} IN {one['type']} {one['old']!r}")
        if one["line"]:
            lines.append(one["line"])
    return "\n".join(lines) + "\n"


def html(subject: str, to_do: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of one domain or server."""
    return document(
        f"DNS records for {subject}",
        [
            f"<p>{len(to_do)} to do at the provider of the zone. Leave everything else there as it is. Then run again: "
            "what is there is not asked for any more.</p>",
            *(_section(number, one) for number, one in enumerate(to_do, 1)),
        ],
    )


def _section(number: int, one: Mapping[str, Any]) -> str:
    name = one["name"].removesuffix(".")
    rows = [("Type", one["type"]), ("Name", name), ("or, as host part", host_part(one["name"], one["zone"]))]
    if one["action"] == "remove":
        rows.append(("Value that is there", one["old"]))
    else:
        if one["action"] == "replace":
            rows.append(("Value that is there", one["old"]))
        rows += [("Value", one["value"]), ("TTL", str(one["ttl"]))]
    entry = details([(label, code(value)) for label, value in rows])
    return f"<section><h2>{number}. {escape(VERBS[one['action']])}</h2>{entry}</section>"
