# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the kernel does with packets under the role's rules."""

from __future__ import annotations

import re
import time

import pytest
from integration.firewall.conftest import HOST4, HOST6, PEER4, PEER6, Network

SERVED = (22, 25, 80, 465, 587, 2525)
BOTH = pytest.mark.parametrize(("host", "peer"), [(HOST4, PEER4), (HOST6, PEER6)], ids=["v4", "v6"])


@BOTH
def test_only_what_the_server_serves_is_let_in(network: Network, host: str, peer: str) -> None:
    with network.host.listening(*SERVED, 111, 8080):
        assert set(network.peer.connect(host, *SERVED, 111, 8080).values()) == {"open"}  # the control: nothing loaded
        network.load()
        assert network.peer.connect(host, *SERVED, 111, 8080) == {
            **dict.fromkeys(SERVED, "open"),
            111: "timeout",
            8080: "timeout",
        }
        assert network.host.connect("::1", 8080) == {8080: "open"}


def test_ssh_stays_open_by_every_port_it_is_reached_by(network: Network) -> None:
    network.load(firewall_ssh_ports=[2222, 22], firewall_extra_tcp_ports=[9100])
    with network.host.listening(22, 2222, 9100, 9101):
        expected = {22: "open", 2222: "open", 9100: "open", 9101: "timeout"}
        assert network.peer.connect(HOST4, 22, 2222, 9100, 9101) == expected


@BOTH
def test_only_postfix_sends_mail_to_others(network: Network, host: str, peer: str) -> None:
    with network.peer.listening(25, 80):
        assert network.host.connect(peer, 25) == {25: "open"}
        network.load()
        assert network.host.connect(peer, 25, user="postfix") == {25: "open"}
        for other in ("root", "nobody"):
            assert network.host.connect(peer, 25, 80, user=other) == {25: "Connection refused", 80: "open"}


@BOTH
def test_nobody_sends_mail_through_the_host(network: Network, host: str, peer: str) -> None:
    """A container's packets are forwarded, and have no user: here the router's, which goes through the host."""
    network.host.run("ip", "link", "add", "inner", "type", "veth", "peer", "name", "beyond")
    network.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    gateways = {"10.254.99.9": HOST4, "fd5e:99::9": HOST6}
    target = "10.254.99.9" if host == HOST4 else "fd5e:99::9"
    network.host.run("ip", "address", "add", f"{target}/{24 if host == HOST4 else 64}", "dev", "inner")
    network.host.run("ip", "link", "set", "inner", "up")
    network.host.run("ip", "link", "set", "beyond", "up")
    behind = re.sub(r"9$", "8", target)  # nobody has it: what gets past the filter is answered by a timeout
    network.router.run("ip", "route", "add", behind, "via", gateways[target])
    assert network.router.connect(behind, 25) == {25: "timeout"}
    network.load()
    assert network.router.connect(behind, 25) == {25: "Connection refused"}
    counted = network.host.run("nft", "list", "chain", "inet", "sendyard", "mail_past_postfix")
    assert re.search(r"counter packets [1-9]", counted), counted


@BOTH
def test_ping_is_answered_but_no_flood(network: Network, host: str, peer: str) -> None:
    rate, burst = 10, 20
    network.load(firewall_echo_rate=rate)
    assert " 0% packet loss" in network.peer.run("ping", "-c", "3", "-i", "0.2", host)
    started = time.monotonic()
    flood = network.peer.run("ping", "-q", "-c", "200", "-i", "0.002", "-W", "1", host, check=False)
    took = time.monotonic() - started  # on a busy machine the flood is a slower one, and more of it may be answered
    answered = int(re.findall(r"(\d+) received", flood)[0])
    assert rate <= answered <= burst + rate * (took + 1), flood
    with network.host.listening(25):
        assert network.peer.connect(host, 25) == {25: "open"}


@BOTH
def test_path_mtu_and_neighbours_work(network: Network, host: str, peer: str) -> None:
    network.load()
    with network.host.listening(25, amount=200_000):
        received = network.peer.python(
            """
            address, port = json.loads(sys.argv[1])
            with socket.create_connection((address, port), timeout=10) as connection:
                total = 0
                while piece := connection.recv(65536):
                    total += len(piece)
            print(total)
            """,
            host,
            25,
        )
    assert received == 200_000
    assert "mtu 1280" in network.host.run("ip", "route", "get", peer)  # it took an ICMP error to learn that


def test_answers_of_a_dhcp_server_come_in(network: Network) -> None:
    network.load()
    received = network.host.python(
        """
        import subprocess
        [router] = json.loads(sys.argv[1])
        send = '''
        import socket
        for source, text in ((1067, b"other"), (67, b"offer")):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.bind(("0.0.0.0", source)); udp.sendto(text, ("%s", 68))
        '''
        import textwrap
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("0.0.0.0", 68)); udp.settimeout(5)
            script = textwrap.dedent(send) % "HOST"
            subprocess.run(["ip", "netns", "exec", router, sys.executable, "-c", script], check=True)
            print(json.dumps(udp.recv(100).decode()))
        """.replace("HOST", HOST4),
        network.router.namespace,
    )
    assert received == "offer"


def test_a_new_rule_set_replaces_ours_and_nothing_else(network: Network) -> None:
    network.host.run("nft", "add table ip other; add chain ip other c; add rule ip other c counter")
    others = network.host.run("nft", "list", "table", "ip", "other")
    network.load(firewall_extra_tcp_ports=[9100])
    first = network.host.run("nft", "-s", "list", "table", "inet", "sendyard")
    network.load(firewall_extra_tcp_ports=[9200])
    network.load(firewall_extra_tcp_ports=[9100])
    assert network.host.run("nft", "-s", "list", "table", "inet", "sendyard") == first
    assert network.host.run("nft", "list", "table", "ip", "other") == others


def test_a_connection_lives_through_a_reload(network: Network) -> None:
    network.load()
    with network.host.listening(22, amount=5):
        survived = network.peer.python(
            """
            import subprocess
            address, namespace, rules = json.loads(sys.argv[1])
            with socket.create_connection((address, 22), timeout=5) as connection:
                subprocess.run(["ip", "netns", "exec", namespace, "nft", "--file", rules], check=True)
                time.sleep(0.2)
                print(json.dumps(connection.recv(5).decode()))
            """,
            HOST4,
            network.host.namespace,
            str(network.directory / "firewall.nft"),
        )
    assert survived == "xxxxx"


def test_stopping_the_unit_removes_the_table_even_if_it_is_gone(network: Network) -> None:
    network.load()
    for _ in range(2):
        network.host.run("nft", "table inet sendyard; delete table inet sendyard")  # the unit's ExecStop
    assert "sendyard" not in network.host.run("nft", "list", "ruleset")
