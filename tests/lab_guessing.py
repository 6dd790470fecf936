# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Guess passwords at a sender from the lab's stranger, see who is refused, and leave no block behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lab_api
from lab_hosts import Sender

GUARD = "sendyard-guard.service"
UNIT = f"/etc/systemd/system/{GUARD}"
DROP_IN = f"/run/systemd/system/{GUARD}.d/test.conf"
TABLE = ("inet", "sendyard_guard")
PORTS = (587, 465, 2525)

# On standard input: [[server, source, login, how many], …]. Printed: how many were answered with 535, of each.
# Two guesses a session, a dozen sessions at once.
GUESS = r"""
import json, smtplib, ssl, sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

context = ssl._create_unverified_context()

def session(order):
    server, source, login, guesses = order
    refused = 0
    try:
        with smtplib.SMTP(server, 587, "guesser.stranger.example", timeout=60, source_address=(source, 0)) as smtp:
            smtp.starttls(context=context)
            smtp.ehlo()
            for _ in range(guesses):
                token = b64encode(f"\0{login}\0wrong".encode()).decode()
                refused += smtp.docmd("AUTH", f"PLAIN {token}")[0] == 535
    except (OSError, smtplib.SMTPException):
        pass
    return refused

orders = json.loads(ORDERS)
parts = [(number, (server, source, login, min(2, many - done)))
         for number, (server, source, login, many) in enumerate(orders) for done in range(0, many, 2)]
with ThreadPoolExecutor(12) as pool:
    counts = list(pool.map(session, [part for _, part in parts]))
print(json.dumps([sum(c for (n, _), c in zip(parts, counts) if n == number) for number in range(len(orders))]))
"""


def guess(*orders: tuple[str, str, str, int], host: str = "stranger") -> list[int]:
    """Try wrong passwords: (server, source, login, how many). Of each, how many of them were heard and refused."""
    script = GUESS.replace("ORDERS", repr(json.dumps(orders)))
    return list(json.loads(lab_api.ssh(host, "python3", "-", stdin=script, deadline=300).stdout))


CONNECT = """
import socket, sys
for port in {ports}:
    try:
        with socket.create_connection(("{server}", port), timeout=20, source_address=("{source}", 0)) as link:
            print(port, "open")
    except ConnectionRefusedError:
        print(port, "refused")
"""


def doors(server: str, source: str, ports: Sequence[int] = (*PORTS, 25)) -> dict[int, str]:
    """What the stranger meets at each port: "open" or "refused"."""
    script = CONNECT.format(ports=list(ports), server=server, source=source)
    said = lab_api.ssh("stranger", "python3", "-", stdin=script, deadline=120).stdout.splitlines()
    return {int(line.split()[0]): line.split()[1] for line in said}


def blocked(sender: Sender) -> set[str]:
    """The networks that the kernel refuses."""
    listed = json.loads(lab_api.root(sender.name, "nft", "--json", "list", "table", *TABLE).stdout)["nftables"]
    sets = [item["set"] for item in listed if item.get("set", {}).get("name", "").startswith("blocked")]
    return {one["elem"]["val"] for found in sets for one in found.get("elem", ())}


def threshold(sender: Sender) -> int:
    """How many failures the guard waits for."""
    [number] = re.findall(r"--failures (\d+)", lab_api.root(sender.name, "cat", UNIT).stdout)
    return int(number)


def events(sender: Sender, kind: str) -> list[str]:
    """The guard's events of one kind since boot."""
    lines = lab_api.root(sender.name, "journalctl", "--unit", GUARD, "--output=cat", "--boot").stdout.splitlines()
    return [line for line in lines if line.startswith(f"event {kind} ")]


STATE = "/var/lib/sendyard-guard/guesses.json"
# How far the journal was read stays: else all that is in it would count again.
FORGET = f"""
import json
with open("{STATE}", "r+") as file:
    kept = json.load(file)
    kept["guesses"] = {{"sources": {{}}, "blocked": {{}}, "logins": {{}}}}
    file.seek(0)
    json.dump(kept, file)
    file.truncate()
"""


def let_everybody_in(sender: Sender) -> None:
    """Take all blocks away, and have the guard forget what it knew."""
    lab_api.root(sender.name, "systemctl", "stop", GUARD)
    lab_api.root(sender.name, "python3", "-", stdin=FORGET)
    lab_api.root(sender.name, "systemctl", "start", GUARD)
    # The table may be away for seconds, where a test took it.
    lab_api.until(lambda: blocked(sender) == set(), what="nobody being blocked", passing=(AssertionError, OSError))


@contextmanager
def guard_with(sender: Sender, **options: str) -> Iterator[None]:
    """The guard with other options for a while, as settings would have it (`_` for `-`); nobody is blocked after."""
    command = lab_api.root(sender.name, "grep", "^ExecStart=", UNIT).stdout.strip()
    for name, value in options.items():
        command, found = re.subn(
            rf"--{name.replace('_', '-')} \S+", f"--{name.replace('_', '-')} {value}", command, count=1
        )
        assert found == 1, name
    lab_api.root(sender.name, "mkdir", "-p", DROP_IN.rpartition("/")[0])
    lab_api.root(sender.name, "tee", DROP_IN, stdin=f"[Service]\nExecStart=\n{command}\n")
    lab_api.root(sender.name, "systemctl", "daemon-reload")
    lab_api.root(sender.name, "systemctl", "restart", GUARD)
    try:
        yield
    finally:
        lab_api.root(sender.name, "rm", DROP_IN)
        lab_api.root(sender.name, "systemctl", "daemon-reload")
        let_everybody_in(sender)
