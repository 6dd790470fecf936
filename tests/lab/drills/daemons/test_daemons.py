# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Daemons of the mail path stop, die and hang while mail flows: what was accepted arrives, nothing leaves unsigned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from lab_faults import AUTH, GATE, RESOLVER, SIGNER, hung, killed, mail_path, postfix, stopped
from lab_hosts import SENDERS, Login, Sender
from lab_stream import stream

Fault = Callable[[Sender, str], AbstractContextManager[None]]
HEALED = 120.0


def _name(value: object) -> str:
    """What a row is called."""
    return getattr(value, "__name__", str(value)).removesuffix(".service")


# Hanging takes every client's patience, so of both releases only what is most likely to differ.
AWAY = [
    *((name, unit, stopped) for name in SENDERS for unit in (GATE, SIGNER, AUTH)),
    ("mx-trixie", SIGNER, hung),
    ("mx-bookworm", GATE, hung),
    *((name, AUTH, hung) for name in SENDERS),
]


@pytest.mark.parametrize(("sender", "unit", "fault"), AWAY, indirect=["sender"], ids=_name)
def test_while_one_is_away_nothing_is_taken(sender: Sender, logins: tuple[Login, ...], unit: str, fault: Fault) -> None:
    with stream(sender, logins) as running:
        with fault(sender, unit):
            during = running.hold()
            assert not [attempt for attempt in during if attempt.accepted], during
        running.wait_for(10, deadline=HEALED)
        fate = running.fate()
    assert fate.refused, "no client noticed"
    fate.assert_kept()


@pytest.mark.parametrize("unit", [GATE, SIGNER, AUTH, RESOLVER])
def test_one_that_is_killed_comes_back_by_itself(sender: Sender, logins: tuple[Login, ...], unit: str) -> None:
    with stream(sender, logins) as running:
        with killed(sender, unit):
            running.wait_for(20, deadline=HEALED)
        fate = running.fate()
    fate.assert_kept()


def test_postfix_that_is_killed_comes_back_by_itself(sender: Sender, logins: tuple[Login, ...]) -> None:
    with stream(sender, logins) as running:
        with killed(sender, postfix(sender)):
            running.wait_for(20, deadline=HEALED)
        fate = running.fate()
    assert fate.shut, "no port was shut"
    fate.assert_kept()


def test_everything_is_killed_again_and_again(sender: Sender, logins: tuple[Login, ...]) -> None:
    with stream(sender, logins, rate=10) as running:
        for _ in range(3):
            with killed(sender, *mail_path(sender), for_good=True):
                running.wait_until_shut()
            running.wait_for(15, deadline=HEALED)
        fate = running.fate()
    fate.assert_kept()


@pytest.mark.parametrize(
    ("sender", "fault"), [("mx-trixie", stopped), ("mx-bookworm", hung)], indirect=["sender"], ids=_name
)
def test_without_a_resolver_mail_waits(sender: Sender, logins: tuple[Login, ...], fault: Fault) -> None:
    with stream(sender, logins) as running:
        with fault(sender, RESOLVER):
            running.hold()
        running.wait_for(10, deadline=HEALED)
        fate = running.fate()
    assert fate.refused, "no client noticed"
    fate.assert_kept()
