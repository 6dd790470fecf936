# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A receiver that offers STARTTLS and forgets what it takes: `tls_sink.py PORT CHAIN_FILE`, on loopback.

(Postfix's smtp-sink, which takes mail in clear, speaks no TLS.)
"""

from __future__ import annotations

import asyncio
import ssl
import sys

REPLIES = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
    b"STAR": b"220 go on\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
    """One session."""
    writer.write(b"220 sink ESMTP\r\n")
    try:
        while line := await reader.readline():
            verb = line[:4].upper()
            writer.write(REPLIES.get(verb, b"250 ok\r\n"))
            if verb == b"STAR":
                await writer.start_tls(context)
            elif verb == b"DATA":
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 ok\r\n")
            elif verb == b"QUIT":
                break
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    server = await asyncio.start_server(lambda r, w: serve(r, w, context), "127.0.0.1", int(sys.argv[1]), limit=1 << 22)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
