# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Group F: the certificate as it is served, and what the DNS says of it."""

from __future__ import annotations

import hashlib

from ..errors import SendyardError
from .model import Certificate, Finding, Subject, Unreachable, World, failed, passed, told, unknown, warned

DAYS_LEFT = 21  # what acme renews has 30 left then


def served(subject: Subject, world: World) -> Finding:
    """Every listener that can be reached from here shows a certificate."""
    shown, wrong, unreached = _shown(subject, world)
    if wrong:
        return failed("; ".join(wrong))
    if not shown:
        return unknown("; ".join(unreached))
    evidence = "; ".join(f"{where}: {', '.join(one.names) or 'no name'}" for where, one in shown.items())
    return passed("; ".join([evidence, *unreached]))


def names(subject: Subject, world: World) -> Finding:
    """Every certificate is of the server's name (RFC 9525 section 6.3)."""
    fqdn = subject.server.fqdn
    said = {where: ", ".join(one.names) or "no name" for where, one in _shown(subject, world)[0].items()}
    wrong = [where for where, one in _shown(subject, world)[0].items() if not _is_of(fqdn, one)]
    if wrong:
        return failed("; ".join(f"{where}: {said[where]}, not {fqdn}" for where in wrong))
    return passed("; ".join(f"{where}: {text}" for where, text in said.items()))


def days(subject: Subject, world: World) -> Finding:
    """No certificate has ended, or ends before somebody has mended its renewal."""
    ends = {where: one.not_after for where, one in _shown(subject, world)[0].items()}
    where = min(ends, key=lambda place: ends[place])
    left = (ends[where] - world.now).total_seconds() / 86400
    evidence = f"{where}: valid until {ends[where]:%Y-%m-%d %H:%M} UTC ({left:.0f} days)"
    if left <= 0:
        return failed(evidence)
    return passed(evidence) if left >= DAYS_LEFT else warned(evidence)


def tlsa(subject: Subject, world: World) -> Finding:
    """Where there is a TLSA record of port 25, it fits what is served there (RFC 7672 section 3.1)."""
    name = f"_25._tcp.{subject.server.fqdn}"
    found = world.ask(name, "TLSA")
    port = subject.server.ports[0][0]
    if not found:
        return passed(f"{told(name, 'TLSA', ())}, so that DANE has no effect")
    shown = {where: one for where, one in _shown(subject, world)[0].items() if where.endswith(f":{port}")}
    if not shown:
        return unknown(f"{told(name, 'TLSA', found)}; port {port} could not be reached")
    wrong = [where for where, one in shown.items() if not any(_fits(value, one) for value in found)]
    evidence = told(name, "TLSA", found)
    if not wrong:
        return passed(evidence)
    if any(value.split()[0] == "2" for value in found):
        return unknown(f"{evidence}; whether the authority that it names has certified {', '.join(wrong)} is not tried")
    keys = ", ".join(sorted({hashlib.sha256(shown[where].key).hexdigest() for where in wrong}))
    return failed(f"{evidence}; {', '.join(wrong)} serve the key 3 1 1 {keys}")


def caa(subject: Subject, world: World) -> Finding | None:
    """The authority that certifies the server may do it; there is none where the owner brings the certificate."""
    issuers = subject.server.issuers
    if issuers is None:
        return None
    name, found = _relevant_caa(subject.server.fqdn, world)
    allowed = [_issuer(value) for value in found if value.split(maxsplit=2)[1].lower() == "issue"]
    evidence = told(name, "CAA", found)
    if not allowed:
        return passed(evidence)
    if not issuers:
        return unknown(f"{evidence}; what the authority of sendyard_acme_directory is called there is not known: "
                       "name it in sendyard_caa_issuers")  # fmt: skip
    return passed(evidence) if set(issuers) & set(allowed) else failed(f"{evidence}; not {', '.join(issuers)}")


def _relevant_caa(name: str, world: World) -> tuple[str, tuple[str, ...]]:
    """Return the CAA records that an authority looks at, and where they stand (RFC 8659 section 3)."""
    labels = name.split(".")
    for start in range(len(labels)):
        candidate = ".".join(labels[start:])
        if found := world.ask(candidate, "CAA"):
            return candidate, found
    return name, ()


def _issuer(value: str) -> str:
    """Return the authority of an issue property, "" where nobody may (section 4.2)."""
    return value.split(maxsplit=2)[2].strip('"').partition(";")[0].strip().lower()


def _shown(subject: Subject, world: World) -> tuple[dict[str, Certificate], list[str], list[str]]:
    """Return the certificates by listener, which listeners show none, and which could not be reached."""
    shown: dict[str, Certificate] = {}
    wrong, unreached = [], []
    for address in subject.server.reached_at:
        for port, implicit in subject.server.ports:
            try:
                where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
                shown[where] = world.served(subject.server.fqdn, address, port, implicit=implicit)
            except Unreachable as error:
                unreached.append(str(error))
            except SendyardError as error:
                wrong.append(str(error))
    return shown, wrong, unreached


def _is_of(fqdn: str, certificate: Certificate) -> bool:
    parent = fqdn.partition(".")[2]
    return any(name.lower() in (fqdn, f"*.{parent}") for name in certificate.names)


def _fits(value: str, certificate: Certificate) -> bool:
    """Return whether a TLSA value of usage 3 is that of the certificate (RFC 6698 section 2.1)."""
    usage, selector, kind, data = value.split(maxsplit=3)
    selected = {"0": certificate.whole, "1": certificate.key}.get(selector)
    if usage != "3" or selected is None:
        return False
    made = {"0": selected.hex, "1": hashlib.sha256(selected).hexdigest, "2": hashlib.sha512(selected).hexdigest}
    return kind in made and made[kind]() == data.replace(" ", "").lower()
