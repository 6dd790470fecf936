# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all our pages look like: one file that needs nothing but itself, on a phone, a screen or paper. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
body { color: #1a1a1a; background: #fff; }
section { border: 1px solid #bbb; border-radius: 6px; margin: 1rem 0; padding: .5rem 1rem; break-inside: avoid; }
h1 { font-size: clamp(1.4rem, 6vw, 2rem); }
h1, h2, h3 { overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 1.5rem 0 .5rem; }
section > h2, h3 { font-size: 1.1rem; margin: .3rem 0; }
dl { display: grid; grid-template-columns: 8rem 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: #555; }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
li { overflow-wrap: anywhere; }
code { font: 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; background: #f2f2f2; padding: .1rem .3rem; }
pre { background: #f2f2f2; padding: .5rem; white-space: pre-wrap; margin: .5rem 0; }
pre code { padding: 0; }
del { background: #fbd5d5; } ins { background: #cdeccd; }
.state { border-radius: 4px; font-size: .9rem; font-weight: 600; padding: 0 .5rem; white-space: nowrap; }
.good { background: #cdeccd; color: #0b3d0b; } .bad { background: #fbd5d5; color: #6b0d0d; }
.open { background: #fbe8b8; color: #4d3800; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .4rem; } }
@media print { body { margin: 0; } del, ins, .state { print-color-adjust: exact; } }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Return the page of this title with `parts`, which are HTML already, below it."""
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>",
            f"<h1>{escape(title)}</h1>",
            *parts,
            "</main></body></html>\n",
        ]
    )


def details(rows: Sequence[tuple[str, str]]) -> str:
    """Return labels and what belongs to each, which is HTML already."""
    return "<dl>" + "".join(f"<dt>{escape(label)}</dt><dd>{value}</dd>" for label, value in rows) + "</dl>"


def code(text: str) -> str:
    """Return text that is copied as it stands."""
    return f"<code>{escape(text)}</code>"


def host_part(name: str, zone: str) -> str:
    """Return a name as providers want it that add the zone's name themselves."""
    return "@" if name == zone else name.removesuffix(f".{zone}")
