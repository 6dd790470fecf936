# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The first run on a bare host is killed at any of its tasks: the next one makes a server that serves, without help.

The points are drawn anew each time; SEED in the environment draws the same ones again.
"""

from __future__ import annotations

import os
import random
import secrets

import lab_api
import pytest
from lab_hosts import SENDERS, Login, Sender
from lab_killed import assert_bound_and_signing, kill, site

SEED = os.environ.get("SEED") or secrets.token_hex(4)
POINTS = 2  # on each sender


@pytest.mark.parametrize(
    ("sender", "number"), [(host, number) for host in SENDERS for number in range(POINTS)], indirect=["sender"]
)
def test_a_killed_first_run(sender: Sender, logins: tuple[Login, ...], number: int) -> None:
    print(f"\nSEED={SEED}")
    draw = random.Random(f"{SEED} {sender.name} {number}")  # noqa: S311  # no secret: it is to be drawn again

    def bare() -> None:
        lab_api.lab("reset", "--name", "fresh", deadline=300)

    kill("site.yml", sender, {}, draw, before=bare)
    site(sender)  # it may have been killed behind its last change
    assert_bound_and_signing(sender, logins)
    assert site(sender) == 0, "a run that follows a good one has nothing to do"
