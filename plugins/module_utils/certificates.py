# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS certificates: read, checked and made with the openssl program. Standard library only, since it runs on hosts.

Debian's Python has no X.509 parser of its own; Postfix depends on the package openssl, so that program is there.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from .errors import SendyardError
from .host.command import run

KEY_TYPES = ("ecdsa", "rsa")
SMALLEST_KEY: Mapping[str, int] = {"ecdsa": 256, "rsa": 2048}  # bits; RFC 8301 and the CA/Browser Forum say no less
RENEW_BEFORE = timedelta(days=30)
SELF_SIGNED_DAYS = 800  # clients refuse more than 825
OPENSSL_DEADLINE = 20.0  # seconds; making an RSA key on a busy small host takes a few

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[^-]+-----END CERTIFICATE-----")
_PRIVATE_KEY = re.compile(r"-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----\s[^-]+-----END \1-----")
_PUBLIC_KEY = re.compile(r"-----BEGIN PUBLIC KEY-----([^-]+)-----END PUBLIC KEY-----")
_ALGORITHMS = {"id-ecPublicKey": "ecdsa", "rsaEncryption": "rsa"}


class CertificateError(SendyardError):
    """A certificate or its key cannot serve. The message says which, why, and what to do."""


@dataclass(frozen=True)
class Certificate:
    """What one certificate says."""

    names: tuple[str, ...]  # DNS names of its subjectAltName, lower case
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    key_type: str  # "ecdsa", "rsa", or OpenSSL's name of another algorithm
    key_bits: int
    fingerprint: str  # hex sha256 of the certificate
    key_digest: str  # hex sha256 of its SubjectPublicKeyInfo: what a TLSA 3 1 1 record holds

    def covers(self, fqdn: str) -> bool:
        """True if it is valid for host `fqdn` (RFC 9525 section 6.3: "*" stands for exactly the leftmost label)."""
        wanted = fqdn.lower().rstrip(".")
        return wanted in self.names or f"*.{wanted.partition('.')[2]}" in self.names

    def due(self, now: datetime) -> bool:
        """True if it should be renewed: 30 days before its end, or a third of its life where that is shorter."""
        return self.not_after - now < min(RENEW_BEFORE, (self.not_after - self.not_before) / 3)

    def facts(self) -> dict[str, object]:
        """What a task returns of it."""
        return {
            "names": list(self.names),
            "issuer": self.issuer,
            "not_before": self.not_before.isoformat(),
            "not_after": self.not_after.isoformat(),
            "key_type": self.key_type,
            "key_bits": self.key_bits,
            "fingerprint": self.fingerprint,
            "key_digest": self.key_digest,
        }


@dataclass(frozen=True)
class Pair:
    """A private key and the certificates that go with it, the server's own first. All PEM, no text between."""

    private_key: str = field(repr=False)
    chain: tuple[str, ...]

    @property
    def pem(self) -> bytes:
        """Key and chain in one file, as Postfix reads smtpd_tls_chain_files: replaced together or not at all."""
        return "".join(block + "\n" for block in (self.private_key, *self.chain)).encode()


def parse_pair(certificates: str, private_key: str, origin: str) -> Pair:
    """Take the PEM blocks out of two texts; what stands around them does not count.

    `origin` names the pair in error messages.

    Raises:
        CertificateError: no certificate, not exactly one private key, or an encrypted one.
    """
    chain = tuple(_tidy(match.group()) for match in _CERTIFICATE.finditer(certificates))
    keys = [_tidy(match.group()) for match in _PRIVATE_KEY.finditer(private_key)]
    if not chain:
        raise CertificateError(f"{origin}: no PEM certificate (BEGIN CERTIFICATE) found.")
    if len(keys) != 1:
        raise CertificateError(f"{origin}: {len(keys)} PEM private keys found; exactly one belongs to a certificate.")
    if "ENCRYPTED" in keys[0]:
        raise CertificateError(f"{origin}: the private key is encrypted; a daemon cannot ask for its passphrase.")
    return Pair(private_key=keys[0], chain=chain)


def split_pair(pem: str, origin: str) -> Pair:
    """The pair in a file that holds key and chain together. Raises CertificateError as `parse_pair` does."""
    return parse_pair(pem, pem, origin)


def _tidy(block: str) -> str:
    """A PEM block without blanks around its lines, so that equal blocks are equal texts."""
    return "\n".join(line.strip() for line in block.splitlines() if line.strip())


def read_certificate(pem: str, origin: str) -> Certificate:
    """What the certificate in PEM block `pem` says.

    Raises:
        CertificateError: OpenSSL cannot read it.
    """
    asked = ["-subject", "-issuer", "-dates", "-pubkey", "-nameopt", "RFC2253", "-ext", "subjectAltName", "-text"]
    left_out = "header,version,serial,signame,validity,subject,issuer,sigdump,aux,extensions"
    options = ",".join(f"no_{part}" for part in left_out.split(","))
    answer = run(["openssl", "x509", "-noout", *asked, "-certopt", options], stdin=pem, deadline=OPENSSL_DEADLINE)
    if not answer.ok:
        raise CertificateError(f"{origin}: not a certificate that OpenSSL can read: {answer.said}")
    text = answer.stdout
    values = dict(re.findall(r"^(subject|issuer|notBefore|notAfter)=(.*)$", text, re.MULTILINE))
    names = re.search(r"Subject Alternative Name:.*\n\s*(.*)", text)
    algorithm = re.search(r"Public Key Algorithm: (\S+)", text)
    bits = re.search(r"Public-Key: \((\d+) bit", text)
    key = _PUBLIC_KEY.search(text)
    return Certificate(
        names=tuple(name.lower() for name in re.findall(r"DNS:([^,\s]+)", names.group(1))) if names else (),
        subject=values["subject"],
        issuer=values["issuer"],
        not_before=_moment(values["notBefore"]),
        not_after=_moment(values["notAfter"]),
        key_type=_ALGORITHMS.get(algorithm.group(1), algorithm.group(1)) if algorithm else "unknown",
        key_bits=int(bits.group(1)) if bits else 0,
        fingerprint=hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest(),
        key_digest=hashlib.sha256(base64.b64decode(key.group(1))).hexdigest() if key else "",
    )


def _moment(text: str) -> datetime:
    """A date as OpenSSL prints it, such as "Nov 24 00:00:00 2026 GMT"."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def check_pair(pair: Pair, *, fqdn: str, now: datetime, origin: str) -> Certificate:
    """Return what the server's certificate says, if the pair can serve host `fqdn` at `now`.

    Raises:
        CertificateError: the key is another one's, too short or of a type that clients lack; the name is not covered;
            not valid yet, or no more; the chain is out of order, or incomplete.
    """
    leaf = read_certificate(pair.chain[0], origin)
    if leaf.key_type not in KEY_TYPES:
        raise CertificateError(f"{origin}: its key is {leaf.key_type}; mail clients and servers expect ECDSA or RSA.")
    if leaf.key_bits < SMALLEST_KEY[leaf.key_type]:
        raise CertificateError(
            f"{origin}: its {leaf.key_type} key has {leaf.key_bits} bits; {SMALLEST_KEY[leaf.key_type]} are the least."
        )
    if public_key_digest(pair.private_key, origin) != leaf.key_digest:
        raise CertificateError(
            f"{origin}: the private key does not belong to the certificate ({leaf.subject}). Give the key that the "
            "certificate was requested with; the server's own certificate comes first in its file."
        )
    if not leaf.covers(fqdn):
        raise CertificateError(
            f"{origin}: the certificate is for {', '.join(leaf.names) or 'no name at all'}, not for {fqdn}."
        )
    _check_time(leaf, now, origin)
    _check_chain(pair.chain, leaf, origin)
    return leaf


def _check_time(leaf: Certificate, now: datetime, origin: str) -> None:
    """Raise CertificateError where `now` is outside the certificate's life."""
    if now >= leaf.not_after:
        raise CertificateError(f"{origin}: the certificate expired on {leaf.not_after:%Y-%m-%d %H:%M} UTC.")
    if now < leaf.not_before:
        raise CertificateError(
            f"{origin}: the certificate is valid from {leaf.not_before:%Y-%m-%d %H:%M} UTC on, and this host has "
            f"{now:%Y-%m-%d %H:%M}. Is its clock right?"
        )


def _check_chain(chain: Sequence[str], leaf: Certificate, origin: str) -> None:
    """Raise CertificateError unless each certificate is signed by the next, and none is missing in between."""
    with tempfile.TemporaryDirectory(prefix="sendyard-") as directory:
        paths = [Path(directory) / f"{position}.pem" for position in range(len(chain))]
        for path, block in zip(paths, chain, strict=True):
            path.write_text(block + "\n", encoding="ascii")
        for position, (path, issuer) in enumerate(pairwise(paths), start=1):
            only = ["-partial_chain", "-no-CApath", "-no-CAstore", "-CAfile", str(issuer)]
            answer = run(["openssl", "verify", *only, path], deadline=OPENSSL_DEADLINE)
            if not answer.ok:
                raise CertificateError(
                    f"{origin}: certificate {position} of the chain is not signed by the next one: "
                    f"{_reason(answer.stderr)}. Order: the server's own, then each one's issuer."
                )
        if len(chain) == 1 and leaf.issuer != leaf.subject:
            answer = run(["openssl", "verify", paths[0]], deadline=OPENSSL_DEADLINE)
            if not answer.ok:
                raise CertificateError(
                    f"{origin}: the chain ends at {leaf.issuer}, which clients do not know: "
                    "append that issuer's certificate, and those up to the root."
                )


def _reason(stderr: str) -> str:
    """OpenSSL's reason, such as "certificate has expired", out of what `openssl verify` prints."""
    found = re.search(r"error \d+ at \d+ depth lookup: (.*)", stderr)
    return found.group(1) if found else stderr.strip()[-200:]


def public_key_digest(private_key: str, origin: str) -> str:
    """The `key_digest` that a certificate for PEM block `private_key` has.

    Raises:
        CertificateError: OpenSSL cannot read the key.
    """
    answer = run(["openssl", "pkey", "-pubout", "-passin", "pass:"], stdin=private_key, deadline=OPENSSL_DEADLINE)
    key = _PUBLIC_KEY.search(answer.stdout)
    if not answer.ok or key is None:
        raise CertificateError(f"{origin}: OpenSSL cannot read the private key: {answer.said}")
    return hashlib.sha256(base64.b64decode(key.group(1))).hexdigest()


def make_private_key(key_type: str) -> str:
    """A new private key, PEM: ECDSA on P-256, or RSA with 2048 bits."""
    wanted = {
        "ecdsa": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    }[key_type]
    command = ["openssl", "genpkey", "-quiet", "-algorithm", *wanted]
    answer = run(command, deadline=OPENSSL_DEADLINE).require(f"Making an {key_type} key")
    return _tidy(answer.stdout)


def self_signed(fqdn: str, private_key: str) -> Pair:
    """A certificate for `fqdn` that its own key signs. The same key again on renewal keeps a TLSA record true."""
    answer = run(
        [
            "openssl", "req", "-x509", "-new", "-sha256", "-key", "/dev/stdin", "-days", str(SELF_SIGNED_DAYS),
            "-subj", f"/CN={fqdn[:64]}", "-addext", f"subjectAltName=DNS:{fqdn}",
            "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth",
        ],
        stdin=private_key,
        deadline=OPENSSL_DEADLINE,
    ).require(f"Signing a certificate for {fqdn}")  # fmt: skip
    return parse_pair(answer.stdout, private_key, "the self-signed certificate")
