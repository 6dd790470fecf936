# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a new certificate where daemons read it, have them take it up, and see on the wire that they did.

The one way a certificate becomes live, on the first issue as on every renewal: the module `certificate` calls it from a
run, and certbot, which knows nothing of Ansible, by its deploy hook: `python3 -m sendyard.deploy_certificate`. For that
this file and those it imports are installed below /usr/lib/sendyard/sendyard as they are. Standard library only.

`/var/lib/sendyard/certificate.json` says what is to be deployed, what the daemons have taken up so far, and which keys
the TLSA record announces. While that names any, no other key is served: who checks DANE would not deliver to it.
"""

from __future__ import annotations

import hashlib
import os
import re
import smtplib
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from .certificates import Certificate, CertificateError, Pair, check_pair, parse_pair, read_certificate, split_pair
from .errors import SendyardError
from .host import files, state
from .host.command import run
from .host.lock import host_lock

SUBSYSTEM = "certificate"  # its state file and its name where it waits for the host's lock
LOCK_DEADLINE = 600.0  # seconds a renewal waits for a run: certbot does not come back to a hook that gave up
RELOAD_DEADLINE = 60.0
WIRE_DEADLINE = 30.0  # seconds until every new connection must get the new certificate
CONNECT_DEADLINE = 10.0
_POLL = 0.5


class DeployError(SendyardError):
    """The certificate is in place, but a daemon did not take it up."""


class HandshakeError(DeployError):
    """With the new certificate a listener does not speak TLS at all."""


@dataclass(frozen=True)
class Layout:
    """Where things are. Tests have them elsewhere."""

    tls: Path = Path("/etc/sendyard/tls")
    letsencrypt: Path = Path("/etc/letsencrypt")
    state: Path = state.STATE_DIRECTORY
    logs: Path = Path("/var/log/letsencrypt")

    def pem(self, key_type: str) -> Path:
        """The file with key and chain that daemons read."""
        return self.tls / f"{key_type}.pem"

    def lineage(self, key_type: str) -> Path:
        """Where certbot keeps the current files of our certificate with this type of key."""
        return self.letsencrypt / "live" / lineage_name(key_type)


def lineage_name(key_type: str) -> str:
    """certbot's name for our certificate with this type of key."""
    return f"sendyard-{key_type}"


@dataclass(frozen=True)
class Listener:
    """A port of Postfix that speaks TLS: after STARTTLS, or from the first byte (`implicit`)."""

    port: int
    implicit: bool = False


@dataclass(frozen=True)
class Order:
    """What is to be deployed: all the hook knows of a run's arguments."""

    fqdn: str
    source: str  # "acme", "provided" or "selfsigned"
    key_types: tuple[str, ...]
    listeners: tuple[Listener, ...]

    def as_state(self) -> dict[str, Any]:
        """The order as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_state(cls, value: Mapping[str, Any]) -> Order:
        """The order that `as_state` wrote."""
        listeners = tuple(Listener(**item) for item in value["listeners"])
        return cls(value["fqdn"], value["source"], tuple(value["key_types"]), listeners)


@dataclass
class Outcome:
    """What was done. `replaced` names files, `reloaded` daemons."""

    replaced: list[Path] = field(default_factory=list)
    reloaded: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True if the host is not what it was."""
        return bool(self.replaced or self.reloaded)


# --- the files


def wanted_file(key_type: str, pair: Pair, layout: Layout) -> files.FileSpec:
    """The file that daemons read. For root alone, who runs this: Postfix opens it before it drops its rights."""
    me = files.owner_name(os.geteuid()), files.group_name(os.getegid())
    return files.FileSpec(layout.pem(key_type), pair.pem, mode=0o600, owner=me[0], group=me[1], sensitive=True)


def live_pair(key_type: str, layout: Layout) -> Pair | None:
    """The pair that daemons read now, None where there is none or it is damaged."""
    there = files.read(layout.pem(key_type), sensitive=True)
    if there is None:
        return None
    try:
        return split_pair(there.content.decode(errors="replace"), str(there.path))
    except CertificateError:
        return None


def lineage_pair(key_type: str, layout: Layout) -> Pair | None:
    """The pair that certbot got last, None where it has none.

    Raises:
        CertificateError: its files hold something else.
    """
    directory = layout.lineage(key_type)
    try:
        chain, key = ((directory / name).read_text(encoding="ascii") for name in ("fullchain.pem", "privkey.pem"))
    except FileNotFoundError:
        return None
    return parse_pair(chain, key, str(directory))


def stale_files(key_types: Sequence[str], layout: Layout) -> list[Path]:
    """Files of key types that are no longer wanted, and that no daemon is configured to read."""
    kept = {layout.pem(key_type) for key_type in key_types}
    return sorted(path for path in layout.tls.glob("*.pem") if path not in kept and not POSTFIX.reads(path))


# --- the daemons that hold a certificate


@dataclass(frozen=True)
class Holder:
    """A daemon that read the certificate when it started. There is one so far; another one is added here."""

    name: str
    configured: tuple[str, ...]  # prints the files it reads, separated by commas or blanks
    running: tuple[str, ...]  # ends with 0 while it runs
    reload: tuple[str, ...]
    configuration: Path = Path("/")  # not set up while this is not there

    def reads(self, path: Path) -> bool:
        """True if it is configured to read the file at `path`; False where it is not installed, or not set up."""
        if not self.configuration.exists():  # its programs would take a second each to say so
            return False
        try:
            answer = run(self.configured, deadline=CONNECT_DEADLINE)
        except SendyardError:
            return False
        return answer.ok and str(path) in re.split(r"[,\s]+", answer.stdout.strip())

    def runs(self) -> bool:
        """True if it runs now."""
        return run(self.running, deadline=CONNECT_DEADLINE).ok

    def take_up(self) -> None:
        """Make it read its files again. Raises CommandError where it refuses."""
        run(self.reload, deadline=RELOAD_DEADLINE).require(f"Reloading {self.name}")


POSTFIX = Holder(
    name="Postfix",
    configured=("postconf", "-h", "smtpd_tls_chain_files"),
    running=("postfix", "status"),
    reload=("postfix", "reload"),
    configuration=Path("/etc/postfix/main.cf"),
)


def served(fqdn: str, listener: Listener, key_type: str) -> str:
    """The fingerprint of the certificate with this type of key that a new connection to `listener` gets.

    TLS 1.2, since there the cipher decides which of two certificates the server shows.

    Raises:
        HandshakeError: it answers, but not with TLS.
        OSError: it does not answer.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # which certificate it is, is the question; whom it convinces, prove asks
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+aECDSA" if key_type == "ecdsa" else "ECDHE+aRSA")
    try:
        with _connected(fqdn, listener, context) as session:
            shown = cast(ssl.SSLSocket, session.sock).getpeercert(binary_form=True)
            return hashlib.sha256(shown or b"").hexdigest()
    except (ssl.SSLError, ConnectionResetError, smtplib.SMTPResponseException, smtplib.SMTPNotSupportedError) as error:
        raise HandshakeError(
            f"port {listener.port} offers no TLS with the {key_type} certificate of {fqdn}: {error}"
        ) from error
    except smtplib.SMTPException as error:
        raise OSError(str(error)) from error


def _connected(fqdn: str, listener: Listener, context: ssl.SSLContext) -> smtplib.SMTP:
    """A session with the host's own `listener`, TLS established."""
    if listener.implicit:
        return smtplib.SMTP_SSL("127.0.0.1", listener.port, fqdn, timeout=CONNECT_DEADLINE, context=context)
    session = smtplib.SMTP("127.0.0.1", listener.port, fqdn, timeout=CONNECT_DEADLINE)
    try:
        session.ehlo()
        session.starttls(context=context)
    except BaseException:
        session.close()
        raise
    return session


def verify_served(order: Order, wanted: Mapping[str, str]) -> None:
    """See that every listener shows the certificates `wanted` ({key type: fingerprint}) to new connections.

    A reload lets sessions end in peace, so the old one may be seen for a moment: asked again for WIRE_DEADLINE seconds.

    Raises:
        HandshakeError: a listener does not speak TLS with it.
        DeployError: a listener does not answer, or shows another certificate.
    """
    end = time.monotonic() + WIRE_DEADLINE
    for listener in order.listeners:
        for key_type, fingerprint in wanted.items():
            _await_served(order.fqdn, listener, key_type, fingerprint, end)


def _await_served(fqdn: str, listener: Listener, key_type: str, fingerprint: str, end: float) -> None:
    """Ask until `listener` shows `fingerprint`, or raise what was wrong last when `end` (monotonic) is over."""
    while True:
        problem: DeployError
        try:
            shown = served(fqdn, listener, key_type)
            if shown == fingerprint:
                return
            problem = DeployError(
                f"port {listener.port} still shows the {key_type} certificate {shown[:16]}…, not the new one "
                f"{fingerprint[:16]}…. It is in place; restart Postfix, and look at its log."
            )
        except HandshakeError as error:
            problem = error
        except OSError as error:
            problem = DeployError(
                f"port {listener.port} does not answer ({error}), so whether it shows the new {key_type} certificate "
                "was not seen. The certificate is in place; look at Postfix's log."
            )
        if time.monotonic() >= end:
            raise problem
        time.sleep(_POLL)


# --- what the TLSA record says


def announced(layout: Layout) -> dict[str, float]:
    """The key digests in the TLSA record, and from when on (Unix time) caches have forgotten a record without them."""
    said: dict[str, float] = state.read_state(SUBSYSTEM, layout.state).get("tlsa", {})
    return said


def remember_announced(digests: Mapping[str, float], layout: Layout) -> None:
    """Keep what the TLSA record says from now on, as `announced` returns it. The caller holds the host's lock."""
    state.write_state(SUBSYSTEM, {**state.read_state(SUBSYSTEM, layout.state), "tlsa": dict(digests)}, layout.state)


def held_back(digests: Mapping[str, str], announced: Mapping[str, float], now: float) -> dict[str, str]:
    """The types of keys that must not be served yet, and why (RFC 7671 section 8.1).

    Args:
        digests: of the keys to serve, by type.
        announced: as the function of that name returns it.
        now: Unix time.
    """
    if not announced:  # without a record nobody looks for a key
        return {}
    why = {}
    for key_type, digest in digests.items():
        if digest not in announced:
            why[key_type] = f"the TLSA record does not have its key ({digest[:16]}…) yet"
        elif announced[digest] > now:
            why[key_type] = f"caches may have the TLSA record without its key for {announced[digest] - now:.0f} s"
    return why


# --- the deployment


def deploy(order: Order, pairs: Mapping[str, Pair], layout: Layout | None = None) -> Outcome:
    """Make `pairs` ({key type: pair}, already checked) live. The caller holds the host's lock.

    Nothing happens where they already are: files equal, and taken up by every daemon that reads them.

    Raises:
        HandshakeError: a listener has no TLS with it; the previous files are back.
        DeployError: a daemon did not take it up. The new files stay: its next start reads them, a run tries again.
        FileError, CommandError: a file cannot be written, Postfix cannot be reloaded.
    """
    layout = layout or Layout()
    remembered = state.read_state(SUBSYSTEM, layout.state)
    fingerprints = {key_type: fingerprint(pair) for key_type, pair in pairs.items()}
    outcome = Outcome()
    wanted = [wanted_file(key_type, pair, layout) for key_type, pair in pairs.items()]
    before = {spec.path: files.read(spec.path, sensitive=True) for spec in wanted}
    for spec in wanted:
        if not files.same(before[spec.path], spec):
            files.write(spec)
            outcome.replaced.append(spec.path)
    for path in stale_files(order.key_types, layout):
        files.remove(path)
        outcome.replaced.append(path)
    if outcome.replaced or remembered.get("taken_up") != fingerprints:
        try:
            outcome.reloaded += _take_up(order, fingerprints, layout)
        except HandshakeError as error:
            raise HandshakeError(f"{error}\n{_bring_back(before)}", **error.facts) from error
    said = {**remembered, "order": order.as_state(), "taken_up": fingerprints}
    state.write_state(SUBSYSTEM, said, layout.state)
    return outcome


def fingerprint(pair: Pair) -> str:
    """Hex sha256 of the server's own certificate of `pair`."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pair.chain[0])).hexdigest()


def _take_up(order: Order, fingerprints: Mapping[str, str], layout: Layout) -> list[str]:
    """Reload what reads these files and runs, and see on the wire that it took; returns the names of the reloaded."""
    read = {key_type: value for key_type, value in fingerprints.items() if POSTFIX.reads(layout.pem(key_type))}
    if not read or not POSTFIX.runs():  # whoever starts later reads the new files
        return []
    POSTFIX.take_up()
    verify_served(order, read)
    return [POSTFIX.name]


def _bring_back(before: Mapping[Path, files.FileSpec | None]) -> str:
    """Put back what stood there, where something did, and reload; returns a sentence that says what came of it."""
    previous = [spec for spec in before.values() if spec is not None]
    if not previous:
        return "There is no earlier certificate to bring back."
    try:
        for spec in previous:
            files.write(spec)
        POSTFIX.take_up()
    except SendyardError as error:
        return f"Bringing the previous certificate back failed too: {error}"
    return "The previous certificate is back."


# --- certbot's hook


def deploy_renewed(layout: Layout | None = None, now: datetime | None = None) -> Outcome:
    """Deploy what certbot holds now, as the last run ordered.

    Raises:
        SendyardError: no run ordered anything, certbot's files cannot serve (the certificate in use stays), or
            `deploy` failed.
    """
    layout = layout or Layout()
    with host_lock("deploying a renewed certificate", deadline=LOCK_DEADLINE):
        remembered = state.read_state(SUBSYSTEM, layout.state)
        if "order" not in remembered:
            raise DeployError("No run has said yet which certificate this host serves; run site.yml.")
        order = Order.from_state(remembered["order"])
        if order.source != "acme":
            return Outcome()
        now = now or datetime.now(UTC)
        renewed = dict(_renewed(order, layout, now))
        digests = {key_type: leaf.key_digest for key_type, (_pair, leaf) in renewed.items()}
        if why := held_back(digests, announced(layout), now.timestamp()):
            raise DeployError(
                "; ".join(f"{key_type}: {reason}" for key_type, reason in why.items())
                + ". Run site.yml, which announces a new key before it is served."
            )
        return deploy(order, {key_type: pair for key_type, (pair, _leaf) in renewed.items()}, layout)


def _renewed(order: Order, layout: Layout, now: datetime) -> Iterator[tuple[str, tuple[Pair, Certificate]]]:
    """The pair of each key type that certbot holds, checked, and what its certificate says."""
    for key_type in order.key_types:
        pair = lineage_pair(key_type, layout)
        if pair is None:
            raise DeployError(f"{layout.lineage(key_type)} is not there; run site.yml, which requests one.")
        yield key_type, (pair, check_pair(pair, fqdn=order.fqdn, now=now, origin=str(layout.lineage(key_type))))


def describe(certificate: Certificate) -> str:
    """One line about a certificate, without secrets."""
    return (
        f"{', '.join(certificate.names)}: {certificate.key_type} {certificate.key_bits} bits, by {certificate.issuer}, "
        f"until {certificate.not_after:%Y-%m-%d %H:%M} UTC, sha256 {certificate.fingerprint}"
    )


def main() -> int:
    """Deploy and say what was done; 1 where it failed, with the reason on stderr, which certbot logs."""
    os.umask(0o077)
    layout = Layout()
    try:
        outcome = deploy_renewed(layout)
        for path in outcome.replaced:
            pair = live_pair(path.stem, layout)
            shown = describe(read_certificate(pair.chain[0], str(path))) if pair else "removed"
            sys.stdout.write(f"{path}: {shown}\n")
    except (SendyardError, OSError) as error:
        sys.stderr.write(f"sendyard: the renewed certificate is not in use: {error}\n")
        return 1
    sys.stdout.write(f"reloaded: {', '.join(outcome.reloaded) or 'nothing'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
