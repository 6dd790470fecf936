# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Group D: the key record of the selector that the server signs with."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from contextlib import suppress

from .model import Finding, Subject, World, failed, passed, told, unknown, warned

with suppress(ImportError):  # controllers have it: ansible-core needs it
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

LEAST_BITS, WANTED_BITS = 1024, 2048  # RFC 8301 section 3.2


def record(subject: Subject, world: World) -> Finding:
    """One TXT record, and nothing else, stands at the selector: with two the result is undefined (section 3.6.2.2)."""
    found = world.ask(_name(subject), "TXT")
    evidence = told(_name(subject), "TXT", [_short(text) for text in found])
    return passed(evidence) if len(found) == 1 else failed(f"{evidence} ({len(found)} records)")


def key(subject: Subject, world: World) -> Finding:
    """The record has a key, and that is one (RFC 6376 section 3.6.1)."""
    (text,) = world.ask(_name(subject), "TXT")
    evidence = told(_name(subject), "TXT", (_short(text),))
    said = tags(text)
    if said.get("v", "DKIM1") != "DKIM1" or "p" not in said:
        return failed(f"{evidence}; it is no DKIM key record")
    if not said["p"]:
        return failed(f"{evidence}; p= is empty: the key was revoked")
    found = size(said)
    kind = said.get("k", "rsa")
    if found is None:
        wrong = f"p= holds no {kind} key"
    elif kind == "rsa" and found < LEAST_BITS:
        wrong = f"{found} bits: receivers take no key below {LEAST_BITS}"
    elif not {"*", "email"} & _listed(said.get("s", "*")):
        wrong = f"s={said['s']}: it is no key for mail"
    elif "sha256" not in _listed(said.get("h", "sha256")):
        wrong = f"h={said['h']}: it is no key for sha256"
    else:
        return passed(f"{evidence}; {kind}, {found} bits")
    return failed(f"{evidence}; {wrong}")


def match(subject: Subject, world: World) -> Finding:
    """The published key is the server's own."""
    (text,) = world.ask(_name(subject), "TXT")
    published = digest(tags(text))
    if not subject.key:
        return unknown(
            "the server has not told which key it signs with: run playbooks/prove.yml (with -e sendyard_prove_all=true "
            "for domains that did not change)"
        )
    evidence = f"{_name(subject)} TXT: the key with sha256 {published}"
    return passed(evidence) if published == subject.key else failed(f"{evidence}; the server signs with {subject.key}")


def bits(subject: Subject, world: World) -> Finding:
    """An RSA key is as large as signers should have it; Ed25519 has one size."""
    (text,) = world.ask(_name(subject), "TXT")
    said = tags(text)
    found = size(said) or 0
    evidence = f"{_name(subject)} TXT: {said.get('k', 'rsa')}, {found} bits"
    return failed(evidence) if said.get("k", "rsa") == "rsa" and found < WANTED_BITS else passed(evidence)


def testing(subject: Subject, world: World) -> Finding:
    """The record does not have the flag y."""
    (text,) = world.ask(_name(subject), "TXT")
    evidence = told(_name(subject), "TXT", (_short(text),))
    return warned(evidence) if "y" in _listed(tags(text).get("t", "")) else passed(evidence)


def tags(text: str) -> dict[str, str]:
    """Return the tags of a key record (RFC 6376 section 3.2), the spaces in p= left out."""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    found = {name.strip(): value.strip() for name, equals, value in pairs if equals}
    return {**found, "p": re.sub(r"\s", "", found["p"])} if "p" in found else found


def size(said: dict[str, str]) -> int | None:
    """Return the bits of a record's key, None where it has none of its kind."""
    der = _der(said)
    kind = said.get("k", "rsa")
    if kind != "rsa":
        is_ed25519 = kind == "ed25519" and der is not None and len(der) == 32  # the raw key (RFC 8463 section 4)
        return 256 if is_ed25519 else None
    try:
        parsed = load_der_public_key(der or b"")
    except (ValueError, UnsupportedAlgorithm):
        return None
    return parsed.key_size if isinstance(parsed, rsa.RSAPublicKey) else None


def digest(said: dict[str, str]) -> str:
    """Return the hex sha256 of a record's key, "" where it cannot be decoded."""
    der = _der(said)
    return hashlib.sha256(der).hexdigest() if der else ""


def _der(said: dict[str, str]) -> bytes | None:
    try:
        return base64.b64decode(said.get("p", ""), validate=True)
    except (binascii.Error, ValueError):
        return None


def _listed(value: str) -> set[str]:
    """Return the parts of a tag's value between colons."""
    return {part.strip() for part in value.split(":")}


def _name(subject: Subject) -> str:
    return f"{subject.selector}._domainkey.{subject.name}"


def _short(text: str) -> str:
    """A key record without the middle of its key, which nobody reads."""
    return re.sub(r"([A-Za-z0-9+/]{12})[A-Za-z0-9+/ ]{24,}([A-Za-z0-9+/=]{12})", r"\1…\2", text)
