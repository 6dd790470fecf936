# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Keys of a host, made by a real openssl in a directory of the test."""

from __future__ import annotations

import base64
import getpass
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import dkim_keys
from ansible_collections.sendyard.mail.plugins.module_utils.dkim_keys import Directories, KeyFault, Outcome

OWN = "mx1.yard.example"


ADDRESS = "198.51.100.1"


def table(
    *names: str,
    settings: str = "s",
    kept: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (ADDRESS,),
    **said: Any,
) -> dict[str, Any]:
    """A host's table with its own domain and `names`, all with the same record settings, of which `said` are some."""
    return {
        "host": {"addresses": list(addresses)},
        "kept": list(kept),
        "domains": {name: {"logins": [], "record_settings": settings} for name in (OWN, *names)},
        "settings": {settings: {"addresses": list(addresses), "return_path": "", **said}},
        "logins": {},
    }


def seen(outcome: Outcome) -> list[dict[str, str]]:
    """What the controller says once all that was pending was seen."""
    return [{"domain": name, "digest": key["digest"]} for name, key in outcome.pending.items()]


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Directories:
    """A host of the test's own; short keys, since only one test is about their length."""
    monkeypatch.setattr(dkim_keys, "BITS", 1024)
    monkeypatch.setattr(dkim_keys.files, "owner_id", lambda _: os.geteuid())
    monkeypatch.setattr(dkim_keys.files, "group_id", lambda _: os.getegid())
    return Directories(tmp_path / "pending", tmp_path / "keys", tmp_path / "state", getpass.getuser())


def make(where: Directories, *names: str, selector: str = "s1", **facts: Any) -> Outcome:
    """`make` for a table of `names`."""
    return dkim_keys.make(table(*names, **facts), selector, where, dry=False)


def publish(where: Directories, outcome: Outcome, *names: str, selector: str = "s1", **facts: Any) -> Outcome:
    """`publish` of all that `outcome` said is pending."""
    return dkim_keys.publish(table(*names, **facts), selector, seen(outcome), where, dry=False)


def signing(where: Directories) -> set[str]:
    """The domains whose mail is signed now."""
    return {path.stem for path in where.signing.glob("*.pem")}


def snapshot(where: Directories) -> Mapping[Path, tuple[bytes, int]]:
    """Every file of the host, with its time."""
    root = where.state.parent
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


def public_half(path: Path) -> bytes:
    """The DER public key of a private key file, as openssl tells it."""
    argv = ["openssl", "pkey", "-in", str(path), "-pubout", "-outform", "DER"]
    return subprocess.run(argv, capture_output=True, check=True, timeout=20).stdout


def test_a_key_has_2048_bits_and_is_told_as_p_has_it(where: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    user = getpass.getuser()
    monkeypatch.setattr(dkim_keys.files, "group_id", lambda _: os.getegid())
    outcome = make(Directories(where.pending, where.signing, where.state, user))
    path = where.pending / f"{OWN}.pem"
    assert base64.b64decode(outcome.pending[OWN]["public_key"], validate=True) == public_half(path)
    argv = ["openssl", "pkey", "-in", str(path), "-noout", "-text"]
    assert b"2048 bit" in subprocess.run(argv, capture_output=True, check=True, timeout=20).stdout
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_signs_only_after_its_record_was_seen(where: Directories) -> None:
    made = make(where, "acme.example")
    assert set(made.pending) == {OWN, "acme.example"}
    assert signing(where) == set()
    one = [entry for entry in seen(made) if entry["domain"] == OWN]
    after = dkim_keys.publish(table("acme.example"), "s1", one, where, dry=False)
    assert signing(where) == {OWN}
    assert set(after.pending) == {"acme.example"}


def test_a_second_run_changes_nothing_and_reads_no_key(where: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(where, make(where, "acme.example"), "acme.example")
    before = snapshot(where)
    monkeypatch.setattr(dkim_keys, "run", None)  # no program is run
    monkeypatch.setattr(dkim_keys, "_read_one", None)
    again = make(where, "acme.example")
    assert not again.changed
    assert again.pending == {}
    assert snapshot(where) == before


def test_all_keys_are_told_where_all_records_are_published_anew(where: Directories) -> None:
    made = make(where)
    publish(where, made)
    told = dkim_keys.make(table(), "s1", where, dry=False, tell_all=True)
    assert not told.changed
    assert told.pending.keys() == made.pending.keys()
    assert all(told.pending[name]["public_key"] == made.pending[name]["public_key"] for name in made.pending)


def test_the_key_of_a_domain_is_told_where_somebody_asks_for_it(where: Directories) -> None:
    made = make(where, "acme.example")
    publish(where, made, "acme.example")
    told = dkim_keys.make(table("acme.example"), "s1", where, dry=False, tell=["acme.example", "nobody.example"])
    assert not told.changed
    assert told.pending["acme.example"]["public_key"] == made.pending["acme.example"]["public_key"]
    assert set(told.pending) == {"acme.example"}
    assert make(where, "acme.example").pending == {}  # it is published as before


def test_changed_record_settings_are_pending_while_the_key_goes_on_signing(where: Directories) -> None:
    first = make(where)
    publish(where, first)
    again = make(where, settings="other")
    assert set(again.pending) == {OWN}
    assert again.pending[OWN]["public_key"] == first.pending[OWN]["public_key"]
    assert signing(where) == {OWN}
    assert not publish(where, again, settings="other").changed
    assert make(where, settings="other").pending == {}


def test_settings_of_a_run_that_was_not_confirmed_are_remembered(where: Directories) -> None:
    def facts(address: str, rua: str) -> dict[str, Any]:
        return {"settings": address + rua, "addresses": (address,), "dmarc_rua": rua}

    def earlier(address: str, rua: str) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = make(where, **facts(address, rua)).pending[OWN]["earlier"]
        return told

    first = facts("198.51.100.1", "a")
    publish(where, make(where, **first), **first)
    for _ in range(2):  # its records were written, and the run ended before they were seen
        assert earlier("198.51.100.1", "b")[0] == {"dmarc_rua": "a"}
    assert earlier("198.51.100.3", "b") == [
        {"addresses": ["198.51.100.1"], "dmarc_rua": "a"},
        {"addresses": ["198.51.100.1"]},
    ]
    back = make(where, **first)
    assert set(back.pending) == {OWN}  # its records were published once, and may be replaced by now
    assert back.pending[OWN]["earlier"] == [
        {"dmarc_rua": "b"},
        {"addresses": ["198.51.100.3"], "dmarc_rua": "b"},
    ]
    publish(where, back, **first)
    assert make(where, **first).pending == {}
    assert earlier("198.51.100.4", "a") == [{"addresses": ["198.51.100.1"]}]


def test_settings_are_kept_once_however_many_domains_have_them(where: Directories) -> None:
    names = ("acme.example", "globex.example")
    publish(where, make(where, *names), *names)
    make(where, *names, settings="t", dmarc_rua="b")
    state = json.loads((where.state / "dkim.json").read_text())
    assert state["settings"] == [
        {"addresses": [ADDRESS], "return_path": ""},
        {"addresses": [ADDRESS], "return_path": "", "dmarc_rua": "b"},
    ]
    assert state["confirmed"] == dict.fromkeys((OWN, *names), 0)
    assert state["attempted"] == {name: [1] for name in (OWN, *names)}
    told = make(where, *names, settings="u")
    assert told.pending["acme.example"]["earlier"] == [{"dmarc_rua": "b"}]
    publish(where, told, *names, settings="u")
    assert len(json.loads((where.state / "dkim.json").read_text())["settings"]) == 1  # nobody has the others any more


def test_what_a_domain_had_is_known_when_its_file_is_in_order_again(where: Directories) -> None:
    publish(where, make(where, "acme.example"), "acme.example")
    publish(where, make(where, kept=("acme.example",), settings="t", addresses=(NEW,)), settings="t", addresses=(NEW,))
    told = make(where, "acme.example", settings="t", addresses=(NEW,)).pending["acme.example"]
    assert told["earlier"] == [{"addresses": [ADDRESS]}]


def test_the_state_of_before_settings_were_remembered_is_read(where: Directories) -> None:
    made = make(where)
    publish(where, made)
    path = where.state / "dkim.json"
    said = json.loads(path.read_text())
    for name in ("settings", "confirmed", "attempted"):
        said.pop(name)
    said |= {
        "addresses": {OWN: ["198.51.100.8"]},
        "attempted": {OWN: [["198.51.100.9"]]},
        "return_paths": {OWN: [f"a.{OWN}", f"b.{OWN}"], "left.example": ["c.left.example"]},
    }
    path.write_text(json.dumps(said))
    assert dkim_keys.sending(OWN, where)["confirmed"] == ["198.51.100.8"]
    both = ["198.51.100.8", "198.51.100.9"]
    told = [
        {"addresses": ["198.51.100.8"]},
        {"addresses": ["198.51.100.9"]},
        {"addresses": both, "return_path": "a"},
        {"addresses": both, "return_path": "b"},
    ]
    assert make(where, settings="t").pending[OWN]["earlier"] == told
    state = json.loads(path.read_text())
    assert not {"addresses", "return_paths"} & set(state)
    again = make(where, settings="u", addresses=("198.51.100.9",)).pending[OWN]
    assert again["attempted"]  # by the run of before
    assert {"addresses": both, "return_path": "b"} in again["earlier"]
    assert len(json.loads(path.read_text())["attempted"]["left.example"]) == 1


def test_check_mode_remembers_no_addresses(where: Directories) -> None:
    publish(where, make(where))
    before = snapshot(where)
    told = dkim_keys.make(table(settings="2", addresses=("198.51.100.2",)), "s1", where, dry=True)
    assert told.pending[OWN]["earlier"] == [{"addresses": [ADDRESS]}]
    assert snapshot(where) == before


def test_telling_all_again_changes_nothing(where: Directories) -> None:
    publish(where, make(where))
    before = snapshot(where)
    dkim_keys.make(table(), "s1", where, dry=False, tell_all=True)
    assert snapshot(where) == before


def test_what_was_seen_must_be_what_the_host_has(where: Directories) -> None:
    make(where, "acme.example")
    for wrong in ({"domain": OWN, "digest": "0" * 64}, {"domain": "other.example", "digest": "0" * 64}):
        with pytest.raises(KeyFault, match="Run the play again"):
            dkim_keys.publish(table("acme.example"), "s1", [wrong], where, dry=False)
    assert signing(where) == set()


def test_a_domain_that_left_signs_no_longer_and_has_its_key_when_it_returns(where: Directories) -> None:
    first = make(where, "acme.example")
    publish(where, first, "acme.example")
    assert make(where).retired == ("acme.example",)
    assert signing(where) == {OWN}
    back = make(where, "acme.example")
    assert back.made == ()
    assert back.pending["acme.example"]["public_key"] == first.pending["acme.example"]["public_key"]
    publish(where, back, "acme.example")
    assert signing(where) == {OWN, "acme.example"}


def test_a_domain_whose_file_is_at_fault_goes_on_signing(where: Directories) -> None:
    publish(where, make(where, "acme.example"), "acme.example")
    outcome = make(where, kept=("acme.example",))
    assert not outcome.changed
    assert signing(where) == {OWN, "acme.example"}


def test_no_key_signs_with_a_selector_whose_record_nobody_saw(where: Directories) -> None:
    publish(where, make(where))
    other = make(where, selector="s2")
    assert signing(where) == set()
    assert other.pending[OWN]["selector"] == "s2"
    publish(where, other, selector="s2")
    assert signing(where) == {OWN}


def test_a_key_that_vanished_is_made_anew_and_published_again(where: Directories) -> None:
    first = make(where)
    publish(where, first)
    (where.signing / f"{OWN}.pem").unlink()
    again = make(where)
    assert again.made == (OWN,)
    assert again.pending[OWN]["public_key"] != first.pending[OWN]["public_key"]


@pytest.mark.parametrize("length", [0, 300, 800])
def test_a_key_that_was_cut_short_is_made_anew_and_published_again(where: Directories, length: int) -> None:
    first = make(where)
    publish(where, first)
    path = where.signing / f"{OWN}.pem"
    os.truncate(path, length)
    again = make(where)
    assert again.made == (OWN,)
    assert again.pending[OWN]["public_key"] != first.pending[OWN]["public_key"]
    publish(where, again)
    assert base64.b64decode(again.pending[OWN]["public_key"]) == public_half(path)
    assert not make(where).changed


def test_a_key_that_others_may_read_is_its_owners_alone_again(where: Directories) -> None:
    publish(where, make(where, "acme.example"), "acme.example")
    path = where.signing / f"{OWN}.pem"
    key = path.read_bytes()
    path.chmod(0o640)
    assert dkim_keys.make(table("acme.example"), "s1", where, dry=True).repaired == (OWN,)
    assert path.stat().st_mode & 0o777 == 0o640
    outcome = make(where, "acme.example")
    assert (outcome.repaired, outcome.made, outcome.changed) == ((OWN,), (), True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == key
    assert not make(where, "acme.example").changed


def test_without_its_state_a_host_keeps_its_keys(where: Directories) -> None:
    first = make(where, "acme.example")
    publish(where, first, "acme.example")
    (where.state / "dkim.json").unlink()
    again = make(where, "acme.example")
    assert again.made == ()
    assert again.pending == first.pending
    assert signing(where) == {OWN, "acme.example"}
    assert not publish(where, again, "acme.example").moved


def test_a_killed_run_goes_on_where_it_stopped(where: Directories, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"d{number}.example" for number in range(4)]
    monkeypatch.setattr(dkim_keys, "BATCH", 2)
    real, made = dkim_keys._make_one, []

    def killed(name: str, where: Directories) -> str:
        public = real(name, where)
        made.append(name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return public

    monkeypatch.setattr(dkim_keys, "_make_one", killed)
    with pytest.raises(KeyboardInterrupt):
        make(where, *names)
    before = {path: path.read_bytes() for path in where.pending.iterdir()}
    monkeypatch.setattr(dkim_keys, "_make_one", real)
    outcome = make(where, *names)
    assert len(outcome.made) == 5 - len(before)
    assert {path: path.read_bytes() for path in before} == before
    for name, key in outcome.pending.items():
        assert base64.b64decode(key["public_key"]) == public_half(where.pending / f"{name}.pem")


def test_killed_between_withdrawal_and_return_a_domain_is_not_forgotten(where: Directories) -> None:
    publish(where, make(where))
    # as a run that was killed after the rename and before it wrote its state leaves it
    (where.signing / f"{OWN}.pem").rename(where.pending / f"{OWN}.pem")
    again = make(where)
    assert set(again.pending) == {OWN}
    publish(where, again)
    assert signing(where) == {OWN}


def test_check_mode_writes_nothing_on_a_bare_host(where: Directories) -> None:
    outcome = dkim_keys.make(table("acme.example"), "s1", where, dry=True)
    assert outcome.made == ("acme.example", OWN)
    assert outcome.pending[OWN]["public_key"] == ""
    assert not any(path.exists() for path in (where.pending, where.signing, where.state))


def test_check_mode_moves_and_withdraws_nothing(where: Directories) -> None:
    made = make(where, "acme.example")
    before = snapshot(where)
    told = dkim_keys.publish(table("acme.example"), "s1", seen(made), where, dry=True)
    assert set(told.moved) == {OWN, "acme.example"}
    assert snapshot(where) == before
    publish(where, made, "acme.example")
    before = snapshot(where)
    assert dkim_keys.make(table(), "s1", where, dry=True).retired == ("acme.example",)
    assert snapshot(where) == before


def test_no_private_key_leaves_the_host(where: Directories) -> None:
    outcome = make(where)
    told = json.dumps([outcome.pending, outcome.digest, outcome.made])
    state = (where.state / "dkim.json").read_text()
    secret = "".join((where.pending / f"{OWN}.pem").read_text().splitlines()[1:-1])
    for start in range(0, len(secret) - 40, 20):
        assert secret[start : start + 40] not in told + state
    assert "PRIVATE" not in told + state


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b.example", ".example", "ACME.example", "acme", ""])
def test_what_is_no_domain_becomes_no_file(where: Directories, name: str) -> None:
    with pytest.raises(KeyFault, match="no domain name"):
        make(where, name)
    assert not where.pending.exists()


NEW = "2001:db8::1"
LATER = {NEW: {"seconds": 3600, "record": "acme.example. TXT"}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the host takes the time for: the last of these."""
    moments = [1_000_000.0]
    monkeypatch.setattr(dkim_keys.time, "time", lambda: moments[-1])
    return moments


def sees(where: Directories, outcome: Outcome, unused: Mapping[str, Any], *addresses: str) -> None:
    """`publish` for a host of these addresses, some of them `unused`."""
    known = table(addresses=addresses)
    dkim_keys.publish(known, "s1", seen(outcome), where, dry=False, unused=unused)


def test_the_host_remembers_until_when_an_address_must_wait(where: Directories, clock: list[float]) -> None:
    assert dkim_keys.sending(OWN, where) == {"confirmed": [], "unused": {}}
    sees(where, make(where, addresses=(ADDRESS, NEW)), LATER, ADDRESS, NEW)
    assert dkim_keys.sending(OWN, where) == {"confirmed": [ADDRESS, NEW], "unused": LATER}
    clock.append(clock[0] + 3000)
    left = {NEW: {"seconds": 600, "record": "acme.example. TXT"}}
    assert dkim_keys.sending(OWN, where)["unused"] == left
    assert make(where, addresses=(ADDRESS, NEW)).pending == {}
    assert dkim_keys.sending(OWN, where)["unused"] == left  # a run that changes nothing forgets nothing
    clock.append(clock[0] - 86400)
    assert dkim_keys.sending(OWN, where)["unused"] == LATER  # a clock that was set back adds nothing
    clock.append(clock[0] + 3600)
    assert dkim_keys.sending(OWN, where) == {"confirmed": [ADDRESS, NEW], "unused": {}}


def test_of_what_two_runs_say_of_an_address_the_longer_holds(where: Directories, clock: list[float]) -> None:
    both = (ADDRESS, NEW)
    sees(where, make(where, addresses=both), LATER, *both)
    shorter = {NEW: {"seconds": 60, "record": "x. PTR"}, ADDRESS: {"seconds": 60, "record": "x. PTR"}}
    sees(where, make(where, addresses=both), shorter, *both)
    assert dkim_keys.sending(OWN, where)["unused"] == {**shorter, **LATER}
    longer = {NEW: {"seconds": 9999, "record": "x. PTR"}}
    sees(where, make(where, addresses=both), longer, *both)
    assert dkim_keys.sending(OWN, where)["unused"] == {**shorter, **longer}
    clock.append(clock[0] + 100)
    dkim_keys.publish(table(addresses=(ADDRESS,)), "s1", [], where, dry=False)
    assert json.loads((where.state / "dkim.json").read_text())["unused"] == {}


def test_a_dry_run_remembers_nothing(where: Directories, clock: list[float]) -> None:
    made = make(where, addresses=(ADDRESS, NEW))
    dkim_keys.publish(table(addresses=(ADDRESS, NEW)), "s1", seen(made), where, dry=True, unused=LATER)
    assert dkim_keys.sending(OWN, where) == {"confirmed": [], "unused": {}}


def test_what_a_run_that_was_not_confirmed_may_have_written_is_told(where: Directories) -> None:
    publish(where, make(where))
    for rua in "ab":  # with the addresses that were confirmed
        assert not make(where, settings="t", dmarc_rua=rua).pending[OWN]["attempted"]
    for attempted in (False, True):
        told = make(where, settings="u", addresses=(ADDRESS, NEW)).pending[OWN]
        assert told["attempted"] == attempted
