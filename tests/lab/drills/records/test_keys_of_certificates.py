# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""At every moment of a key's life, who checks DANE finds in the TLSA record what the server shows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import lab_api
from lab_dane import CIPHERS, announced, judged, served
from lab_hosts import Sender
from lab_killed import site
from programs import run


@contextmanager
def watched(sender: Sender) -> Iterator[list[str]]:
    """Ask again and again, for both types of keys, until the end; the answers."""
    answers: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.5):  # as many as Postfix takes from one client
            answers.extend(judged(sender, key_type, sender.fqdn) for key_type in CIPHERS)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join(60)


def test_new_keys_are_announced_before_they_are_served(sender: Sender) -> None:
    before = served(sender)
    with watched(sender) as answers:
        renew = ("certbot", "renew", "--force-renewal", "--new-key", "--no-random-sleep-on-renew", "-q")
        lab_api.root(sender.name, *renew, deadline=180, check=False)
        assert served(sender) == before, "nobody was told of the new keys yet"
        assert site(sender) > 0
    assert len(answers) > 8
    assert set(answers) == {"Verified"}
    after = served(sender)
    assert not after & before
    assert announced(sender) == after, "and the old ones are withdrawn"
    assert site(sender) == 0


def test_a_record_that_is_not_wanted_goes_and_comes_back(sender: Sender) -> None:
    command = ("ansible-playbook", "playbooks/serve.yml", "--limit", sender.name)
    done = run(*command, "-e", "sendyard_tlsa=false", deadline=300)
    assert done.returncode == 0, done.stdout
    assert announced(sender) == set()
    done = run(*command, deadline=300)
    assert done.returncode == 0, done.stdout
    assert announced(sender) == served(sender)
