# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The guard without a host: what it reads of the journal, what it keeps, and the table that it loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from render import role_files
from sendyard import guard
from sendyard.guard import Guard, networks, table
from sendyard.guessing import Network, Policy

PORTS = [465, 587, 2525]
POLICY = Policy(3, 100, 1000, 32, 64, 3, 500, (ip_network("198.51.100.0/24"), ip_network("2001:db8:1::/48")))
NETWORK = ip_network("203.0.113.7/32")
BOOT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a guard keeps what it knows, on a host that booted as BOOT."""
    boot = tmp_path / "boot_id"
    boot.write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    monkeypatch.setattr(guard, "_BOOT_ID", boot)
    monkeypatch.setattr(guard.time, "monotonic", lambda: 10.0)
    return tmp_path / "guesses.json"


def entry(
    number: int, boot: str = BOOT, message: object = "auth: passwd-file(a@b.example,203.0.113.7): Password mismatch"
) -> bytes:
    """The journal's entry at second `number`, as journalctl prints it."""
    said = {
        "__CURSOR": f"c{number}",
        "__MONOTONIC_TIMESTAMP": str(number * 1_000_000),
        "_BOOT_ID": boot,
        "MESSAGE": message,
    }
    return json.dumps(said).encode()


def test_a_restart_neither_loses_nor_counts_twice(state: Path) -> None:
    first = Guard(POLICY, PORTS, state)
    first.load()
    first.take(entry(1))
    first.save()
    first.take(entry(2))  # it is killed before it could write that down
    second = Guard(POLICY, PORTS, state)
    second.load()
    assert second.cursor == "c1"
    for number in (1, 2):  # the first too, where the journal began anew
        second.take(entry(number))
    assert not second.waiting
    second.take(entry(3))
    assert list(second.waiting) == [NETWORK]
    second.save()
    third = Guard(POLICY, PORTS, state)
    third.load()
    assert third.guesses.blocked(10) == {NETWORK: 993}


def test_an_attempt_between_whose_lines_the_guard_ends_is_counted(state: Path) -> None:
    line = "auth: passwd-file(a@b.example,203.0.113.7): unknown user"
    one = Policy(1, 100, 1000, 32, 64, 3, 500)
    first = Guard(one, PORTS, state)
    first.take(entry(1, message=line))
    first.save()
    second = Guard(one, PORTS, state)
    second.load()
    second.take(entry(2, message=line))
    assert list(second.waiting) == [NETWORK]


def test_of_another_boot_nothing_is_known_and_no_line_is_taken(state: Path) -> None:
    first = Guard(POLICY, PORTS, state)
    for number in (1, 2, 3):
        first.take(entry(number, boot="f" * 32))
    assert not first.waiting
    for number in (1, 2, 3):
        first.take(entry(number))
    first.save()
    (state.parent / "boot_id").write_text("ffffffff-89ab-cdef-0123-456789abcdef\n")
    second = Guard(POLICY, PORTS, state)
    second.load()
    assert (second.guesses.blocked(4), second.cursor, second.last) == ({}, "", 0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format":2}', f'{{"format":1,"boot":"{BOOT}","guesses":{{}}}}'])
def test_a_broken_file_starts_at_nothing_and_says_so(
    state: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state.write_text(text)
    started = Guard(POLICY, PORTS, state)
    started.load()
    assert "counting starts at 0" in capsys.readouterr().out
    started.take(entry(1))


def test_what_cannot_be_written_stops_nothing(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state.parent / ".guesses.json").mkdir()
    Guard(POLICY, PORTS, state).save()
    assert "cannot be written" in capsys.readouterr().out


@pytest.mark.parametrize("message", [None, [1, 2, 3], "something else", 5])
def test_entries_without_a_failure_only_move_on(state: Path, message: object) -> None:
    running = Guard(POLICY, PORTS, state)
    running.take(entry(7, message=message))
    assert (running.cursor, running.waiting) == ("c7", {})


def test_blocks_that_would_be_over_are_not_made_and_a_lost_table_is_made_anew(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts: list[str] = []
    answers = ["", "no such table", ""]

    def nft(script: str) -> str:
        scripts.append(script)
        return answers.pop(0)

    monkeypatch.setattr(guard, "_nft", nft)
    monkeypatch.setattr(guard.subprocess, "run", lambda *_, **__: None)  # ss
    running = Guard(POLICY, PORTS, state)
    running.waiting = {NETWORK: 15.4, ip_network("203.0.113.8/32"): 9.0, ip_network("2001:db8:5::/64"): 1000.0}
    running.block()
    assert scripts == [
        "add element inet sendyard_guard blocked4 { 203.0.113.7 timeout 5s }\n"
        "add element inet sendyard_guard blocked6 { 2001:db8:5:: timeout 990s }\n"
    ]
    for number in (1, 2, 3):
        running.take(entry(number))
    running.block()
    assert scripts[2] == table(POLICY, PORTS, {NETWORK: 993})
    answers[:] = ["no"]
    with pytest.raises(RuntimeError, match="did not take the table"):
        running.build()


def rules(said: Mapping[Network, int] | None = None) -> list[str]:
    return table(POLICY, PORTS, said or {}).splitlines()


def test_the_table_is_replaced_as_a_whole_and_concerns_the_submission_ports_only() -> None:
    said = rules()
    assert said[:2] == ["table inet sendyard_guard", "delete table inet sendyard_guard"]
    assert [line for line in said if "port" in line] == ["tcp dport { 465, 587, 2525 } jump guessers"]
    assert not any("policy drop" in line for line in said)


def test_who_is_allowed_passes_before_anybody_is_refused() -> None:
    said = rules({NETWORK: 7, ip_network("2001:db8:9::/64"): 8})
    assert [line for line in said if "saddr" in line] == [
        "ip saddr @allowed4 return",
        "ip saddr & 255.255.255.255 @blocked4 counter reject with tcp reset",
        "ip6 saddr @allowed6 return",
        "ip6 saddr & ffff:ffff:ffff:ffff:: @blocked6 counter reject with tcp reset",
    ]
    sets = {line.split()[1]: line for line in said if line.startswith("set ")}
    assert "elements = { 198.51.100.0/24 }" in sets["allowed4"]
    assert "elements = { 2001:db8:1::/48 }" in sets["allowed6"]
    assert "elements = { 203.0.113.7 timeout 7s }" in sets["blocked4"]
    assert "elements = { 2001:db8:9:: timeout 8s }" in sets["blocked6"]


def test_open_connections_end_but_for_those_of_who_is_allowed() -> None:
    within = Policy(3, 100, 1000, 32, 64, 3, 500, (ip_network("2001:db8::1"), ip_network("198.51.100.1")))
    assert guard.connections(within, [465, 587], [NETWORK, ip_network("2001:db8::/64")]) == (
        "( sport = :465 or sport = :587 ) and "
        "( ( dst 203.0.113.7/32 ) or ( dst 2001:db8::/64 and not dst 2001:db8::1/128 ) )"
    )


def test_a_list_is_a_network_a_line_and_a_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "allow.conf"
    path.write_text("# who\n198.51.100.7\n\n2001:db8::1/64 # an office\n")
    assert networks(path) == [ip_network("198.51.100.7/32"), ip_network("2001:db8::/64")]
    path.write_text("198.51.100.7\nmta1\n")
    with pytest.raises(ValueError, match=rf"{path} line 2: 'mta1'"):
        networks(path)


def test_the_role_starts_the_program_of_this_tree_with_its_lists(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = role_files("guard", guard_allow=["198.51.100.0/24"], guard_controllers=["203.0.113.5"])
    unit = files["/etc/systemd/system/sendyard-guard.service"].content
    [command] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words: list[Any] = command.split("-m sendyard.guard ")[1].split()
    for name in ("allow", "controllers"):
        path = f"/etc/sendyard/guard-{name}.conf"
        words[words.index(path)] = tmp_path / name
        (tmp_path / name).write_text(files[path].content)
    assert guard.main([*map(str, words), "--print"]) == 0
    said = capsys.readouterr().out
    assert "elements = { 198.51.100.0/24, 203.0.113.5/32 }" in said
    assert "AmbientCapabilities=CAP_NET_ADMIN\nCapabilityBoundingSet=CAP_NET_ADMIN\n" in unit
    assert "\nUser=sendyard-guard\n" in unit
    assert {path.rpartition("/")[2] for path in files if path.endswith(".py")} == {"guard.py", "guessing.py"}
