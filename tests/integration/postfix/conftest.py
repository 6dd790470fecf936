# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Real senders of both releases in containers, and a receiver beside them that writes down what it gets.

`SENDYARD_SENDER_IMAGE` names the images, "{release}" in it standing for trixie or bookworm. They hold Debian with
systemd and the packages of a sender, nothing started. Without it the tests are skipped: `tests/lab` proves the same
cases on the lab's hosts. `SENDYARD_KEEP` leaves the containers running for a look at them.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.postfix.machines import (
    FQDN,
    KEY_KINDS,
    MODES,
    VERSIONS,
    Container,
    Receiver,
    Sender,
    podman,
    provision,
    self_signed,
    start,
)

NETWORK = f"sendyard-postfix-{os.getpid()}"


def discard(*arguments: str) -> None:
    """Remove what was made, unless somebody wants to look at it."""
    if os.environ.get("SENDYARD_KEEP"):
        print(f"kept: {arguments[-1]}")
    else:
        podman(*arguments, check=False)


@pytest.fixture(scope="session")
def image() -> str:
    """The pattern of the images' names."""
    name = os.environ.get("SENDYARD_SENDER_IMAGE")
    if not name or not shutil.which("podman"):
        pytest.skip("SENDYARD_SENDER_IMAGE is not set (or there is no podman)")
    return name


@pytest.fixture(scope="session")
def network(image: str) -> Iterator[ipaddress.IPv4Network]:
    """A network of this run."""
    podman("network", "create", "--disable-dns", NETWORK)
    try:
        described = json.loads(podman("network", "inspect", NETWORK))[0]
        yield ipaddress.ip_network(described["subnets"][0]["subnet"])
    finally:
        discard("network", "rm", "-f", NETWORK)


@pytest.fixture(scope="session")
def receiver(
    image: str, network: ipaddress.IPv4Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Receiver]:
    """The sink in a container of its own, with an address a mode."""
    directory = tmp_path_factory.mktemp("sink")
    name = f"sendyard-postfix-sink-{os.getpid()}"
    addresses = {mode: str(network[20 + index]) for index, mode in enumerate(MODES)}
    start(name, image.format(release="trixie"), NETWORK, addresses["eight"], "rx.example", "-v", f"{directory}:/sink")
    try:
        container = Container(name, addresses["eight"])
        pem = self_signed(tmp_path_factory.mktemp("tls"), KEY_KINDS["ecdsa"])
        container.put({"/srv/sink.py": Path(__file__).with_name("sink.py").read_bytes(), "/srv/sink.pem": pem})
        for address in list(addresses.values())[1:]:
            container.run("ip", "address", "add", f"{address}/{network.prefixlen}", "dev", "eth0")
        pairs = [f"{address}={mode}" for mode, address in addresses.items()]
        container.run(
            "systemd-run", "--unit=sink", "/usr/bin/python3", "/srv/sink.py", "/sink", "/srv/sink.pem", *pairs
        )
        yield Receiver(directory)
    finally:
        discard("rm", "-f", "-t", "2", name)


@pytest.fixture(scope="session", params=["trixie", "bookworm"])
def sender(
    request: pytest.FixtureRequest,
    image: str,
    network: ipaddress.IPv4Network,
    receiver: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sender]:
    """A sender of each release, serving."""
    release = request.param
    name = f"sendyard-postfix-{release}-{os.getpid()}"
    address = str(network[10 + list(VERSIONS).index(release)])
    start(name, image.format(release=release), NETWORK, address, FQDN)
    try:
        made = Sender(name, address, release=release)
        provision(made, network, tmp_path_factory.mktemp("tls"))
        yield made
    finally:
        discard("rm", "-f", "-t", "2", name)
