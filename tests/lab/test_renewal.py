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


def served(sender: Sender, port: int) -> bytes:
    """The certificate that a client is shown, as DER. It need not be trusted: which one it is, is the question."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ECDHE+ECDSA")  # of two certificates, the ECDSA one
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
def live(sender: Sender) -> bytes:
    """What certbot holds before it renews."""
    return held(sender)


def held(sender: Sender) -> bytes:
    """The certificate that certbot holds."""
    pem = lab_api.root(sender.name, "cat", "/etc/letsencrypt/live/sendyard-ecdsa/cert.pem").stdout
    return ssl.PEM_cert_to_DER_cert(pem)


def test_a_forced_renewal_is_served_on_every_port(sender: Sender, live: bytes) -> None:
    assert {served(sender, port) for port in PORTS} == {live}
    lab_api.root(sender.name, "certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew", "-q", deadline=180)
    renewed = held(sender)
    assert renewed != live
    for port in PORTS:
        lab_api.until(lambda port=port: served(sender, port) == renewed, what=f"the new certificate on port {port}")
