# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What publishing costs: messages and requests, time in a large zone, and many zones. On loopback, without the lab."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from ansible_collections.sendyard.mail.plugins.module_utils import records
from figures import Figure, middle
from integration.dns.conftest import KEY, Yard, ours
from integration.dns.every_server import SERVERS
from integration.dns.fakes import FakeProvider
from integration.dns.servers import ADDRESS, Knot, NameServer, nasty, soa
from programs import run

ZONE = "acme.example."
SIZES = {200: 170, 10_000: 9_970}  # records of others: those of the nasty zone, and so many more
MANY = 1000
DEADLINE = 600.0  # seconds for one run


@contextmanager
def started(kind: type[NameServer], zones: dict[str, str]) -> Iterator[NameServer]:
    """A server of its own, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="sendyard-bench-") as directory:
        server = kind(Path(directory), zones)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def eleven(kind: type[NameServer], more: int, rounds: int) -> dict[str, list[float]]:
    """Publish eleven records, again, and remove them, `rounds` times; calls and seconds of each."""
    text = nasty(ZONE) + "".join(f"h{number} A 10.8.{number // 250}.{number % 250 + 1}\n" for number in range(more))
    found: dict[str, list[float]] = {}
    with started(kind, {ZONE: text}) as server:
        yard = Yard(server, ZONE)
        before = server.content(ZONE)
        for _round in range(rounds):
            for step, state in (("first", "present"), ("again", "present"), ("removed", "absent")):
                with server.traffic() as calls:
                    began = time.monotonic()
                    outcome = yard.publish(*ours(yard), state=state)
                    seconds = time.monotonic() - began
                assert not outcome.faults, outcome.faults
                found.setdefault(f"{step}_seconds", []).append(seconds)
                found.setdefault(f"{step}_calls", []).append(len(calls))
                found.setdefault(f"{step}_updates", []).append(calls.count("UPDATE"))
        assert server.content(ZONE) == before, "the zone is not as it was"
    return found


def many_zones(rounds: int) -> dict[str, list[float]]:
    """Publish a domain in each of MANY zones of one server, and change one: seconds of whole runs of the module."""
    found: dict[str, list[float]] = {"all": [], "again": [], "one": []}
    for _round in range(rounds):
        names = [f"d{number}.example" for number in range(MANY)]
        zones = {
            f"{name}.": soa(f"{name}.") + '@ 1800 TXT "v=spf1 mx -all"\n@ MX 10 www\nwww A 10.9.9.9\n' for name in names
        }
        with started(Knot, zones) as server:
            wanted = [record for name in names for record in of_domain(name, "10.9.1.1")]
            found["all"].append(published(server, wanted, changes=3 * MANY))
            found["again"].append(published(server, wanted, changes=0))
            found["one"].append(published(server, of_domain(names[7], "10.9.1.2"), changes=1))
    return found


def of_domain(name: str, address: str) -> list[records.Record]:
    """The records of a domain."""
    return records.domain_records(name, "mx1-1", KEY, [address], credential="lab")


def published(server: NameServer, wanted: list[records.Record], *, changes: int) -> float:
    """Run the module as a play does it, on the controller; seconds."""
    file = server.directory / "records.json"
    file.write_text(json.dumps(wanted))
    said = {
        "records_files": [str(file)],
        "credentials": {"lab": server.credential()},
        "name_servers": {"ns1.lab.example": [ADDRESS, server.port]},
    }
    began = time.monotonic()
    python = "ansible_python_interpreter={{ ansible_playbook_python }}"
    module = ["-m", "sendyard.mail.mail_dns", "-a", json.dumps(said)]
    done = run(
        "ansible",
        "-i",
        "localhost,",
        "localhost",
        "-c",
        "local",
        "-e",
        python,
        *module,
        deadline=DEADLINE,
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
    )
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout[done.stdout.index("{") :])
    assert answer["changes"] == changes, answer["changes"]
    return seconds


def figures(rounds: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """The figures of this part, and their raw samples."""
    raw: dict[str, Any] = {}
    for kind in SERVERS:
        for size, more in SIZES.items():
            if size > 200 and issubclass(kind, FakeProvider):
                continue  # how long a fake takes says nothing
            found = eleven(kind, more, rounds)
            raw[f"{kind.__name__}_{size}"] = found
            print(
                f"  {kind.__name__}, {size} records: "
                + ", ".join(
                    f"{step} {median(found[f'{step}_calls']):.0f} calls {median(found[f'{step}_seconds']):.2f} s"
                    for step in ("first", "again", "removed")
                ),
                flush=True,
            )
    raw["many_zones"] = zones = many_zones(rounds)
    print(
        f"  {MANY} zones: " + ", ".join(f"{name} {median(seconds):.1f} s" for name, seconds in zones.items()),
        flush=True,
    )
    return {
        "P5_rfc2136_updates": middle(raw["Knot_200"]["first_updates"], "updates", target=1),
        "P5_route53_calls_first": middle(raw["FakeRoute53_200"]["first_calls"], "calls", target=3),
        "P5_route53_calls_again": middle(raw["FakeRoute53_200"]["again_calls"], "calls", target=2),
        "P5_seconds_10000": middle(raw["Knot_10000"]["first_seconds"], "seconds", target=1),
        "P5_thousand_zones_seconds": middle(zones["all"], "seconds", target=60),
        "P5_one_of_thousand_seconds": middle(zones["one"], "seconds", target=5),
    }, {"publishing": raw}
