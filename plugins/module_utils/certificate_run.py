# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the module `certificate`: what is wanted, what the host has, and how it comes from one to the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path

from . import acme, dane
from .acme import Account
from .certificates import (
    Certificate,
    CertificateError,
    Pair,
    check_pair,
    make_private_key,
    parse_pair,
    read_certificate,
    self_signed,
)
from .deploy_certificate import (
    SUBSYSTEM,
    Layout,
    Order,
    announced,
    deploy,
    describe,
    fingerprint,
    held_back,
    lineage_pair,
    live_pair,
    remember_announced,
    stale_files,
    wanted_file,
)
from .host import files, state, systemd
from .host.command import CommandError
from .host.files import Diff, FileSpec
from .host.lock import host_lock

WARN_BEFORE = timedelta(days=14)
RENEWAL_UNIT = "certbot.timer"
PROGRAM_DIRECTORY = Path("/usr/lib/sendyard/sendyard")
# What `python3 -m sendyard.deploy_certificate` needs on the host, as it stands in this package.
PROGRAM = (
    "errors.py", "certificates.py", "deploy_certificate.py",
    "host/__init__.py", "host/command.py", "host/files.py", "host/lock.py", "host/state.py",
)  # fmt: skip
HOOK = Path("/etc/letsencrypt/renewal-hooks/deploy/sendyard")
HOOK_TEXT = """\
#!/bin/sh
# Sendyard writes this file. certbot runs it after each renewal.
PYTHONPATH=/usr/lib/sendyard PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 -m sendyard.deploy_certificate
"""
RENEWAL_DROP_IN = Path("/etc/systemd/system/certbot.service.d/sendyard.conf")
# A core dump would hold the keys that certbot held.
RENEWAL_DROP_IN_TEXT = "# Sendyard writes this file.\n[Service]\nLimitCORE=0\n"


@dataclass(frozen=True)
class Announcing:
    """What is to become of the TLSA record, which names the keys that the host serves (RFC 7672).

    Attributes:
        wanted: whether there is to be one where the host's names are signed.
        mail_domains: the domains whose MX records lead to this host.
        ttl: of the record, in seconds: so long caches may have it without a key that it has now.
        seen: the digests of the keys with which every authoritative server answered in this run; None where it was not
            published.
    """

    wanted: bool = False
    mail_domains: tuple[str, ...] = ()
    ttl: int = 300
    seen: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Tlsa:
    """What the TLSA record should say: `keys` are digests, `gone` those that it had and should have no longer.

    `due` tells that it does not say so yet; `missing` names the types of keys that nobody gets before it does.
    """

    keys: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    due: bool = False
    missing: tuple[str, ...] = ()


@dataclass
class Done:
    """What a run did, or in check mode would do."""

    diff: list[Diff] = field(default_factory=list)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    requested: dict[str, str] = field(default_factory=dict)  # why, by type of key
    reloaded: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    enabled: bool = False  # certbot's timer was, or would be, switched on
    tlsa: Tlsa = field(default_factory=Tlsa)

    @property
    def changed(self) -> bool:
        """True if the host is not what it was."""
        return bool(self.diff or self.requested or self.reloaded or self.enabled)


def parse_provided(names: Sequence[str], certificates: Sequence[str], keys: Sequence[str]) -> dict[str, Pair]:
    """The provided pairs by name.

    Raises:
        CertificateError: the lists do not match, or a text holds no PEM.
    """
    if not len(names) == len(certificates) == len(keys) == len(set(names)):
        raise CertificateError(
            f"{len(names)} names, {len(certificates)} certificates and {len(keys)} keys are provided; "
            "each certificate has one key, and a name of its own."
        )
    triples = zip(names, certificates, keys, strict=True)
    return {name: parse_pair(certificate, key, name) for name, certificate, key in triples}


@dataclass(frozen=True)
class _Job:
    """What all steps of one run know."""

    order: Order
    check: bool
    layout: Layout
    clock: Callable[[], datetime]
    done: Done = field(default_factory=Done)


def run(
    order: Order,
    *,
    account: Account,
    provided: Mapping[str, Pair],
    check: bool,
    clock: Callable[[], datetime],
    layout: Layout | None = None,
    announcing: Announcing | None = None,
) -> Done:
    """Give the host the certificates of `order`, or in check mode say what it would take.

    A key that the TLSA record does not announce, though it announces others, is not served before it does.

    Raises:
        SendyardError: there is none that can serve, or a daemon does not show it. What was in use before stays in use.
    """
    job = _Job(order, check, layout or Layout(), clock)
    with nullcontext() if check else host_lock(SUBSYSTEM):
        if order.source == "provided":
            pairs = _provide(job, provided)
            job = replace(job, order=replace(order, key_types=tuple(sorted(pairs))))
        elif order.source == "selfsigned":
            pairs = _sign(job)
        else:
            pairs = _request(job, account)
        if pairs or order.source != "provided":
            _announce_and_deploy(job, pairs, announcing or Announcing())
    return job.done


# --- the three sources


def _provide(job: _Job, provided: Mapping[str, Pair]) -> dict[str, Pair]:
    """Use the pairs that the controller sent; {} where they cannot be looked at yet."""
    pairs: dict[str, Pair] = {}
    now = job.clock()
    try:
        for name, pair in provided.items():
            leaf = check_pair(pair, fqdn=job.order.fqdn, now=now, origin=name)
            if leaf.key_type in pairs:
                raise CertificateError(f"{name}: a second certificate with an {leaf.key_type} key; one can serve.")
            pairs[leaf.key_type] = pair
            if leaf.not_after - now < WARN_BEFORE:
                job.done.warnings.append(f"{name}: it expires on {leaf.not_after:%Y-%m-%d}; provide its successor.")
    except CommandError:
        if not job.check:
            raise
        job.done.warnings.append(
            "openssl is not installed on the host yet, so the provided certificates were not checked."
        )
        return {}
    return pairs


def _sign(job: _Job) -> dict[str, Pair]:
    """Use certificates that their own keys sign: the ones there, while they last."""
    pairs = {}
    for key_type in job.order.key_types:
        there = live_pair(key_type, job.layout)
        why = _why_sign(there, job.order.fqdn, job.clock())
        if why:
            job.done.requested[key_type] = why
        if not why and there is not None:
            pairs[key_type] = there
        elif not job.check:
            key = there.private_key if there is not None else make_private_key(key_type)
            pairs[key_type] = self_signed(job.order.fqdn, key)
    return pairs


def _why_sign(there: Pair | None, fqdn: str, now: datetime) -> str:
    """Why a certificate must be made, "" where the one `there` will do."""
    if there is None:
        return "there is none yet"
    leaf = read_certificate(there.chain[0], "the certificate in use")
    if leaf.issuer != leaf.subject or len(there.chain) > 1:
        return f"the one there is by {leaf.issuer}"
    if leaf.names != (fqdn.lower(),):
        return f"the one there is for {', '.join(leaf.names)}"
    if leaf.due(now):
        return f"the one there ends on {leaf.not_after:%Y-%m-%d}"
    return ""


def _request(job: _Job, account: Account) -> dict[str, Pair]:
    """Use what certbot holds, and have it request what it lacks."""
    pairs = {}
    fqdn, layout = job.order.fqdn, job.layout
    for key_type in job.order.key_types:
        why = acme.why_request(key_type, fqdn=fqdn, account=account, now=job.clock(), layout=layout)
        if why:
            job.done.requested[key_type] = why
        if why and not job.check:
            acme.request(key_type, fqdn=fqdn, account=account, layout=layout)
        pair = lineage_pair(key_type, layout)
        if pair is not None and not (why and job.check):
            pairs[key_type] = pair
    if not job.check:
        for key_type, pair in pairs.items():
            if live_pair(key_type, layout) != pair:
                # By the clock of now: it was requested after this run began, and is not valid before that.
                check_pair(pair, fqdn=fqdn, now=job.clock(), origin=str(layout.lineage(key_type)))
    # The hook before the certificate: if this run dies in between, the renewal finds it.
    _install(job.done, account, job.check)
    return pairs


# --- what they have in common


def _announce_and_deploy(job: _Job, pairs: Mapping[str, Pair], announcing: Announcing) -> None:
    """Make of `pairs` live what the TLSA record allows, and note what that record should say then.

    Raises:
        SendyardError: as `deploy` does.
    """
    digests = {key_type: read_certificate(pair.chain[0], key_type).key_digest for key_type, pair in pairs.items()}
    if announcing.seen is not None and not job.check:
        _remember_seen(job, announcing.seen, announcing.ttl)
    there = announced(job.layout)
    found = dane.Trust(dane.UNKNOWN, "")
    if announcing.wanted:
        found = dane.trust(job.order.fqdn, announcing.mail_domains)
    held: dict[str, str] = {}
    if found.host != dane.INSECURE:  # else nobody believes the record, whatever it says
        if not job.check:
            _wait_for_caches(job, digests, there, announcing.ttl)
        held = held_back(digests, there, job.clock().timestamp())
    kept = {key_type: live_pair(key_type, job.layout) for key_type in held}
    serving = {key_type: kept.get(key_type, pair) for key_type, pair in pairs.items()}
    _deploy(job, {key_type: pair for key_type, pair in serving.items() if pair is not None})
    for key_type, why in held.items():
        if kept[key_type] is not None:
            job.done.warnings.append(f"the {key_type} certificate in use stays for now: {why}.")
    keys = _to_announce(job, digests, there, announcing.wanted, found)
    job.done.tlsa = Tlsa(
        keys=tuple(sorted(keys)),
        gone=tuple(sorted(set(there) - keys)),
        due=keys != set(there),
        missing=tuple(sorted(key_type for key_type in held if kept[key_type] is None)),
    )
    if found.why_not and job.done.certificates:
        _warn_once(job, f"DANE will have no effect: {found.why_not}.")


def _remember_seen(job: _Job, seen: Sequence[str], ttl: int) -> None:
    """Keep that the TLSA record was seen with the keys `seen`; caches may have the one before it for `ttl` seconds."""
    before = announced(job.layout)
    from_when = job.clock().timestamp() + ttl if before else 0.0
    remember_announced({digest: before.get(digest, from_when) for digest in seen}, job.layout)


def _wait_for_caches(job: _Job, digests: Mapping[str, str], there: Mapping[str, float], ttl: int) -> None:
    """Wait until no cache has a TLSA record without the announced ones of `digests` any more: `ttl` seconds at most."""
    now = job.clock().timestamp()
    left = max((there[digest] - now for digest in digests.values() if digest in there), default=0.0)
    if left > 0:
        time.sleep(min(left, ttl))


def _to_announce(
    job: _Job, digests: Mapping[str, str], there: Mapping[str, float], wanted: bool, found: dane.Trust
) -> set[str]:
    """Return the keys that the TLSA record should name: those that are served, and those of `digests`, which wait."""
    if not wanted:
        return set()
    if found.host != dane.SECURE:  # it is neither made nor taken away while nobody would see it
        return set(there)
    certificates, tls = job.done.certificates, job.layout.tls
    others = (live_pair(path.stem, job.layout) for path in tls.glob("*.pem") if path.stem not in certificates)
    leaves = [*certificates.values(), *(read_certificate(pair.chain[0], str(tls)) for pair in others if pair)]
    return {leaf.key_digest for leaf in leaves}.union(digests.values())


def _warn_once(job: _Job, warning: str) -> None:
    """Give a warning that the run before did not give."""
    remembered = state.read_state(SUBSYSTEM, job.layout.state)
    if remembered.get("told") == warning:
        return
    job.done.warnings.append(warning)
    if not job.check:
        state.write_state(SUBSYSTEM, {**remembered, "told": warning}, job.layout.state)


def _deploy(job: _Job, pairs: Mapping[str, Pair]) -> None:
    """Make `pairs` live, and note what differed and what is in use."""
    done, order, layout = job.done, job.order, job.layout
    for key_type, pair in pairs.items():
        spec = wanted_file(key_type, pair, layout)
        there = files.read(spec.path, sensitive=True)
        if not files.same(there, spec):
            done.diff.append(_difference(spec.path, there, spec, live_pair(key_type, layout), pair))
    for path in stale_files(order.key_types, layout):
        done.diff.append(_difference(path, files.read(path, sensitive=True), None, None, None))
    if job.check:
        done.diff += [_foreseen(layout.pem(key_type), order) for key_type in done.requested]
        taken_up = state.read_state(SUBSYSTEM, layout.state).get("taken_up")
        if not done.requested and taken_up != {key_type: fingerprint(pair) for key_type, pair in pairs.items()}:
            done.reloaded.append("what reads it")
    else:
        done.reloaded += deploy(order, pairs, layout).reloaded
    for key_type in order.key_types:
        live = live_pair(key_type, layout)
        if live is not None:
            done.certificates[key_type] = read_certificate(live.chain[0], str(layout.pem(key_type)))


def _difference(
    path: Path, there: FileSpec | None, wanted: FileSpec | None, old: Pair | None, new: Pair | None
) -> Diff:
    """Ansible's diff of a file with key and chain: what its certificates say, never the key."""
    diff = files.difference(path, there, wanted)
    for side, pair in (("before", old), ("after", new)):
        if pair is not None:
            leaf = read_certificate(pair.chain[0], str(path))
            diff[side] += f"{describe(leaf)}\n"  # type: ignore[literal-required]
    return diff


def _foreseen(path: Path, order: Order) -> Diff:
    """Ansible's diff of a file whose certificate does not exist yet."""
    after = f"(a new certificate for {order.fqdn}, {order.source})\n"
    return Diff(before_header=str(path), after_header=str(path), before="", after=after)


def _program() -> Iterator[FileSpec]:
    """The files of the program that certbot's hook runs: those of this very package."""
    package = resources.files(__package__)
    for name in PROGRAM:
        yield FileSpec(PROGRAM_DIRECTORY / name, package.joinpath(name).read_bytes())


def _hook_files(account: Account) -> Iterator[FileSpec]:
    """What renewals need beside certificates: the program, the hook, and how certbot's unit runs: whom it trusts."""
    yield from _program()
    yield FileSpec(HOOK, HOOK_TEXT.encode(), mode=0o755)
    trust = acme.trust(account.ca_file) if account.ca_file else {}
    environment = "".join(f"Environment={name}={value}\n" for name, value in trust.items())
    yield FileSpec(RENEWAL_DROP_IN, f"{RENEWAL_DROP_IN_TEXT}{environment}".encode())


def _install(done: Done, account: Account, check: bool) -> None:
    """Put the hook and its program in place, and switch certbot's timer on."""
    changed = []
    for spec in _hook_files(account):
        there = files.read(spec.path)
        if files.same(there, spec):
            continue
        changed.append(spec.path)
        # A program's source says nothing to who reads a diff; that it is another one does.
        shown = [side and FileSpec(side.path, f"sha256 {side.digest}\n".encode()) for side in (there, spec)]
        done.diff.append(files.difference(spec.path, *(shown if spec.path.suffix == ".py" else (there, spec))))
        if not check:
            files.write(spec)
    if RENEWAL_DROP_IN in changed and not check:
        systemd.daemon_reload()
    timer = systemd.status([RENEWAL_UNIT])[RENEWAL_UNIT]
    done.enabled = not (timer.running and timer.starts_at_boot)
    if done.enabled and not check:
        systemd.set_at_boot(enable=[RENEWAL_UNIT])
        systemd.act("start", RENEWAL_UNIT)
        systemd.act("start", RENEWAL_UNIT)
