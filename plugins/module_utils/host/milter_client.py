# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other end of a milter: hands it a message as Postfix would, and returns its verdict (milter protocol version 6).

A milter is told of connection, envelope, header and body step by step and answers each, or says at the beginning which
steps it does not want and which it does not answer.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import SendyardError

_VERSION = 6
_ALL_ACTIONS = 0x1FF
_ALL_STEPS = 0xFFFFF  # all but SMFIP_HDR_LEADSPC: header values are handed over without their leading space


class _Step(NamedTuple):
    """A command of the protocol with the flags by which a milter declines it, or its reply."""

    command: bytes
    declined: int
    unanswered: int


_CONNECT = _Step(b"C", 0x1, 0x1000)
_HELO = _Step(b"H", 0x2, 0x2000)
_MAIL = _Step(b"M", 0x4, 0x4000)
_RCPT = _Step(b"R", 0x8, 0x8000)
_DATA = _Step(b"T", 0x200, 0x10000)
_HEADER = _Step(b"L", 0x20, 0x80)
_END_OF_HEADER = _Step(b"N", 0x40, 0x40000)
_BODY = _Step(b"B", 0x10, 0x80000)
_END = _Step(b"E", 0, 0)

_VERDICTS = {b"c": "continue", b"a": "accept", b"r": "reject", b"t": "tempfail", b"d": "discard", b"s": "skip"}


class MilterError(SendyardError):
    """The milter cannot be reached, does not answer in time, or does not speak the protocol."""


@dataclass(frozen=True)
class Message:
    """What is handed to the milter. `macros` are Postfix's, such as {"{auth_authen}": "app@acme.example"}."""

    sender: str
    recipient: str
    header: Sequence[tuple[str, str]]
    body: bytes
    macros: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What the milter decided: continue, accept, reject, tempfail or discard; `reply` is its own SMTP reply, if any.

    `added` are the header fields that it inserts.
    """

    action: str
    reply: str = ""
    added: tuple[tuple[str, str], ...] = ()

    @property
    def passes(self) -> bool:
        """True if the message goes on."""
        return self.action in {"continue", "accept"}

    def __str__(self) -> str:
        return f"{self.action} ({self.reply})" if self.reply else self.action


class _Connection:
    """One milter connection over a Unix socket."""

    def __init__(self, path: Path, deadline: float) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(deadline)
        self.socket.connect(str(path))
        self.send(b"O", struct.pack("!III", _VERSION, _ALL_ACTIONS, _ALL_STEPS))
        command, data = self.receive()
        if command != b"O" or len(data) < 12:
            raise MilterError(f"{path} answered the milter negotiation with {command!r}; is a milter listening there?")
        self.steps: int = struct.unpack("!III", data[:12])[2]

    def send(self, command: bytes, data: bytes = b"") -> None:
        self.socket.sendall(struct.pack("!I", len(data) + 1) + command + data)

    def receive(self) -> tuple[bytes, bytes]:
        (length,) = struct.unpack("!I", self._exactly(4))
        packet = self._exactly(length)
        return packet[:1], packet[1:]

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise MilterError(f"{self.path}: the milter closed the connection; its unit's log says why.")
            data += part
        return data

    def macros(self, step: _Step, macros: Mapping[str, str]) -> None:
        """Tell the macros that go with `step`; never answered."""
        self.send(b"D", step.command + b"".join(_text(name) + _text(value) for name, value in macros.items()))

    def say(self, step: _Step, data: bytes = b"") -> Verdict:
        """Take one step; what the milter declined is left out, what it does not answer is taken as continue."""
        if self.steps & step.declined:
            return Verdict("continue")
        self.send(step.command, data)
        if self.steps & step.unanswered:
            return Verdict("continue")
        return self._verdict()

    def _verdict(self) -> Verdict:
        added: list[tuple[str, str]] = []
        while True:
            command, data = self.receive()
            if command in {b"h", b"i"}:  # add a header field; insert one at a position
                name, value = data[4 if command == b"i" else 0 :].split(b"\0")[:2]
                added.append((name.decode(), value.decode(errors="replace")))
            elif command == b"y":
                reply = data.rstrip(b"\0").decode(errors="replace")
                return Verdict("reject" if reply.startswith("5") else "tempfail", reply)
            elif command in _VERDICTS:
                return Verdict(_VERDICTS[command], added=tuple(added))
            elif command not in {
                b"p",
                b"m",
                b"b",
                b"e",
                b"+",
                b"-",
                b"q",
            }:  # progress, and changes that we do not look at
                raise MilterError(f"{self.path} answered {command!r}, which is no word of the milter protocol.")


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def submit(path: Path, message: Message, *, deadline: float = 10.0) -> Verdict:
    """Hand `message` to the milter at socket `path`; every reply is waited for at most `deadline` seconds.

    Raises:
        MilterError: no milter answers there.
    """
    try:
        connection = _Connection(path, deadline)
        try:
            return _hand_over(connection, message)
        finally:
            connection.socket.close()
    except OSError as error:
        raise MilterError(f"The milter at {path} does not answer: {error}") from error


def _hand_over(connection: _Connection, message: Message) -> Verdict:
    """Take the steps of one message until the milter decides."""
    of_connection = {name: value for name, value in message.macros.items() if name in {"{daemon_name}", "j", "v"}}
    of_mail = {name: value for name, value in message.macros.items() if name not in of_connection}
    steps: list[tuple[_Step, bytes]] = [
        (_CONNECT, _text("localhost") + b"4" + struct.pack("!H", 2525) + _text("127.0.0.1")),
        (_HELO, _text("localhost")),
        (_MAIL, _text(f"<{message.sender}>")),
        (_RCPT, _text(f"<{message.recipient}>")),
        (_DATA, b""),
        *((_HEADER, _text(name) + _text(value)) for name, value in message.header),
        (_END_OF_HEADER, b""),
        (_BODY, message.body),
        (_END, b""),
    ]
    verdict = Verdict("continue")
    for step, data in steps:
        if step is _CONNECT:
            connection.macros(step, of_connection)
        elif step is _MAIL:
            connection.macros(step, of_mail)
        verdict = connection.say(step, data)
        if verdict.action not in {"continue", "skip"}:
            break
    return verdict
