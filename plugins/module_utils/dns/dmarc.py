# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DMARC records as far as publishing needs them: which policy stands, and which is stronger (RFC 9989 section 4.7)."""

from __future__ import annotations

STRENGTH = {"none": 0, "quarantine": 1, "reject": 2}


def tags(text: str) -> dict[str, str]:
    """Return the tags of a DMARC record by name, {} where `text` is none: the version tag must come first."""
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    found = {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}
    if not pairs or pairs[0][0].strip().lower() != "v" or found.get("v") != "DMARC1":
        return {}
    return found


def policy(text: str) -> str:
    """Return the policy of a DMARC record, "" where receivers would ignore it.

    A record that has `rua` but no valid `p` counts as `none` (RFC 9989 section 4.7).
    """
    found = tags(text)
    said = found.get("p", "").lower()
    if said in STRENGTH:
        return said
    return "none" if found.get("rua") else ""


def subdomain_policy(text: str) -> str:
    """Return what a DMARC record says of sub-domains that have no record of their own."""
    said = tags(text).get("sp", "").lower()
    return said if said in STRENGTH else policy(text)


def may_follow(ours: str, theirs: str) -> bool:
    """Return whether `ours` may take the place of `theirs` without asking, since nothing of anybody's is lost.

    So it is where `theirs` sends reports where `ours` does and has no further tags: we wrote it, with another policy.
    And where it has a policy alone, which `ours` does not weaken.
    """
    there, wanted = tags(theirs), tags(ours)
    if not policy(theirs) or set(there) - {"v", "p", "rua"}:
        return False
    if there.get("rua"):
        return there["rua"] == wanted.get("rua")
    return not weaker(policy(ours), policy(theirs))


def weaker(first: str, second: str) -> bool:
    """Return whether the policy `first` asks for less than `second`."""
    return STRENGTH.get(first, 0) < STRENGTH.get(second, 0)
