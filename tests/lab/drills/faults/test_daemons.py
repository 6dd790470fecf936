# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Daemons of the mail path stop, die and hang while mail flows: what was accepted arrives, nothing leaves unsigned."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import lab_api
import pytest
from lab_faults import AUTH, GATE, RESOLVER, SIGNER, hung, killed, mail_path, postfix, stopped
from lab_hosts import Login, Sender
from lab_stream import Attempt, Fate, Stream, stream

Fault = Callable[[Sender, str], AbstractContextManager[None]]
SETTLED = 2.0  # seconds after a fault begins in which a submission may still end well that was under way
HEALED = 120.0


def hold(running: Stream, *, attempts: int = 6, deadline: float = 150.0) -> tuple[Attempt, ...]:
    """Wait until some submissions that began after now have ended; returns those."""
    since = time.monotonic() + SETTLED

    def ended() -> tuple[Attempt, ...] | None:
        found = tuple(attempt for attempt in running.attempts if attempt.began > since)
        return found if len(found) >= attempts else None

    return lab_api.until(ended, what="submissions during the fault", deadline=deadline)


def assert_waits(fate: Fate) -> None:
    """Nobody was refused for good: a client that tries again will be served."""
    assert fate.refused, "no client noticed"
    assert all(code == 0 or code // 100 == 4 for code in fate.refused), [
        attempt.text for attempt in fate.attempts if attempt.code // 100 == 5
    ]


@pytest.mark.parametrize("fault", [stopped, hung], ids=["stopped", "hung"])
@pytest.mark.parametrize("unit", [GATE, SIGNER, AUTH])
def test_while_one_is_away_nothing_is_taken(sender: Sender, logins: tuple[Login, ...], unit: str, fault: Fault) -> None:
    with stream(sender, logins) as running:
        with fault(sender, unit):
            during = hold(running)
            assert not [attempt for attempt in during if attempt.accepted], during
        running.wait_for(10, deadline=HEALED)
        fate = running.fate()
    fate.assert_kept()
    assert_waits(fate)


@pytest.mark.parametrize("unit", [GATE, SIGNER, AUTH, RESOLVER])
def test_one_that_is_killed_comes_back_by_itself(sender: Sender, logins: tuple[Login, ...], unit: str) -> None:
    with stream(sender, logins) as running:
        with killed(sender, unit):
            running.wait_for(20, deadline=HEALED)
        fate = running.fate()
    fate.assert_kept()
    assert all(code == 0 or code // 100 == 4 for code in fate.refused), fate.refused


def test_postfix_that_is_killed_comes_back_by_itself(sender: Sender, logins: tuple[Login, ...]) -> None:
    with stream(sender, logins) as running:
        with killed(sender, postfix(sender)):
            running.wait_for(20, deadline=HEALED)
        fate = running.fate()
    assert fate.shut, "no port was shut"
    fate.assert_kept()


@pytest.mark.parametrize("times", [3])
def test_everything_is_killed_again_and_again(sender: Sender, logins: tuple[Login, ...], times: int) -> None:
    with stream(sender, logins, rate=10) as running:
        for _ in range(times):
            with killed(sender, *mail_path(sender)):
                pass
            running.wait_for(15, deadline=HEALED)
        fate = running.fate()
    assert fate.shut, "no port was shut"
    fate.assert_kept()


@pytest.mark.parametrize("fault", [stopped, hung], ids=["stopped", "hung"])
def test_without_a_resolver_mail_waits(sender: Sender, logins: tuple[Login, ...], fault: Fault) -> None:
    with stream(sender, logins) as running:
        with fault(sender, RESOLVER):
            hold(running)
        running.wait_for(10, deadline=HEALED)
        fate = running.fate()
    fate.assert_kept()
    assert_waits(fate)
