# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Which failed logins block a network, which are told of, and that nothing grows without end."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import pytest
from sendyard import guessing
from sendyard.guessing import Attempts, Failure, Guesses, Policy, Verdict

POLICY = Policy(
    failures=3, window=100, block=1000, prefix4=32, prefix6=64, networks=3, login_window=500,
    allowed=(ip_network("198.51.100.1"), ip_network("2001:db8:1::/48")),
)  # fmt: skip
LOGIN = "app@acme.example"
NETWORK = ip_network("203.0.113.7/32")

# As journalctl has them, of Dovecot 2.3 and of 2.4: the lines of one attempt each.
WRONG = (
    ["auth: passwd-file({login},{rip}): Password mismatch", "auth: passwd-file({login},{rip}): unknown user"],
    [
        "auth({login},{rip},sasl:plain): logins: Password mismatch",
        "auth({login},{rip},sasl:plain): probe-logins: unknown user",
    ],
)
UNKNOWN = tuple([lines[0].replace("Password mismatch", "unknown user"), lines[1]] for lines in WRONG)
WRONG_OF_PROBE = tuple([lines[1], lines[1].replace("unknown user", "Password mismatch")] for lines in WRONG)
DISALLOWED = (
    "auth: plain(?,{rip}): Username character disallowed by auth_username_chars: 0x2c (username: {login})",
    "auth(?,{rip},sasl:login): login: Username character disallowed by auth_username_chars: 0x2c (username: {login})",
)


def read(*lines: str, login: str = LOGIN, rip: str = "203.0.113.7") -> list[Failure]:
    """The failures that `lines` tell of."""
    attempts = Attempts()
    found = (attempts.read(line.format(login=login, rip=rip)) for line in lines)
    return [failure for failure in found if failure]


@pytest.mark.parametrize("release", [0, 1], ids=["2.3", "2.4"])
@pytest.mark.parametrize("rip", ["203.0.113.7", "2001:db8::7"])
def test_an_attempt_is_one_failure_however_many_lines_it_has(release: int, rip: str) -> None:
    address = ip_address(rip)
    for lines, known in ((WRONG, True), (UNKNOWN, False), (WRONG_OF_PROBE, True)):
        assert read(*lines[release], rip=rip) == [Failure(LOGIN, known, address)]
        assert read(*lines[release] * 3, rip=rip) == [Failure(LOGIN, known, address)] * 3
    assert read(DISALLOWED[release], rip=rip) == [Failure("?", False, address)]


@pytest.mark.parametrize("lines", WRONG)
def test_attempts_of_several_clients_are_kept_apart(lines: list[str]) -> None:
    attempts = Attempts()
    said = [line.format(login=LOGIN, rip=f"203.0.113.{host}") for host in (1, 2) for line in lines]
    assert [bool(attempts.read(line)) for line in said] == [True, False, True, False]


@pytest.mark.parametrize("lines", UNKNOWN)
def test_a_login_that_the_second_list_lets_in_is_no_failure(lines: list[str]) -> None:
    assert read(lines[0]) == []
    attempts = Attempts()
    for name in ("probe-1", "probe-2", "probe-3"):
        assert attempts.read(lines[0].format(login=name, rip="203.0.113.7")) is None


@pytest.mark.parametrize(
    "line",
    [
        "", "master: Dovecot v2.3.19.1 starting up", "auth: passwd-file(x@y.example,): unknown user",
        "auth: passwd-file(x@y.example,999.1.1.1): Password mismatch", "auth: Error: passwd-file: open failed",
        "auth: passwd-file(x,1.2.3.4,9.9.9.9): Password mismatch", "auth-worker: Password mismatch",
        "auth: plain(?,203.0.113.7): Invalid base64 data in continued response",
    ],
)  # fmt: skip
def test_other_lines_are_nothing(line: str) -> None:
    assert read(line) == []


@pytest.mark.parametrize("line", DISALLOWED)
def test_a_login_cannot_make_a_line_about_somebody_else(line: str) -> None:
    for name in ("a,9.9.9.9): Password mismatch", "\nauth: passwd-file(b@c.example,9.9.9.9): Password mismatch\n"):
        assert {str(failure.address) for failure in read(line, login=name)} == {"203.0.113.7"}


def test_an_ipv4_address_in_ipv6_form_is_the_ipv4_address() -> None:
    assert read(*WRONG[0], rip="::ffff:203.0.113.7")[0].address == ip_address("203.0.113.7")


def fail(guesses: Guesses, now: float, address: str = "203.0.113.7", login: str = "", known: bool = False) -> Verdict:
    """One failure."""
    return guesses.fail(Failure(login or "nobody@acme.example", known, ip_address(address)), now)


def test_too_many_failures_block_and_the_block_ends() -> None:
    guesses = Guesses(POLICY)
    assert [fail(guesses, now).block for now in (0, 10, 20)] == [None, None, NETWORK]
    assert guesses.blocked(21) == {NETWORK: 999}
    assert guesses.blocked(1020) == {}


def test_a_network_that_was_let_in_by_hand_is_counted_anew() -> None:
    guesses = Guesses(POLICY)
    for now in range(3):
        fail(guesses, now)
    assert [fail(guesses, now).block for now in (3, 11, 12, 13, 14)] == [None, None, None, None, NETWORK]
    assert guesses.blocked(14) == {NETWORK: 1000}


def test_what_does_not_stand_after_a_restart_is_forgotten() -> None:
    guesses = Guesses(POLICY)
    for now in range(3):
        fail(guesses, now)
        fail(guesses, now, "203.0.113.8")
    guesses.release({NETWORK})
    assert list(guesses.blocked(4)) == [NETWORK]


def test_it_is_blocked_again_after_its_time() -> None:
    guesses = Guesses(POLICY)
    for now in range(3):
        fail(guesses, now)
    assert [fail(guesses, now).block for now in (1021, 1022, 1023)] == [None, None, NETWORK]


def test_it_is_told_without_the_password_and_once() -> None:
    guesses = Guesses(POLICY)
    said = [line for now in range(10) for line in fail(guesses, now).events]
    assert said == ["event guessing-blocked network=203.0.113.7/32 failures=3 window=100s for=1000s"]


def test_old_failures_do_not_count() -> None:
    guesses = Guesses(POLICY)
    assert [fail(guesses, now).block for now in (0, 60, 120, 180, 240)] == [None] * 5


def test_ipv6_is_counted_by_what_a_customer_has() -> None:
    guesses = Guesses(POLICY)
    assert not fail(guesses, 0, "2001:db8:0:1::1").block
    assert not fail(guesses, 0, "2001:db8:0:2::1").block
    assert not fail(guesses, 1, "2001:db8:0:1:ffff::2").block
    assert fail(guesses, 2, "2001:db8:0:1:2:3:4:5").block == ip_network("2001:db8:0:1::/64")


@pytest.mark.parametrize("address", ["198.51.100.1", "2001:db8:1:2::3", "127.0.0.1", "::1"])
def test_who_is_allowed_is_never_blocked_and_raises_no_event(address: str) -> None:
    guesses = Guesses(POLICY)
    assert [fail(guesses, now, address, LOGIN, known=True) for now in range(50)] == [Verdict()] * 50


def test_a_login_that_is_guessed_at_from_many_networks_is_told_and_never_locked() -> None:
    guesses = Guesses(POLICY)
    said = [
        line for host in range(1, 60) for line in fail(guesses, host, f"203.0.113.{host}", LOGIN, known=True).events
    ]
    assert said == ["event login-guessed login=app@acme.example networks=3 failures=3 window=500s"]
    assert guesses.blocked(60) == {}
    # Once a window, with what there is by then.
    again = fail(guesses, 503, "203.0.113.99", LOGIN, known=True).events
    assert again == ("event login-guessed login=app@acme.example networks=57 failures=57 window=500s",)


def test_failures_from_a_blocked_network_that_were_under_way_count_for_the_login_only() -> None:
    guesses = Guesses(POLICY)
    for now in range(3):
        fail(guesses, now)
    assert fail(guesses, 4, login=LOGIN, known=True) == Verdict()
    assert guesses.kept()["logins"][LOGIN]["networks"] == {"203.0.113.7/32": (4, 1)}


def test_networks_that_stopped_do_not_count_for_a_login() -> None:
    guesses = Guesses(POLICY)
    said = [fail(guesses, host * 260, f"203.0.113.{host}", LOGIN, known=True).events for host in range(1, 30)]
    assert not any(said)


def test_an_unknown_login_is_not_remembered() -> None:
    guesses = Guesses(POLICY)
    for number in range(1000):
        fail(guesses, number, f"10.0.{number >> 8}.{number & 255}", f"x{number}@acme.example")
    assert guesses.kept()["logins"] == {}


def test_a_flood_of_addresses_does_not_grow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MAX_NETWORKS", 100), ("MAX_PAIRS", 200), ("MAX_NETWORKS_OF_LOGIN", 50)):
        monkeypatch.setattr(guessing, name, most)
    guesses = Guesses(POLICY)
    for number in range(5000):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        fail(guesses, 0, address, f"app@d{number % 7}.example", known=True)
        for _ in range(3 if number % 2 else 0):
            fail(guesses, 0, address)
    kept = guesses.kept()
    assert len(kept["sources"]) <= 100
    assert len(kept["blocked"]) <= 100
    pairs = [len(login["networks"]) for login in kept["logins"].values()]
    assert max(pairs) <= 50
    assert sum(pairs) <= 200


def test_what_is_known_outlives_a_restart() -> None:
    first = Guesses(POLICY)
    for now in range(3):
        fail(first, now, login=LOGIN, known=True)
    fail(first, 4, "203.0.113.8", LOGIN, known=True)
    fail(first, 5, "203.0.113.8")
    second = Guesses(POLICY)
    second.take_up(json.loads(json.dumps(first.kept())))
    assert json.loads(json.dumps(second.kept())) == json.loads(json.dumps(first.kept()))
    assert second.blocked(6) == {NETWORK: 996}
    assert fail(second, 6, "203.0.113.8").block == ip_network("203.0.113.8/32")
    assert fail(second, 7, "203.0.113.9", LOGIN, known=True).events


@pytest.mark.parametrize(
    "kept",
    [
        {}, {"sources": [], "blocked": {}, "logins": {}}, {"sources": {"x": [1]}, "blocked": {}, "logins": {}},
        {"sources": {}, "blocked": {"10.0.0.1/32": "soon"}, "logins": {}},
        {"sources": {}, "blocked": {}, "logins": {"a": {"networks": {"10.0.0.1/32": 1}, "told": None}}},
    ],
)  # fmt: skip
def test_what_is_broken_is_refused_as_a_whole(kept: dict[str, object]) -> None:
    guesses = Guesses(POLICY)
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        guesses.take_up(kept)
    assert guesses.kept() == Guesses(POLICY).kept()
