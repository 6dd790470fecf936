# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What mta-sts-daemon left in its cache: what is enforced, what is over or too much, and a file that is broken."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sendyard import sts_cache

NOW = 1_790_000_000
DAY = 86400


def write(path: Path, *rows: tuple[str, int, Any]) -> None:
    """Policies by domain, each with when it was confirmed, as the daemon of Debian 12 and 13 writes them."""
    with closing(sqlite3.connect(path)) as cache:
        cache.execute("pragma journal_mode=wal")
        cache.execute(
            "create table if not exists sts_policy_cache (domain text, ts integer, pol_id text, pol_body text)"
        )
        cache.execute("create unique index if not exists sts_policy_domain on sts_policy_cache (domain)")
        rows_of = [(domain, ts, "1", body if isinstance(body, str) else json.dumps(body)) for domain, ts, body in rows]
        cache.executemany("insert into sts_policy_cache values (?, ?, ?, ?)", rows_of)
        cache.commit()


def policy(mode: str = "enforce", max_age: int = DAY, mx: Sequence[str] = ("mx.a.example",)) -> dict[str, Any]:
    """A policy as the daemon has parsed it."""
    return {"version": "STSv1", "mode": mode, "max_age": max_age, "mx": list(mx)}


def domains(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as cache:
        return [row[0] for row in cache.execute("select domain from sts_policy_cache order by rowid")]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (("a.example", NOW, policy()), "secure match=mx.a.example servername=hostname"),
        (("a.example", NOW - DAY, policy()), "secure match=mx.a.example servername=hostname"),
        (("a.example", NOW - DAY - 1, policy()), ""),
        (("a.example", NOW, policy("testing")), ""),
        (("a.example", NOW, policy("none")), ""),
        (("b.example", NOW, policy()), ""),
        (
            ("a.example", NOW, policy(mx=["*.a.example", "b.example"])),
            "secure match=.a.example:b.example servername=hostname",
        ),
    ],
)
def test_a_policy_that_is_enforced_holds_until_its_max_age_is_over(
    tmp_path: Path, row: tuple[str, int, Any], wanted: str
) -> None:
    write(tmp_path / "cache.db", row)
    assert sts_cache.enforced(tmp_path / "cache.db", "a.example", NOW) == wanted


def test_where_nothing_was_ever_known_nothing_is_enforced(tmp_path: Path) -> None:
    assert sts_cache.enforced(tmp_path / "cache.db", "a.example", NOW) == ""
    assert not (tmp_path / "cache.db").exists()


@pytest.mark.parametrize(
    "body", ["no json", '{"mode": "enforce"}', json.dumps(policy(mx=["a b"])), json.dumps(policy(mx=[]))]
)
def test_what_cannot_be_read_is_an_error_and_not_no_policy(tmp_path: Path, body: str) -> None:
    write(tmp_path / "cache.db", ("a.example", NOW, body))
    with pytest.raises((sqlite3.Error, ValueError, KeyError)):
        sts_cache.enforced(tmp_path / "cache.db", "a.example", NOW)


def test_a_broken_file_is_an_error_until_it_is_mended(tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    cache.write_bytes(b"not a database" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        sts_cache.enforced(cache, "a.example", NOW)
    assert "event mta-sts-cache-broken" in sts_cache.mend(cache)
    assert not cache.exists()
    assert (tmp_path / "cache.db.broken").exists()
    assert sts_cache.enforced(cache, "a.example", NOW) == ""


def test_a_torn_page_is_found(tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    write(cache, *((f"d{number}.example", NOW, policy(mx=["x" * 200])) for number in range(200)))
    content = bytearray(cache.read_bytes())
    content[8192:16384] = b"\x5a" * 8192
    cache.write_bytes(content)
    assert "is set aside" in sts_cache.mend(cache)


def test_a_whole_file_is_left_alone(tmp_path: Path) -> None:
    assert sts_cache.mend(tmp_path / "cache.db") == ""
    write(tmp_path / "cache.db", ("a.example", NOW, policy()))
    assert sts_cache.mend(tmp_path / "cache.db") == ""
    assert domains(tmp_path / "cache.db") == ["a.example"]


def test_what_is_over_or_broken_goes(tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    write(
        cache,
        ("over.example", NOW - DAY - 1, policy()),
        ("broken.example", NOW, "no json"),
        ("a.example", NOW - DAY, policy()),
    )
    assert sts_cache.prune(cache, NOW) == 2
    assert domains(cache) == ["a.example"]
    assert sts_cache.prune(cache, NOW) == 0


def test_of_too_many_the_ones_that_were_confirmed_last_stay(tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    write(cache, *((f"d{number}.example", NOW - (number * 7) % 10, policy()) for number in range(10)))
    assert sts_cache.prune(cache, NOW, rows=3) == 7
    assert set(domains(cache)) == {"d0.example", "d3.example", "d6.example"}


def test_of_too_much_the_oldest_goes(tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    write(cache, *((f"d{number}.example", NOW - number, policy(mx=["x" * 1000])) for number in range(5)))
    assert sts_cache.prune(cache, NOW, octets=3500) == 2
    assert set(domains(cache)) == {"d0.example", "d1.example", "d2.example"}


def test_rows_are_numbered_without_gaps_again(tmp_path: Path) -> None:
    """The daemon's search for policies to renew ends at the first thousand numbers that are missing."""
    cache = tmp_path / "cache.db"
    write(
        cache, *((f"d{number}.example", NOW - DAY - 1, policy()) for number in range(50)), ("a.example", NOW, policy())
    )
    sts_cache.prune(cache, NOW)
    with closing(sqlite3.connect(cache)) as opened:
        assert opened.execute("select rowid from sts_policy_cache").fetchall() == [(1,)]
