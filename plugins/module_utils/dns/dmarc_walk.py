# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which DMARC record receivers apply to a domain, and where its organisation begins (RFC 9989 section 4.10). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import dmarc

QUERIES = 8  # section 4.10: names with more labels skip those in between

# Returns the values of a name and type as plain text, none where there is nothing.
Ask = Callable[[str, str], Sequence[str]]


@dataclass(frozen=True)
class Found:
    """The DMARC records at the names of a walk, from the domain upwards, with those where nothing stands."""

    domain: str
    at: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def doubled(self) -> tuple[str, ...]:
        """The names with several records, all of which receivers discard."""
        return tuple(name for name, records in self.at if len(records) > 1)

    @property
    def valid(self) -> dict[str, str]:
        """The records that count, by domain."""
        return {name: records[0] for name, records in self.at if len(records) == 1}

    @property
    def organisation(self) -> str:
        """The organisational domain; the domain itself where no record says more (section 4.10.2)."""
        for name, record in self.valid.items():
            psd = dmarc.tags(record).get("psd", "").lower()
            if psd == "n":
                return name
            if psd == "y" and name != self.domain:
                labels = self.domain.split(".")
                return ".".join(labels[-(name.count(".") + 2) :])
        return min(self.valid, key=lambda name: name.count("."), default=self.domain)

    @property
    def policy(self) -> tuple[str, str] | None:
        """The domain whose record applies, and the record; None where there is none (section 4.10.1)."""
        valid = self.valid
        for name in (self.domain, self.organisation, *reversed(valid)):  # the last is a public suffix's own
            if name in valid:
                return name, valid[name]
        return None


def walk(domain: str, ask: Ask) -> Found:
    """Return the DMARC records from `domain` up to its top-level domain, or to the first with psd=y or psd=n."""
    found = []
    for name in names(domain):
        records = tuple(text for text in ask(f"_dmarc.{name}", "TXT") if dmarc.tags(text))
        found.append((name, records))
        if len(records) == 1 and dmarc.tags(records[0]).get("psd", "").lower() in ("y", "n"):
            break
    return Found(domain, tuple(found))


def names(domain: str) -> list[str]:
    """Return the domains at which a walk looks, in order."""
    labels = domain.split(".")
    first = max(1, len(labels) - (QUERIES - 1))
    return [domain, *(".".join(labels[start:]) for start in range(first, len(labels)))]
