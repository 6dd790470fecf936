# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The rules that the role writes, as nftables reads them. (What becomes of packets: tests/integration/firewall.)"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from render import role_files

RULES = "/etc/sendyard/firewall.nft"


def rules(**variables: Any) -> str:
    return role_files("firewall", **{"firewall_ssh_ports": [22], **variables})[RULES].content


def served(text: str) -> list[int]:
    found = re.search(r"elements = \{ ([\d, ]+) \}", text)
    assert found
    return [int(port) for port in found.group(1).split(", ")]


@pytest.mark.parametrize(
    ("variables", "ports"),
    [
        ({}, [22, 25, 80, 465, 587, 2525]),
        ({"firewall_ssh_ports": [2222]}, [25, 80, 465, 587, 2222, 2525]),
        ({"firewall_ssh_ports": ["22", 2222, 22]}, [22, 25, 80, 465, 587, 2222, 2525]),
        ({"firewall_tcp_ports": [25], "firewall_extra_tcp_ports": [9100, 25]}, [22, 25, 9100]),
    ],
)
def test_the_served_ports_are_those_of_ssh_and_mail_and_the_owners(variables: dict[str, Any], ports: list[int]) -> None:
    assert served(rules(**variables)) == ports


def test_mail_leaves_as_the_named_users() -> None:
    assert "meta skuid != { postfix, relay } jump" in rules(firewall_smtp_users=["postfix", "relay"])


def test_no_table_but_ours_is_named() -> None:
    text = re.sub(r"#.*", "", rules())
    assert set(re.findall(r"\btable (\w+ \w+)", text)) == {"inet sendyard"}
    assert "flush" not in text


def test_nftables_reads_them(tmp_path: Path) -> None:
    """In a user and network namespace of its own, where users but the caller do not exist."""
    path = tmp_path / "rules.nft"
    path.write_text(rules(firewall_smtp_users=["root"]))
    checked = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "nft", "--check", "--file", path],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_unit_loads_before_any_interface_is_up() -> None:
    unit = role_files("firewall", firewall_ssh_ports=[22])["/etc/systemd/system/sendyard-firewall.service"].content
    assert "DefaultDependencies=no\n" in unit
    assert re.search(r"^Before=.*\bnetwork-pre\.target\b", unit, re.MULTILINE)
    assert f"ExecStart=/usr/sbin/nft --file {RULES}\n" in unit
