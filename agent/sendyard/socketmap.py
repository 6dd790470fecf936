# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of socketmap_table(5): requests "name key" and their replies, each a netstring, one after the other."""

from __future__ import annotations

import asyncio

REQUEST_LIMIT = 1024  # octets; a next-hop has 255 and a port
REPLY_LIMIT = 100_000  # octets, what Postfix takes
_CHUNK = 4096


class ProtocolError(ValueError):
    """The other side does not speak the protocol."""


def encode(payload: bytes) -> bytes:
    """`payload` as a netstring."""
    return b"%d:%b," % (len(payload), payload)


def take(buffer: bytes, limit: int) -> tuple[bytes, bytes] | None:
    """The first netstring of `buffer` and what follows it, None while it is not whole.

    Raises:
        ProtocolError: this becomes no netstring of at most `limit` octets, whatever follows.
    """
    digits = len(str(limit))
    length, colon, _rest = buffer[: digits + 1].partition(b":")
    if (length and not length.isdigit()) or (length[:1] == b"0" and length != b"0"):
        raise ProtocolError(f"a length was expected, not {length!r}")
    if not colon:
        if len(length) > digits:
            raise ProtocolError(f"a length of more than {limit}")
        return None
    if not length or int(length) > limit:
        raise ProtocolError(f"a length of at most {limit} was expected, not {length!r}")
    start = len(length) + 1
    end = start + int(length)
    if len(buffer) <= end:
        return None
    if buffer[end : end + 1] != b",":
        raise ProtocolError("a netstring does not end where it says")
    return buffer[start:end], buffer[end + 1 :]


def parse_request(payload: bytes) -> tuple[str, str]:
    """The name of the map and the key of a request. Raises ProtocolError where it is none."""
    name, space, key = payload.partition(b" ")
    if not space:
        raise ProtocolError("a request is a name, a space and a key")
    try:
        return name.decode(), key.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a request that is not UTF-8") from None


class Netstrings:
    """The netstrings of a stream, each of at most `limit` octets."""

    def __init__(self, reader: asyncio.StreamReader, limit: int) -> None:
        self._reader, self._limit, self._buffer = reader, limit, b""

    async def next(self) -> bytes | None:
        """The next one, None where the stream has ended.

        Raises:
            ProtocolError: what comes is none, or the stream ends within it.
        """
        while (taken := take(self._buffer, self._limit)) is None:
            more = await self._reader.read(_CHUNK)
            if not more:
                if self._buffer:
                    raise ProtocolError("the stream ended within a netstring")
                return None
            self._buffer += more
        payload, self._buffer = taken
        return payload


async def ask(path: str, name: str, key: str, seconds: float) -> str:
    """The reply of the server on the Unix socket `path`.

    Raises:
        OSError: it cannot be reached, or TimeoutError: it did not answer within `seconds`.
        ProtocolError: what it answers is no reply.
    """
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(encode(f"{name} {key}".encode()))
            reply = await Netstrings(reader, REPLY_LIMIT).next()
        finally:
            writer.close()
    if reply is None:
        raise ProtocolError("the connection was closed without a reply")
    return reply.decode(errors="replace")
