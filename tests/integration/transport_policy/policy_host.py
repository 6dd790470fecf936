# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Serves MTA-STS policies by https: `policy_host.py ADDRESS CHAIN_FILE DIRECTORY`, that of HOST is DIRECTORY/HOST."""

from __future__ import annotations

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        path = Path(sys.argv[3]) / self.headers["Host"]
        there = self.path == "/.well-known/mta-sts.txt" and path.exists()
        content = path.read_bytes() if there else b"not here\n"
        self.send_response(200 if there else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    server = ThreadingHTTPServer((sys.argv[1], 443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
