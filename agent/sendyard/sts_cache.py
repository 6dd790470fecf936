# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mta-sts-daemon's cache of policies: read while the daemon is away, kept within bounds, set aside when it is broken.

One SQLite file, which both sides may write: a row a domain, its policy as JSON, `ts` when it was last confirmed.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

ROWS = 20_000  # policies
OCTETS = 64 << 20  # of policies; one may have 64 KiB
_BUSY_SECONDS = 2.0
_BESIDE = ("-wal", "-shm")
# As in the daemon's answers: names, of which a leading dot stands for any label.
_HOSTS = re.compile(r"[\w.-]+(:[\w.-]+)*", re.ASCII)


def tls_policy(hosts: str) -> str:
    """The TLS policy, as in smtp_tls_policy_maps, that wants a valid certificate of one of `hosts` ("a:.b").

    Raises:
        ValueError: these are no names of hosts.
    """
    if not _HOSTS.fullmatch(hosts):
        raise ValueError(f"no names of hosts: {hosts[:200]!r}")
    return f"secure match={hosts} servername=hostname"


def enforced(path: Path, domain: str, now: float) -> str:
    """What mta-sts-daemon would answer for `domain`, "" where it knows no policy that is enforced and has not expired.

    Raises:
        sqlite3.Error, ValueError: the cache cannot be read.
    """
    if not (path.exists() and path.stat().st_size):
        return ""  # nothing was ever known
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as cache:
        row = cache.execute("select ts, pol_body from sts_policy_cache where domain = ?", (domain,)).fetchone()
    if row is None:
        return ""
    policy = json.loads(row[1])
    # RFC 8461 section 3.2: what its max_age is over for is no policy any more.
    if policy["mode"] != "enforce" or row[0] + policy["max_age"] < now:
        return ""
    return tls_policy(":".join(sorted({host.lstrip("*") for host in policy["mx"]})))


def prune(path: Path, now: float, rows: int = ROWS, octets: int = OCTETS) -> int:
    """Delete expired policies, and those that were not confirmed for longest beyond `rows` or `octets`; their number.

    Raises:
        sqlite3.Error: the cache cannot be written.
    """
    if not (path.exists() and path.stat().st_size):
        return 0
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as cache:
        cache.execute("begin immediate")
        gone = cache.execute(
            "delete from sts_policy_cache where not json_valid(pol_body)"
            " or ts + cast(json_extract(pol_body, '$.max_age') as integer) < ?",
            (now,),
        ).rowcount
        gone += cache.execute(
            "delete from sts_policy_cache where rowid in (select rowid from (select rowid,"
            " row_number() over newest as number, sum(length(pol_body)) over newest as size"
            " from sts_policy_cache window newest as (order by ts desc, rowid)) where number > ? or size > ?)",
            (rows, octets),
        ).rowcount
        if gone:
            # The daemon goes through the rows by their numbers to renew policies, and stops where 1000 are missing.
            left = cache.execute("select rowid from sts_policy_cache order by rowid").fetchall()
            renumbered = [(new, old) for new, (old,) in enumerate(left, 1) if new != old]
            cache.executemany("update sts_policy_cache set rowid = ? where rowid = ?", renumbered)
        cache.execute("commit")
    return gone


def mend(path: Path) -> str:
    """Set a broken cache aside, so that the daemon starts with an empty one; what was wrong, "" where nothing was."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as cache:
            found = str(cache.execute("pragma quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        return f"{path} cannot be looked at: {error}"  # a lock or a right, which a new file would not mend
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found == "ok":
        return ""
    path.replace(path.with_name(f"{path.name}.broken"))
    for beside in _BESIDE:
        path.with_name(path.name + beside).unlink(missing_ok=True)
    return f"event mta-sts-cache-broken: {found}; it is set aside as {path}.broken, and policies are learnt anew"


def share(path: Path) -> None:
    """Let the group write the cache too, and make one where there is none.

    SQLite makes files that only their owner may write, and gives those beside a cache the mode of the cache.
    """
    path.touch()
    for one in (path, *(path.with_name(path.name + beside) for beside in _BESIDE)):
        if one.exists() and one.stat().st_uid == os.getuid():
            one.chmod(0o660)


def main(arguments: Sequence[str]) -> None:
    """Mend and share the cache that is named, before the daemon starts."""
    path = Path(arguments[0])
    if said := mend(path):
        print(said, flush=True)
    share(path)


if __name__ == "__main__":
    main(sys.argv[1:])
