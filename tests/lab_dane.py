# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What who checks DANE makes of a sender: Postfix's own client is the judge, below a resolver that validates."""

from __future__ import annotations

import hashlib
import re

import lab_api
from lab_hosts import SENDERS, Sender

CIPHERS = {"ecdsa": "ECDHE+aECDSA", "rsa": "ECDHE+aRSA"}
# The firewall lets nobody but Postfix out on port 25.
FINGER = (
    "runuser -u postfix -- posttls-finger -c -t 20 -T 20 -l dane-only -o tls_medium_cipherlist={ciphers} "
    "-p '<=TLSv1.2' -o smtp_tls_session_cache_database= {name}"
)


def judged(sender: Sender, key_type: str, name: str) -> str:
    """What the other sender's Postfix says of the connection that it makes to `name`: "Verified", or why not."""
    other = next(host for host in SENDERS if host != sender.name)
    command = FINGER.format(ciphers=CIPHERS[key_type], name=name)
    said = lab_api.root(other, "sh", "-c", f"{command} 2>&1", check=False).stdout
    found = re.search(r"(\w+) TLS connection established", said)
    return found[1] if found else said


def announced(sender: Sender) -> set[str]:
    """The TLSA record of the sender, from its primary."""
    return set(lab_api.ask("ns1", f"_25._tcp.{sender.fqdn}", "TLSA"))


def served(sender: Sender) -> set[str]:
    """What the TLSA record of the certificates that the sender's Postfix reads would be."""
    keys = set()
    for key_type in CIPHERS:
        made = f"openssl x509 -in /etc/sendyard/tls/{key_type}.pem -noout -pubkey | openssl pkey -pubin -outform DER"
        hexed = lab_api.root(sender.name, "sh", "-c", f"{made} | od -An -v -tx1 | tr -d ' \\n'").stdout
        keys.add(f"3 1 1 {hashlib.sha256(bytes.fromhex(hexed)).hexdigest()}")
    return keys
