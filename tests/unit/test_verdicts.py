# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whose fault it is what mail_dns found for all hosts at once: every host tells its own, and domains' faults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.task import Task
from ansible_collections.sendyard.mail.plugins.action import preflight_verdict, publish_verdict, sending_addresses
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

BAD = {"ok": False, "error": "its zone is refused"}
SUBJECTS = {"mx1": BAD, "mx2": BAD, "acme.example": BAD, "globex.example": {"ok": True}}
HOST = {
    "distribution": "debian", "release": "13", "init": "systemd", "addresses_missing": [], "clock_off": 0.0,
    "port25": "open", "occupied": {}, "main_cf": "ours",
}  # fmt: skip
KNOWN = {"subject": "known.example", "message": "its file is broken", "left_alone": True}


def verdict(
    action: Any, host: str, reports: Path, settings: Mapping[str, Any] | None = None, **args: Any
) -> dict[str, Any]:
    """What an action plugin says for `host`."""
    task = Task()
    task.args = args
    parts = dict.fromkeys(["connection", "play_context", "loader", "shared_loader_obj"])
    parts["connection"] = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    plugin = action.ActionModule(task=task, templar=SimpleNamespace(template=lambda value: value), **parts)
    facts = owner.facts(sendyard=HOST, sendyard_domain_faults=[KNOWN])
    variables = {
        "inventory_hostname": host,
        "groups": {"senders": ["mx1", "mx2", "mx3"]},
        "ansible_facts": facts,
        "sendyard_report_directory": str(reports),
        **(settings or {}),
    }
    said: dict[str, Any] = plugin.run(task_vars=variables)
    return said


@pytest.mark.parametrize("host", ["mx1", "mx3"])
@pytest.mark.parametrize(
    ("action", "args", "left_alone"),
    [
        (publish_verdict, {"subjects": SUBJECTS, "waiting": []}, False),
        (preflight_verdict, {"faults": [], "zones": SUBJECTS}, True),
    ],
    ids=["publish", "preflight"],
)
def test_another_hosts_fault_is_neither_a_domains_nor_this_hosts(
    action: Any, args: dict[str, Any], left_alone: bool, host: str, tmp_path: Path
) -> None:
    said = verdict(action, host, tmp_path, **args)
    of_domains = said["ansible_facts"]["sendyard_domain_faults"]
    assert of_domains == [KNOWN, {"subject": "acme.example", "message": BAD["error"], "left_alone": left_alone}]
    assert said.get("failed", False) == (host == "mx1")
    assert ("mx1: its zone is refused" in said.get("msg", "")) == (host == "mx1")


def test_what_is_not_seen_from_elsewhere_is_not_published(tmp_path: Path) -> None:
    waiting = [{"domain": name, "subject": name, "digest": "x"} for name in ("acme.example", "globex.example")]
    published = {"mx1": {"ok": True}, "acme.example": {"ok": True}, "globex.example": BAD}
    looked = {"mx1": {"ok": True}, "acme.example": {"ok": False, "error": "ns2 lags"}, "globex.example": {"ok": True}}
    said = verdict(publish_verdict, "mx1", tmp_path, subjects=published, looked=looked, waiting=waiting)
    assert said["published"] == []
    texts = [fault["message"] for fault in said["ansible_facts"]["sendyard_domain_faults"][1:]]
    assert texts == ["ns2 lags", BAD["error"]]


TO_DO = {
    "action": "replace",
    "zone": "acme.example.",
    "name": "acme.example.",
    "type": "TXT",
    "ttl": 1800,
    "value": 'v=spf1 ip4:10.9.1.1 "<b>" ~all',
    "old": "v=spf1 ~all",
    "line": 'acme.example. 1800 IN TXT "v=spf1 ..."',
}


def test_what_a_person_must_do_is_on_a_page_until_it_is_done(tmp_path: Path) -> None:
    page, lines = tmp_path / "dns" / "acme.example.html", tmp_path / "dns" / "acme.example.zone"
    args: dict[str, Any] = {"subjects": SUBJECTS, "waiting": []}
    said = verdict(publish_verdict, "mx3", tmp_path, manual={"acme.example": [TO_DO]}, **args)
    assert said["ansible_facts"]["sendyard_domain_faults"][1]["message"].endswith(f"to copy from: {page}")
    text = page.read_text()
    for part in ["1. Replace", "<code>@</code>", "ip4:10.9.1.1 &quot;&lt;b&gt;&quot; ~all", "<code>v=spf1 ~all</code>"]:
        assert part in text
    assert "<b>" not in text
    assert lines.read_text().splitlines()[1:] == ["; remove: acme.example. IN TXT 'v=spf1 ~all'", TO_DO["line"]]
    verdict(publish_verdict, "mx3", tmp_path, manual={}, **args)
    assert not page.exists()
    assert not lines.exists()


PTR = {
    "10.9.1.1": {"type": "PTR", "asked": "1.1.9.10.in-addr.arpa."},
    "FD00:9::1": {"type": "PTR", "asked": f"1.0.0.0.{'0.0.0.0.' * 5}9.0.0.0.0.0.d.f.ip6.arpa."},
}


@pytest.mark.parametrize(
    ("missing", "required", "left_out", "failed"),
    [
        ([], True, [], False),
        (["FD00:9::1"], True, ["FD00:9::1"], False),
        (["10.9.1.1", "FD00:9::1"], True, ["10.9.1.1", "FD00:9::1"], True),
        (["10.9.1.1", "FD00:9::1"], False, [], False),
    ],
)
def test_mail_leaves_from_addresses_that_lead_back(
    missing: list[str], required: bool, left_out: list[str], failed: bool, tmp_path: Path
) -> None:
    settings = {
        "sendyard_fqdn": "mx1.yard.example",
        "sendyard_addresses": [{"public": address} for address in PTR],
        "sendyard_require_ptr": required,
    }
    others = {"mx2": list(PTR.values()), "mx1": [{"type": "A", "asked": "1.1.9.10.in-addr.arpa."}]}
    others["mx1"] += [PTR[address] for address in missing]
    said = verdict(sending_addresses, "mx1", tmp_path, settings, manual=others)
    assert said["ansible_facts"]["sendyard_not_sent_from"] == left_out
    assert said.get("failed", False) == failed
    assert bool(said.get("warnings")) == (bool(left_out) and not failed)
    for address in left_out:
        assert address in str(said)


def test_an_address_whose_name_is_a_cname_counts_by_what_is_there(tmp_path: Path) -> None:
    settings = {
        "sendyard_fqdn": "mx1.yard.example",
        "sendyard_addresses": [{"public": "10.9.1.1"}, {"public": "10.9.1.2"}],
        "sendyard_require_ptr": True,
    }
    to_do = {"type": "PTR", "name": "1.0-63.1.9.10.in-addr.arpa.", "asked": "1.1.9.10.in-addr.arpa."}
    said = verdict(sending_addresses, "mx1", tmp_path, settings, manual={"mx1": [to_do]})
    assert said["ansible_facts"]["sendyard_not_sent_from"] == ["10.9.1.1"]


@pytest.mark.parametrize(
    ("found", "left_out", "failed", "words"),
    [
        ({"seen": {"mx1": ["10.9.1.1", "fd00:9::1"]}}, [], False, ""),
        ({"seen": {"mx1": ["10.9.1.1"]}, "notes": {"mx1": ["six is late."]}}, ["FD00:9::1"], False, "six is late."),
        ({"seen": {"mx1": ["fd00:9::1"]}, "subjects": {"mx1": BAD}}, ["10.9.1.1"], False, BAD["error"]),
        ({"seen": {"mx2": ["10.9.1.1"]}, "notes": {"mx1": ["late."]}}, ["10.9.1.1", "FD00:9::1"], True, "late."),
    ],
)
def test_what_the_provider_of_an_address_names_is_sent_from_when_it_is_seen(
    found: dict[str, Any], left_out: list[str], failed: bool, words: str, tmp_path: Path
) -> None:
    settings = {
        "sendyard_fqdn": "mx1.yard.example",
        "sendyard_addresses": [{"public": address} for address in PTR],
        "sendyard_require_ptr": True,
    }
    provider = {"subjects": {"mx1": {"ok": True}}, "seen": {}, "notes": {}, **found}
    said = verdict(sending_addresses, "mx1", tmp_path, settings, manual={"mx1": list(PTR.values())}, provider=provider)
    assert said["ansible_facts"]["sendyard_not_sent_from"] == left_out
    assert (said.get("failed", False), words in str(said)) == (failed, True)
    for skipped in ({"skipped": True}, {**provider, "subjects": {"mx2": BAD}}):
        without = verdict(sending_addresses, "mx1", tmp_path, settings, manual={}, provider=skipped)
        assert without["ansible_facts"]["sendyard_not_sent_from"] == []


def test_an_address_that_is_not_the_credentials_stops_its_own_host(tmp_path: Path) -> None:
    for host in ("mx1", "mx3"):
        said = verdict(preflight_verdict, host, tmp_path, faults=[], addresses={"mx1": BAD, "mx3": {"ok": True}})
        assert said.get("failed", False) == (host == "mx1")
        assert ("mx1: sendyard_ptr_credential: its zone is refused" in said.get("msg", "")) == (host == "mx1")
