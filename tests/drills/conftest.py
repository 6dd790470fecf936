# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Real senders of both releases in containers of a drill's own, and a receiver that writes down what it gets.

Their images have a sender's packages, and are built by `lab/lab image` when they are not there. `SENDYARD_KEEP` in the
environment leaves the containers running for a look at them.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import lab_api
import pytest
from drills import machines
from drills.machines import FQDN, KEY_KINDS, MODES, VERSIONS, Container, Receiver, Sender, podman

NAME = f"sendyard-drill-{os.getpid()}"  # of the network, and before every container's
BUILD_SECONDS = 900.0


@cache
def image(release: str) -> str:
    """The name of the image of a release."""
    return lab_api.lab("image", release, deadline=BUILD_SECONDS).decode().strip()


def discard(*arguments: str) -> None:
    """Remove what was made, unless somebody wants to look at it."""
    if os.environ.get("SENDYARD_KEEP"):
        print(f"kept: {arguments[-1]}")
    else:
        podman(*arguments, check=False)


@pytest.fixture(scope="session")
def network() -> Iterator[ipaddress.IPv4Network]:
    """A network of this run."""
    podman("network", "create", "--disable-dns", NAME)
    try:
        described = json.loads(podman("network", "inspect", NAME))[0]
        yield ipaddress.ip_network(described["subnets"][0]["subnet"])
    finally:
        discard("network", "rm", "-f", NAME)


@pytest.fixture(scope="session")
def receiver(network: ipaddress.IPv4Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """The sink in a container of its own, with an address a mode."""
    directory = tmp_path_factory.mktemp("sink")
    name = f"{NAME}-sink"
    addresses = {mode: str(network[20 + index]) for index, mode in enumerate(MODES)}
    try:
        options = ("-v", f"{directory}:/sink")
        machines.start(name, image("trixie"), NAME, addresses["eight"], "rx.example", *options)
        container = Container(name, addresses["eight"])
        pem = machines.self_signed(tmp_path_factory.mktemp("tls"), KEY_KINDS["ecdsa"])
        container.put({"/srv/sink.py": Path(__file__).with_name("sink.py").read_bytes(), "/srv/sink.pem": pem})
        for address in list(addresses.values())[1:]:
            container.run("ip", "address", "add", f"{address}/{network.prefixlen}", "dev", "eth0")
        pairs = [f"{address}={mode}" for mode, address in addresses.items()]
        command = ("/usr/bin/python3", "/srv/sink.py", "/sink", "/srv/sink.pem", *pairs)
        container.run("systemd-run", "--unit=sink", *command)
        yield Receiver(directory)
    finally:
        discard("rm", "-f", "-t", "2", name)


@pytest.fixture(scope="session", params=VERSIONS)
def sender(
    request: pytest.FixtureRequest,
    network: ipaddress.IPv4Network,
    receiver: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sender]:
    """A sender of each release, serving."""
    release = request.param
    name, address = f"{NAME}-{release}", str(network[10 + list(VERSIONS).index(release)])
    try:
        machines.start(name, image(release), NAME, address, FQDN)
        made = Sender(name, address, release=release)
        machines.provision(made, network, tmp_path_factory.mktemp("tls"))
        yield made
    finally:
        discard("rm", "-f", "-t", "2", name)
