# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What others say of the TLS of the ports: openssl(1) of renegotiation and compression, testssl.sh of all of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import lab_api
import pytest
from lab_hosts import Sender
from tls import Authority

PORTS = (25, 587, 465, 2525)
OLD = ("-cipher", "ALL:@SECLEVEL=0", "-min_protocol", "TLSv1")


def handshakes(*where: str, again: bool) -> int:
    """How often s_client remarks on the server's certificate in a session of TLS 1.2, with another handshake or not."""
    said = s_client(*where, say="R\nQUIT\n" if again else "QUIT\n")
    assert ("RENEGOTIATING" in said) == again, said
    return said.count("depth=0 ")


def s_client(*where: str, say: str) -> str:
    """What s_client prints in a session of TLS 1.2."""
    done = subprocess.run(
        ["openssl", "s_client", "-tls1_2", "-connect", *where], input=say, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def place(sender: Sender, port: int) -> tuple[str, ...]:
    """Where s_client finds a port."""
    return (f"{sender.ipv4}:{port}", *(() if port == 465 else ("-starttls", "smtp")))


@contextlib.contextmanager
def weak_server(directory: Path) -> Iterator[int]:
    """A server that lets clients renegotiate, and speak old TLS."""
    issued = Authority(directory).issue("weak.example")
    pem = directory / "weak.pem"
    pem.write_text(issued.key + issued.certificate)
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", pem, "-key", pem, "-client_renegotiation"]
    said = directory / "s_server"  # a pipe that nobody empties would stop it

    def port() -> int:
        return next((int(line.rpartition(":")[2]) for line in said.read_text().splitlines() if "ACCEPT " in line), 0)

    with (
        said.open("w") as output,
        subprocess.Popen([*command, *OLD], stdin=subprocess.PIPE, stdout=output, stderr=output) as server,
    ):
        try:
            yield lab_api.until(port, what="s_server to listen")
        finally:
            server.kill()


@pytest.mark.parametrize("port", PORTS)
def test_a_client_cannot_renegotiate(sender: Sender, port: int) -> None:
    where = place(sender, port)
    assert handshakes(*where, again=True) == handshakes(*where, again=False) > 0
    assert "Compression: NONE" in s_client(*where, say="QUIT\n")


def test_a_server_that_lets_clients_renegotiate_is_seen(tmp_path: Path) -> None:
    """The control."""
    with weak_server(tmp_path) as port:
        where = f"127.0.0.1:{port}"
        assert handshakes(where, again=True) > handshakes(where, again=False) > 0


# --- an independent judge ---------------------------------------------------------------------------------------------

# pebble's certificates name no place to ask whether they were revoked, and some live for years.
OF_THE_LAB = {"cert_revocation", "cert_validityPeriod"}
WEIGHTY = {"MEDIUM", "HIGH", "CRITICAL"}
OLD_VERSIONS = {"SSLv2", "SSLv3", "TLS1", "TLS1_1"}  # of which testssl.sh thinks less badly


def findings(tmp_path: Path, *where: str) -> dict[str, str]:
    """What testssl.sh finds MEDIUM or worse, and old versions of TLS, by its name for it."""
    report = tmp_path / "findings.json"
    command = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--severity", "LOW"]
    done = subprocess.run(
        [*command, "--add-ca", lab_api.info()["ca"], "--jsonfile", report, *where],
        capture_output=True, text=True, timeout=900, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert report.exists(), done.stdout + done.stderr
    entries = json.loads(report.read_text())
    found = (one for one in entries if one["severity"] in WEIGHTY or one["id"] in OLD_VERSIONS)
    return {one["id"]: one["finding"] for one in found}


JUDGED = [("mx-trixie", 587), ("mx-bookworm", 25), ("mx-trixie", 465), ("mx-bookworm", 2525)]


@pytest.mark.parametrize(("sender", "port"), JUDGED, indirect=["sender"])
def test_testssl_finds_nothing_of_weight(sender: Sender, port: int, tmp_path: Path) -> None:
    start_tls = () if port == 465 else ("--starttls", "smtp")
    found = findings(tmp_path, *start_tls, "--ip", sender.ipv4, f"{sender.fqdn}:{port}")
    assert {name: what for name, what in found.items() if name.split(" ")[0] not in OF_THE_LAB} == {}


def test_testssl_finds_what_a_weak_server_has(tmp_path: Path) -> None:
    """The control: old TLS, no known issuer, another name, renegotiation by the client."""
    with weak_server(tmp_path) as port:
        found = findings(tmp_path, "--protocols", "--server-defaults", "--renegotiation", f"127.0.0.1:{port}")
    assert {"cert_chain_of_trust", "cert_trust"} & found.keys(), found
    assert {"TLS1", "secure_client_renego"} <= found.keys(), found
