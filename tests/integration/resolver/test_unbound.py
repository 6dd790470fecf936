# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A real Unbound with the role's configuration, below a signed root of a real Knot, in a network of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import knot
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import dane
from render import role_files

ROOT_SERVER = "10.254.73.53"  # Unbound asks nobody on 127/8
ZONES = {
    ".": ". NS ns.\nns. A {ns}\nmx1.yard. A 10.254.73.1\nbogus. NS ns.\nbogus. DS 1 13 2 {wrong}\n"
    "10.in-addr.arpa. NS ns.\n4.3.2.10.in-addr.arpa. PTR mx1.yard.\nunsigned. NS ns.\n",
    "unsigned.": "unsigned. NS ns.\nmx1.unsigned. A 10.254.73.3\nmx1.unsigned. MX 10 mx1.unsigned.\n",
    "bogus.": "bogus. NS ns.\nwww.bogus. A 10.254.73.2\n",
    "10.in-addr.arpa.": "10.in-addr.arpa. NS ns.\n4.3.2.10.in-addr.arpa. PTR mx1.yard.\n",
}


@dataclass
class Dns:
    """Knot and what is started of Unbound, in the network namespace `namespace`."""

    namespace: str
    directory: Path
    stack: ExitStack
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def inside(self, *command: str | Path) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *map(str, command)]

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(self.inside(*command), capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    def spawn(self, *command: str | Path) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(self.inside(*command), stdout=log, stderr=log)
        self.stack.callback(process.wait, 10)
        self.stack.callback(process.terminate)
        return process

    def ask(self, name: str, kind: str, server: str = "127.0.0.1") -> tuple[str, bool]:
        """The response code and whether the answer is said to be validated; ("timeout", False) without an answer."""
        asked = ["dig", "+tries=1", "+time=3", f"@{server}", name, kind]
        said = subprocess.run(self.inside(*asked), capture_output=True, text=True, timeout=20, check=False).stdout
        if "status: " not in said:
            return "timeout", False
        return said.partition("status: ")[2].partition(",")[0], " ad;" in said.partition(";; flags:")[2].splitlines()[0]

    def answers(self, name: str, kind: str, server: str = "127.0.0.1") -> tuple[str, bool]:
        """As `ask`, once there is an answer."""
        end = time.monotonic() + 15
        while (answer := self.ask(name, kind, server))[0] == "timeout" and time.monotonic() < end:
            time.sleep(0.2)
        return answer

    def anchor(self) -> str:
        """The DS record of the root, as `resolver_trust_anchor` takes it."""
        listed = self.run("keymgr", "-c", self.directory / "knot.conf", ".", "ds").splitlines()
        return next(line for line in listed if " 13 2 " in line)

    def resolver(self, **variables: object) -> None:
        """Start Unbound with the role's files for this network, and `variables`; one that runs is stopped first."""
        for process in self.running:
            process.terminate()
            process.wait(10)
        wanted = {
            "resolver_root_hints": [f"ns. {ROOT_SERVER}"],
            "resolver_trust_anchor": self.anchor(),
            "resolver_private_zones": [],
            **variables,
        }
        text = ""
        for path, file in role_files("resolver", **wanted).items():
            if path.startswith("/etc/unbound/"):
                target = self.directory / Path(path).name
                target.write_text(file.content.replace("/etc/unbound/", f"{self.directory}/"))
                text += f'include: "{target}"\n' if path.endswith(".conf") else ""
        text += (
            f'server:\n  username: ""\n  chroot: ""\n  pidfile: ""\n  directory: "{self.directory}"\n  use-syslog: no\n'
        )
        (self.directory / "unbound.conf").write_text(text)
        self.running = [self.spawn("unbound", "-d", "-c", self.directory / "unbound.conf")]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dns]:
    """A network namespace with a signed root and two zones below it, one of which does not match its DS."""
    missing = [name for name in ("unbound", "knotd", "dig", "ip") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        pytest.fail(f"needs root, and {', '.join(missing) or 'nothing else'}")
    directory = tmp_path_factory.mktemp("dns")
    namespace = f"sendyard-{os.getpid()}-dns"
    zones = {zone: records.format(ns=ROOT_SERVER, wrong="ab" * 32) for zone, records in ZONES.items()}
    configuration = knot.configure(directory, ROOT_SERVER, zones, unsigned=["unsigned."])
    subprocess.run(["ip", "netns", "add", namespace], check=True, timeout=20)
    try:
        with ExitStack() as stack:
            made = Dns(namespace, directory, stack)
            made.run("ip", "address", "add", f"{ROOT_SERVER}/32", "dev", "lo")
            made.run("ip", "link", "set", "lo", "up")
            made.spawn("knotd", "-c", configuration)
            assert made.answers(".", "SOA", ROOT_SERVER)[0] == "NOERROR"
            yield made
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], check=False, timeout=20)


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        ("mx1.yard.", "A", ("NOERROR", True)),
        ("nobody.yard.", "A", ("NXDOMAIN", True)),
        ("www.bogus.", "A", ("SERVFAIL", False)),
        (".", "NS", ("NOERROR", True)),
    ],
)
def test_answers_are_validated(network: Dns, name: str, kind: str, answer: tuple[str, bool]) -> None:
    if not network.running:
        network.resolver()
    assert network.answers(name, kind) == answer


def test_only_the_host_itself_is_answered(network: Dns) -> None:
    network.resolver()
    assert network.answers("mx1.yard.", "A") == ("NOERROR", True)
    for protocol in ("--udp", "--tcp"):
        listening = network.run("ss", "-Hln", protocol).split()
        assert {address for address in listening if address.endswith(":53")} == {f"{ROOT_SERVER}:53", "127.0.0.1:53"}


def test_a_wrong_trust_anchor_means_no_answer_at_all(network: Dns) -> None:
    tag, rest = network.anchor().split(" DS ")
    network.resolver(resolver_trust_anchor=f"{tag} DS {rest[:-4]}0000")
    assert network.answers("mx1.yard.", "A") == ("SERVFAIL", False)


def test_zones_of_private_networks_are_looked_up_where_wanted(network: Dns) -> None:
    network.resolver()
    assert network.answers("4.3.2.10.in-addr.arpa.", "PTR")[0] == "NXDOMAIN"
    network.resolver(resolver_private_zones=["10.in-addr.arpa."])
    assert network.answers("4.3.2.10.in-addr.arpa.", "PTR")[0] == "NOERROR"


def verdict_of(network: Dns, name: str, kind: str) -> str:
    """What a module on this host would find out."""
    program = f"import sys; from {dane.__name__} import validated; print(validated(*sys.argv[1:]))"
    path = f"PYTHONPATH={Path(dane.__file__).parents[5]}"
    return network.run("env", path, sys.executable, "-c", program, name, kind).strip()


@pytest.mark.parametrize(
    ("name", "kind", "verdict"),
    [
        ("mx1.yard.", "A", dane.SECURE),
        ("mx1.yard.", "AAAA", dane.ABSENT),
        ("nobody.yard.", "MX", dane.ABSENT),
        ("www.bogus.", "A", dane.BOGUS),
        ("mx1.unsigned.", "MX", dane.INSECURE),
    ],
)
def test_it_is_known_which_answers_can_be_believed(network: Dns, name: str, kind: str, verdict: str) -> None:
    if not network.running:
        network.resolver()
    network.answers("mx1.yard.", "A")
    assert verdict_of(network, name, kind) == verdict


def test_without_a_resolver_nothing_is_known(network: Dns) -> None:
    network.resolver()
    network.running[0].terminate()
    network.running[0].wait(10)
    assert verdict_of(network, "mx1.yard.", "A") == dane.UNKNOWN
    network.running.clear()
