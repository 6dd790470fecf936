# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A renewed certificate is the one that clients see, on every port, without anybody's help."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import closing

import lab_api
import pytest
from lab_hosts import Sender

PORTS = (25, 587, 465, 2525)
CIPHERS = {"ecdsa": "ECDHE+ECDSA", "rsa": "ECDHE+aRSA"}  # of two certificates, a client gets the one it can use


def served(sender: Sender, port: int, key_type: str) -> bytes:
    """The certificate that a client is shown, as DER. It need not be trusted: which one it is, is the question."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(CIPHERS[key_type])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = smtplib.SMTP_SSL(timeout=30, context=context) if port == 465 else smtplib.SMTP(timeout=30)
    with closing(session):
        session._host = sender.fqdn  # the name to ask for; smtplib has none from connect()
        session.connect(sender.ipv4, port)
        if port != 465:
            session.starttls(context=context)
        assert isinstance(session.sock, ssl.SSLSocket)
        return session.sock.getpeercert(binary_form=True) or b""


@pytest.fixture
def live(sender: Sender) -> dict[str, bytes]:
    """What certbot holds before it renews."""
    return held(sender)


def held(sender: Sender) -> dict[str, bytes]:
    """The certificates that certbot holds, by the type of their key."""
    found = {}
    for key_type in CIPHERS:
        pem = lab_api.root(sender.name, "cat", f"/etc/letsencrypt/live/sendyard-{key_type}/cert.pem").stdout
        found[key_type] = ssl.PEM_cert_to_DER_cert(pem)
    return found


def served_everywhere(sender: Sender) -> dict[str, set[bytes]]:
    """The certificates that clients are shown on the ports, by the type of their key."""
    return {key_type: {served(sender, port, key_type) for port in PORTS} for key_type in CIPHERS}


def test_a_forced_renewal_is_served_on_every_port(sender: Sender, live: dict[str, bytes]) -> None:
    assert served_everywhere(sender) == {key_type: {pem} for key_type, pem in live.items()}
    lab_api.root(sender.name, "certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew", "-q", deadline=180)
    renewed = held(sender)
    assert all(renewed[key_type] != live[key_type] for key_type in CIPHERS)
    wanted = {key_type: {pem} for key_type, pem in renewed.items()}
    lab_api.until(lambda: served_everywhere(sender) == wanted, what="the new certificates on every port")
