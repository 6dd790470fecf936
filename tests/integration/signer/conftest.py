# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A sender of each release as the roles make it, with two listeners more: one lacks the gate, one has nothing but it.

As in tests/integration/postfix, `SENDYARD_SENDER_IMAGE` names the images; without it these tests are skipped.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.postfix import machines
from integration.postfix.machines import FQDN, KEY_KINDS, VERSIONS, Container, Receiver, Sender, podman

NETWORK = f"sendyard-signer-{os.getpid()}"
SINK = Path(machines.__file__).with_name("sink.py")
WITHOUT_GATE, GATE_ALONE = 2598, 2599


def discard(*arguments: str) -> None:
    """Remove what was made, unless somebody wants to look at it."""
    if not os.environ.get("SENDYARD_KEEP"):
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
    """What takes everything and writes it down."""
    directory = tmp_path_factory.mktemp("sink")
    name, address = f"{NETWORK}-sink", str(network[20])
    options = ("-v", f"{directory}:/sink")
    machines.start(name, image.format(release="trixie"), NETWORK, address, "rx.example", *options)
    try:
        container = Container(name, address)
        pem = machines.self_signed(tmp_path_factory.mktemp("tls"), KEY_KINDS["ecdsa"])
        container.put({"/srv/sink.py": SINK.read_bytes(), "/srv/sink.pem": pem})
        command = ("/usr/bin/python3", "/srv/sink.py", "/sink", "/srv/sink.pem", f"{address}=eight")
        container.run("systemd-run", "--unit=sink", *command)
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
    name, address = f"{NETWORK}-{release}", str(network[10 + list(VERSIONS).index(release)])
    machines.start(name, image.format(release=release), NETWORK, address, FQDN)
    try:
        made = Sender(name, address, release=release)
        machines.provision(made, network, tmp_path_factory.mktemp("tls"))
        add_listeners(made)
        yield made
    finally:
        discard("rm", "-f", "-t", "2", name)


def add_listeners(sender: Sender) -> None:
    """Two copies of the service on 2525, with a cleanup that looks at no header itself."""
    master = sender.run("cat", "/etc/postfix/master.cf")
    found = re.search(r"(?m)^2525 .*\n(?:[ #].*\n)*", master)
    assert found, "no service 2525"
    bare = found[0].replace("cleanup_service_name=subcleanup", "cleanup_service_name=barecleanup")
    without_gate = re.sub("unix:gate/gate.sock, *", "", bare)
    assert without_gate != bare, "the service names no gate"
    more = bare.replace("2525", str(GATE_ALONE), 1) + without_gate.replace("2525", str(WITHOUT_GATE), 1)
    more += "barecleanup unix n - y - 0 cleanup\n  -o always_add_missing_headers=yes\n"
    sender.put({"/etc/postfix/master.cf": (master + "\n" + more).encode()})
    sender.run("postfix", "reload")
