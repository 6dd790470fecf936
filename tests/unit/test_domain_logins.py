# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""One table of logins in three forms. That the daemons read them is tested in tests/integration/signer."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import domain_logins
from ansible_collections.sendyard.mail.plugins.module_utils.domain_logins import LoginError, Outcome, Places
from ansible_collections.sendyard.mail.plugins.module_utils.host.command import Result

HASHES = {
    "app@acme.example": "{SSHA512}AAAA",
    "api@acme.example": "{SSHA512}BBBB",
    "app@globex.example": "{SSHA512}CCCC",
}
OWNED = {
    "mx1.yard.example": [],
    "acme.example": ["api@acme.example", "app@acme.example"],
    "news.globex.example": ["app@globex.example"],
}


def table(
    owned: Mapping[str, list[str]] = OWNED, hashes: Mapping[str, str] = HASHES, kept: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A host's table."""
    domains = {name: {"logins": logins, "record_settings": ""} for name, logins in owned.items()}
    used = {login for logins in owned.values() for login in logins}
    return {"kept": list(kept), "domains": domains, "logins": {name: hashes[name] for name in sorted(used)}}


def limited(said: dict[str, Any], name: str, hourly: int, daily: int) -> dict[str, Any]:
    """`said` with limits for one domain."""
    domains = {**said["domains"], name: {**said["domains"][name], "limits": [hourly, daily]}}
    return {**said, "domains": domains}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A host of the test's own, on which postmap copies."""

    def postmap(argv: list[str], **_: Any) -> Result:
        for source in (Path(word.removeprefix("lmdb:")) for word in argv if word.startswith("lmdb:")):
            source.with_name(f"{source.name}.lmdb").write_bytes(source.read_bytes())
        return Result(tuple(argv), 0, "", "")

    monkeypatch.setattr(domain_logins, "run", postmap)
    monkeypatch.setattr(domain_logins.files, "owner_id", lambda _: os.geteuid())
    monkeypatch.setattr(domain_logins.files, "group_id", lambda _: os.getegid())
    return Places(tmp_path / "owners", tmp_path / "logins", tmp_path / "sender_login", tmp_path / "state")


def apply(places: Places, said: Mapping[str, Any], *, dry: bool = False) -> Outcome:
    """Apply table `said`."""
    return domain_logins.apply(said, places, dry=dry)


def contents(places: Places) -> dict[str, str]:
    """Every file that a daemon reads."""
    paths = [*places.owners.glob("*"), places.passwords, *places.maps, *places.compiled]
    return {path.name: path.read_text() for path in paths if path.is_file()}


def written(places: Places) -> dict[str, int]:
    """When each file that a daemon reads was last written."""
    paths = [*places.owners.glob("*"), places.passwords, *places.maps, *places.compiled]
    return {path.name: path.stat().st_mtime_ns for path in paths}


def test_the_three_forms_say_the_same(places: Places) -> None:
    outcome = apply(places, table())
    assert outcome.changed
    assert outcome.total == 3
    assert contents(places) == {
        "acme.example": "api@acme.example app@acme.example\n",
        "news.globex.example": "app@globex.example\n",
        "logins": "api@acme.example:{SSHA512}BBBB\napp@acme.example:{SSHA512}AAAA\napp@globex.example:{SSHA512}CCCC\n",
        "sender_login": (senders := (
            "@acme.example\tapi@acme.example, app@acme.example\n@news.globex.example\tapp@globex.example\n"
        )),
        "sender_login.lmdb": senders,
        **dict.fromkeys(("return_paths", "return_paths.lmdb", "return_mailboxes", "return_mailboxes.lmdb"), ""),
    }  # fmt: skip


def test_hashes_are_read_by_dovecot_only_and_owners_by_the_gate(places: Places) -> None:
    apply(places, table())
    assert places.passwords.stat().st_mode & 0o777 == 0o640
    assert places.owners.stat().st_mode & 0o777 == 0o755
    assert (places.owners / "acme.example").stat().st_mode & 0o777 == 0o644


def test_a_second_run_changes_nothing_and_reads_no_file(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(places, table())
    times = {path: path.stat().st_mtime_ns for path in places.owners.parent.rglob("*")}
    monkeypatch.setattr(domain_logins, "_read_passwords", None)
    again = apply(places, table())
    assert not again.changed
    assert again.total == 3
    assert {path: path.stat().st_mtime_ns for path in places.owners.parent.rglob("*")} == times


def test_only_what_changed_is_written(places: Places) -> None:
    apply(places, table())
    before = (places.owners / "acme.example").stat().st_ino
    outcome = apply(places, table({**OWNED, "new.example": ["app@acme.example"]}))
    assert (outcome.domains, outcome.passwords, outcome.repaired) == (("new.example",), (), False)
    assert (places.owners / "new.example").read_text() == "app@acme.example\n"
    assert (places.owners / "acme.example").stat().st_ino == before


def test_a_domain_that_left_has_no_owner_and_its_login_is_not_known(places: Places) -> None:
    apply(places, table())
    outcome = apply(places, table({"acme.example": OWNED["acme.example"]}))
    assert outcome.domains == ("news.globex.example",)
    assert outcome.passwords == ("app@globex.example",)
    assert not any("globex" in name + text for name, text in contents(places).items())


def test_a_new_password_is_one_change(places: Places) -> None:
    apply(places, table())
    outcome = apply(places, table(hashes={**HASHES, "app@acme.example": "{SSHA512}DDDD"}))
    assert (outcome.domains, outcome.passwords) == ((), ("app@acme.example",))
    assert "{SSHA512}DDDD" in contents(places)["logins"]


def test_dovecot_sees_two_changes_within_a_second(places: Places) -> None:
    apply(places, table())
    first = int(places.passwords.stat().st_mtime)
    apply(places, table(hashes={**HASHES, "app@acme.example": "{SSHA512}DDDD"}))
    assert int(places.passwords.stat().st_mtime) != first


def test_a_domain_whose_file_is_at_fault_keeps_its_logins(places: Places) -> None:
    apply(places, table())
    before, times = contents(places), written(places)
    outcome = apply(places, table({"acme.example": OWNED["acme.example"]}, kept=("news.globex.example",)))
    assert not outcome.changed
    assert contents(places) == before
    assert written(places) == times


@pytest.mark.parametrize("known", [True, False], ids=["serves", "never served"])
def test_no_other_file_says_the_password_of_a_login_whose_own_file_is_at_fault(places: Places, known: bool) -> None:
    """Where the host has the login, that stays; and it is the other's from the moment its own file says the same."""
    if known:
        apply(places, table())
    taken = table({"aaa.example": ["app@acme.example"]}, {"app@acme.example": "{SSHA512}EEEE"}, kept=("acme.example",))
    apply(places, taken)
    assert ("app@acme.example:{SSHA512}AAAA" in contents(places)["logins"]) == known
    sound = {"aaa.example": ["app@acme.example"], "acme.example": ["app@acme.example"]}
    apply(places, table(sound, {"app@acme.example": "{SSHA512}EEEE"}))
    assert contents(places)["logins"] == "app@acme.example:{SSHA512}EEEE\n"


def test_a_kept_domain_does_not_hold_back_the_new_password_of_anothers_login(places: Places) -> None:
    shared = {"acme.example": ["app@acme.example"], "globex.example": ["app@acme.example"]}
    apply(places, table(shared))
    changed = table({"acme.example": ["app@acme.example"]}, {"app@acme.example": "{SSHA512}DDDD"}, ("globex.example",))
    apply(places, changed)
    assert contents(places)["logins"] == "app@acme.example:{SSHA512}DDDD\n"


@pytest.mark.parametrize(
    "harm", ["owner edited", "owner added", "owner removed", "logins edited", "map removed", "earlier"]
)
def test_what_somebody_else_wrote_is_mended(places: Places, harm: str) -> None:
    apply(places, table())
    before = contents(places)
    owner = places.owners / "acme.example"
    time.sleep(0.01)
    if harm == "owner edited":
        owner.write_text("app@globex.example\n")
    elif harm == "owner added":
        (places.owners / "other.example").write_text("app@globex.example\n")
    elif harm == "owner removed":
        owner.unlink()
    elif harm == "logins edited":
        places.passwords.write_text("evil@acme.example:{SSHA512}EEEE\n")
    elif harm == "earlier":  # what a version left that knew no return paths
        for path in (places.return_paths, places.return_mailboxes):
            path.unlink()
            path.with_name(f"{path.name}.lmdb").unlink()
    else:
        places.compiled[0].unlink()
    assert apply(places, table(), dry=True).changed
    assert apply(places, table()).repaired
    assert contents(places) == before
    assert not apply(places, table()).changed


def test_check_mode_tells_and_writes_nothing(places: Places) -> None:
    outcome = apply(places, table(), dry=True)
    assert outcome.domains == ("acme.example", "news.globex.example")
    assert list(places.owners.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("owned", "hashes"),
    [
        ({"../x.example": ["app@acme.example"]}, HASHES),
        ({"acme.example": ["app@acme.example root@x.example"]}, {"app@acme.example root@x.example": "{SSHA512}A"}),
        ({"acme.example": ["app:x@acme.example"]}, {"app:x@acme.example": "{SSHA512}A"}),
        ({"acme.example": ["APP@acme.example"]}, {"APP@acme.example": "{SSHA512}A"}),
        ({"acme.example": ["app@acme.example"]}, {"app@acme.example": "{SSHA512}A\nroot:{PLAIN}x"}),
        ({"acme.example": ["app@acme.example"]}, {"app@acme.example": "{SSHA512}A:0:0"}),
        ({"acme.example": ["app@acme.example"]}, {"app@acme.example": "secret"}),
    ],
)
def test_what_would_end_a_line_or_a_field_is_refused(
    places: Places, owned: dict[str, list[str]], hashes: dict[str, str]
) -> None:
    with pytest.raises(LoginError):
        apply(places, table(owned, hashes))
    assert list(places.owners.parent.iterdir()) == []


def test_ten_thousand_domains_cost_a_no_change_run_less_than_half_a_second(places: Places) -> None:
    names = [f"d{number}.example" for number in range(10_000)]
    said = table({name: [f"app@{name}"] for name in names}, {f"app@{name}": "{SSHA512}AAAA" for name in names})
    apply(places, said)
    start = time.process_time()
    assert not apply(places, said).changed
    assert time.process_time() - start < 0.5


def test_limits_of_a_domain_stand_on_its_second_line_and_change_alone(places: Places) -> None:
    apply(places, table())
    said = limited(table(), "acme.example", 5, 100)
    assert apply(places, said).domains == ("acme.example",)
    assert (places.owners / "acme.example").read_text() == "api@acme.example app@acme.example\n5 100\n"
    assert not apply(places, said).changed
    assert apply(places, table(kept=("acme.example",), owned={})).domains == ("news.globex.example",)
    assert (places.owners / "acme.example").read_text().endswith("\n5 100\n"), "a file at fault changes no limits"
    assert apply(places, table()).domains == ("acme.example", "news.globex.example")
    assert (places.owners / "acme.example").read_text() == "api@acme.example app@acme.example\n"


RETURNS = "bounces.acme.example"


def returning(said: dict[str, Any], **names: str) -> dict[str, Any]:
    """`said` with return paths, named by the first label of their domains."""
    paths = {f"{label}.example": name for label, name in names.items()}
    changed = {name: {**said["domains"].get(name, {"logins": []}), "return_path": path} for name, path in paths.items()}
    return {**said, "domains": {**said["domains"], **changed}}


def test_a_return_path_is_for_the_logins_of_its_domain_and_takes_what_bounces(places: Places) -> None:
    apply(places, table())
    outcome = apply(places, returning(table(), acme=RETURNS))
    assert (outcome.domains, outcome.passwords, outcome.repaired) == (("acme.example",), (), False)
    said = contents(places)
    assert said["sender_login.lmdb"] == (
        "@acme.example\tapi@acme.example, app@acme.example\n"
        "@bounces.acme.example\tapi@acme.example, app@acme.example\n"
        "@news.globex.example\tapp@globex.example\n"
    )
    assert said["return_paths.lmdb"] == f"{RETURNS}\tbounces\n"
    assert said["return_mailboxes.lmdb"] == (
        f"postmaster@{RETURNS}\tsendyard/postmaster/\nabuse@{RETURNS}\tsendyard/abuse/\n@{RETURNS}\tsendyard/bounces/\n"
    )
    assert RETURNS not in said, "for the gate the name belongs to nobody: no From: has it"
    assert not apply(places, returning(table(), acme=RETURNS)).changed
    assert apply(places, table()).domains == ("acme.example",)
    assert not any(RETURNS in text for text in contents(places).values())


def test_a_domain_without_logins_has_a_return_path_that_nobody_may_send_from(places: Places) -> None:
    apply(places, returning(table(), initech="b.initech.example"))
    assert "initech" not in contents(places)["sender_login"]
    assert contents(places)["return_paths"] == "b.initech.example\tbounces\n"


def test_a_domain_whose_file_is_at_fault_keeps_its_return_path(places: Places) -> None:
    apply(places, returning(table(), acme=RETURNS))
    before = contents(places)
    kept = table({"news.globex.example": OWNED["news.globex.example"]}, kept=("acme.example",))
    assert not apply(places, kept).changed
    assert contents(places) == before
    owned = {"news.globex.example": OWNED["news.globex.example"], RETURNS: ["app@globex.example"]}
    taken = table(owned, kept=("acme.example",))
    apply(places, taken)
    assert f"@{RETURNS}\tapp@globex.example\n" in contents(places)["sender_login"], "a file of its own counts more"
    assert contents(places)["return_paths"] == ""


@pytest.mark.parametrize("name", ["x", "b.acme.example other", "b.acme.example\nrx.example", "@acme.example"])
def test_a_return_path_that_is_no_name_is_refused(places: Places, name: str) -> None:
    with pytest.raises(LoginError):
        apply(places, returning(table(), acme=name))
    assert list(places.owners.parent.iterdir()) == []
