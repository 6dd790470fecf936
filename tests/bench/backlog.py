# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What fresh mail waits for while mail to receivers that do not answer fills the queue, all of it due at once.

The worst that a backlog can do: after a restart, a `postqueue -f` or a campaign every message is due at once.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import dns.update
import lab_api
from bed import HOST, serve, timed
from figures import Figure, ratio
from lab_load import NO_LIMITS, OURS, SESSIONS, Load, burst

DOMAINS, MESSAGES = 10_000, 25_000  # that are unreachable, and to them
LARGE = 2_500  # to one receiver that answers 421
FRESH = 30  # messages in a round
PATIENCE = 60.0  # seconds that a fresh message is waited for; a later one counts as so long
ZONE = "acme.example"
LOG = "/var/log/sendyard/postfix.log"
TABLE = "/var/lib/sendyard/postfix/unanswered"
BACK_DOOR = 2527

# Mail for the backlog comes in by a door of its own, where it need not be signed: what is measured is the
# queue. A first attempt for all of it would take an hour with the patience that Postfix has.
FILL = rf"""set -e
cp -p /etc/postfix/main.cf /etc/postfix/main.cf.kept
cp -p /etc/postfix/master.cf /etc/postfix/master.cf.kept
cat >>/etc/postfix/master.cf <<'END'
127.0.0.1:{BACK_DOOR} inet n - y - - smtpd
  -o mynetworks=127.0.0.0/8
  -o smtpd_relay_restrictions=permit_mynetworks,reject
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
END
postconf -e smtp_connect_timeout=1s
postfix reload
"""
FILLED = """set -e
mv /etc/postfix/main.cf.kept /etc/postfix/main.cf
mv /etc/postfix/master.cf.kept /etc/postfix/master.cf
postfix reload
"""
COUNT = f"cd {OURS.queue}; for one in incoming active deferred; do find $one -type f | wc -l; done"
BUSY = """
import socketserver

class Busy(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"421 4.7.0 Messages are deferred for now\\r\\n")

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True

Server(("0.0.0.0", 25), Busy).serve_forever()
"""


def queued() -> tuple[int, int, int]:
    """How many messages are incoming, active and deferred."""
    incoming, active, deferred = map(int, lab_api.root(HOST, "sh", "-c", COUNT).stdout.split())
    return incoming, active, deferred


@contextmanager
def receivers() -> Iterator[None]:
    """Names for the dead and for the large one; packets to the first are dropped, the second answers 421."""
    dead, busy = lab_api.address("rx", 2), lab_api.address("stranger")

    def change(message: dns.update.UpdateMessage) -> None:
        for name, mx, address in (("*.dead", "mx.dead", dead), ("large", "mx.large", busy)):
            message.replace(name, 300, "MX", f"10 {mx}.{ZONE}.")
            message.replace(mx, 300, "A", address)

    assert lab_api.update(ZONE, change) == "NOERROR"
    lab_api.root("stranger", "tee", "/root/busy.py", stdin=BUSY)
    lab_api.root("stranger", "systemd-run", "--quiet", "--collect", "--unit=bench-busy", "python3", "/root/busy.py")
    try:
        with lab_api.fault("rx", f"ip daddr {dead} tcp dport 25 drop"):
            yield
    finally:
        lab_api.root("stranger", "systemctl", "stop", "bench-busy")


def recipients() -> list[str]:
    """Whom the backlog is for, in turn: between the dead, every eleventh time the large one."""
    dead = [f"list@d{number}.dead.{ZONE}" for number in range(DOMAINS)]
    step = MESSAGES // LARGE
    return [one for at in range(0, DOMAINS, step) for one in (*dead[at : at + step], f"list@large.{ZONE}")]


def fill(sender: str) -> None:
    """Put the backlog into the queue, each domain tried once."""
    order = {
        "host": "127.0.0.1",
        "port": BACK_DOOR,
        "sessions": SESSIONS,
        "messages": MESSAGES + LARGE,
        "per_connection": 500,
        "size": 2048,
        "senders": [sender],
        "recipients": recipients(),
        "login": None,
    }
    program = Path(lab_api.__file__).with_name("load_client.py").read_text()
    lab_api.root(HOST, "sh", "-s", stdin=FILL)
    try:
        done = lab_api.root(HOST, "python3", "-c", program, stdin=json.dumps(order), deadline=900)
        lab_api.until(lambda: sum(queued()[:2]) == 0, what="a first attempt at everything", deadline=900, pause=2)
    finally:
        lab_api.root(HOST, "sh", "-s", stdin=FILLED)
    waiting = queued()[2]
    assert waiting >= MESSAGES + LARGE, f"{waiting} deferred: {done.stdout}"


def delays(user: dict[str, str]) -> list[float]:
    """Seconds from a fresh message's arrival to its delivery, as Postfix logs them; about one a second is sent."""
    size = int(lab_api.root(HOST, "stat", "-c", "%s", LOG).stdout)
    load, login = Load(per_connection=1, size=2048), (user["username"], user["password"])
    for _ in range(FRESH):
        burst(HOST, OURS, load, 1, senders=login[:1], login=login)
    delivered = re.compile(r"to=<list@sink\.rx\.example>.* delay=([0-9.]+), .* status=sent")

    def found() -> list[float]:
        return [float(one) for one in delivered.findall(lab_api.root(HOST, "tail", "-c", f"+{size + 1}", LOG).stdout)]

    end = time.monotonic() + PATIENCE
    while len(got := found()) < FRESH and time.monotonic() < end:
        time.sleep(1)
    return sorted(got) + [PATIENCE] * (FRESH - len(got))


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return quantiles(values, n=20, method="inclusive")[-1]


def named() -> int:
    """How many domains the host knows as ones whose receivers do not answer."""
    return int(lab_api.root(HOST, "wc", "-l", TABLE).stdout.split()[0])


def figures(rounds: int) -> tuple[dict[str, Figure], dict[str, object]]:
    """`queue_delay` and `queue_delay_p95`: under the backlog, divided by the usual one."""
    user = lab_api.info()["logins"][0]
    serve("-e", json.dumps(NO_LIMITS))
    usual = [delays(user) for _ in range(rounds)]
    under, queues = [], []
    with receivers():
        timed("the backlog, each domain tried once", lambda: fill(user["username"]))
        lab_api.until(lambda: named() >= DOMAINS, what="the domains that do not answer", deadline=240, pause=5)
        for _ in range(rounds):
            lab_api.root(HOST, "postqueue", "-f")
            lab_api.until(lambda: queued()[1] >= MESSAGES / 2, what="a backlog in the active queue", deadline=120)
            under.append(delays(user))
            queues.append(queued())
            print(f"  incoming, active, deferred: {' '.join(map(str, queues[-1]))}", flush=True)
        lab_api.root(HOST, "postsuper", "-d", "ALL", deadline=300)
    names = ("backlog_seconds", "usual_seconds")
    found = {
        "queue_delay": ratio([median(one) for one in under], [median(one) for one in usual], names=names, target=2.0),
        "queue_delay_p95": ratio([p95(one) for one in under], [p95(one) for one in usual], names=names, target=2.0),
    }
    return found, {"queue": {"usual": usual, "under": under, "incoming_active_deferred": queues}}
