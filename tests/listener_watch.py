# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Watch what listens on this host, to be run by its own python3: `listener_watch.py FILE`, without end.

Twenty times a second it reads the kernel's tables. Whenever something is new it writes all that it ever saw to FILE, as
JSON: [{"protocol", "address", "port", "processes", "firewall": whether our table stood when it was first seen}, …]
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PAUSE = 0.05  # seconds
TABLES = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6, "udp": socket.AF_INET, "udp6": socket.AF_INET6}
WAITING = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; for UDP a socket that is connected to nobody
FIREWALL = ("nft", "list", "table", "inet", "sendyard")


def address_of(digits: str, family: int) -> str:
    """An address as the kernel's tables have it, in hexadecimal words of the host's order."""
    words = b"".join(bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8))
    return socket.inet_ntop(family, words if sys.byteorder == "little" else bytes.fromhex(digits))


def sockets() -> dict[str, tuple[str, str, int]]:
    """Every socket that waits for somebody: its inode, and protocol, address and port."""
    found = {}
    for table, family in TABLES.items():
        state = f" {WAITING[table[:3]]} "
        for line in Path(f"/proc/net/{table}").read_text().splitlines():
            if state in line and (columns := line.split())[3] == WAITING[table[:3]]:
                digits, port = columns[1].split(":")
                found[columns[9]] = (table[:3], address_of(digits, family), int(port, 16))
    return found


def holders(inode: str) -> set[str]:
    """The names of the processes that hold a socket; none where it is gone by now."""
    names = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"socket:[{inode}]" in {str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()}:
                names.add((process / "comm").read_text().strip())
        except OSError:  # it has ended meanwhile
            continue
    return names


def firewall_stands() -> bool:
    """Whether our table of the packet filter is loaded."""
    try:
        return subprocess.run(FIREWALL, capture_output=True, check=False, timeout=10).returncode == 0
    except FileNotFoundError:  # nftables is not installed yet
        return False


def main() -> None:
    file = Path(sys.argv[1])
    known: set[str] = set()
    seen: dict[tuple[str, str, int], dict[str, Any]] = {}
    while True:
        now = sockets()
        for inode in now.keys() - known:
            protocol, address, port = now[inode]
            if now[inode] not in seen:
                place = {"protocol": protocol, "address": address, "port": port}
                seen[now[inode]] = {**place, "processes": [], "firewall": firewall_stands()}
            entry = seen[now[inode]]
            entry["processes"] = sorted({*entry["processes"], *holders(inode)})
        if now.keys() - known or not file.exists():
            file.with_suffix(".new").write_text(json.dumps(list(seen.values())))
            file.with_suffix(".new").replace(file)
        known = set(now)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
