# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A run is killed at many points: the server goes on with the old or the new state, and the next run needs no help.

The points are drawn anew each time; SEED in the environment draws the same ones again.
"""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import lab_api
import pytest
from lab_hosts import Login, Sender
from lab_killed import CHANGES, DEADLINE, assert_bound_and_signing, kill, site
from programs import run

SEED = os.environ.get("SEED") or secrets.token_hex(4)
POINTS = 4  # of each step
STEPS = ("prepare", "publish", "serve")
HOOK = "/root/sendyard-drill"


def points() -> list[tuple[str, str, int]]:
    """Sender, step and the number of the draw."""
    return [(("mx-trixie", "mx-bookworm")[number % 2], step, number) for step in STEPS for number in range(POINTS)]


@pytest.mark.parametrize(("sender", "step", "number"), points(), indirect=["sender"])
def test_a_killed_run(sender: Sender, logins: tuple[Login, ...], step: str, number: int) -> None:
    print(f"\nSEED={SEED}")
    draw = random.Random(f"{SEED} {step} {number}")  # noqa: S311  # no secret: it is to be drawn again
    kill(f"playbooks/{step}.yml", sender, CHANGES[step][number % 2], draw)
    assert_bound_and_signing(sender, logins)
    site(sender)


# --- every step of a swap ---------------------------------------------------------------------------------------------


@pytest.fixture
def hook(sender: Sender, tmp_path: Path) -> Iterator[str]:
    """An interpreter on the host that counts the steps of a swap, and dies where it is told; an inventory that has it.

    (As an extra variable it would be the controller's interpreter, too, where a task is delegated to that.)
    """
    program = Path(__file__).with_name("sitecustomize.py").read_text()
    wrapper = f'#!/bin/sh\nPYTHONPATH={HOOK} exec /usr/bin/python3 "$@"\n'
    lab_api.root(sender.name, "sh", "-c", f"mkdir -p {HOOK}; cat > {HOOK}/sitecustomize.py", stdin=program)
    lab_api.root(sender.name, "sh", "-c", f"cat > {HOOK}/python; chmod 755 {HOOK}/python", stdin=wrapper)
    inventory = tmp_path / "hook.json"
    inventory.write_text(json.dumps({"senders": {"vars": {"ansible_python_interpreter": f"{HOOK}/python"}}}))
    yield str(inventory)
    lab_api.root(sender.name, "rm", "-r", HOOK)


def serve(sender: Sender, inventory: str, limit: int, when: int | None) -> tuple[int, list[str]]:
    """Run serve.yml with a changed size limit, killed before event `when`; its exit code, and the events."""
    told = f"echo {when} > {HOOK}/when" if when else f"rm -f {HOOK}/when"
    lab_api.root(sender.name, "sh", "-c", f": > {HOOK}/events; {told}")
    options = ("-i", "inventory/lab", "-i", inventory, "--limit", sender.name)
    changed = json.dumps({"sendyard_message_size_limit": limit})
    done = run("ansible-playbook", "playbooks/serve.yml", *options, "-e", changed, deadline=DEADLINE)
    return done.returncode, lab_api.root(sender.name, "cat", f"{HOOK}/events").stdout.splitlines()


def test_killed_at_every_step_of_a_swap(sender: Sender, logins: tuple[Login, ...], hook: str) -> None:
    code, steps = serve(sender, hook, 52428810, None)
    assert code == 0
    assert any("/etc/postfix/main.cf" in step for step in steps), steps
    assert any("reload" in step for step in steps), steps
    for number, step in enumerate(steps, 1):
        code, seen = serve(sender, hook, 52428810 + number, number)
        print(f"{sender.name}: killed before step {number} of {len(steps)}: {step}; exit code {code}")
        assert code == 2, seen
        assert_bound_and_signing(sender, logins)
        code, _ = serve(sender, hook, 52428810 + number, None)
        assert code == 0
    site(sender)
    assert site(sender) == 0, "a run that follows a good one has nothing to do"
