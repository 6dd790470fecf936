"""What preflight says of an inventory, through ansible-playbook, with this machine as the host."""

from __future__ import annotations

import json
import os
import re
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


def run(
    playbook: Path, inventory: Path, cache: Path, *more: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook as it is run in a checkout."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, playbook, *more],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "XDG_CACHE_HOME": str(cache)} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def play(playbook: Path, inventory: Path, cache: Path) -> str:
    """What ansible-playbook prints."""
    return run(playbook, inventory, cache).stdout


def test_the_example_holds_no_mistake(tmp_path: Path) -> None:
    """Nothing is asked of its hosts, which do not exist."""
    (tmp_path / "play.yml").write_text(EXAMPLE)
    said = play(tmp_path / "play.yml", ROOT / "inventory/example", tmp_path / "cache")
    for host in ("mta1", "mta2"):
        assert f"{host} faults=[]" in said


def written(directory: Path, hosts: str = HOSTS, group: str = GROUP, **domains: str) -> Path:
    """An inventory below `directory`, and beside it play.yml."""
    inventory = directory / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "domains").mkdir()
    (inventory / "hosts.yml").write_text(hosts)
    (inventory / "group_vars/senders.yml").write_text(group)
    for name, text in domains.items():
        (inventory / f"domains/{name.replace('_', '.')}.yml").write_text(text)
    (directory / "play.yml").write_text(PLAY)
    return inventory


def preflight(directory: Path, hosts: str = HOSTS, group: str = GROUP, **domains: str) -> str:
    inventory = written(directory, hosts, group, **domains)
    return play(directory / "play.yml", inventory, directory / "cache")


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


MISTAKES = """
sendyard_admin: nobody
sendyard_dns_credential: labb
sendyard_dns_credentials: {lab: text}
sendyard_preflight_port25_targets: []
sendyard_takeover: banana
sendyard_certificate_source: provided
sendyard_certificate_provided: [{certificate_file: /nowhere/a.crt, key_file: /nowhere/a.key}]
sendyard_message_size_limit: -5
sendyard_publish_deadline: 0
sendyard_prove_tls_ca: /nowhere/ca.pem
sendyard_prove_fetch_command: [/nowhere/fetch]
sendyard_domains_directory: "{{ inventory_dir }}/other domains"
postfix_process_limit: banana
postfix_submission_recipient_limit: many
sendyard_publish_deadlin: 1
"""


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    """Each with the place where it was written; and what is wrong with the host, where that was there to be seen."""
    said = preflight(tmp_path, HOSTS.replace("127.0.0.1}", "192.0.2.7}, {public: 1}"), MISTAKES)
    where = f"({tmp_path}/inventory/group_vars/senders.yml:"
    lines = MISTAKES.splitlines()
    for name, what in {
        "sendyard_admin": "mail address",
        "sendyard_dns_credential": '"labb" is not in',
        "sendyard_dns_credentials": '"lab" must be a mapping',
        "sendyard_takeover": "bool",
        "sendyard_certificate_provided": "/nowhere/a.crt cannot be read",
        "sendyard_message_size_limit": '"-5" is too small',
        "sendyard_publish_deadline": '"0" is too small',
        "sendyard_prove_tls_ca": "/nowhere/ca.pem cannot be read",
        "sendyard_prove_fetch_command": '"/nowhere/fetch" is no program',
        "sendyard_domains_directory": "ignore_patterns",
        "postfix_process_limit": "int",
        "postfix_submission_recipient_limit": "int",
        "sendyard_publish_deadlin": 'did you mean "sendyard_publish_deadline"?',
    }.items():
        line = next(number for number, text in enumerate(lines, 1) if text.startswith(f"{name}:"))
        assert re.search(rf"mx1: {name} {re.escape(where)}{line}\): .*{re.escape(what)}", said), f"{name}\n{said}"
    assert '"1" is no IP address' in said
    assert "does not hold 192.0.2.7" in said


def test_servers_that_share_what_is_one_server_s_are_named(tmp_path: Path) -> None:
    """The selectors come from the inventory's names here, which begin alike."""
    hosts = (
        HOSTS.replace("mx1:", "mx1.a.example:")
        + """
    mx1.b.example:
      ansible_connection: local
      sendyard_fqdn: mx1.yard.example
      sendyard_addresses: [{public: "2001:db8::1"}, {public: "::ffff:7f00:1"}, {public: 127.0.0.1}]
"""
    )
    said = preflight(tmp_path, hosts)
    for one, other in (("mx1.a.example", "mx1.b.example"), ("mx1.b.example", "mx1.a.example")):
        assert re.search(rf'{one}: sendyard_fqdn .*"mx1.yard.example" is the name of {other} too', said)
        assert re.search(rf'{one}: sendyard_selector: "mx1-1" is the selector of {other} too', said)
        assert re.search(rf'{one}: sendyard_addresses .*"127.0.0.1" is an address of {other} too', said)
    assert said.count("is an address of") == 2 * 2  # Ansible says a failure twice
    (tmp_path / "play.yml").write_text(EXAMPLE)
    only = ("--limit", "mx1.a.example", "-e", '{"sendyard_addresses": [{"public": "127.0.0.9"}]}')
    done = run(tmp_path / "play.yml", tmp_path / "inventory", tmp_path / "cache", *only)
    assert "sendyard_fqdn" in done.stdout, "a server outside of the run is one too"
    assert "sendyard_addresses" not in done.stdout, "what is said for this run is not said of the others"


UNREACHABLE = HOSTS.replace("ansible_connection: local", "ansible_host: 127.0.0.1\n      ansible_port: 1")
BROKEN = "domain: acme.example\nservers: [mx1]\ndns: lba\n"


def test_faults_of_the_inventory_are_told_of_a_host_that_is_not_reached(tmp_path: Path) -> None:
    inventory = written(tmp_path, UNREACHABLE, GROUP + "sendyard_prove_recipient: nomail\n", acme_example=BROKEN)
    done = run(tmp_path / "play.yml", inventory, tmp_path / "cache")
    assert done.returncode == 4
    assert '"nomail" is no mail address' in done.stdout
    assert 'did you mean "lab"?' in done.stdout + done.stderr


def test_a_domain_at_fault_is_told_with_the_faults_of_its_host(tmp_path: Path) -> None:
    said = preflight(tmp_path, HOSTS.replace("127.0.0.1", "192.0.2.7"), acme_example=BROKEN)
    failure = said.partition("TASK [sendyard.mail.preflight_verdict]")[2]
    assert "does not hold 192.0.2.7" in failure
    assert 'did you mean "lab"?' in failure.partition("fatal:")[0]


def test_a_step_alone_tells_domains_at_fault_and_exits_with_3(tmp_path: Path) -> None:
    inventory = written(tmp_path, acme_example=BROKEN)
    (tmp_path / "play.yml").write_text(EXAMPLE)
    done = run(tmp_path / "play.yml", inventory, tmp_path / "cache")
    assert done.returncode == 3
    assert f'acme.example: {inventory}/domains/acme.example.yml: dns: "lba"' in done.stderr
    (inventory / "domains/acme.example.yml").unlink()
    assert run(tmp_path / "play.yml", inventory, tmp_path / "cache").returncode == 0


def test_a_run_believes_no_facts_of_an_earlier_one(tmp_path: Path) -> None:
    """An owner may have Ansible cache facts: what was wrong then may be right now, and the other way round."""
    inventory = written(tmp_path, acme_example=BROKEN)
    cached = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "facts")}
    first = run(tmp_path / "play.yml", inventory, tmp_path / "cache", **cached)
    assert 'did you mean "lab"?' in first.stdout
    assert list((tmp_path / "facts").iterdir()), "the facts were to be cached"
    (inventory / "domains/acme.example.yml").unlink()
    (inventory / "hosts.yml").write_text(HOSTS.replace("127.0.0.1", "192.0.2.7"))
    second = run(tmp_path / "play.yml", inventory, tmp_path / "cache", **cached)
    assert "does not hold 192.0.2.7" in second.stdout
    assert "acme.example" not in second.stdout + second.stderr


def test_a_whole_run_that_stops_leaves_no_verdict_of_an_earlier_one(tmp_path: Path) -> None:
    """A preflight alone proves nothing, and leaves it."""
    group = GROUP.replace("postmaster@yard.example", "nobody") + "ansible_become: false\n"
    inventory = written(tmp_path, group=group + f"sendyard_report_directory: {tmp_path}\n")
    card = tmp_path / "scorecard.json"
    card.write_text('{"verdict": "fine"}')
    assert run(ROOT / "playbooks/preflight.yml", inventory, tmp_path / "cache").returncode == 2
    assert json.loads(card.read_text())["verdict"] == "fine"
    assert run(ROOT / "site.yml", inventory, tmp_path / "cache").returncode == 2
    assert json.loads(card.read_text())["verdict"] == "stopped"


@pytest.mark.parametrize(("pattern", "parsed"), [("^domains$", True), ("^ma.n$", False)])
def test_a_directory_that_ansible_parses_is_a_fault(tmp_path: Path, pattern: str, parsed: bool) -> None:
    """What Ansible leaves out is what its patterns match, not what their text resembles."""
    inventory = written(tmp_path, group=GROUP + 'sendyard_domains_directory: "{{ inventory_dir }}/main"\n')
    (inventory / "main").mkdir()
    (tmp_path / "play.yml").write_text(EXAMPLE)
    done = run(tmp_path / "play.yml", inventory, tmp_path / "cache", ANSIBLE_INVENTORY_IGNORE_REGEX=pattern)
    assert ("Ansible parses every file there" in done.stdout) == parsed


def test_a_domain_at_fault_is_no_fault_of_the_host(tmp_path: Path) -> None:
    said = preflight(tmp_path, acme_example="domain: acme.example\nservers: [mx1]\ndns: lba\n")
    assert 'did you mean "lab"?' in said
    assert "mx1: dns" not in said
