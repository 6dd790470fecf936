# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A real Knot that signs zones, for tests that start it in a network of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

CONFIGURATION = """
server:
    listen: {address}@53
    rundir: {directory}
database:
    storage: {directory}
policy:
  - id: test
    algorithm: ecdsap256sha256
    single-type-signing: on
template:
  - id: default
    storage: {directory}
    zonefile-load: difference-no-serial
    zonefile-sync: -1
    journal-content: all
zone:
"""


def configure(directory: Path, address: str, zones: Mapping[str, str], *, unsigned: Collection[str] = ()) -> Path:
    """Write zone files and a knot.conf for a server that listens at `address`, and return the latter.

    Args:
        zones: records by zone, in the form of zone files; each zone gets a SOA record.
        unsigned: those of the zones that are not signed.
    """
    text = CONFIGURATION.format(address=address, directory=directory)
    for zone, records in zones.items():
        name = f"{zone.removesuffix('.') or 'root'}.zone"
        (directory / name).write_text(f"$TTL 5\n{zone} SOA ns. root. 1 60 30 600 5\n{records}")
        text += f'  - domain: "{zone}"\n    file: {name}\n'
        text += "" if zone in unsigned else "    dnssec-signing: on\n    dnssec-policy: test\n"
    (directory / "knot.conf").write_text(text)
    return directory / "knot.conf"
