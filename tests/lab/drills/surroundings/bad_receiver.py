# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A receiver that misbehaves until it is told to stop: bad_receiver.py DIRECTORY ADDRESS[=drip]...

What it does to a message is the first label of the recipient's domain: "reset" cuts the connection after the data,
"busy" answers 421 to RCPT, "grey" 451. At an address with "=drip" every reply comes one byte a second. Once DIRECTORY
holds a file "behave", all is taken. What is taken lies in DIRECTORY, a file a message.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a RST


class Conversation:
    """One session."""

    def __init__(self, connection: socket.socket, directory: Path, drips: bool) -> None:
        self.connection = connection
        self.directory = directory
        self.drips = drips
        self.habit = ""

    @property
    def behaves(self) -> bool:
        return (self.directory / "behave").exists()

    def say(self, text: str) -> None:
        line = f"{text}\r\n".encode()
        if not self.drips or self.behaves:
            self.connection.sendall(line)
            return
        for byte in line:
            self.connection.sendall(bytes([byte]))
            time.sleep(1)

    def note(self, what: str) -> None:
        with (self.directory / "seen").open("a") as seen:
            seen.write(f"{what}\n")

    def run(self, lines: BinaryIO) -> None:
        self.say("220 ready")
        for line in lines:
            verb = line[:4].upper()
            if verb == b"RCPT":
                self.habit = "" if self.behaves else line.decode().rpartition("@")[2].partition(".")[0]
            if verb == b"RCPT" and self.habit in {"busy", "grey"}:
                self.note(self.habit)
                self.say("421 4.7.0 too busy" if self.habit == "busy" else "451 4.7.1 greylisted")
                if self.habit == "busy":
                    return
            elif verb == b"DATA":
                self.say("354 go on")
                content = b"".join(iter(lines.readline, b".\r\n"))
                if self.habit == "reset":
                    self.note("reset")
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return
                (self.directory / f"{time.monotonic_ns()}.eml").write_bytes(content)
                self.say("250 taken")
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                if self.drips and verb == b"EHLO":
                    self.note("drip")
                self.say("250 yes")


def serve(address: str, directory: Path, drips: bool) -> None:
    with socket.create_server((address, 25)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=converse, args=(connection, directory, drips), daemon=True).start()


def converse(connection: socket.socket, directory: Path, drips: bool) -> None:
    with connection, connection.makefile("rb") as lines:
        try:
            Conversation(connection, directory, drips).run(lines)
        except OSError:
            return


def main() -> None:
    directory = Path(sys.argv[1])
    threads = [
        threading.Thread(target=serve, args=(address.partition("=")[0], directory, address.endswith("=drip")))
        for address in sys.argv[2:]
    ]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
