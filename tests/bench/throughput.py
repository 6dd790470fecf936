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
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from statistics import median

import cpu
import lab_api
from bed import HOST, serve
from figures import Figure, ratio
from lab_load import CLIENT, NO_LIMITS, OURS, SESSIONS, Instance, Load, burst, drain, relayed, sinks

STOCK_PORT = 2526
SETTINGS = {**NO_LIMITS, "sendyard_firewall_extra_tcp_ports": [STOCK_PORT]}

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
STOCK_SIDE = Instance("stock", "/etc/postfix-stock", "/var/spool/postfix-stock", STOCK_PORT)

LOADS = [Load(*one) for one in product((100, 1), (4096, 102400), (False, True))]


def name_of(load: Load) -> str:
    """`P1`, and what is other than 100 messages of 4 KB a connection to a receiver in clear."""
    parts = ("P1", "100k" * (load.size > 4096), "one_per_connection" * (load.per_connection == 1))
    return "_".join(filter(None, (*parts, "tls_sink" * load.tls_sink)))


def target_of(load: Load) -> float:
    """What is promised by CPU time; a connection for each message has a handshake and a login for each."""
    return 0.47 if load.per_connection == 1 else 0.62


@dataclass(frozen=True)
class Sample:
    """One burst: seconds until all of it was passed on, and CPU milliseconds a message, in all and by unit."""

    side: str
    messages: int
    seconds: float
    cpu_ms: float
    by_unit: dict[str, float]


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


def sample(messages: int, load: Load, side: Instance, sender: str, login: Sequence[str] | None) -> Sample:
    """One burst, measured."""
    before, began = cpu.spent(HOST), time.monotonic()
    burst(HOST, side, load, messages, senders=[sender], login=login)
    drain(HOST, side)
    seconds = time.monotonic() - began
    by_unit = {unit: round(value / messages, 3) for unit, value in cpu.between(before, cpu.spent(HOST)).items()}
    cpu_ms = round(sum(by_unit.values()), 3)
    print(
        f"  {name_of(load):<36} {side.name:<6} {messages / seconds:7.1f}/s {cpu_ms:6.2f} ms CPU a message", flush=True
    )
    return Sample(side.name, messages, round(seconds, 3), cpu_ms, by_unit)


def measured(load: Load, rounds: int, messages: int, user: dict[str, str]) -> list[Sample]:
    """Both sides in turn, after a burst of each that is not counted."""
    sides = ((OURS, (user["username"], user["password"])), (STOCK_SIDE, None))
    with ExitStack() as stack:
        for side, login in sides:
            stack.enter_context(relayed(HOST, side, tls=load.tls_sink))
            burst(HOST, side, load, SESSIONS * load.per_connection, senders=[user["username"]], login=login)
            drain(HOST, side)
        return [sample(messages, load, side, user["username"], login) for _ in range(rounds) for side, login in sides]


def middles(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each unit's milliseconds a message."""
    units = {unit for row in rows for unit in row}
    return {unit: round(median([row.get(unit, 0.0) for row in rows]), 3) for unit in sorted(units)}


def of_loads(samples: dict[Load, list[Sample]]) -> Iterator[tuple[str, Figure]]:
    """For each way to send the ratio by CPU time, `P1…`, and by rate, `P1…_rate`."""
    for load, taken in samples.items():
        name, target = name_of(load), target_of(load)
        ours, theirs = ([one for one in taken if one.side == side.name] for side in (OURS, STOCK_SIDE))
        spent = ([one.cpu_ms for one in theirs], [one.cpu_ms for one in ours])
        rates = ([one.messages / one.seconds for one in ours], [one.messages / one.seconds for one in theirs])
        yield name, ratio(*spent, names=("stock_cpu_ms", "signed_cpu_ms"), target=target, at_least=True)
        yield f"{name}_rate", ratio(*rates, names=("signed_per_s", "stock_per_s"), target=target, at_least=True)


def figures(rounds: int, *, messages: int = 2000) -> tuple[dict[str, Figure], dict[str, object]]:
    """P1 for every way to send, and the samples with what each unit took.

    `messages` a burst, and half of them where each has its own connection.
    """
    user = lab_api.info()["logins"][0]
    serve("-e", json.dumps(SETTINGS))
    with sinks(HOST), stock():
        samples = {
            load: measured(load, rounds, messages // (1 if load.per_connection > 1 else 2), user) for load in LOADS
        }
    raw = {
        name_of(load): {
            "samples": [asdict(one) for one in taken],
            "by_unit": {
                side.name: middles([one.by_unit for one in taken if one.side == side.name])
                for side in (OURS, STOCK_SIDE)
            },
        }
        for load, taken in samples.items()
    }
    return dict(of_loads(samples)), {"throughput": raw}
