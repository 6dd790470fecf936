# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The parts of role transport_policy name each other as they are, and Postfix names the server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.base import Change
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.transport_policy import TransportPolicy
from programs import ROOT
from render import host_config_calls, role_files
from sendyard import sts_cache, transport_policy

UNIT = "/etc/systemd/system/sendyard-{}.service"


def test_postfix_asks_where_the_server_listens() -> None:
    [call] = host_config_calls("transport_policy")
    unit = role_files("transport_policy")[UNIT.format("transport-policy")].content
    [asked] = re.findall(r"'socketmap:unix:(\S+):tls'", (ROOT / "playbooks/serve.yml").read_text())
    assert call["settings"]["socket"] == f"/var/spool/postfix/{asked}"
    assert f"--socket /var/spool/postfix/{asked} " in unit


def test_server_and_daemon_share_socket_and_cache() -> None:
    files = role_files("transport_policy")
    config = yaml.safe_load(files["/etc/sendyard/mta-sts-daemon.yml"].content)
    server = files[UNIT.format("transport-policy")].content
    daemon = files[UNIT.format("mta-sts")].content
    cache = config["cache"]["options"]["filename"]
    assert f"--daemon {config['path']} --cache {cache}\n" in server
    assert f"-m sendyard.sts_cache {cache}\n" in daemon
    assert config["mode"] == 0o660  # YAML 1.1, as the daemon reads it


def test_the_server_waits_longer_than_the_daemon_may_take() -> None:
    config = yaml.safe_load(role_files("transport_policy")["/etc/sendyard/mta-sts-daemon.yml"].content)
    assert 2 * config["default_zone"]["timeout"] < transport_policy._DAEMON_SECONDS


@pytest.mark.parametrize(
    ("path", "units"),
    [
        ("/usr/lib/sendyard/sendyard/transport_policy.py", {"transport-policy"}),
        ("/usr/lib/sendyard/sendyard/sts_cache.py", {"mta-sts", "transport-policy"}),
        ("/etc/sendyard/mta-sts-daemon.yml", {"mta-sts"}),
        (UNIT.format("mta-sts"), {"mta-sts"}),
        (UNIT.format("transport-policy"), {"transport-policy"}),
        ("/usr/local/sbin/sendyard-transport-policy", set()),
    ],
)
def test_only_what_reads_a_file_starts_anew(path: str, units: set[str]) -> None:
    subsystem = TransportPolicy({})
    assert subsystem.may_own(Path(path))
    restarted = subsystem.effects([Change(Path(path), None, None)])
    assert restarted == {f"sendyard-{unit}.service": "restart" for unit in units}


def test_the_readme_says_how_much_is_kept() -> None:
    said = (ROOT / "roles/transport_policy/README.md").read_text()
    assert f"At most {sts_cache.ROWS:,} and {sts_cache.OCTETS >> 20} MiB".replace(",", " ") in said
