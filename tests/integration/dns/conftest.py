# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A Knot and a BIND for all tests; every test has a zone of its own, full of other people's records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import records
from ansible_collections.sendyard.mail.plugins.module_utils.dns import credentials, model, publish, verify
from integration.dns.servers import ADDRESS, Bind, Knot, NameServer, nasty

ZONES = [f"z{number}.example." for number in range(120)]
NAME_SERVER = "ns1.lab.example."
KEY = "M" * 392  # as long as the base64 of an RSA-2048 key
ADDRESSES = ["10.9.1.1", "fd00:9::1"]

Record = dict[str, Any]


@dataclass
class Yard:
    """A server, one zone of it, and how to publish there."""

    server: NameServer
    zone: str
    numbers: Iterator[int] = field(default_factory=count)

    def name(self, label: str = "") -> str:
        """Return a name in the zone."""
        return f"{label}.{self.zone}" if label else self.zone

    def record(self, label: str, kind: str, values: Sequence[str], **said: Any) -> Record:
        """Return a record at a name of the zone."""
        return {"name": self.name(label), "type": kind, "values": list(values), "credential": "lab", **said}

    def publish(self, *records: Record, state: str = "present", **settings: Any) -> publish.Outcome:
        """Publish, and wait for the server."""
        return run(self.server, records, state=state, **settings)

    def foreign(self) -> set[tuple[Any, ...]]:
        """Return all records of the zone."""
        return self.server.content(self.zone)


def ours(yard: Yard) -> list[records.Record]:
    """Return all records that a server and a domain in the zone need."""
    domain = yard.zone.removesuffix(".")
    return [
        *records.domain_records(domain, "mx1-1", KEY, ADDRESSES, dmarc_rua=f"mailto:dmarc@{domain}", credential="lab"),
        *[
            record
            for record in records.host_records(
                f"mx1.{domain}", ADDRESSES, "mx1-1", KEY, f"bounces.mx1.{domain}", subject="mx1", credential="lab"
            )
            if record["mode"] != "manual"
        ],
    ]


def run(
    server: NameServer,
    records: Sequence[Record],
    *,
    state: str = "present",
    others: dict[str, tuple[tuple[str, int], ...]] | None = None,
    credential: dict[str, Any] | None = None,
    **settings: Any,
) -> publish.Outcome:
    """Publish `records` as the module does."""
    outcome = publish.Outcome()
    wants = [model.parse_record(record, absent=state == "absent") for record in records]
    known = {"lab": credential or server.credential()}
    directory = verify.Directory((), others or {NAME_SERVER: ((ADDRESS, server.port),)})
    backend = credentials.backend("lab", known, credentials.secrets(["lab"], known, {}), directory)
    try:
        if state == "checked":
            publish.prove(wants, {"lab": backend}, directory, outcome)
        else:
            settings = {"deadline": 20.0, **settings}
            publish.publish(wants, {"lab": backend}, publish.Settings(**settings), directory, outcome)
    finally:
        backend.close()
    return outcome


@pytest.fixture(scope="session", params=[Knot, Bind], ids=["knot", "bind"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    yield from serving(request.param, tmp_path_factory.mktemp("server"))


def serving(kind: Callable[..., NameServer], directory: Path) -> Iterator[NameServer]:
    """Yield a server of this kind with all zones, and stop it."""
    running = kind(directory, {zone: nasty(zone) for zone in ZONES})
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def unused(server: NameServer) -> Iterator[str]:
    return iter(ZONES)


@pytest.fixture
def yard(server: NameServer, unused: Iterator[str]) -> Yard:
    return Yard(server, next(unused))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., NameServer]]:
    """Start further servers, stopped with the test."""
    running: list[NameServer] = []

    def begin(kind: Callable[..., NameServer], zones: dict[str, str], **said: Any) -> NameServer:
        one = kind(tmp_path / f"server{len(running)}", zones, **said)
        running.append(one)
        one.start()
        return one

    yield begin
    for one in running:
        one.stop()
