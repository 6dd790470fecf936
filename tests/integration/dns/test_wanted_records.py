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
SEEN, WRITTEN = ["198.51.100.2"], ["198.51.100.3", "198.51.100.1"]  # of mx1: 2 was seen, 3 perhaps written
EARLIER = [{"addresses": SEEN}, {"addresses": WRITTEN}]
RETURNING = [*EARLIER, {"addresses": SEEN, "return_path": "old"}, {"addresses": WRITTEN, "return_path": "old"}]
PLAY = """
- hosts: senders
  gather_facts: false
  vars:
    attempted: false
    asked: "{{ attempted | bool }}"
    earlier: {mx1.yard.example: EARLIER, shared.example: EARLIER, own.example: RETURNING}
    key: {selector: mx1, public_key: AAAA, digest: d, attempted: "{{ asked }}"}
  tasks:
    - ansible.builtin.import_role: {name: sendyard.mail.settings}
    - sendyard.mail.wanted_records:
        domain: "{{ only | default(omit) }}"
        pending:
          mx1.yard.example: "{{ key | combine({'earlier': earlier['mx1.yard.example'] | default([])}) }}"
          shared.example: "{{ key | combine({'earlier': earlier['shared.example'] | default([])}) }}"
          own.example: "{{ key | combine({'earlier': earlier['own.example'] | default([])}) }}"
      register: wanted
    - ansible.builtin.copy: {content: "{{ lookup('file', wanted.file) }}", dest: DEST, mode: "0600"}
      delegate_to: localhost
    - ansible.builtin.debug:
        msg: "addresses {{ wanted.addresses | map('dict2items') | flatten | map(attribute='value') | join(' ') }}."
""".replace("EARLIER", json.dumps(EARLIER)).replace("RETURNING", json.dumps(RETURNING))


def wanted_by_mx1(directory: Path, *words: str) -> tuple[list[dict[str, Any]], str]:
    """The records of a run that is limited to mx1, and what ansible-playbook said."""
    (directory / "inventory/domains").mkdir(parents=True, exist_ok=True)
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
    was = {record["name"]: sorted(record["was"]) for record in records if record["mode"] == "spf"}
    assert was == {
        "new.own.example": ["ip4:198.51.100.2", "ip4:198.51.100.3"],
        "old.own.example": ["-all", "ip4:198.51.100.1", "ip4:198.51.100.2", "ip4:198.51.100.3"],
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
    assert "mx2: its sendyard_addresses or sendyard_fqdn cannot be read here (" in one_line
    assert "the records of shared.example must keep" in one_line
    assert records == []


def test_what_the_provider_of_the_addresses_names_is_asked_of_nobody_else(tmp_path: Path) -> None:
    address = ("-e", "address_of_mx2=198.51.100.2")
    records, said = wanted_by_mx1(tmp_path / "ours", *address)
    assert [record["mode"] for record in records if record["type"] == "PTR" and record["values"]] == ["manual"], said
    assert "addresses ." in said
    records, said = wanted_by_mx1(tmp_path / "theirs", *address, "-e", "sendyard_ptr_credential=lab")
    assert not [record for record in records if record["type"] == "PTR"]
    assert "addresses 198.51.100.1 mx1.yard.example lab mx1." in said


def test_the_records_of_one_domain_are_wanted_alone(tmp_path: Path) -> None:
    records, said = wanted_by_mx1(tmp_path, "-e", "address_of_mx2=198.51.100.2", "-e", "only=shared.example")
    assert {record["subject"] for record in records} == {"shared.example"}, said
    assert {record["name"] for record in records} == {
        "shared.example", "_dmarc.shared.example", "mx1-1._domainkey.shared.example",
    }  # fmt: skip


@pytest.mark.parametrize("attempted", [False, True])
def test_what_an_earlier_run_may_have_written_is_marked(tmp_path: Path, attempted: bool) -> None:
    words = ("-e", "address_of_mx2=198.51.100.2", "-e", f"attempted={attempted}")
    records, said = wanted_by_mx1(tmp_path, *words)
    assert {record.get("attempted", False) for record in records} == {attempted}, said


def having_had(directory: Path, *words: str, **earlier: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The records of mx1 by name and type, where its names (`own`, `shared`, `mx1`) had these settings earlier."""
    names = {"own": "own.example", "shared": "shared.example", "mx1": "mx1.yard.example"}
    had = {"earlier": {names[name]: settings for name, settings in earlier.items()}}
    records, said = wanted_by_mx1(
        directory,
        "-e",
        "address_of_mx2=198.51.100.2",
        "-e",
        json.dumps(had),
        *(part for word in words for part in ("-e", word)),
    )
    assert records, said
    return {(record["name"], record["type"]): record for record in records}


def test_whatever_a_domains_settings_gave_up_is_known_as_ours(tmp_path: Path) -> None:
    other = {"dmarc_rua": "mailto:old@own.example", "dmarc_policy": "reject", "first_policy": ""}
    records = having_had(
        tmp_path, own=[{"spf_style": "include"}, {**other, "fqdn": "mx0.yard.example"}, {"return_path": "old"}]
    )
    assert records["_dmarc.own.example", "TXT"]["was"] == ["v=DMARC1; p=reject; rua=mailto:old@own.example"]
    assert records["_spf-sendyard.own.example", "TXT"]["was"] == ["ip4:198.51.100.1", "-all"]
    assert records["new.own.example", "MX"]["was"] == ["10 mx0.yard.example."]
    gone = {place for place, record in records.items() if not record["values"]}
    names = {("_spf-sendyard.own.example", "TXT"), ("old.own.example", "MX"), ("old.own.example", "TXT")}
    assert gone == names
    assert not any(records[place].get("optional") for place in gone)  # it must go, or the domain is at fault


def test_a_name_that_moved_to_another_server_stays_in_the_return_path_that_they_share(tmp_path: Path) -> None:
    settings = [{"fqdn": name, "return_path": "bounces"} for name in ("mx2.yard.example", "mx0.yard.example")]
    records = having_had(tmp_path, "sendyard_return_path=new", shared=settings, own=settings)
    assert sorted(records["bounces.shared.example", "MX"]["was"]) == ["10 mx0.yard.example.", "10 mx1.yard.example."]
    assert sorted(records["bounces.own.example", "MX"]["was"]) == ["10 mx0.yard.example.", "10 mx2.yard.example."]


def test_whatever_a_servers_settings_gave_up_is_known_as_ours_and_stops_nothing(tmp_path: Path) -> None:
    had = {
        "bounce_domain": "b.yard.example",
        "caa_issuers": ["old.example"],
        "dmarc_rua": "mailto:d@r.example,mailto:d@taken.example,mailto:d@too.example",
    }
    (tmp_path / "inventory/domains").mkdir(parents=True)
    named = (
        DOMAIN.format(domain="more.example", servers="mx2", return_path='""') + "dmarc_rua: mailto:x@taken.example\n"
    )
    (tmp_path / "inventory/domains/more.example.yml").write_text(named)
    now = {"sendyard_caa_issuers": ["new.example"], "sendyard_dmarc_rua": "mailto:d@too.example"}
    records = having_had(tmp_path, json.dumps(now), mx1=[had])
    caa = records["mx1.yard.example", "CAA"]
    assert (caa["values"], caa["was"]) == (['0 issue "new.example"'], ['0 issue "old.example"'])
    gone = {place: record.get("optional") for place, record in records.items() if not record["values"]}
    assert gone == {
        ("b.yard.example", "MX"): True,  # its zone may be somebody else's by now
        ("b.yard.example", "TXT"): True,
        ("*._report._dmarc.r.example", "TXT"): True,  # not taken.example, where reports of another domain go
    }
