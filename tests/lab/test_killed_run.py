# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A run is killed once: the server binds and signs, and the next run needs no help. The drill has many such points."""

from __future__ import annotations

import os
import random
import secrets

from lab_hosts import Login, Sender
from lab_killed import CHANGES, assert_bound_and_signing, kill, site

SEED = os.environ.get("SEED") or secrets.token_hex(4)  # SEED in the environment draws the same point again


def test_a_killed_run_leaves_a_server_that_binds_and_signs(sender: Sender, logins: tuple[Login, ...]) -> None:
    print(f"\nSEED={SEED}")
    draw = random.Random(f"{SEED} {sender.name}")  # noqa: S311  # no secret: it is to be drawn again
    kill("playbooks/serve.yml", sender, CHANGES["serve"][0], draw)
    assert_bound_and_signing(sender, logins)
    site(sender)
