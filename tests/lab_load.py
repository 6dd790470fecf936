# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Much mail through a sender, as fast as it goes, to receivers on its own loopback that forget it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lab_api

CLIENT = "stranger"
SESSIONS = 20
CLEAR_SINK, TLS_SINK = 2600, 2601
DRAINED = 60.0  # seconds that the queue may take after the last message was accepted
# What keeps one client from more than its share would be what is measured.
NO_LIMITS = {f"sendyard_{whose}_{window}_limit": 0 for whose in ("login", "domain") for window in ("hourly", "daily")}

SINKS = f"""set -e
cd /root
systemd-run --quiet --collect --unit=lab-sink-clear smtp-sink -u nobody -c 127.0.0.1:{CLEAR_SINK} 1000
systemd-run --quiet --collect --unit=lab-sink-tls python3 /root/tls_sink.py {TLS_SINK} /etc/sendyard/tls/ecdsa.pem
"""
# Where mail goes: `relayhost` of an instance, or nowhere special again.
RELAY = """set -e
postconf -c "$1" -e "relayhost = $2"
postfix -c "$1" reload
"""


@dataclass(frozen=True)
class Instance:
    """A Postfix of a host, and the port at which it takes mail from clients."""

    name: str
    etc: str
    queue: str
    port: int


OURS = Instance("signed", "/etc/postfix", "/var/spool/postfix", 587)


@dataclass(frozen=True)
class Load:
    """A way to send: messages a connection, bytes a message, and whether the receiver offers STARTTLS."""

    per_connection: int
    size: int
    tls_sink: bool = False


@contextmanager
def sinks(host: str) -> Iterator[None]:
    """The receivers."""
    lab_api.root(host, "tee", "/root/tls_sink.py", stdin=Path(__file__).with_name("tls_sink.py").read_text())
    lab_api.root(host, "sh", "-s", stdin=SINKS)
    try:
        yield
    finally:
        lab_api.root(host, "systemctl", "stop", "lab-sink-clear", "lab-sink-tls")


@contextmanager
def relayed(host: str, instance: Instance, *, tls: bool = False) -> Iterator[None]:
    """All mail goes to a receiver on loopback meanwhile; main.cf is as before then, its times too."""
    kept, main = f"{instance.etc}/main.cf.kept", f"{instance.etc}/main.cf"
    lab_api.root(host, "cp", "-p", main, kept)
    try:
        lab_api.root(host, "sh", "-s", instance.etc, f"[127.0.0.1]:{TLS_SINK if tls else CLEAR_SINK}", stdin=RELAY)
        yield
    finally:
        lab_api.root(host, "mv", kept, main)
        lab_api.root(host, "postfix", "-c", instance.etc, "reload")


def burst(
    host: str, instance: Instance, load: Load, messages: int, *, senders: Sequence[str], login: Sequence[str] | None
) -> None:
    """Send that many, from `senders` in turn; with a login, under TLS. Returns when the last one was accepted.

    Raises:
        RuntimeError: not all of them were.
    """
    order = {
        "host": lab_api.address(host),
        "port": instance.port,
        "sessions": SESSIONS,
        "messages": messages,
        "per_connection": load.per_connection,
        "size": load.size,
        "senders": senders,
        "recipients": ["list@sink.rx.example"],
        "login": login,
    }
    program = Path(__file__).with_name("load_client.py").read_text()
    done = lab_api.ssh(CLIENT, "python3", "-c", program, stdin=json.dumps(order), deadline=900)
    replies = json.loads(done.stdout)["replies"]
    accepted = sum(count for text, count in replies.items() if text.startswith("250"))
    if accepted != messages:
        raise RuntimeError(f"{instance.name}: {accepted} of {messages} accepted: {replies} {done.stderr[-2000:]}")


def drain(host: str, instance: Instance) -> None:
    """Wait until the queue is empty."""
    waiting = "find " + " ".join(f"{instance.queue}/{one}" for one in ("incoming", "active", "deferred")) + " -type f"
    lab_api.until(
        lambda: not lab_api.root(host, "sh", "-c", waiting).stdout,
        what=f"an empty queue: {instance.name}",
        deadline=DRAINED,
        pause=0.1,
    )
