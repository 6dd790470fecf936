# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""P1: what a message costs that is submitted and signed, against one that Debian's stock Postfix merely passes on.

Both stand on one host and are measured in turn: same client (on another host), same sessions, same kind of log, same
receivers on loopback. A rate depends on what else the machine does, and on the client's part in it; CPU time less so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median

import cpu
import lab_api
from bed import HOST, serve
from figures import Figure, ratio

CLIENT = "stranger"
SESSIONS = 20
STOCK_PORT = 2526
CLEAR_SINK, TLS_SINK = 2600, 2601
DRAINED = 60.0  # seconds that the queue may take after the last message was accepted
# What keeps one client from more than its share is not what is measured.
SETTINGS = {
    "sendyard_login_hourly_limit": 0,
    "sendyard_login_daily_limit": 0,
    "sendyard_domain_hourly_limit": 0,
    "sendyard_domain_daily_limit": 0,
    "sendyard_firewall_extra_tcp_ports": [STOCK_PORT],
}

SINKS = f"""set -e
cd /root
systemd-run --quiet --collect --unit=bench-sink-clear smtp-sink -u nobody -c 127.0.0.1:{CLEAR_SINK} 1000
systemd-run --quiet --collect --unit=bench-sink-tls python3 /root/tls_sink.py {TLS_SINK} /etc/sendyard/tls/ecdsa.pem
"""
# As Debian's package leaves it, for an "Internet Site", beside ours: its own directories, its own port, and a log file
# as ours has one (journald would cost it more). It has a client to serve and where to pass mail on to.
STOCK = rf"""set -e
etc=/etc/postfix-stock queue=/var/spool/postfix-stock data=/var/lib/postfix-stock
mkdir -p $etc $queue/etc $data
chown postfix: $data
cp -r /etc/postfix/dynamicmaps.cf* /etc/postfix/postfix-files* $etc
cp /etc/services /etc/resolv.conf /etc/hosts /etc/nsswitch.conf $queue/etc
sed 's/^smtp  *inet/{STOCK_PORT} inet/' /usr/share/postfix/master.cf.dist >$etc/master.cf
cat >$etc/main.cf <<END
$(grep ^compatibility_level /usr/share/postfix/main.cf.debian)
myhostname = stock.lab.example
mydestination = \$myhostname, localhost
alias_maps =
mynetworks = 127.0.0.0/8 [::1]/128 $1
smtpd_banner = \$myhostname ESMTP \$mail_name (Debian)
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
smtp_tls_CApath = /etc/ssl/certs
smtp_tls_security_level = may
smtp_tls_session_cache_database = lmdb:\${{data_directory}}/smtp_scache
biff = no
append_dot_mydomain = no
inet_protocols = all
queue_directory = $queue
data_directory = $data
maillog_file = /var/log/sendyard/postfix-stock.log
END
systemd-run --quiet --collect --unit=bench-stock --property=Type=forking postfix -c $etc start
"""
# Where mail goes: `relayhost` of an instance, live when its old processes are gone.
RELAY = """set -e
postconf -c "$1" -e "relayhost = [127.0.0.1]:$2"
postfix -c "$1" reload
"""


@dataclass(frozen=True)
class Side:
    """One of the two servers."""

    name: str
    etc: str
    queue: str
    port: int


OURS = Side("signed", "/etc/postfix", "/var/spool/postfix", 587)
STOCK_SIDE = Side("stock", "/etc/postfix-stock", "/var/spool/postfix-stock", STOCK_PORT)


@dataclass(frozen=True)
class Load:
    """A way to send: messages a connection, bytes a message, and whether the receiver offers STARTTLS."""

    per_connection: int
    size: int
    tls_sink: bool

    @property
    def name(self) -> str:
        """`P1`, and what is other than 100 messages of 4 KB a connection to a receiver in clear."""
        parts = ("P1", "100k" * (self.size > 4096), "one_per_connection" * (self.per_connection == 1))
        return "_".join(filter(None, (*parts, "tls_sink" * self.tls_sink)))

    @property
    def target(self) -> float:
        """What is promised by CPU time; a connection for each message has a handshake and a login for each."""
        return 0.47 if self.per_connection == 1 else 0.62


LOADS = [Load(*one) for one in product((100, 1), (4096, 102400), (False, True))]


@dataclass(frozen=True)
class Sample:
    """One burst: seconds until all of it was passed on, and CPU milliseconds a message, in all and by unit."""

    side: str
    messages: int
    seconds: float
    cpu_ms: float
    by_unit: dict[str, float]


@contextmanager
def sinks() -> Iterator[None]:
    """The receivers on the host's loopback."""
    lab_api.root(HOST, "tee", "/root/tls_sink.py", stdin=Path(__file__).with_name("tls_sink.py").read_text())
    lab_api.root(HOST, "sh", "-s", stdin=SINKS)
    try:
        yield
    finally:
        lab_api.root(HOST, "systemctl", "stop", "bench-sink-clear", "bench-sink-tls")


@contextmanager
def stock() -> Iterator[None]:
    """Debian's Postfix beside ours, for clients at the client's addresses."""
    known = lab_api.info()["hosts"][CLIENT]
    networks = " ".join([*known["ipv4"], *(f"[{address}]/128" for address in known["ipv6"])])
    lab_api.root(HOST, "bash", "-s", networks, stdin=STOCK)
    try:
        yield
    finally:
        lab_api.root(HOST, "postfix", "-c", STOCK_SIDE.etc, "stop")


def relay(side: Side, port: int) -> None:
    """Have all mail go to a port of loopback."""
    lab_api.root(HOST, "sh", "-s", side.etc, str(port), stdin=RELAY)


def burst(
    messages: int, load: Load, side: Side, senders: Sequence[str], login: Sequence[str] | None
) -> tuple[float, int]:
    """Send; the client's seconds, and how many messages were accepted.

    Raises:
        RuntimeError: not all of them were.
    """
    order = {
        "host": lab_api.address(HOST),
        "port": side.port,
        "sessions": SESSIONS,
        "messages": messages,
        "per_connection": load.per_connection,
        "size": load.size,
        "senders": senders,
        "recipients": ["list@sink.rx.example"],
        "login": login,
    }
    program = Path(__file__).with_name("client.py").read_text()
    done = lab_api.ssh(CLIENT, "python3", "-c", program, stdin=json.dumps(order), deadline=600)
    told = json.loads(done.stdout)
    accepted = sum(count for text, count in told["replies"].items() if text.startswith("250"))
    if accepted != messages:
        raise RuntimeError(f"{side.name}: {accepted} of {messages} accepted: {told['replies']} {done.stderr[-2000:]}")
    return told["seconds"], accepted


def drain(side: Side) -> None:
    """Wait until the queue is empty."""
    waiting = "find " + " ".join(f"{side.queue}/{one}" for one in ("incoming", "active", "deferred")) + " -type f"
    lab_api.until(
        lambda: not lab_api.root(HOST, "sh", "-c", waiting).stdout,
        what=f"an empty queue: {side.name}",
        deadline=DRAINED,
        pause=0.1,
    )


def sample(messages: int, load: Load, side: Side, sender: str, login: Sequence[str] | None) -> Sample:
    """One burst, measured."""
    before, began = cpu.spent(HOST), time.monotonic()
    burst(messages, load, side, [sender], login)
    drain(side)
    seconds = time.monotonic() - began
    by_unit = {unit: round(value / messages, 3) for unit, value in cpu.between(before, cpu.spent(HOST)).items()}
    cpu_ms = round(sum(by_unit.values()), 3)
    print(f"  {load.name:<36} {side.name:<6} {messages / seconds:7.1f}/s {cpu_ms:6.2f} ms CPU a message", flush=True)
    return Sample(side.name, messages, round(seconds, 3), cpu_ms, by_unit)


def measured(load: Load, rounds: int, messages: int, user: dict[str, str]) -> list[Sample]:
    """Both sides in turn, after a burst of each that is not counted."""
    sides = ((OURS, (user["username"], user["password"])), (STOCK_SIDE, None))
    for side, _ in sides:
        relay(side, TLS_SINK if load.tls_sink else CLEAR_SINK)
    for side, login in sides:
        burst(SESSIONS * load.per_connection, load, side, [user["username"]], login)
        drain(side)
    return [sample(messages, load, side, user["username"], login) for _ in range(rounds) for side, login in sides]


def middles(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each unit's milliseconds a message."""
    units = {unit for row in rows for unit in row}
    return {unit: round(median([row.get(unit, 0.0) for row in rows]), 3) for unit in sorted(units)}


def of_loads(samples: dict[Load, list[Sample]]) -> Iterator[tuple[str, Figure]]:
    """For each way to send the ratio by CPU time, `P1…`, and by rate, `P1…_rate`."""
    for load, taken in samples.items():
        cpu_ms = {side: [one.cpu_ms for one in taken if one.side == side] for side in ("signed", "stock")}
        rate = {side: [one.messages / one.seconds for one in taken if one.side == side] for side in ("signed", "stock")}
        yield (
            load.name,
            ratio(
                cpu_ms["stock"],
                cpu_ms["signed"],
                names=("stock_cpu_ms", "signed_cpu_ms"),
                target=load.target,
                at_least=True,
            ),
        )
        yield (
            f"{load.name}_rate",
            ratio(
                rate["signed"], rate["stock"], names=("signed_per_s", "stock_per_s"), target=load.target, at_least=True
            ),
        )


def figures(rounds: int, *, messages: int = 2000) -> tuple[dict[str, Figure], dict[str, object]]:
    """P1 for every way to send, and the samples with what each unit took.

    `messages` a burst, and half of them where each has its own connection.
    """
    user = lab_api.info()["logins"][0]
    serve("-e", json.dumps(SETTINGS))
    samples = {}
    with sinks(), stock():
        for load in LOADS:
            small = load.per_connection > 1
            samples[load] = measured(load, rounds, messages if small else messages // 2, user)
    units = {
        load.name: {side: middles([one.by_unit for one in taken if one.side == side]) for side in ("signed", "stock")}
        for load, taken in samples.items()
    }
    raw = {"samples": {load.name: [asdict(one) for one in taken] for load, taken in samples.items()}, "by_unit": units}
    return dict(of_loads(samples)), {"throughput": raw}
