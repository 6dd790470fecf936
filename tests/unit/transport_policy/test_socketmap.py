# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Netstrings as Postfix writes them, in whatever pieces they come; anything else ends the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendyard import socketmap
from sendyard.socketmap import ProtocolError

LIMIT = 1024
short = st.binary(max_size=64)


def read(pieces: Sequence[bytes], limit: int = LIMIT) -> list[bytes]:
    """The netstrings of a stream that comes in these pieces."""

    async def all_of_them() -> list[bytes]:
        reader = asyncio.StreamReader()
        for piece in pieces:
            reader.feed_data(piece)
        reader.feed_eof()
        stream, found = socketmap.Netstrings(reader, limit), []
        while (one := await stream.next()) is not None:
            found.append(one)
        return found

    return asyncio.run(all_of_them())


@given(st.lists(short), st.integers(1, 9))
def test_what_is_written_is_read_in_any_pieces(payloads: list[bytes], size: int) -> None:
    stream = b"".join(map(socketmap.encode, payloads))
    assert read([stream[start : start + size] for start in range(0, len(stream), size)]) == payloads


@given(short)
def test_anything_is_a_netstring_or_an_error_or_waits_for_more(buffer: bytes) -> None:
    try:
        taken = socketmap.take(buffer, LIMIT)
    except ProtocolError:
        return
    if taken is not None:
        payload, rest = taken
        assert socketmap.encode(payload) + rest == buffer
    else:
        assert len(buffer) <= LIMIT + len("1024:")


@given(short)
def test_what_is_no_netstring_stays_none_whatever_follows(buffer: bytes) -> None:
    with pytest.raises(ProtocolError):
        read([b"x" + buffer])


@pytest.mark.parametrize(
    "stream",
    [b":a,", b"01:a,", b"00:,", b"-1:,", b" 1:a,", b"1;a,", b"1:ab", b"3:ab,", b"1025:", b"99999999", b"1", b"\xb2:a,"],
)
def test_what_is_none_is_refused(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        read([stream])


def test_the_limit_is_what_is_taken() -> None:
    longest = b"x" * LIMIT
    assert read([socketmap.encode(longest)]) == [longest]
    with pytest.raises(ProtocolError):
        read([socketmap.encode(longest + b"x")])


@given(short)
def test_a_request_is_a_name_and_a_key(payload: bytes) -> None:
    try:
        name, key = socketmap.parse_request(payload)
    except ProtocolError:
        return
    assert f"{name} {key}".encode() == payload
    assert " " not in name


def test_no_request_without_a_key() -> None:
    assert socketmap.parse_request(b"tls [192.0.2.1]:25") == ("tls", "[192.0.2.1]:25")
    assert socketmap.parse_request(b"tls ") == ("tls", "")
    for payload in (b"", b"tls", b"tls \xff"):
        with pytest.raises(ProtocolError):
            socketmap.parse_request(payload)
