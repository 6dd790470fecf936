# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every check of servers and their domains, side by side; what depends on one that did not pass is not tried."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from ..errors import SendyardError
from ..scorecard import Outcome
from . import dkim_checks, dmarc_checks, identity, spf_checks, transport
from .catalogue import CHECKS
from .model import Finding, Level, Subject, Unreachable, Verdict, World, unknown


class Function(Protocol):
    """A check. It returns None where it is not about the subject, as of a return path where a domain has none."""

    def __call__(self, subject: Subject, world: World, /) -> Finding | None: ...


SERVER: Mapping[str, Function] = {
    "name.addresses": identity.addresses,
    "ptr.present": identity.ptr_present,
    "ptr.confirmed": identity.ptr_confirmed,
    "ptr.name": identity.ptr_name,
    "ptr.own": identity.ptr_own,
    "bounces.mx": identity.bounces_mx,
    "spf.bounces": spf_checks.bounces,
    "tls.served": transport.served,
    "tls.names": transport.names,
    "tls.days": transport.days,
    "tls.tlsa": transport.tlsa,
    "tls.caa": transport.caa,
}
DOMAIN: Mapping[str, Function] = {
    "domain.exists": identity.domain_exists,
    "mx.present": identity.mx_present,
    "mx.null": identity.mx_null,
    "return_path.mx": identity.return_path_mx,
    "spf.record": spf_checks.record,
    "spf.syntax": spf_checks.syntax,
    "spf.lookups": spf_checks.lookups,
    "spf.authorised": spf_checks.authorised,
    "spf.ending": spf_checks.ending,
    "spf.return_path": spf_checks.return_path,
    "dkim.record": dkim_checks.record,
    "dkim.key": dkim_checks.key,
    "dkim.match": dkim_checks.match,
    "dkim.size": dkim_checks.bits,
    "dkim.testing": dkim_checks.testing,
    "dmarc.single": dmarc_checks.single,
    "dmarc.record": dmarc_checks.record,
    "dmarc.syntax": dmarc_checks.syntax,
    "dmarc.alignment": dmarc_checks.alignment,
    "dmarc.reports": dmarc_checks.reports,
}

THREADS = 32
CHECK_SECONDS = 6.0  # that one check may take
BASE_SECONDS, SUBJECT_SECONDS = 11.0, 0.3  # that all may take: 14.3 for a server and ten domains


def run(subjects: Sequence[Subject], world: World, *, check_seconds: float = CHECK_SECONDS) -> list[Outcome]:
    """Return what every check finds, by subject and in the catalogue's order.

    Nothing is raised: what cannot be looked up, takes too long or has an error of its own is unknown.
    """
    expires = time.monotonic() + BASE_SECONDS + SUBJECT_SECONDS * len(subjects)
    found: list[dict[str, Finding]] = [{} for _subject in subjects]
    causes: list[dict[str, str]] = [{} for _subject in subjects]
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="check")
    try:
        for wave in _waves():
            tried: dict[tuple[int, str], Future[Finding | None]] = {}
            for index, subject in enumerate(subjects):
                for check in wave:
                    if check not in _functions(subject):
                        continue
                    if cause := _cause(check, found[index], causes[index]):
                        causes[index][check] = cause
                        found[index][check] = unknown(f"not tried, because of {cause}")
                    else:
                        tried[index, check] = pool.submit(_tried, check, subject, world)
            wait(tried.values(), max(0.0, min(check_seconds, expires - time.monotonic())))
            for (index, check), future in tried.items():
                result = future.result() if future.done() else unknown("it took longer than it may, and was left")
                if result is not None:
                    found[index][check] = result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [
        Outcome(check, one[check].verdict, subject.name, one[check].evidence, because=why.get(check, ""))
        for subject, one, why in zip(subjects, found, causes, strict=True)
        for check in CHECKS
        if check in one
    ]


def _functions(subject: Subject) -> Mapping[str, Function]:
    return {**SERVER, **DOMAIN} if subject.name == subject.server.fqdn else DOMAIN


def _waves() -> Iterator[list[str]]:
    """Yield checks such that what each needs was in an earlier list."""
    left = [check for check in CHECKS if check in SERVER or check in DOMAIN]
    while left:
        ready = [check for check in left if not set(CHECKS[check].needs) & set(left)]
        yield ready
        left = [check for check in left if check not in ready]


def _cause(check: str, found: Mapping[str, Finding], causes: Mapping[str, str]) -> str:
    """Return the check that keeps `check` from being tried, the first in the chain; "" where none does."""
    for need in CHECKS[check].needs:
        if need in found and found[need].verdict in (Verdict.FAIL, Verdict.UNKNOWN):
            return causes.get(need, need)
    return ""


def _tried(check: str, subject: Subject, world: World) -> Finding | None:
    """Run one check. What counts against mail, and does not have it rejected, is a warning."""
    function = SERVER.get(check) or DOMAIN[check]
    try:
        finding = function(subject, world)
    except Unreachable as error:
        return unknown(f"nobody answered: {error}")
    except SendyardError as error:
        return unknown(str(error))
    except Exception as error:  # what the world publishes may be odd in ways that nobody thought of
        return unknown(f"the check itself has an error, which is ours to mend: {error!r}")
    if finding and finding.verdict is Verdict.FAIL and CHECKS[check].level is not Level.MUST:
        return Finding(Verdict.WARN, finding.evidence)
    return finding
