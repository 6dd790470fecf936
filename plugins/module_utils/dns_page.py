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

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
body { color: #1a1a1a; background: #fff; }
section { border: 1px solid #bbb; border-radius: 6px; margin: 1rem 0; padding: .5rem 1rem; break-inside: avoid; }
h1 { overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: .3rem 0; }
dl { display: grid; grid-template-columns: 8rem 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: #555; }
dd { margin: 0; min-width: 0; }
code { font: 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; background: #f2f2f2; padding: .1rem .3rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .4rem; } }
"""
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
    title = f"DNS records for {subject}"
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>",
            f"<h1>{escape(title)}</h1>",
            f"<p>{len(to_do)} to do at the provider of the zone. Leave everything else there as it is. Then run again: "
            "what is there is not asked for any more.</p>",
            *(_section(number, one) for number, one in enumerate(to_do, 1)),
            "</main></body></html>\n",
        ]
    )


def _section(number: int, one: Mapping[str, Any]) -> str:
    name = one["name"].removesuffix(".")
    rows = [("Type", one["type"]), ("Name", name), ("or, as host part", _host_part(one["name"], one["zone"]))]
    if one["action"] == "remove":
        rows.append(("Value that is there", one["old"]))
    else:
        if one["action"] == "replace":
            rows.append(("Value that is there", one["old"]))
        rows += [("Value", one["value"]), ("TTL", str(one["ttl"]))]
    details = "".join(f"<dt>{escape(label)}</dt><dd><code>{escape(value)}</code></dd>" for label, value in rows)
    return f"<section><h2>{number}. {VERBS[one['action']]}</h2><dl>{details}</dl></section>"


def _host_part(name: str, zone: str) -> str:
    """Return a name as providers want it that add the zone's name themselves."""
    return "@" if name == zone else name.removesuffix(f".{zone}")
