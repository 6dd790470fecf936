# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""P4: what the number of domains costs: a run with nothing to do, one more domain, a message, memory.

The domains are sub-domains of a tenant of the lab, all of one login; each has the key that was made for the tenant,
since making ten thousand is another matter. What is measured is preflight to serve, with publishing.
"""

from __future__ import annotations

import json
import random
import resource
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import cpu
import lab_api
import lab_state
from bed import HOST, serve, timed
from figures import Figure, ratio
from lab_load import NO_LIMITS, OURS, Load, burst, drain, relayed, sinks
from programs import recap
from throughput import middles

SIZES = (1, 100, 1000, 10000)
MESSAGES = 2000  # a burst
PUBLISH_SECONDS = 900  # for thirty thousand records on two servers; with the default, some would wait for the next run
LOAD = Load(per_connection=100, size=4096)
PARENT = "acme.example"
KEYS = "/etc/opendkim"
# A key for each domain named on standard input, as if it had been made and its record waited to be published.
PREPARE = f"""set -e
cd {KEYS}
while read -r name; do
    [ -e pending/$name.pem ] || [ -e keys/$name.pem ] || cp -p keys/{PARENT}.pem pending/$name.pem
done
"""


@dataclass(frozen=True)
class Size:
    """What was measured with so many domains; seconds, milliseconds of CPU, MB."""

    domains: int
    first_seconds: float
    no_change_seconds: list[float]
    add_one_seconds: list[float]
    message_cpu_ms: list[float]
    message_cpu_ms_by_unit: dict[str, float]
    memory_mb: dict[str, float]
    ansible_mb: float


class Tenants:
    """A directory of domain files, and the keys that belong to them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.names: list[str] = []
        domains = Path(lab_api.info()["state"]) / "domains"
        text = (domains / f"{PARENT}.yml").read_text()
        self._logins = text[text.index("logins:") :]
        (directory / f"{PARENT}.yml").write_text(text)

    def grow(self, count: int) -> None:
        """Have `count` domains beside the parent, and a key for each."""
        new = [f"d{number}.{PARENT}" for number in range(len(self.names), count)]
        for name in new:
            head = f"---\ndomain: {name}\nservers: [{HOST}]\ndns: lab\n"
            (self.directory / f"{name}.yml").write_text(head + self._logins)
        self.names += new
        lab_api.root(HOST, "sh", "-c", PREPARE, stdin="".join(f"{name}\n" for name in new), deadline=300)


def site(directory: Path) -> str:
    """A run with the domains of `directory`; what it said."""
    ours = {"sendyard_domains_directory": str(directory), "sendyard_publish_deadline": PUBLISH_SECONDS}
    return serve("-e", json.dumps({**NO_LIMITS, **ours}))


def unchanged(directory: Path) -> None:
    """A run that has nothing to do.

    Raises:
        RuntimeError: it changed something.
    """
    said = site(directory)
    if recap(said)[HOST][0]:
        raise RuntimeError(f"a second run changed something:\n{said}")


def message_cpu(names: Sequence[str]) -> dict[str, float]:
    """CPU milliseconds of a message by unit, from domains that chance draws."""
    user = lab_api.info()["logins"][0]
    senders = [f"app@{name}" for name in random.choices(names, k=MESSAGES)]  # noqa: S311  # no secret
    before = cpu.spent(HOST)
    burst(HOST, OURS, LOAD, MESSAGES, senders=senders, login=(user["username"], user["password"]))
    drain(HOST, OURS)
    return {unit: round(value / MESSAGES, 3) for unit, value in cpu.between(before, cpu.spent(HOST)).items()}


def measured(tenants: Tenants, count: int, rounds: int) -> Size:
    """Everything about one number of domains.

    Raises:
        RuntimeError: a daemon was started anew or told to look again for a domain more.
    """
    tenants.grow(count)
    first = timed(f"{count}: the run that publishes them (not counted)", lambda: site(tenants.directory))
    no_change = [
        timed(f"{count}: a run with nothing to do", lambda: unchanged(tenants.directory)) for _ in range(rounds)
    ]
    with relayed(HOST, OURS):
        message_cpu(tenants.names)
        by_unit = [message_cpu(tenants.names) for _ in range(rounds)]
    messages = [round(sum(one.values()), 3) for one in by_unit]
    print(f"  {count}: CPU ms a message {messages}", flush=True)
    memory = cpu.memory(HOST)
    daemons = lab_state.daemons(HOST)
    add_one = []
    for extra in range(1, rounds + 1):
        tenants.grow(count + extra)
        add_one.append(timed(f"{count}: a domain more", lambda: site(tenants.directory)))
    if moved := lab_state.changed(daemons, lab_state.daemons(HOST)):
        raise RuntimeError(f"a domain more has moved a daemon: {moved}")
    ansible = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return Size(count, first, no_change, add_one, messages, middles(by_unit), memory, round(ansible, 1))


def of_sizes(sizes: Mapping[int, Size]) -> Iterator[tuple[str, Figure]]:
    """P4 and the ratios between the sizes that were measured."""
    least, most = min(sizes), max(sizes)
    seconds = {size: median(one.no_change_seconds) for size, one in sizes.items()}
    samples = {f"seconds_{size}": one.no_change_seconds for size, one in sizes.items()}
    value = round((seconds[most] - seconds[least]) / (most - least) * 1000, 2)
    yield "P4", Figure(value, "ms", 10.0, samples)
    yield (
        f"P4_add_one_{most}_to_100",
        ratio(
            sizes[most].add_one_seconds,
            sizes[100].add_one_seconds,
            names=(f"seconds_{most}", "seconds_100"),
            target=1.5,
        ),
    )
    yield (
        f"P4_message_cpu_{most}_to_{least}",
        ratio(
            sizes[most].message_cpu_ms,
            sizes[least].message_cpu_ms,
            names=(f"cpu_ms_{most}", f"cpu_ms_{least}"),
            target=1.1,
        ),
    )
    yield "P4_ansible_mb", Figure(sizes[most].ansible_mb, "MB")
    yield "P4_daemons_mb", Figure(round(sum(sizes[most].memory_mb.values()), 1), "MB")


def figures(rounds: int, sizes: Sequence[int] = SIZES) -> tuple[dict[str, Figure], dict[str, object]]:
    """P4, and what was measured with each number of domains."""
    serve("-e", json.dumps(NO_LIMITS))
    with tempfile.TemporaryDirectory() as directory, sinks(HOST):
        tenants = Tenants(Path(directory))
        found = {count: measured(tenants, count, rounds) for count in sizes}
    return dict(of_sizes(found)), {"domains": {str(count): asdict(size) for count, size in found.items()}}
