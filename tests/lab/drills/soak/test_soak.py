# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Under a lot of mail no daemon grows: 0.2 KB a message would be 200 MB a day for a server that sends a million."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import lab_api
import pytest
from lab_growth import Sample, growth, look, more_descriptors
from lab_hosts import Login, Sender
from lab_load import NO_LIMITS, OURS, Load, burst, drain, relayed, sinks
from programs import run

LOAD = Load(per_connection=100, size=2048)
WARM = 8000  # messages until caches, thread stacks and allocators have what they want
BURST = 4000
BURSTS = 8
TOO_MUCH = 200.0  # bytes a message
MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))  # make soak: at least so long, at half the speed that is possible
AGENT = "/usr/lib/sendyard"
LEAKY = "/run/leaky"
GATE = "sendyard-gate.service"
# The gate with a leak of a little more than what must be seen.
LEAK = rf"""set -e
rm -rf {LEAKY}
cp -r {AGENT} {LEAKY}
cd {LEAKY}/sendyard
sed -i 's/^\( *\)self\._recipients = 0$/&\n\1LEAKED.append(bytes(300))/; s/^class Gate(/LEAKED = []\n\n\n&/' gate.py
grep -q LEAKED.append gate.py
mkdir -p /run/systemd/system/{GATE}.d
printf '[Service]\nEnvironment=PYTHONPATH={LEAKY} PYTHONUNBUFFERED=1\n' >/run/systemd/system/{GATE}.d/leaky.conf
systemctl daemon-reload
systemctl restart {GATE}
"""
MENDED = f"""set -e
rm -r {LEAKY} /run/systemd/system/{GATE}.d/leaky.conf
systemctl daemon-reload
systemctl restart {GATE}
"""


@pytest.fixture(scope="module")
def unlimited(sender: Sender) -> Iterator[None]:
    """Nobody sends too much meanwhile."""
    site(sender, NO_LIMITS)
    yield
    site(sender, {})


def site(sender: Sender, settings: dict[str, int]) -> None:
    """A run for one sender that ends well."""
    done = run("ansible-playbook", "site.yml", "--limit", sender.name, "-e", json.dumps(settings), deadline=600)
    assert done.returncode == 0, done.stdout + done.stderr


def soaked(sender: Sender, login: Login, bursts: int, *, seconds: float = 0.0) -> list[Sample]:
    """A look after each of some bursts; with `seconds`, as many as go into them, with pauses as long as the bursts."""
    with sinks(sender.name), relayed(sender.name, OURS):
        user = (login.username, login.password)
        burst(sender.name, OURS, LOAD, WARM, senders=[login.username], login=user)
        began, samples = time.monotonic(), []
        while len(samples) < bursts or time.monotonic() < began + seconds:
            started = time.monotonic()
            burst(sender.name, OURS, LOAD, BURST, senders=[login.username], login=user)
            drain(sender.name, OURS)
            samples.append(look(sender.name, BURST * (len(samples) + 1)))
            if seconds:
                time.sleep(time.monotonic() - started)
    return samples


@pytest.mark.usefixtures("unlimited")
def test_no_daemon_grows(sender: Sender, logins: tuple[Login, ...]) -> None:
    samples = soaked(sender, logins[0], BURSTS, seconds=MINUTES * 60)
    grown = growth(samples)
    for name, value in sorted(grown.items(), key=lambda item: -item[1])[:8]:
        print(f"{sender.name}: {name} {value:+.1f} bytes a message, {samples[-1].memory[name] >> 10} KB")
    assert {name.partition(":")[0] for name in grown} >= {"master", "qmgr", "opendkim", "python3", "unbound", "dovecot"}
    assert {name: value for name, value in grown.items() if value > TOO_MUCH} == {}
    assert list(more_descriptors(samples, allowed=3)) == []


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize("sender", ["mx-trixie"], indirect=True)
def test_a_leak_is_seen(sender: Sender, logins: tuple[Login, ...]) -> None:
    """The control: the gate forgets to forget 300 bytes of each message."""
    lab_api.root(sender.name, "sh", "-s", stdin=LEAK)
    try:
        gate = lab_api.root(sender.name, "systemctl", "show", "--property=MainPID", "--value", GATE).stdout.strip()
        grown = growth(soaked(sender, logins[0], BURSTS))
    finally:
        lab_api.root(sender.name, "sh", "-s", stdin=MENDED)
    grows = [name for name, value in grown.items() if value > TOO_MUCH]
    assert [name.split(":")[1] for name in grows] == [gate], grown
