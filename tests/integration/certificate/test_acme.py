# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Certificates from a real ACME server by the real certbot, and what a renewal's hook does on the wire."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import acme, certificate_run, deploy_certificate
from ansible_collections.sendyard.mail.plugins.module_utils.acme import Account, AcmeError
from ansible_collections.sendyard.mail.plugins.module_utils.certificates import Certificate, check_pair
from ansible_collections.sendyard.mail.plugins.module_utils.deploy_certificate import Layout, Listener, Order
from integration.certificate.conftest import BLOCKED, AcmeServer
from tls import MailServer, mail_server

FQDN = "mx1.yard.example"


def request(account: Account, layout: Layout, key_type: str = "ecdsa", fqdn: str = FQDN) -> Certificate:
    """Request a certificate and check what came."""
    acme.request(key_type, fqdn=fqdn, account=account, layout=layout)
    pair = deploy_certificate.lineage_pair(key_type, layout)
    assert pair is not None
    now = datetime.now(UTC) + timedelta(seconds=5)
    return check_pair(pair, fqdn=fqdn, now=now, origin="the new certificate")


def content(directory: Path) -> dict[str, bytes]:
    """What is below `directory`, accounts left out."""
    there = sorted(path for path in directory.rglob("*") if path.is_file() or path.is_symlink())
    return {
        str(p): os.fsencode(p.readlink()) if p.is_symlink() else p.read_bytes()
        for p in there
        if "accounts" not in p.parts
    }


@pytest.mark.parametrize(("key_type", "bits"), [("ecdsa", 256), ("rsa", 2048)])
def test_a_certificate_comes_and_keeps_its_key(account: Account, layout: Layout, key_type: str, bits: int) -> None:
    first = request(account, layout, key_type)
    assert (first.names, first.key_type, first.key_bits) == ((FQDN,), key_type, bits)
    now = datetime.now(UTC)
    assert acme.why_request(key_type, fqdn=FQDN, account=account, now=now, layout=layout) == ""
    second = request(account, layout, key_type)
    assert second.fingerprint != first.fingerprint
    assert second.key_digest == first.key_digest


@pytest.mark.parametrize(
    ("fqdn", "address", "reason"),
    [
        (BLOCKED, "127.0.0.1", "rejectedIdentifier: Order included an identifier for which issuance is forbidden"),
        (FQDN, "", f"(dns|connection): .*{FQDN}.* port 80 must be open"),
    ],
)
def test_a_refusal_quotes_the_servers_reason_and_changes_nothing(
    account: Account, layout: Layout, acme_server: AcmeServer, *, fqdn: str, address: str, reason: str
) -> None:
    request(account, layout)
    before = content(layout.letsencrypt)
    acme_server.addresses(address)
    with pytest.raises(AcmeError, match=reason) as caught:
        request(account, layout, "rsa", fqdn)
    assert content(layout.letsencrypt) == before
    assert str(caught.value).startswith(f"{account.directory} gave no certificate for {fqdn}: ")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"directory": "https://localhost:1/dir"}, "Connection refused|Max retries"),
        ({"ca_file": "/etc/ssl/certs/ca-certificates.crt"}, "certificate verify failed"),
    ],
)
def test_a_server_out_of_reach_is_said_to_be(
    account: Account, layout: Layout, changed: dict[str, str], reason: str
) -> None:
    with pytest.raises(AcmeError, match=reason) as caught:
        request(replace(account, **changed), layout)
    assert "Traceback" not in str(caught.value)
    assert content(layout.letsencrypt) == {}


@contextmanager
def postfix(layout: Layout, directory: Path) -> Iterator[tuple[Order, MailServer]]:
    """A mail server on two ports that takes the certificate up when `directory/reload` appears, as a reload does."""
    pem = layout.pem("ecdsa")
    with mail_server(pem) as first, mail_server(pem, implicit=True) as second:
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(0.05):
                if (directory / "reload").exists():
                    (directory / "reload").unlink()
                    first.reload()
                    second.reload()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        yield Order(FQDN, "acme", ("ecdsa",), (Listener(first.port), Listener(second.port, implicit=True))), first
        stop.set()
        thread.join(5)


def install_hook(layout: Layout, directory: Path) -> Path:
    """certbot's deploy hook as the module installs it, on a host below `directory`; returns the file it prints into."""
    for spec in certificate_run._program():
        target = directory / "lib/sendyard" / spec.path.relative_to(certificate_run.PROGRAM_DIRECTORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(spec.content)
    places = {name: str(getattr(layout, name)) for name in ("tls", "letsencrypt", "state")}
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(directory / "lib")!r})
from sendyard import deploy_certificate as program
lock, layout = program.host_lock, program.Layout(**{{name: Path(at) for name, at in {places!r}.items()}})
program.host_lock = lambda purpose, deadline: lock(purpose, deadline=deadline, path=Path({str(directory / "lock")!r}))
program.Layout = lambda: layout
reads, reload = ("echo", {str(layout.pem("ecdsa"))!r}), ("touch", {str(directory / "reload")!r})
program.POSTFIX = program.Holder("Postfix", reads, ("true",), reload)
sys.exit(program.main())
"""
    (directory / "hook.py").write_text(program)
    said = directory / "hook.log"
    hook = layout.letsencrypt / "renewal-hooks/deploy/sendyard"
    hook.write_text(f"#!/bin/sh\nexec {sys.executable} -I -S {directory}/hook.py >>{said} 2>&1\n")
    hook.chmod(0o755)
    return said


RENEW = ("certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew")


def renew(account: Account, layout: Layout) -> subprocess.CompletedProcess[str]:
    """Renew as certbot's timer does, although nothing is due."""
    return subprocess.run(
        [*RENEW, "--logs-dir", layout.logs, *account.options],
        env={**os.environ, **acme.trust(account.ca_file)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_forced_renewal_is_seen_on_every_listener(account: Account, layout: Layout, tmp_path: Path) -> None:
    first = request(account, layout)
    pair = deploy_certificate.lineage_pair("ecdsa", layout)
    assert pair is not None
    layout.pem("ecdsa").write_bytes(pair.pem)
    with postfix(layout, tmp_path) as (order, _):
        deploy_certificate.deploy(order, {"ecdsa": pair}, layout)
        said = install_hook(layout, tmp_path)
        started = time.monotonic()
        renewed = renew(account, layout)
        assert renewed.returncode == 0, renewed.stderr + said.read_text()
        assert time.monotonic() - started < 60
        shown = {deploy_certificate.served(FQDN, listener, "ecdsa") for listener in order.listeners}
    pair = deploy_certificate.lineage_pair("ecdsa", layout)
    assert pair is not None
    assert shown == {deploy_certificate.fingerprint(pair)} != {first.fingerprint}
    assert said.read_text().splitlines()[-1] == "reloaded: Postfix"
    assert layout.pem("ecdsa").read_bytes() == pair.pem
