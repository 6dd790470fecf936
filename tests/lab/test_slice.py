# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Names and addresses follow from the checkout's path; nothing of this needs a running lab."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

import lab_api
import pytest

sys.path.insert(0, str(lab_api.ROOT / "lab"))

from sendyard_lab.slice import slice_of


def test_two_checkouts_share_nothing() -> None:
    one, other = slice_of(Path("/srv/one")), slice_of(Path("/srv/other"))
    assert one.prefix != other.prefix
    assert not one.ipv4.overlaps(other.ipv4)
    assert not one.ipv6.overlaps(other.ipv6)


def test_addresses_are_private_and_end_alike() -> None:
    lab = slice_of(Path("/srv/one"))
    ipv4, ipv6 = (ipaddress.ip_address(text) for text in lab.addresses(53))
    assert ipv4 in ipaddress.ip_network("10.128.0.0/10")
    assert ipv6 in ipaddress.ip_network("2001:db8::/32")
    assert str(ipv4).endswith(".53")
    assert str(ipv6).endswith("::53")


def test_reverse_zones_hold_the_addresses() -> None:
    lab = slice_of(Path("/srv/one"))
    for text, zone in zip(lab.addresses(80), lab.reverse_zones, strict=True):
        assert ipaddress.ip_address(text).reverse_pointer.endswith("." + zone.removesuffix("."))


def test_the_control_sockets_fit_the_kernel() -> None:
    # ssh appends a hash of 40 characters and, for a moment, 17 more
    assert len(str(slice_of(Path("/srv/" + "deep/" * 60)).sockets)) + 60 < 107


def test_the_inventory_needs_no_running_lab(tmp_path: Path) -> None:
    for name in ("lab", "inventory"):
        (tmp_path / name).mkdir()
    for name in ("lab/sendyard_lab", "lab/setup"):
        (tmp_path / name).symlink_to(lab_api.ROOT / name)
    script = tmp_path / "inventory" / "lab" / "hosts"
    script.parent.mkdir()
    script.write_text((lab_api.ROOT / "inventory/lab/hosts").read_text())
    done = subprocess.run([sys.executable, script, "--list"], capture_output=True, timeout=30, text=True, check=True)
    assert done.stderr == "the lab is down; lab/lab up brings it up\n"
    listed = json.loads(done.stdout)
    assert listed["senders"]["hosts"] == ["mx-trixie", "mx-bookworm"]
    host = listed["_meta"]["hostvars"]["mx-trixie"]
    assert host["ansible_host"] == slice_of(tmp_path).addresses(11)[0]
    assert "sendyard_resolver_trust_anchor" not in listed["senders"]["vars"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ssh", "mx-trixi"], "invalid choice: 'mx-trixi'"),
        (["reset", "--name", "never-saved"], "nothing was saved as never-saved"),
        (["forget", "--name", "never-saved"], "nothing was saved as never-saved"),
        (["save", "--name", "fresh"], "save under another name"),
        (["save", "--name", "A/B"], "a name is made of"),
        (["fault", "rx", "tcp dprt 25 drop"], "syntax error"),
    ],
)
def test_a_mistake_is_named(words: list[str], said: str) -> None:
    done = subprocess.run([lab_api.LAB, *words], capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_programs_are_named(tmp_path: Path) -> None:
    for name in ("env", "ip"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    (tmp_path / "python3").symlink_to(sys.executable)
    done = subprocess.run(
        [sys.executable, lab_api.LAB, "up"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "missing on this machine: podman, mmdebstrap, iptables" in done.stderr
    assert "script/bootstrap" in done.stderr
