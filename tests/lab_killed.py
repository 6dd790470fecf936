# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Kill a run of a playbook at a point that chance draws, and see whether the server still binds and signs."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import lab_api
from lab_hosts import Login, Sender
from lab_submission import logged_in, signers, submit
from programs import BIN, ROOT, clean_environment, recap, run

DEADLINE = 600.0  # seconds for one run

# What each step gets to do, in turn: one value, then the other.
CHANGES = {
    "prepare": ({"sendyard_firewall_extra_tcp_ports": [8443]}, {"sendyard_firewall_extra_tcp_ports": [8444]}),
    "publish": ({"sendyard_publish_all": True}, {"sendyard_publish_all": True}),
    "serve": ({"sendyard_message_size_limit": 52428801}, {"sendyard_message_size_limit": 52428802}),
}

# With pipelining a module has no name of its own: it is what sudo runs.
WATCH = "until pgrep -f '[B]ECOME-SUCCESS' >/dev/null; do sleep 0.01; done; echo running"
KILL_MODULES = "for pid in $(pgrep -f '[B]ECOME-SUCCESS'); do pkill -KILL -P $pid; kill -KILL $pid || :; done"


def kill(
    playbook: str,
    sender: Sender,
    settings: dict[str, object],
    draw: random.Random,
    before: Callable[[], object] = lambda: None,
) -> None:
    """Run a playbook and kill its controller while a module runs on the host, at a task of `draw`; half of the times
    what runs on the host is killed too. Prints the task that was hit. `before` comes before each try.
    """
    last, both = _tasks(playbook, sender), draw.random() < 0.5
    hit = ""
    while not hit:  # behind the last tasks, which may be skipped, no module runs: then an earlier one is drawn
        before()
        last = draw.randrange(1, max(2, last))
        hit = _kill_behind(last, playbook, sender, settings, draw.uniform(0.0, 0.4), both=both)
    print(
        f'{playbook} on {sender.name}: controller {"and module " if both else ""}killed in "{hit}" (behind task {last})'
    )


def _kill_behind(
    last: int, playbook: str, sender: Sender, settings: dict[str, object], after: float, *, both: bool
) -> str:
    """Kill a run `after` seconds of the first module that runs when task `last` has begun; the task that was hit, ""
    where the run was over before.
    """
    command = [str(BIN / "ansible-playbook"), playbook, "--limit", sender.name, "-e", json.dumps(settings)]
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout
        begun = (found[1] for line in process.stdout if (found := re.match(r"TASK \[(.*?)\] \*", line)))
        hit = next(itertools.islice(begun, last - 1, None), "")
        seen = lab_api.root(sender.name, "timeout", "10", "sh", "-c", WATCH, check=False).rc == 0
        time.sleep(after)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if both:
            lab_api.root(sender.name, "sh", "-c", KILL_MODULES)
        later = re.findall(r"^TASK \[(.*?)\] \*", process.stdout.read(), re.MULTILINE)
    return [hit, *later][-1] if seen and process.returncode == -signal.SIGKILL else ""


_counts: dict[tuple[str, str], int] = {}


def _tasks(playbook: str, sender: Sender) -> int:
    """How many tasks a run of `playbook` has."""
    if (playbook, sender.name) not in _counts:
        listed = run("ansible-playbook", playbook, "--limit", sender.name, "--list-tasks").stdout
        _counts[playbook, sender.name] = len(re.findall(r"^      \S", listed, re.MULTILINE))
    return _counts[playbook, sender.name]


def assert_bound_and_signing(sender: Sender, logins: tuple[Login, ...]) -> None:
    """On 587: an own message leaves signed; another's envelope and another's From do not leave."""
    own, other = logins
    word = lab_api.token()

    def message(author: str) -> bytes:
        return f"From: {author}\r\nSubject: {word}\r\n\r\nHello.\r\n".encode()

    def accepted() -> bool:
        with logged_in(sender, own) as opened:
            return submit(opened, own.username, [f"{word}@sink.rx.example"], message(own.username)).positive

    lab_api.until(accepted, what="an own message to be taken", deadline=60, passing=(*lab_api.PASSING, Exception))
    with logged_in(sender, own) as opened:
        reply = submit(opened, own.username, [f"foreign-{word}@sink.rx.example"], message(other.username))
        assert reply.code == 550, reply
        assert opened.command(f"MAIL FROM:<{other.username}>").positive
        assert opened.command(f"RCPT TO:<foreign-{word}@sink.rx.example>").code == 553
    mail = lab_api.wait_for_mail(f"Subject: {word}")
    assert signers(mail.wire) == [own.domains[0]]


def site(sender: Sender) -> int:
    """A run, which needs no help; how many tasks changed something."""
    done = run("ansible-playbook", "site.yml", "--limit", sender.name, deadline=DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    return recap(done.stdout)[sender.name][0]
