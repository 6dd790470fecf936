"""What preflight says of an inventory, through ansible-playbook, with this machine as the host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HOSTS = """
senders:
  hosts:
    mx1:
      ansible_connection: local
      sendyard_fqdn: mx1.yard.example
      sendyard_addresses: [{public: 127.0.0.1}]
"""
GROUP = """
sendyard_admin: postmaster@yard.example
sendyard_dns_credential: lab
sendyard_dns_credentials: {lab: {}}
sendyard_preflight_port25_targets: []
"""
PLAY = f"""
- hosts: senders
  gather_facts: false
  vars_files: [{ROOT}/playbooks/vars/packages.yml]
  tasks:
    - ansible.builtin.import_tasks: {ROOT}/playbooks/tasks/inspect.yml
      vars: {{faults_are_collected: true}}
    - sendyard.mail.preflight_verdict: {{faults: "{{{{ __inventory.faults }}}}"}}
    - ansible.builtin.debug: {{var: ansible_facts.sendyard_domain_faults}}
"""


EXAMPLE = """
- hosts: senders
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: sendyard.mail.settings}
    - sendyard.mail.inventory_check:
      register: found
    - ansible.builtin.debug:
        msg: "{{ inventory_hostname }} faults={{ found.faults + ansible_facts.sendyard_domain_faults }}"
"""


def play(playbook: Path, inventory: Path, cache: Path) -> str:
    """What ansible-playbook prints."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, playbook],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "XDG_CACHE_HOME": str(cache)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_the_example_holds_no_mistake(tmp_path: Path) -> None:
    """Nothing is asked of its hosts, which do not exist."""
    (tmp_path / "play.yml").write_text(EXAMPLE)
    said = play(tmp_path / "play.yml", ROOT / "inventory/example", tmp_path / "cache")
    for host in ("mta1", "mta2"):
        assert f"{host} faults=[]" in said


def preflight(directory: Path, hosts: str = HOSTS, group: str = GROUP, **domains: str) -> str:
    (directory / "inventory/group_vars").mkdir(parents=True)
    (directory / "inventory/domains").mkdir()
    (directory / "inventory/hosts.yml").write_text(hosts)
    (directory / "inventory/group_vars/senders.yml").write_text(group)
    for name, text in domains.items():
        (directory / f"inventory/domains/{name.replace('_', '.')}.yml").write_text(text)
    (directory / "play.yml").write_text(PLAY)
    return play(directory / "play.yml", directory / "inventory", directory / "cache")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("group", GROUP + "sendyard_publish_deadlin: 3\n"), ["senders.yml:6", 'mean "sendyard_publish_deadline"?']),
        (("hosts", HOSTS.replace("127.0.0.1", "127.0.0.300")), ['"127.0.0.300" is no IP address']),
        (("hosts", HOSTS.replace("[{public: 127.0.0.1}]", "7")), ["sendyard_addresses", "must be a list"]),
        (
            ("group", GROUP.replace("credential: lab", "credential: labb")),
            ['"labb" is not in sendyard_dns_credentials'],
        ),
        (("group", GROUP + "sendyard_certificate_source: none\n"), ["senders.yml:6", "selfsigned"]),
        (
            ("group", GROUP + "sendyard_domains_directory: /no/such/domains\n"),
            ["sendyard_domains_directory (", "senders.yml:6", "/no/such/domains cannot be read"],
        ),
        (
            ("hosts", HOSTS.replace("      sendyard_fqdn: mx1.yard.example\n", "")),
            ["missing required", "sendyard_fqdn"],
        ),
    ],
)
def test_a_mistake_in_the_inventory_is_named(tmp_path: Path, change: tuple[str, str], words: list[str]) -> None:
    said = preflight(tmp_path, **dict([change]))
    assert "Nothing was changed" in said
    for word in words:
        assert word in said


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    said = preflight(tmp_path, HOSTS.replace("127.0.0.1", "1"), GROUP + "sendyard_x: 1\nsendyard_y: 1\n")
    for word in ("sendyard_x", "sendyard_y", '"1" is no IP address'):
        assert word in said


def test_a_domain_at_fault_is_no_fault_of_the_host(tmp_path: Path) -> None:
    said = preflight(tmp_path, acme_example="domain: acme.example\nservers: [mx1]\ndns: lba\n")
    assert 'did you mean "lab"?' in said
    assert "mx1: dns" not in said
