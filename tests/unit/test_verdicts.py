# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whose fault it is what mail_dns found for all hosts at once: every host tells its own, and domains' faults."""

from __future__ import annotations

import time
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
    action: Any,
    host: str,
    reports: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    sending: Mapping[str, Any] | None = None,
    **args: Any,
) -> dict[str, Any]:
    """What an action plugin says for `host`; `sending`: what the host was found to remember of its addresses."""
    task = Task()
    task.check_mode = check
    task.args = args
    parts = dict.fromkeys(["connection", "play_context", "loader", "shared_loader_obj"])
    parts["connection"] = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    plugin = action.ActionModule(task=task, templar=SimpleNamespace(template=lambda value: value), **parts)
    facts = owner.facts(sendyard={**HOST, "sending": sending or {}}, sendyard_domain_faults=[KNOWN])
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


CACHES = {"sendyard_cache_wait": 3600, "sendyard_new_addresses_at_once": False}


@pytest.mark.parametrize(
    ("missing", "required", "left_out", "refused"),
    [
        ([], True, [], False),
        (["FD00:9::1"], True, ["FD00:9::1"], False),
        (["10.9.1.1", "FD00:9::1"], True, ["10.9.1.1", "FD00:9::1"], True),
        (["10.9.1.1", "FD00:9::1"], False, [], False),
    ],
)
def test_mail_leaves_from_addresses_that_lead_back(
    missing: list[str], required: bool, left_out: list[str], refused: bool, tmp_path: Path
) -> None:
    settings = {
        "sendyard_fqdn": "mx1.yard.example",
        "sendyard_addresses": [{"public": address} for address in PTR],
        "sendyard_require_ptr": required,
        **CACHES,
    }
    others = {"mx2": list(PTR.values()), "mx1": [{"type": "A", "asked": "1.1.9.10.in-addr.arpa."}]}
    others["mx1"] += [PTR[address] for address in missing]
    said = verdict(sending_addresses, "mx1", tmp_path, settings, manual=others)
    assert said["ansible_facts"]["sendyard_not_sent_from"] == left_out
    assert bool(said["refused"]) == refused
    assert bool(said.get("warnings")) == (bool(left_out) and not refused)
    for address in left_out:
        assert address in str(said)


def test_an_address_whose_name_is_a_cname_counts_by_what_is_there(tmp_path: Path) -> None:
    settings = {
        "sendyard_fqdn": "mx1.yard.example",
        "sendyard_addresses": [{"public": "10.9.1.1"}, {"public": "10.9.1.2"}],
        "sendyard_require_ptr": True,
        **CACHES,
    }
    to_do = {"type": "PTR", "name": "1.0-63.1.9.10.in-addr.arpa.", "asked": "1.1.9.10.in-addr.arpa."}
    said = verdict(sending_addresses, "mx1", tmp_path, settings, manual={"mx1": [to_do]})
    assert said["ansible_facts"]["sendyard_not_sent_from"] == ["10.9.1.1"]


@pytest.mark.parametrize(
    ("found", "left_out", "refused", "words"),
    [
        ({"seen": {"mx1": ["10.9.1.1", "fd00:9::1"]}}, [], False, ""),
        ({"seen": {"mx1": ["10.9.1.1"]}, "notes": {"mx1": ["six is late."]}}, ["FD00:9::1"], False, "six is late."),
        ({"seen": {"mx1": ["fd00:9::1"]}, "subjects": {"mx1": BAD}}, ["10.9.1.1"], False, BAD["error"]),
        ({"seen": {"mx2": ["10.9.1.1"]}, "notes": {"mx1": ["late."]}}, ["10.9.1.1", "FD00:9::1"], True, "late."),
    ],
)
def test_what_the_provider_of_an_address_names_is_sent_from_when_it_is_seen(
    found: dict[str, Any], left_out: list[str], refused: bool, words: str, tmp_path: Path
) -> None:
    settings = {
        "sendyard_fqdn": "mx1.yard.example",
        "sendyard_addresses": [{"public": address} for address in PTR],
        "sendyard_require_ptr": True,
        **CACHES,
    }
    provider = {"subjects": {"mx1": {"ok": True}}, "seen": {}, "notes": {}, **found}
    said = verdict(sending_addresses, "mx1", tmp_path, settings, manual={"mx1": list(PTR.values())}, provider=provider)
    assert said["ansible_facts"]["sendyard_not_sent_from"] == left_out
    assert (bool(said["refused"]), words in str(said)) == (refused, True)
    for skipped in ({"skipped": True}, {**provider, "subjects": {"mx2": BAD}}):
        without = verdict(sending_addresses, "mx1", tmp_path, settings, manual={}, provider=skipped)
        assert without["ansible_facts"]["sendyard_not_sent_from"] == []


ONE, OTHER = "10.9.1.1", "FD00:9::1"  # as the owner writes them
OTHERS = "fd00:9::1"
OLD_SPF = {"seconds": 1800, "record": "mx1.yard.example. TXT"}


def addresses_of(tmp_path: Path, *, said: dict[str, Any] | None = None, **args: Any) -> dict[str, Any]:
    """What is said of the addresses of mx1, which was sending from ONE until now."""
    settings = {
        "sendyard_fqdn": "mx1.yard.example",
        "sendyard_addresses": [{"public": ONE}, {"public": OTHER}],
        "sendyard_require_ptr": True,
        "sendyard_domains_directory": str(tmp_path / "domains"),
        **CACHES,
        **(said or {}),
    }
    (tmp_path / "domains").mkdir(exist_ok=True)
    (tmp_path / "domains/acme.example.yml").write_text("domain: acme.example\nservers: [mx1]\ndns: lab\nlogins: []\n")
    (tmp_path / "domains/globex.example.yml").write_text(
        "domain: globex.example\nservers: [mx2]\ndns: lab\nlogins: []\n"
    )
    return verdict(sending_addresses, "mx1", tmp_path, settings, **{"sending": {"confirmed": [ONE]}, **args})


def test_a_new_address_waits_until_caches_have_forgotten_what_stood_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_addresses.time, "time", lambda: 1_000_000_000.0)
    monkeypatch.setattr(sending_addresses, "clock", lambda moment: f"<{moment:.0f}>")
    said = addresses_of(tmp_path, cached={"mx1": OLD_SPF})
    assert (said["wait"], said["refused"], said["ansible_facts"]["sendyard_not_sent_from"]) == (1800, "", [])
    assert said["unused"] == {OTHERS: OLD_SPF}
    assert said["warnings"] == [
        f"mx1: {OTHER}: new here, and until <1000001800> resolvers may have an older answer for mx1.yard.example. "
        "TXT, by which receivers refuse mail from there. This run waits until then (sendyard_cache_wait), and mail "
        "leaves from there afterwards."
    ]
    would = addresses_of(tmp_path, cached={"mx1": OLD_SPF}, check=True)
    assert "This run would wait until then" in would["warnings"][0]


def test_what_lasts_longer_than_a_run_waits_is_left_out_and_remembered(tmp_path: Path) -> None:
    said = addresses_of(tmp_path, cached={"mx1": OLD_SPF}, said={"sendyard_cache_wait": 1799})
    assert (said["wait"], said["refused"], said["ansible_facts"]["sendyard_not_sent_from"]) == (0, "", [OTHER])
    assert said["unused"] == {OTHERS: OLD_SPF}
    assert "mail leaves from the other addresses only; a run after that takes them in" in said["warnings"][0]


@pytest.mark.parametrize("check", [False, True])
def test_a_host_with_no_other_address_is_told_when_to_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    monkeypatch.setattr(sending_addresses, "clock", lambda _: "14:05")
    said = addresses_of(tmp_path, cached={"mx1": OLD_SPF}, said={"sendyard_cache_wait": 0}, sending={}, check=check)
    assert (said["wait"], said["ansible_facts"]["sendyard_not_sent_from"]) == (0, [ONE, OTHER])
    assert said["refused"].endswith(
        "There is no other address to send from (run again after 14:05, or set sendyard_new_addresses_at_once: true)."
    )
    assert said.get("warnings", []) == ([said["refused"]] if check else [])
    assert set(said["unused"]) == {ONE, OTHERS}  # so that the run after 14:05 knows


def test_the_longest_of_the_host_and_of_the_domains_that_it_serves_counts(tmp_path: Path) -> None:
    cached = {"mx1": {**OLD_SPF, "seconds": 60}, "acme.example": {**OLD_SPF, "seconds": 90}}
    cached |= {"globex.example": OLD_SPF, "mx2": OLD_SPF}
    assert addresses_of(tmp_path, cached=cached)["wait"] == 90
    provider = {"subjects": {"mx1": {"ok": True}}, "seen": {"mx1": [ONE, OTHERS]}, "notes": {}}
    provider["cached"] = {"mx1": {**OLD_SPF, "seconds": 100}, "mx2": OLD_SPF}
    assert addresses_of(tmp_path, cached=cached, provider=provider)["wait"] == 100


def test_addresses_that_were_confirmed_wait_for_nothing(tmp_path: Path) -> None:
    known = {"confirmed": [ONE, OTHERS]}
    said = addresses_of(tmp_path, cached={"acme.example": OLD_SPF}, sending=known)
    assert (said["wait"], said["unused"], said.get("warnings")) == (0, {}, None)


def test_what_the_host_remembers_holds_in_a_run_that_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_addresses.time, "monotonic", lambda: 5000.0)
    monkeypatch.setattr(sending_addresses.time, "time", lambda: -1.0)  # it does not count
    for expires, wait, left_out, seconds in [
        (5000.0 + 7200, 0, [OTHER], 7200),
        (5000.0 + 600, 600, [], 600),
        (4999.0, 0, [], None),
    ]:
        known = {"confirmed": [ONE, OTHERS], "unused": {OTHERS: {"expires": expires, "record": "x. TXT"}}}
        said = addresses_of(tmp_path, sending=known)
        assert (said["wait"], said["ansible_facts"]["sendyard_not_sent_from"]) == (wait, left_out)
        assert said["unused"].get(OTHERS, {}).get("seconds") == seconds


def test_who_wants_it_uses_new_addresses_at_once(tmp_path: Path) -> None:
    known = {"unused": {OTHERS: {"expires": 1e12, "record": "x. TXT"}}}
    at_once = {"sendyard_new_addresses_at_once": True}
    said = addresses_of(tmp_path, cached={"mx1": OLD_SPF}, said=at_once, sending=known)
    assert (said["wait"], said["unused"], said["refused"], said.get("warnings")) == (0, {}, "", None)


@pytest.mark.parametrize(
    ("confirmed", "left_out"), [([ONE], [OTHER]), ([ONE, OTHERS], []), ([], [OTHER])], ids=["new", "known", "first"]
)
def test_only_a_new_address_is_left_out_where_nobody_can_see_its_ptr_record(
    tmp_path: Path, confirmed: list[str], left_out: list[str]
) -> None:
    unseen = {"mx1": [PTR[OTHER]["asked"]], "mx2": [PTR[ONE]["asked"]]}
    said = addresses_of(tmp_path, unseen=unseen, sending={"confirmed": confirmed})
    assert said["ansible_facts"]["sendyard_not_sent_from"] == left_out
    assert ("nobody can see whether the PTR record is mx1.yard.example" in str(said.get("warnings"))) == bool(left_out)
    lax = addresses_of(tmp_path, unseen=unseen, said={"sendyard_require_ptr": False}, sending={"confirmed": confirmed})
    assert lax["ansible_facts"]["sendyard_not_sent_from"] == []


def test_a_moment_is_told_with_its_day_where_that_is_not_today(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    assert sending_addresses.clock(now) == time.strftime("%H:%M", time.localtime(now))
    assert sending_addresses.clock(now + 86400) == time.strftime("%Y-%m-%d %H:%M", time.localtime(now + 86400))


def test_an_address_that_is_not_the_credentials_stops_its_own_host(tmp_path: Path) -> None:
    for host in ("mx1", "mx3"):
        said = verdict(preflight_verdict, host, tmp_path, faults=[], addresses={"mx1": BAD, "mx3": {"ok": True}})
        assert said.get("failed", False) == (host == "mx1")
        assert ("mx1: sendyard_ptr_credential: its zone is refused" in said.get("msg", "")) == (host == "mx1")
