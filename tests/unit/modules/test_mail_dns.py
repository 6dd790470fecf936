# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The module as Ansible calls it, against a real Knot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.rdata
import dns.rdatatype
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sendyard.mail.plugins.module_utils.dns.credentials import PROVIDERS
from ansible_collections.sendyard.mail.plugins.module_utils.dns.model import parse_value
from ansible_collections.sendyard.mail.plugins.modules import mail_dns
from integration.dns.servers import ADDRESS, SECRET, Knot, NameServer, free_port, soa

ZONE = "acme.example."
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    knot = Knot(tmp_path_factory.mktemp("knot"), {ZONE: soa(ZONE) + "theirs A 10.9.0.1\n"})
    knot.start()
    yield knot
    knot.stop()


@pytest.fixture
def run(server: NameServer, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the module with the lab's credential and return what it says; `text` is all of it."""

    def call(**args: Any) -> dict[str, Any]:
        said = {
            "credentials": {"lab": server.credential()},
            "name_servers": {"ns1.lab.example": [ADDRESS, server.port]},
            "deadline": 20,
            "_ansible_diff": True,
            **args,
        }
        with patch_module_args(said), pytest.raises(SystemExit):
            mail_dns.main()
        text = capsys.readouterr().out
        return {**json.loads(text), "text": text}

    return call


def record(label: str, value: str, kind: str = "A", **said: Any) -> dict[str, Any]:
    return {"name": f"{label}.{ZONE}", "type": kind, "values": [value], "credential": "lab", **said}


def test_publishing_shows_the_lines_that_change_and_then_none(run: Run, server: NameServer) -> None:
    wanted = [record("one", "10.9.1.1", subject="acme.example")]
    first = run(records=wanted)
    assert (first["changed"], first["subjects"]) == (True, {"acme.example": {"ok": True}})
    (diff,) = first["diff"]
    assert (diff["before"], diff["after"]) == ("", "one.acme.example. 3600 IN A 10.9.1.1\n")
    assert server.values("one.acme.example.", "A") == ["10.9.1.1"]
    again = run(records=wanted)
    assert (again["changed"], again["changes"], again["diff"]) == (False, 0, [])
    gone = run(records=wanted, state="absent")
    assert (gone["changed"], server.values("one.acme.example.", "A")) == (True, [])


def test_check_mode_says_the_same_and_writes_nothing(run: Run, server: NameServer) -> None:
    serial = server.serial(ZONE)
    said = run(records=[record("two", "10.9.1.2")], _ansible_check_mode=True)
    assert said["changed"]
    assert said["diff"][0]["after"] == "two.acme.example. 3600 IN A 10.9.1.2\n"
    assert server.serial(ZONE) == serial


def test_records_come_from_files_too(run: Run, server: NameServer, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps([record("file1", "10.9.1.1", subject="a")]))
    (tmp_path / "two.json").write_text(json.dumps([record("file2", "10.9.1.1", subject="b")]))
    said = run(records_files=[str(tmp_path / "one.json"), str(tmp_path / "two.json")])
    assert said["subjects"] == {"a": {"ok": True}, "b": {"ok": True}}
    assert server.values("file2.acme.example.", "A") == ["10.9.1.1"]


def test_one_subjects_fault_leaves_the_others_done(run: Run, server: NameServer) -> None:
    said = run(
        records=[
            record("theirs", "10.9.1.1", subject="taken"),
            record("broken", "10.9.1.256", subject="broken"),
            record("gone", "10.9.1.1", subject="unknown", credential="nobodys"),
            record("fine", "10.9.1.1", subject="fine"),
        ]
    )
    assert not said.get("failed")
    errors = {subject: state.get("error", "") for subject, state in said["subjects"].items()}
    assert 'holds "10.9.0.1", which we did not write' in errors["taken"]
    assert '"10.9.1.256" is no value of a A record' in errors["broken"]
    assert 'there is no DNS credential "nobodys"; known: lab' in errors["unknown"]
    assert errors["fine"] == ""
    assert server.values("fine.acme.example.", "A") == ["10.9.1.1"]


def test_where_nothing_can_be_done_the_module_fails_and_says_why(run: Run) -> None:
    said = run(records=[record("theirs", "10.9.1.1", subject="acme.example")])
    assert said["failed"]
    assert said["msg"].startswith("acme.example: theirs.acme.example. A holds")
    assert run(records=[record("theirs", "10.9.1.1")], state="checked").get("failed") is None


def test_adopting_is_asked_for(run: Run, server: NameServer) -> None:
    said = run(records=[record("theirs", "10.9.1.1")], adopt=True, _ansible_check_mode=True)
    assert said["diff"][0]["before"] == "theirs.acme.example. 3600 IN A 10.9.0.1\n"
    assert said["diff"][0]["after"] == "theirs.acme.example. 3600 IN A 10.9.1.1\n"


def test_checking_reports_by_subject(run: Run) -> None:
    wanted = [
        record("x", "10.9.1.1", subject="here"),
        {"name": "nowhere.test", "type": "A", "credential": "lab", "subject": "nowhere"},
    ]
    said = run(records=wanted, state="checked")
    assert (said["changed"], said["subjects"]["here"]) == (False, {"ok": True})
    assert "has no zone that holds nowhere.test." in said["subjects"]["nowhere"]["error"]


def test_who_looks_from_elsewhere_needs_no_credential(run: Run, server: NameServer) -> None:
    wanted = [record("seen", "10.9.1.1", subject="seen"), record("unseen", "10.9.1.1", subject="unseen")]
    said = run(records=wanted[:1], wait=False)
    assert said["subjects"] == {"seen": {"ok": True}}
    serial = server.serial(ZONE)
    said = run(records=wanted, state="seen", credentials={}, deadline=1)
    assert (said["changed"], said["subjects"]["seen"]) == (False, {"ok": True})
    assert "does not answer with it yet after 1 s: unseen.acme.example. A" in said["subjects"]["unseen"]["error"]
    assert server.serial(ZONE) == serial


def test_what_is_not_waited_for_is_not_asked_for(run: Run, server: NameServer) -> None:
    dead = {"ns1.lab.example": [ADDRESS, free_port()]}
    wanted = [record("dead", "10.9.1.1", subject="acme.example")]
    assert run(records=wanted, wait=False, name_servers=dead)["subjects"]["acme.example"]["ok"]
    assert not run(records=wanted, name_servers=dead, deadline=1)["subjects"]["acme.example"]["ok"]


def test_what_others_publish_is_told_while_it_is_not_there(run: Run, server: NameServer) -> None:
    wanted = [record("1.1.9.10.in-addr.arpa", "mx1.acme.example", "PTR", mode="manual", subject="mx1")]
    name = f"1.1.9.10.in-addr.arpa.{ZONE}"
    said = run(records=wanted)
    ((subject, (to_do,)),) = said["manual"].items()
    assert (subject, to_do["action"], to_do["line"]) == ("mx1", "enter", f"{name} 3600 IN PTR mx1.acme.example.")
    assert said["subjects"] == {"mx1": {"ok": True}}
    assert said["notes"] == {"mx1": [f'enter at {name} PTR "mx1.acme.example.", TTL 3600.']}
    server.put(ZONE, name, 60, dns.rdata.from_text("IN", "PTR", "mx1.acme.example."))
    said = run(records=wanted)
    assert (said["manual"], said["notes"]) == ({}, {})


def test_a_name_that_a_provider_gave_an_address_is_to_be_replaced(run: Run, server: NameServer) -> None:
    wanted = [record("2.1.9.10.in-addr.arpa", "mx1.acme.example", "PTR", mode="manual", subject="mx1")]
    server.put(ZONE, f"2.1.9.10.in-addr.arpa.{ZONE}", 60, dns.rdata.from_text("IN", "PTR", "static.theirs.example."))
    said = run(records=wanted)
    ((to_do,),) = said["manual"].values()
    assert (to_do["action"], to_do["old"], to_do["value"]) == ("replace", "static.theirs.example.", "mx1.acme.example.")
    assert (said["subjects"], said["unseen"], said["changed"]) == ({"mx1": {"ok": True}}, {}, False)


def test_a_record_of_others_in_a_zone_that_cannot_be_read_is_unseen(run: Run, server: NameServer) -> None:
    here = record("3.1.9.10.in-addr.arpa", "mx1.acme.example", "PTR", mode="manual", subject="mx1")
    nowhere = {**here, "name": "4.1.9.10.in-addr.arpa"}
    for wanted, names in (([here], {}), ([here, nowhere], {"mx1": ["4.1.9.10.in-addr.arpa."]})):
        said = run(records=wanted)
        assert (said["unseen"], len(said["manual"]["mx1"])) == (names, 1)
    assert "a zone that holds 4.1.9.10.in-addr.arpa." in " ".join(said["notes"]["mx1"])
    dead = {"ns1.lab.example": [ADDRESS, free_port()]}
    assert run(records=[here], name_servers=dead)["unseen"] == {"mx1": [f"{here['name']}"]}


def test_what_resolvers_may_have_is_told_by_subject(run: Run, server: NameServer) -> None:
    server.put(ZONE, "cached.acme.example.", 600, parse_value(dns.rdatatype.TXT, "v=spf1 include:x.example -all").rdata)
    wanted = [record("cached", "ip4:10.9.1.1", "TXT", mode="spf", subject="acme.example")]
    told = {"acme.example": {"seconds": 600, "record": "cached.acme.example. TXT"}}
    assert run(records=wanted, _ansible_check_mode=True)["cached"] == told
    assert run(records=wanted)["cached"] == told
    assert run(records=wanted)["cached"] == {}


def test_a_person_is_told_the_whole_record_until_it_is_there(run: Run, server: NameServer) -> None:
    before = server.content(ZONE)
    spf = {"name": "byhand.acme.example", "type": "TXT", "mode": "spf", "credential": "manual"}
    server.put(ZONE, "byhand.acme.example.", 600, parse_value(dns.rdatatype.TXT, "v=spf1 include:x.example -all").rdata)
    wanted = [{**spf, "values": ["ip4:10.9.1.1"], "subject": "acme.example"}]
    for check in (True, False):
        said = run(records=wanted, _ansible_check_mode=check)
        assert not said.get("failed")
        assert not said["changed"]
        ((to_do,),) = said["manual"].values()
        assert (to_do["action"], to_do["zone"], to_do["ttl"], to_do["old"], to_do["value"]) == (
            "replace", ZONE, 600, "v=spf1 include:x.example -all", "v=spf1 include:x.example ip4:10.9.1.1 -all",
        )  # fmt: skip
        assert 'by "v=spf1 include:x.example ip4:10.9.1.1 -all", TTL 600' in said["subjects"]["acme.example"]["error"]
    server.put(ZONE, "byhand2.acme.example.", 600, parse_value(dns.rdatatype.TXT, to_do["value"]).rdata)
    said = run(records=[{**wanted[0], "name": "byhand2.acme.example"}])
    assert (said["subjects"], said["manual"]) == ({"acme.example": {"ok": True}}, {})
    assert before < server.content(ZONE)


def secret_in(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv("A_TSIG_SECRET", SECRET)
    where = {"secret": SECRET, "secret_file": str(tmp_path / "secret"), "secret_env": "A_TSIG_SECRET"}
    return {place: where[place]}


@pytest.mark.parametrize("place", ["secret", "secret_file", "secret_env"])
def test_the_secret_is_read_and_never_shown(
    run: Run, server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    credential = server.credential()
    del credential["secret"]
    credential |= secret_in(place, tmp_path, monkeypatch)
    said = run(records=[record("x", "10.9.1.1")], state="checked", credentials={"lab": credential})
    assert said["subjects"] == {"x.acme.example": {"ok": True}}
    assert SECRET not in said["text"]


@pytest.mark.parametrize("place", ["secret", "secret_file", "secret_env"])
def test_a_record_that_names_no_credential_goes_by_the_provider_that_is_given_inline(
    run: Run, server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    provider = {**server.credential(), **secret_in(place, tmp_path, monkeypatch)}
    if place != "secret":
        del provider["secret"]
    label = f"inline-{place.replace('_', '-')}"
    wanted = record(label, "10.9.1.1")
    del wanted["credential"]
    said = run(records=[wanted], credentials={}, provider=provider)
    assert said["subjects"] == {f"{label}.acme.example": {"ok": True}}
    assert server.values(f"{label}.acme.example.", "A") == ["10.9.1.1"]
    assert said["invocation"]["module_args"]["provider"]["key_name"] == "sendyard."
    assert SECRET not in said["text"]


def test_inline_and_named_go_side_by_side_and_one_of_them_is_needed(run: Run, server: NameServer) -> None:
    named, inline = record("named", "10.9.1.1", subject="named"), record("inline", "10.9.1.1", subject="inline")
    del inline["credential"]
    said = run(records=[named, inline])
    assert said["subjects"]["named"] == {"ok": True}
    assert said["subjects"]["inline"]["error"] == (
        "inline.acme.example. A: the record names no credential (one of credentials), and there is no provider. Give "
        "one of them."
    )
    said = run(records=[named, inline], provider=server.credential(secret="d3JvbmcgYnV0IGxvbmcgZW5vdWdo"))
    assert said["subjects"]["named"] == {"ok": True}
    assert 'credential "provider (inline)"' in said["subjects"]["inline"]["error"]
    assert "d3Jvbmcg" not in said["text"]


UNUSED = "dW51c2VkLCBhbmQgbm9ib2R5IGFza2VkIGZvciBpdA=="


@pytest.mark.parametrize(
    ("secret", "shown"),
    [(f"{UNUSED}\n", UNUSED), ([UNUSED], UNUSED), ({"is": UNUSED}, UNUSED), (8642097531, "8642097531")],
    ids=["text", "list", "dict", "number"],
)
def test_a_secret_that_the_records_do_not_need_is_not_shown(
    run: Run, server: NameServer, secret: object, shown: str
) -> None:
    known = {"lab": server.credential(), "other": server.credential(secret=secret)}
    said = run(records=[record("x", "10.9.1.1")], state="checked", credentials=known)
    assert said["subjects"] == {"x.acme.example": {"ok": True}}
    assert shown not in said["text"]
    assert said["invocation"]["module_args"]["credentials"]["other"]["key_name"] == "sendyard."


@pytest.mark.parametrize(
    "args",
    [
        {"records_files": ["/no/such/file"]},
        {"name_servers": {"ns1": 53}},
        {"state": "presnt"},
        {"deadline": "soon"},
        {"credentials": {"lab": SECRET}, "state": "presnt"},
        {"credentials": [{"provider": "rfc2136", "secret": SECRET}]},
        {"credentials": f"{{provider: rfc2136, secret: {SECRET}}}"},
        {"credentials": json.dumps({"lab": {"secret": SECRET}}), "records_files": ["/no/such/file"]},
        {"credentials": {}, "provider": {"provider": "rfc2136", "secret": SECRET}, "state": "presnt"},
        {"credentials": {}, "provider": [{"provider": "rfc2136", "secret": SECRET}]},
        {"credentials": {}, "provider": f"{{provider: rfc2136, secret: {SECRET}}}"},
        {"credentials": {}, "provider": f"provider=rfc2136 secret={SECRET}", "records_files": ["/no/such/file"]},
    ],
    ids=str,
)
def test_a_failure_before_anything_was_read_shows_no_secret(run: Run, args: dict[str, Any]) -> None:
    said = run(**args)
    assert said["failed"]
    assert "module_args" in said["invocation"]
    assert SECRET not in said["text"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"secret": ""}, "has no secret; give one of secret, secret_file, secret_env"),
        ({"secret_env": "X"}, "has secret and secret_env"),
        ({"secret": "c2hvcnQ"}, "fewer than 8 characters"),
        ({"secret": "not base64 at all!"}, "the secret is not base64"),
        ({"secret": "", "secret_env": "NO_SUCH_VARIABLE"}, "the environment variable NO_SUCH_VARIABLE"),
        ({"secret": "", "secret_file": "/no/such/file"}, "/no/such/file (secret_file) cannot be read"),
        ({"provider": "rfc2137"}, f"needs a provider, one of: {', '.join(PROVIDERS)}."),
        ({"server": ""}, "server is missing"),
        ({"sever": "x"}, "sever is no option of provider rfc2136; it has key_algorithm"),
        ({"key_algorithm": "hmac-md5"}, '"hmac-md5" is no key_algorithm'),
        ({"port": "domain"}, '"domain" is no port'),
        ({"port": [53]}, '"[53]" is no port; it is a number from 1 to 65535'),
        ({"port": 65536}, '"65536" is no port'),
        ({"port": -1}, '"-1" is no port'),
        ({"key_name": "bad..name"}, 'key_name: "bad..name" is no domain name: A DNS label is empty. Write it as'),
        ({"key_name": "x" * 70}, f'key_name: "{"x" * 70}" is no domain name'),
        ({"key_name": ["sendyard"]}, "key_name: ['sendyard'] is no text"),
        ({"server": "ns1..lab.example"}, 'server: "ns1..lab.example" is no domain name'),
        ({"server": {"address": "10.9.1.1"}}, "server: {'address': '10.9.1.1'} is no text. Write a host name"),
        ({"server": 10}, "server: 10 is no text"),
        ({"secret": "nicht-base64-weil-ä"}, "the secret is not base64"),
        ({"secret": "", "secret_file": "~nobody-of-that-name/secret"}, "(secret_file) cannot be read"),
        ({"secret": "", "secret_file": "a\0b"}, "(secret_file) cannot be read"),
        ({"provider": ["rfc2136"]}, f"needs a provider, one of: {', '.join(PROVIDERS)}."),
    ],
)
def test_a_credential_that_says_nothing_useful_is_named(
    run: Run, server: NameServer, changed: dict[str, Any], error: str
) -> None:
    said = run(records=[record("x", "10.9.1.1", subject="x")], credentials={"lab": server.credential(**changed)})
    assert said["failed"]
    assert said["subjects"]["x"]["error"].startswith('DNS credential "lab"')
    assert error in said["subjects"]["x"]["error"]
    assert "nicht-base64" not in said["text"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"records_files": ["/no/such/file"]}, "/no/such/file: the records cannot be read"),
        ({"name_servers": {"ns1": 53}}, "name_servers: ns1 needs a list of address and port"),
        ({"deadline": 0}, "deadline: 0 seconds let no server answer"),
        ({"deadline": -5}, "deadline: -5 seconds let no server answer"),
    ],
)
def test_bad_arguments_are_one_message(run: Run, args: dict[str, Any], message: str) -> None:
    said = run(**args)
    assert said["failed"]
    assert said["msg"].startswith(message)


def test_without_time_to_see_it_nothing_is_published(run: Run, server: NameServer) -> None:
    serial = server.serial(ZONE)
    assert run(records=[record("unseen", "10.9.1.1")], deadline=0)["failed"]
    assert server.serial(ZONE) == serial


def test_without_dnspython_the_module_says_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_dns, "HAS_DNSPYTHON", False)
    said = run(records=[])
    assert "dnspython" in said["msg"]
    assert SECRET not in said["text"]


def test_nothing_wanted_is_nothing_done(run: Run) -> None:
    said = run(records=[])
    assert (said["changed"], said["subjects"]) == (False, {})
