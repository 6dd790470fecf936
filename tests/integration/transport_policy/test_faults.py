# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Parts that fail: a policy that is known stays enforced, other mail flows, and it can be seen that something is."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from integration.transport_policy.world import World, wait_for
from sendyard import socketmap

SENT, WAITS = "status=sent", "status=deferred"
NOT_VERIFIED, NO_POLICY_SERVER = "(Server certificate not verified)", "(client TLS configuration problem)"


@contextmanager
def away(world: World, name: str) -> Iterator[None]:
    """One of the programs is dead; our server holds nothing that it was told before."""
    world.kill(name)
    world.restart_policies(up=name != "daemon")
    try:
        yield
    finally:
        world.start_daemon() if name == "daemon" else world.spawn(name)
        wait_for("the daemon", world.up)


def status(world: World) -> tuple[int, str]:
    """Exit status and words of the client that an owner calls."""
    done = subprocess.run(
        world.inside(*world.ours("transport_policy"), "--socket", world.policy_socket, "--ask", ""),
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.strip()


def test_without_its_host_a_policy_that_is_known_is_enforced_and_others_flow(world: World) -> None:
    assert world.ask("cached.plain").startswith("OK secure")
    # As if a minute later, with another policy published: the daemon has to fetch it, and cannot.
    with closing(sqlite3.connect(world.cache)) as cache:
        cache.execute("update sts_policy_cache set ts = ts - 120, pol_id = '0'")
        cache.commit()
    with away(world, "policies"):
        assert NOT_VERIFIED in world.send("cached.plain")
        assert "STS policy fetch for domain 'cached.plain' failed" in world.log("daemon")
        assert SENT in world.send("unlearnt.plain")
    wait_for("the policy", lambda: world.ask("unlearnt.plain").startswith("OK secure"))
    assert NOT_VERIFIED in world.send("unlearnt.plain")


def test_without_the_daemon_a_policy_that_is_known_is_enforced_and_others_flow(world: World) -> None:
    for domain in ("cached.plain", "cached-good.plain"):
        assert world.ask(domain).startswith("OK secure")
    assert status(world) == (0, "mta-sts-daemon is up")
    with away(world, "daemon"):
        assert NO_POLICY_SERVER in world.send("nothing.plain", "direct"), "it would have been missed by nobody"
        assert NOT_VERIFIED in world.send("cached.plain")
        assert SENT in world.send("cached-good.plain")
        assert SENT in world.send("unlearnt2.plain")
        assert SENT in world.send("nothing.plain")
        code, said = status(world)
        assert (code, said[:26]) == (1, "mta-sts-daemon is down for")
    assert "event mta-sts-down: " in world.log("server")
    assert "enforced=2 without-policy=2 waiting=0" in world.log("server").rpartition("event mta-sts-up")[2]
    # What it could not know is not held against who asks again.
    assert world.ask("unlearnt2.plain").startswith("OK secure")


def test_the_daemons_cache_is_read_and_kept_small_when_it_was_stopped_in_order(world: World) -> None:
    """SQLite then leaves no file beside the cache, and whoever opens it next must be able to make them."""
    assert world.ask("cached.plain").startswith("OK secure")
    world.processes["daemon"].terminate()
    world.processes["daemon"].wait(20)
    assert not world.cache.with_name("cache.db-wal").exists()
    with away(world, "daemon"):
        assert world.ask("cached.plain").startswith("OK secure")
        prune = "import sys, time; from pathlib import Path; from sendyard import sts_cache as cache; "
        prune += "print(cache.prune(Path(sys.argv[1]), time.time() + 365 * 86400))"
        command = world.ours("sts_cache")[:-2]
        assert int(world.run(*command, "-c", prune, world.cache)) > 0
        assert world.ask("cached.plain") == "NOTFOUND"
    assert world.ask("cached.plain").startswith("OK secure")
    assert "Cache set failed" not in world.log("daemon")
    with closing(sqlite3.connect(world.cache)) as cache:
        assert cache.execute("select count(*) from sts_policy_cache where domain = 'cached.plain'").fetchone() == (1,)


def test_a_daemon_that_hangs_is_soon_not_waited_for(world: World) -> None:
    assert world.ask("cached.plain").startswith("OK secure")
    world.restart_policies()
    world.processes["daemon"].send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert world.ask("nothing.plain") == "NOTFOUND"
        assert time.monotonic() - started < 13
        wait_for("that it is seen", lambda: status(world)[0] == 1)
        started = time.monotonic()
        assert world.ask("cached.plain").startswith("OK secure")
        assert world.ask("unlearnt3.plain") == "NOTFOUND"
        assert time.monotonic() - started < 3
    finally:
        world.processes["daemon"].send_signal(signal.SIGCONT)
    wait_for("the daemon", world.up)


def test_where_nothing_can_be_known_mail_waits_until_the_cache_is_mended(world: World) -> None:
    world.kill("daemon")
    for beside in ("-wal", "-shm"):
        world.cache.with_name(world.cache.name + beside).unlink(missing_ok=True)
    world.cache.write_bytes(b"not a database" * 1000)
    with away(world, "daemon"), ExitStack() as stack:
        stack.callback(world.mended)  # also where this fails: the daemon would not start
        assert f"dsn=4.7.5, {WAITS} {NO_POLICY_SERVER}" in world.send("nothing.plain")
        assert SENT in world.send("disagree.signed"), "DANE needs no policy"
        assert "event mta-sts-cache-unreadable domain=nothing.plain" in world.log("server")
        assert "event mta-sts-cache-broken" in world.mended()
        assert SENT in world.send("nothing.plain")
    world.cache.with_name("cache.db.broken").unlink()


def test_without_our_server_all_mail_waits_and_flows_as_soon_as_it_is_back(world: World) -> None:
    world.kill("server")
    try:
        line = world.send("nothing.plain")
        assert f"dsn=4.7.5, {WAITS} {NO_POLICY_SERVER}" in line
        assert "delays=" in line
        assert status(world)[0] == 2
        assert SENT in world.send("nothing.plain", "without")
    finally:
        world.spawn("server")
        started = time.monotonic()
        wait_for("our server", world.up)
    assert SENT in world.send("nothing.plain")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("garbage", [b"x", b"9999:", b"3:tls,", b"5:ab", b"12:tls \xff\xff\xff\xff\xff\xff\xff\xff,"])
def test_what_is_no_request_ends_the_connection_and_nothing_else(world: World, garbage: bytes) -> None:
    async def said() -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(world.policy_socket))
        writer.write(garbage)
        writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()

    assert asyncio.run(said()) == b""
    assert world.ask("good.plain").startswith("OK secure")


def test_as_many_ask_at_once_as_postfix_has_processes(world: World) -> None:
    domains = ["good.plain", "nothing.plain", "wrong-tlsa.signed", "mixed.signed"]

    async def one(number: int) -> list[str]:
        reader, writer = await asyncio.open_unix_connection(str(world.policy_socket))
        stream, replies = socketmap.Netstrings(reader, socketmap.REPLY_LIMIT), []
        for step in range(20):
            writer.write(socketmap.encode(f"tls {domains[(number + step) % 4]}".encode()))
            replies.append(((await stream.next()) or b"").decode())
        writer.close()
        return replies

    async def many() -> list[list[str]]:
        return await asyncio.gather(*(one(number) for number in range(150)))

    expected = {domain: world.ask(domain) for domain in domains}
    for number, replies in enumerate(asyncio.run(many())):
        assert [reply.strip() for reply in replies] == [expected[domains[(number + step) % 4]] for step in range(20)]
