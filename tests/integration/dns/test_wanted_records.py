# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The records that a run for one server computes, through ansible-playbook: another server's addresses stay shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
INVENTORY = """
senders:
  vars:
    sendyard_admin: postmaster@yard.example
    sendyard_dns_credential: lab
    sendyard_dns_credentials: {lab: {}}
  hosts:
    mx1: {sendyard_fqdn: mx1.yard.example, sendyard_addresses: [{public: 198.51.100.1}]}
    mx2: {sendyard_fqdn: mx2.yard.example, sendyard_addresses: [{public: "{{ address_of_mx2 }}"}]}
"""
DOMAIN = "domain: {domain}\nservers: [{servers}]\ndns: lab\nreturn_path: {return_path}\nlogins: []\n"
EARLIER = [["198.51.100.2"], ["198.51.100.3", "198.51.100.1"]]  # of mx1: 2 was seen, 3 perhaps written
PLAY = """
- hosts: senders
  gather_facts: false
  vars:
    attempted: false
    asked: "{{ attempted | bool }}"
    key: {selector: mx1, public_key: AAAA, digest: d, earlier: EARLIER, return_paths: [], attempted: "{{ asked }}"}
    returning: {return_paths: [old.own.example, new.own.example]}
  tasks:
    - ansible.builtin.import_role: {name: sendyard.mail.settings}
    - sendyard.mail.wanted_records:
        pending:
          {mx1.yard.example: "{{ key }}", shared.example: "{{ key }}", own.example: "{{ key | combine(returning) }}"}
      register: wanted
    - ansible.builtin.copy: {content: "{{ lookup('file', wanted.file) }}", dest: DEST, mode: "0600"}
      delegate_to: localhost
    - ansible.builtin.debug:
        msg: "addresses {{ wanted.addresses | map('dict2items') | flatten | map(attribute='value') | join(' ') }}."
""".replace("EARLIER", json.dumps(EARLIER))


def wanted_by_mx1(directory: Path, *words: str) -> tuple[list[dict[str, Any]], str]:
    """The records of a run that is limited to mx1, and what ansible-playbook said."""
    (directory / "inventory/domains").mkdir(parents=True)
    (directory / "inventory/hosts.yml").write_text(INVENTORY)
    for domain, servers, return_path in (("shared.example", "mx1, mx2", '""'), ("own.example", "mx1", "new")):
        text = DOMAIN.format(domain=domain, servers=servers, return_path=return_path)
        (directory / f"inventory/domains/{domain}.yml").write_text(text)
    found = directory / "records.json"
    (directory / "play.yml").write_text(PLAY.replace("DEST", str(found)))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"), "-i", directory / "inventory/hosts.yml",
            "--limit", "mx1", directory / "play.yml", *words,
        ],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "XDG_CACHE_HOME": str(directory / "cache")},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    return (json.loads(found.read_text()) if found.exists() else []), said


def test_an_address_that_moved_to_another_server_stays_in_the_spf_that_they_share(tmp_path: Path) -> None:
    records, said = wanted_by_mx1(tmp_path, "-e", "address_of_mx2=198.51.100.2")
    was = {record["name"]: record["was"] for record in records if record["mode"] == "spf"}
    assert was == {
        "new.own.example": ["ip4:198.51.100.2", "ip4:198.51.100.3"],
        "old.own.example": ["ip4:198.51.100.1", "ip4:198.51.100.2", "ip4:198.51.100.3", "-all"],
        "shared.example": ["include:_spf-sendyard.shared.example", "ip4:198.51.100.3"],
        "own.example": [  # mx2 does not send for it
            "include:_spf-sendyard.own.example",
            "ip4:198.51.100.2",
            "ip4:198.51.100.3",
        ],
    }, said
    own = next(record for record in records if record["name"] == "mx1.yard.example" and record["type"] == "A")
    exchangers = {record["name"]: (record["values"], record["was"]) for record in records if record["mode"] == "member"}
    exchangers.pop("mx1.yard.example", None)  # CAA
    assert exchangers == {
        "new.own.example": (["10 mx1.yard.example."], []),
        "old.own.example": ([], ["10 mx1.yard.example."]),
    }
    assert (own["values"], sorted(own["was"])) == (["198.51.100.1"], ["198.51.100.2", "198.51.100.3"])


@pytest.mark.parametrize("address", [(), ("-e", "address_of_mx2=nonsense")], ids=["unknown", "no address"])
def test_where_the_other_servers_addresses_are_not_known_nothing_is_taken_out(
    tmp_path: Path, address: tuple[str, ...]
) -> None:
    records, said = wanted_by_mx1(tmp_path, *address)
    one_line = " ".join(said.split())
    assert "mx2: sendyard_addresses: they cannot be read here (" in one_line
    assert "the SPF record of shared.example must keep" in one_line
    assert records == []


def test_what_the_provider_of_the_addresses_names_is_asked_of_nobody_else(tmp_path: Path) -> None:
    address = ("-e", "address_of_mx2=198.51.100.2")
    records, said = wanted_by_mx1(tmp_path / "ours", *address)
    assert [record["mode"] for record in records if record["type"] == "PTR" and record["values"]] == ["manual"], said
    assert "addresses ." in said
    records, said = wanted_by_mx1(tmp_path / "theirs", *address, "-e", "sendyard_ptr_credential=lab")
    assert not [record for record in records if record["type"] == "PTR"]
    assert "addresses 198.51.100.1 mx1.yard.example lab mx1." in said


@pytest.mark.parametrize("attempted", [False, True])
def test_what_an_earlier_run_may_have_written_is_marked(tmp_path: Path, attempted: bool) -> None:
    words = ("-e", "address_of_mx2=198.51.100.2", "-e", f"attempted={attempted}")
    records, said = wanted_by_mx1(tmp_path, *words)
    assert {record.get("attempted", False) for record in records} == {attempted}, said
