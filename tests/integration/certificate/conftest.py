# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""An ACME server (pebble) and its DNS on loopback, and directories for a certbot of the test's own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.acme import Account
from ansible_collections.sendyard.mail.plugins.module_utils.deploy_certificate import Layout
from tls import Authority

BLOCKED = "blocked.example"  # a name for which this server issues nothing
PROGRAMS = ("pebble", "pebble-challtestsrv", "certbot")


@dataclass(frozen=True)
class AcmeServer:
    """A running pebble that answers for every name with 127.0.0.1, and looks for proofs at `http_port`."""

    directory: str
    ca_file: Path
    http_port: int
    management: str

    def addresses(self, value: str) -> None:
        """From now on every name has this IPv4 address, or none ("")."""
        for kind, address in (("ipv4", value), ("ipv6", "")):
            body = json.dumps({"ip": address}).encode()
            url = f"{self.management}/set-default-{kind}"
            urllib.request.urlopen(urllib.request.Request(url, body), timeout=10).close()  # noqa: S310 -- loopback


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, below those that the kernel hands out by itself (ip(7), from 32768 on): another
    program's connection does not take one before the server that it is for has bound it.
    """
    found: list[int] = []
    with ExitStack() as stack:
        for port in secrets.SystemRandom().sample(range(20000, 32768), 100):
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                break
    return found


def await_port(port: int, deadline: float = 15) -> None:
    end = time.monotonic() + deadline
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def acme_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmeServer]:
    """pebble, as fast as it can and without the faults it throws in by default."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)} (script/bootstrap --tests)")
    directory = tmp_path_factory.mktemp("pebble")
    api, management, dns, admin, http, tls = free_ports(6)
    authority = Authority(directory)
    issued = authority.issue("localhost")
    for name, content in {
        "api.pem": issued.certificate + authority.intermediate.certificate,
        "api.key": issued.key,
        "roots.pem": authority.root.certificate,
    }.items():
        (directory / name).write_text(content)
    config = {
        "listenAddress": f"127.0.0.1:{api}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(directory / "api.pem"),
        "privateKey": str(directory / "api.key"),
        "httpPort": http,
        "tlsPort": tls,
        "certificateValidityPeriod": 90 * 86400,
        "domainBlocklist": [BLOCKED],
    }
    (directory / "pebble.json").write_text(json.dumps({"pebble": config}))
    no = ["-http01", "", "-https01", "", "-tlsalpn01", ""]
    with ExitStack() as stack:
        for argv in (
            ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{admin}", *no],
            ["pebble", "-config", str(directory / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"],
        ):
            log = stack.enter_context((directory / f"{argv[0]}.log").open("wb"))
            # By default it validates a name that it validated before only every other time.
            quirks = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
            environment = {**os.environ, **quirks}
            process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        for port in (admin, api):
            await_port(port)
        server = AcmeServer(f"https://localhost:{api}/dir", directory / "roots.pem", http, f"http://127.0.0.1:{admin}")
        context = ssl.create_default_context(cafile=server.ca_file)
        urllib.request.urlopen(server.directory, timeout=10, context=context).close()  # noqa: S310 -- loopback
        yield server


@pytest.fixture
def addressed(acme_server: AcmeServer) -> Iterator[AcmeServer]:
    """The server, with every name on loopback before and after."""
    acme_server.addresses("127.0.0.1")
    yield acme_server
    acme_server.addresses("127.0.0.1")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(
        tls=tmp_path / "tls", letsencrypt=tmp_path / "letsencrypt", state=tmp_path / "state", logs=tmp_path / "logs"
    )
    made.tls.mkdir()
    return made


@pytest.fixture
def certbot_options(addressed: AcmeServer, tmp_path: Path) -> tuple[str, ...]:
    """Options that give certbot directories and a port of its own."""
    directories = {"--config-dir": "letsencrypt", "--work-dir": "work"}
    pairs = [(option, str(tmp_path / name)) for option, name in directories.items()]
    return (*(word for pair in pairs for word in pair), "--http-01-port", str(addressed.http_port))


@pytest.fixture
def account(addressed: AcmeServer, certbot_options: tuple[str, ...]) -> Account:
    return Account(addressed.directory, "ops@yard.example", str(addressed.ca_file), options=certbot_options)
