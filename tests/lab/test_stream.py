# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Nothing accepted is lost and nothing leaves unsigned while daemons die; the drills have more of it, and worse."""

from __future__ import annotations

import pytest
from lab_faults import GATE, SIGNER, hung, killed, mail_path
from lab_hosts import Login, Sender
from lab_stream import stream

ONE = ["mx-trixie"]  # of each pair of releases one here; the drills take both


@pytest.mark.parametrize("sender", ONE, indirect=True)
def test_all_daemons_killed_at_once(sender: Sender, logins: tuple[Login, ...]) -> None:
    with stream(sender, logins) as running:
        with killed(sender, *mail_path(sender), for_good=True):
            running.wait_until_shut()
        running.wait_for(10)
        fate = running.fate()
    fate.assert_kept()


@pytest.mark.parametrize("sender", ["mx-bookworm"], indirect=True)
def test_the_signer_hangs_and_the_gate_is_killed(sender: Sender, logins: tuple[Login, ...]) -> None:
    with stream(sender, logins) as running:
        with hung(sender, SIGNER):
            assert not [attempt for attempt in running.hold(attempts=3) if attempt.accepted]
        with killed(sender, GATE):
            pass
        running.wait_for(10)
        fate = running.fate()
    assert fate.refused, "nobody noticed the signer"
    fate.assert_kept()
