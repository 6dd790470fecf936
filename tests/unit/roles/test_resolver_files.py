# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the role writes, as unbound-checkconf and the shell read it. (Answers: tests/integration/resolver.)"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from render import host_config_calls, role_files

CONF = "/etc/unbound/unbound.conf.d/sendyard.conf"
ANCHOR = "/etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf"
HINTS = "/etc/unbound/sendyard-root.hints"
LAB = {
    "resolver_root_hints": ["ns1.lab.example. 10.9.8.53", "ns1.lab.example. fd00::53"],
    "resolver_trust_anchor": ". DS 52713 13 2 286578b74114050edd98bb41cecb3f84f3f4f4502e7b19624f5aa40f8d8582d5",
    "resolver_private_zones": ["10.in-addr.arpa.", "test."],
}


@pytest.mark.parametrize("variables", [{}, LAB], ids=["public", "lab"])
def test_unbound_reads_it(tmp_path: Path, variables: dict[str, Any]) -> None:
    files = role_files("resolver", **variables)
    for name, target in {CONF: "sendyard.conf", ANCHOR: "anchor.conf", HINTS: "root.hints"}.items():
        if name in files:
            text = files[name].content.replace(HINTS, str(tmp_path / "root.hints"))
            (tmp_path / target).write_text(text.replace("/var/lib/unbound/root.key", "/usr/share/dns/root.key"))
    (tmp_path / "unbound.conf").write_text(f'include: "{tmp_path}/sendyard.conf"\ninclude: "{tmp_path}/anchor.conf"\n')
    checked = subprocess.run(
        ["unbound-checkconf", tmp_path / "unbound.conf"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr


def test_the_trust_anchor_is_debians_own_to_the_byte() -> None:
    """So that an upgrade of Debian's package does not ask which of two to keep."""
    assert role_files("resolver")[ANCHOR].content == (
        "server:\n"
        "    # The following line will configure unbound to perform cryptographic\n"
        "    # DNSSEC validation using the root trust anchor.\n"
        '    auto-trust-anchor-file: "/var/lib/unbound/root.key"\n'
    )


def test_a_network_with_its_own_root_has_its_hints_and_its_anchor_alone() -> None:
    files = role_files("resolver", **LAB)
    assert files[HINTS].content.splitlines()[1:] == [
        ". 3600000 NS ns1.lab.example.",
        "ns1.lab.example. 3600000 A 10.9.8.53",
        ". 3600000 NS ns1.lab.example.",
        "ns1.lab.example. 3600000 AAAA fd00::53",
    ]
    assert "auto-trust-anchor" not in files[ANCHOR].content
    assert f'trust-anchor: "{LAB["resolver_trust_anchor"]}"' in files[ANCHOR].content
    assert HINTS not in role_files("resolver")


def test_resolv_conf_names_the_host_alone_and_believes_it() -> None:
    files = role_files("resolver")
    lines = [line for line in files["/etc/resolv.conf"].content.splitlines() if not line.startswith("#")]
    assert lines == ["nameserver 127.0.0.1", "options edns0 trust-ad"]
    assert files["/etc/sendyard/resolv.conf"].content == files["/etc/resolv.conf"].content


def test_the_message_cache_is_half_of_the_other() -> None:
    text = role_files("resolver", resolver_cache_size="32")[CONF].content
    assert re.findall(r"(\w+)-cache-size: (\w+)", text) == [("rrset", "32m"), ("msg", "16m")]


def test_the_guard_is_a_program_that_the_shell_reads() -> None:
    guard = role_files("resolver")["/usr/lib/sendyard/hold-resolv-conf"]
    assert guard.mode == "0755"
    subprocess.run(["sh", "-n"], input=guard.content, text=True, check=True, timeout=10)


def test_what_the_watch_misses_is_found_within_the_hour() -> None:
    [call] = host_config_calls("resolver")
    files = role_files("resolver")
    assert "sendyard-resolv.timer" in call["settings"]["units"]
    timer = files["/etc/systemd/system/sendyard-resolv.timer"].content
    assert "\nOnCalendar=hourly\nUnit=sendyard-resolv.service\n" in timer


def test_resolvconf_does_not_make_unbound_a_forwarder() -> None:
    """Read as Debian's hook reads it: by the shell."""
    script = role_files("resolver")["/etc/default/unbound"].content + 'echo "$USE_RESOLVCONF_FORWARDS $RESOLVCONF"'
    ran = subprocess.run(["sh", "-eu"], input=script, capture_output=True, text=True, check=True, timeout=10)
    assert ran.stdout == "false false\n"
