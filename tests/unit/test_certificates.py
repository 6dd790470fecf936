# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Certificates are read and checked as OpenSSL sees them; what cannot serve is refused with its reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import certificates
from ansible_collections.sendyard.mail.plugins.module_utils.certificates import CertificateError, Pair
from tls import Authority, Issued, make_key, openssl

FQDN = "mx1.yard.example"
NOW = datetime.now(UTC) + timedelta(hours=1)  # later than whatever these tests make, however long they take


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue(FQDN)


def pair(issued: Issued, *chain: Issued, key: str = "") -> Pair:
    blocks = "".join(one.certificate for one in (issued, *chain))
    return certificates.parse_pair(blocks, key or issued.key, "test")


def check(candidate: Pair, now: datetime = NOW, fqdn: str = FQDN) -> certificates.Certificate:
    return certificates.check_pair(candidate, fqdn=fqdn, now=now, origin="the provided certificate")


@pytest.mark.parametrize(("kind", "key_type", "bits"), [("ecdsa", "ecdsa", 256), ("rsa", "rsa", 2048)])
def test_a_complete_pair_serves(authority: Authority, kind: str, key_type: str, bits: int) -> None:
    leaf = check(pair(authority.issue(FQDN, "Other.example", key=make_key(kind)), authority.intermediate))
    assert (leaf.key_type, leaf.key_bits, leaf.names) == (key_type, bits, (FQDN, "other.example"))
    assert leaf.issuer == "CN=Test intermediate"
    assert leaf.not_after - leaf.not_before == timedelta(days=90)


def test_digests_are_those_of_tlsa_records(issued: Issued) -> None:
    leaf = certificates.read_certificate(issued.certificate, "test")
    key = openssl("pkey", "-pubout", "-outform", "PEM", stdin=issued.key)
    spki = openssl("pkey", "-pubin", "-text", "-noout", stdin=key)
    assert "P-256" in spki
    assert leaf.key_digest == certificates.public_key_digest(issued.key, "test")
    printed = openssl("x509", "-noout", "-fingerprint", "-sha256", stdin=issued.certificate)
    assert leaf.fingerprint == printed.partition("=")[2].strip().replace(":", "").lower()


def test_the_root_may_be_in_the_chain(authority: Authority, issued: Issued) -> None:
    check(pair(issued, authority.intermediate, authority.root))


def test_text_around_the_blocks_does_not_count(authority: Authority, issued: Issued) -> None:
    text = f"Bag Attributes\r\n{issued.certificate}\nsubject=x\n{authority.intermediate.certificate}".replace(
        "\n", "\r\n"
    )
    assert certificates.parse_pair(text, f"\n# key\n{issued.key}", "test") == pair(issued, authority.intermediate)


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("mx1.yard.example", True),
        ("MX1.Yard.Example", True),
        ("*.yard.example", True),
        ("*.example", False),
        ("yard.example", False),
        ("*.mx1.yard.example", False),
    ],
)
def test_a_name_is_covered_or_not(authority: Authority, name: str, covered: bool) -> None:
    candidate = pair(authority.issue(name), authority.intermediate)
    if covered:
        check(candidate)
    else:
        with pytest.raises(CertificateError, match=r"the certificate is for .*, not for mx1\.yard\.example"):
            check(candidate)


def test_refused_without_a_name(authority: Authority) -> None:
    with pytest.raises(CertificateError, match="for no name at all"):
        check(pair(authority.issue(), authority.intermediate))


def test_refused_with_another_ones_key(authority: Authority, issued: Issued) -> None:
    with pytest.raises(CertificateError, match="the private key does not belong to the certificate"):
        check(pair(issued, authority.intermediate, key=make_key()))


def test_refused_in_the_wrong_order(authority: Authority, issued: Issued) -> None:
    with pytest.raises(CertificateError, match="certificate 1 of the chain is not signed by the next one"):
        check(pair(issued, authority.root, authority.intermediate))


def test_refused_with_a_gap(issued: Issued) -> None:
    with pytest.raises(CertificateError, match="the chain ends at CN=Test intermediate, which clients do not know"):
        check(pair(issued))


@pytest.mark.parametrize(
    ("now", "reason"),
    [(NOW + timedelta(days=91), "expired on"), (NOW - timedelta(days=2), "is valid from .* Is its clock right")],
)
def test_refused_outside_its_time(authority: Authority, issued: Issued, now: datetime, reason: str) -> None:
    with pytest.raises(CertificateError, match=reason):
        check(pair(issued, authority.intermediate), now)


@pytest.mark.parametrize(("kind", "reason"), [("rsa1024", "1024 bits; 2048 are the least"), ("ed25519", "ED25519")])
def test_refused_with_a_key_that_clients_refuse(authority: Authority, kind: str, reason: str) -> None:
    with pytest.raises(CertificateError, match=reason):
        check(pair(authority.issue(FQDN, key=make_key(kind)), authority.intermediate))


def test_refused_where_no_pair_can_be_found(issued: Issued) -> None:
    encrypted = openssl("pkey", "-aes256", "-passout", "pass:x", stdin=issued.key)
    for certificate, key, reason in (
        ("", issued.key, "no PEM certificate"),
        (issued.certificate, "", "0 PEM private keys"),
        (issued.certificate, issued.key + make_key(), "2 PEM private keys"),
        (issued.certificate, encrypted, "is encrypted"),
    ):
        with pytest.raises(CertificateError, match=reason):
            certificates.parse_pair(certificate, key, "test")


def test_refused_where_openssl_cannot_read_it(issued: Issued, authority: Authority) -> None:
    broken = issued.certificate.replace("\nMII", "\nAAA", 1)
    with pytest.raises(CertificateError, match="not a certificate that OpenSSL can read"):
        check(certificates.parse_pair(broken, issued.key, "test"))
    key = issued.key.replace("\nMI", "\nAA", 1)
    with pytest.raises(CertificateError, match="OpenSSL cannot read the private key"):
        check(pair(issued, authority.intermediate, key=key))


def test_an_error_never_shows_a_key(authority: Authority, issued: Issued) -> None:
    other = make_key()
    with pytest.raises(CertificateError) as caught:
        check(pair(issued, authority.intermediate, key=other))
    assert other.splitlines()[1] not in f"{caught.value!r} {caught.value.facts} {pair(issued, key=other)!r}"


def test_due_a_month_before_the_end_or_a_third_of_a_short_life(authority: Authority) -> None:
    for days, remaining, due in ((90, 31, False), (90, 29, True), (6, 3, False), (6, 1, True), (1825, 31, False)):
        leaf = certificates.read_certificate(authority.issue(FQDN, days=days).certificate, "test")
        assert leaf.due(leaf.not_after - timedelta(days=remaining)) is due, (days, remaining)


@pytest.mark.parametrize("key_type", certificates.KEY_TYPES)
def test_a_self_signed_one_serves_and_keeps_its_key(key_type: str) -> None:
    key = certificates.make_private_key(key_type)
    first, second = (certificates.self_signed(FQDN, key) for _ in range(2))
    leaf = check(first)
    assert (leaf.key_type, leaf.names) == (key_type, (FQDN,))
    assert check(second).key_digest == leaf.key_digest
    assert first.private_key == key


def test_a_name_longer_than_a_common_name_is_no_obstacle() -> None:
    fqdn = f"{'a' * 60}.{'b' * 60}.example"
    assert check(certificates.self_signed(fqdn, make_key()), fqdn=fqdn).names == (fqdn,)


def test_key_and_chain_are_one_file_that_reads_back(authority: Authority, issued: Issued, tmp_path: Path) -> None:
    written = pair(issued, authority.intermediate)
    path = tmp_path / "ecdsa.pem"
    path.write_bytes(written.pem)
    assert certificates.split_pair(path.read_text(), "test") == written
    assert written.pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")  # Postfix wants the key before its certificates
