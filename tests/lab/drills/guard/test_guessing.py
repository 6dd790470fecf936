# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The guard under a botnet, without its table, dead and alive again; and who it never refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import lab_api
import pytest
from lab_guessing import (
    GUARD,
    GUESS,
    PORTS,
    STATE,
    TABLE,
    blocked,
    doors,
    events,
    guard_with,
    guess,
    let_everybody_in,
    threshold,
)
from lab_hosts import Login, Sender
from lab_submission import logged_in

NOBODY = "nobody@acme.example"


def stranger(index: int, family: int = 4) -> str:
    return lab_api.address("stranger", index, family=family)


@pytest.fixture(autouse=True)
def nobody_is_blocked_after(sender: Sender) -> Iterator[None]:
    let_everybody_in(sender)
    yield
    let_everybody_in(sender)
    assert blocked(sender) == set()


def block(sender: Sender, source: str) -> None:
    """Have `source` refused."""
    guess((sender.ipv4, source, NOBODY, 2 * threshold(sender)))
    lab_api.until(lambda: source in blocked(sender), what=f"a block of {source}")


def test_from_the_controller_nothing_is_refused(sender: Sender) -> None:
    many = threshold(sender) + 4
    orders = [(address, "", NOBODY, many) for address in sender.addresses]
    script = GUESS.replace("ORDERS", repr(json.dumps(orders)))
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=True, timeout=300)
    assert json.loads(done.stdout) == [many, many], "each guess was heard and refused"
    block(sender, stranger(1))  # the control: the guard has read all that came before
    assert blocked(sender) == {stranger(1)}


def test_whom_the_owner_allows_is_never_refused(sender: Sender) -> None:
    lab_api.root(sender.name, "tee", "/run/allowed.conf", stdin=f"{stranger(2)}/32 # the office\n")
    with guard_with(sender, allow="/run/allowed.conf"):
        guess(*((sender.ipv4, stranger(index), NOBODY, 2 * threshold(sender)) for index in (1, 2)))
        lab_api.until(lambda: blocked(sender) == {stranger(1)}, what="a block")
        assert doors(sender.ipv4, stranger(2)) == dict.fromkeys((*PORTS, 25), "open")


def test_a_block_ends_by_itself(sender: Sender) -> None:
    with guard_with(sender, block="30"):
        block(sender, stranger(1))
        assert doors(sender.ipv4, stranger(1), [587]) == {587: "refused"}
        lab_api.until(lambda: doors(sender.ipv4, stranger(1), [587]) == {587: "open"}, what="an open door", deadline=60)
        block(sender, stranger(1))  # and it is watched as before


def test_a_login_guessed_at_from_many_networks_is_told_and_not_locked(
    sender: Sender, logins: tuple[Login, ...]
) -> None:
    login = logins[0]
    with guard_with(sender, networks="3", prefix6="128"):
        told = len(events(sender, "login-guessed"))
        sources = [(sender.ipv4, stranger(index), login.username, 2) for index in range(2)]
        guess(*sources, (sender.ipv4, stranger(2), NOBODY, 2))
        assert len(events(sender, "login-guessed")) == told, "two networks are not many"
        guess((sender.ipv6, stranger(0, 6), login.username, 2), (sender.ipv6, stranger(1, 6), login.username, 2))
        said = lab_api.until(lambda: events(sender, "login-guessed")[told:], what="an event")
        assert len(said) == 1
        assert f"login={login.username} networks=3 " in said[0]
        assert "wrong" not in said[0]
        with logged_in(sender, login):
            pass
        assert blocked(sender) == set()


def test_while_the_guard_is_dead_logins_go_on_and_it_catches_up(sender: Sender, logins: tuple[Login, ...]) -> None:
    block(sender, stranger(1))
    lab_api.root(sender.name, "systemctl", "stop", GUARD)
    many = threshold(sender) + 2
    assert guess((sender.ipv4, stranger(2), NOBODY, many)) == [many], "nobody counts, nobody is refused"
    assert blocked(sender) == {stranger(1)}
    assert doors(sender.ipv4, stranger(1), [587]) == {587: "refused"}, "blocks stand"
    with logged_in(sender, logins[0]):
        pass
    lab_api.root(sender.name, "systemctl", "start", GUARD)
    lab_api.until(lambda: blocked(sender) == {stranger(1), stranger(2)}, what="what came meanwhile to be read")


def kill(sender: Sender) -> None:
    """Kill the guard, and wait until systemd has started another."""

    def process() -> str:
        return lab_api.root(sender.name, "systemctl", "show", "-P", "MainPID", GUARD).stdout.strip()

    before = process()
    lab_api.root(sender.name, "systemctl", "kill", "--signal=KILL", GUARD)
    lab_api.until(lambda: process() not in {before, "0"}, what="another guard")


def test_a_killed_guard_starts_again_loses_nothing_and_counts_nothing_twice(sender: Sender) -> None:
    few = threshold(sender) - 4
    assert guess((sender.ipv4, stranger(2), NOBODY, few)) == [few]
    for _ in range(2):  # at once, and after what it knows was written down
        kill(sender)
        block(sender, stranger(1))  # so it has read all that came before
        assert blocked(sender) == {stranger(1)}
        lab_api.until(
            lambda: len(json.loads(lab_api.root(sender.name, "cat", STATE).stdout)["guesses"]["blocked"]) == 1,
            what="a writing",
        )
        lab_api.root(sender.name, "nft", "flush", "set", *TABLE, "blocked4")
    guess((sender.ipv4, stranger(2), NOBODY, 6))
    lab_api.until(lambda: stranger(2) in blocked(sender), what="a block: none was lost either")


@pytest.mark.parametrize(
    "fault",
    [
        ("nft", "flush", "ruleset"),
        ("nft", "delete", "table", *TABLE),
        ("systemctl", "restart", "nftables.service"),
        ("systemctl", "reload", "nftables.service"),
        ("systemctl", "reload", "sendyard-firewall.service"),
    ],
    ids=" ".join,
)
def test_blocks_outlive_the_packet_filters_of_others(sender: Sender, fault: tuple[str, ...]) -> None:
    if fault[0] == "systemctl" and "nftables" in fault[-1]:
        lab_api.root(sender.name, "systemctl", "start", "nftables.service")
        lab_api.until(lambda: blocked(sender) == set(), what="the table", passing=(AssertionError,))
    block(sender, stranger(1))
    lab_api.root(sender.name, *fault)
    lab_api.until(
        lambda: blocked(sender) == {stranger(1)}, what="the block again", passing=(AssertionError, OSError), deadline=20
    )
    assert doors(sender.ipv4, stranger(1), [587, 25]) == {587: "refused", 25: "open"}
    # What the host was before: the firewall's table stands, nftables.service does not run.
    lab_api.root(sender.name, "systemctl", "stop", "nftables.service")
    lab_api.root(sender.name, "systemctl", "restart", "sendyard-firewall.service")


def test_a_broken_file_of_what_is_known_is_said_and_stops_nothing(sender: Sender) -> None:
    lab_api.root(sender.name, "systemctl", "stop", GUARD)
    lab_api.root(sender.name, "tee", STATE, stdin='{"format":1,')
    lab_api.root(sender.name, "systemctl", "start", GUARD)
    said = lab_api.until(
        lambda: (
            "what was known of guessing cannot be read"
            in lab_api.root(sender.name, "journalctl", "--unit", GUARD, "--output=cat", "--lines=20").stdout
        ),
        what="a line that says so",
    )
    assert said
    block(sender, stranger(1))
