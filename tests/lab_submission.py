# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What a client of the lab submits to a sender, byte by byte, and whether it verifies where it arrives."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import dkim
import lab_api
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from lab_hosts import Login, Sender

SUBMISSION = (587, 465, 2525)


@contextmanager
def session(
    sender: Sender, port: int = 587, *, family: int = 4, through: Tunnels | None = None
) -> Iterator[smtp.Session]:
    """A session on a port, greeted, under TLS where the port has it at once, else in clear.

    It comes from the controller, or by `through` from the stranger.
    """
    listener = next(one for one in smtp.LISTENERS if one.port == port)
    address = sender.ipv4 if family == 4 else sender.ipv6
    if through:
        address, local = "127.0.0.1", through.ports[address, port]
        listener = smtp.Listener(local, listener.implicit_tls, listener.submission)
    context = smtp.tls_context(ca_file=lab_api.info()["ca"])
    with smtp.session(smtp.Endpoint(sender.fqdn, address, listener), context, timeout=60, whole=300) as opened:
        assert opened.ehlo("client.example").positive
        yield opened


@contextmanager
def logged_in(
    sender: Sender, login: Login, port: int = 587, *, family: int = 4, through: Tunnels | None = None
) -> Iterator[smtp.Session]:
    """A session of `login` on a submission port, whose certificate is checked, ready for MAIL."""
    with session(sender, port, family=family, through=through) as opened:
        if opened.tls is None:
            assert opened.start_tls().positive
            assert opened.ehlo("client.example").positive
        assert opened.login_plain(login.username, login.password).code == 235
        yield opened


@dataclass(frozen=True)
class Tunnels:
    """Ports of 127.0.0.1 here, for each (address, port) elsewhere: what connects to one connects there from `host`."""

    host: str
    ports: Mapping[tuple[str, int], int]


@contextmanager
def tunnels(host: str, places: Sequence[tuple[str, int]]) -> Iterator[Tunnels]:
    """Have a host of the lab connect to `places` for us, byte by byte as we say it: OpenSSH carries the connections."""
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in places]
        ports = {place: one.getsockname()[1] for place, one in zip(places, free, strict=True)}
    forwards = [f"-L127.0.0.1:{port}:[{address}]:{there}" for (address, there), port in ports.items()]
    # A connection of its own: one that is shared would keep the ports.
    own = ("-oControlMaster=no", "-oControlPath=none", "-oExitOnForwardFailure=yes")
    # It says "ready" when everything forwards, and ends when its standard input does, whatever becomes of us.
    command = ["ssh", "-F", lab_api.info()["ssh_config"], *own, *forwards, host, "echo ready; cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as carrier:
        assert carrier.stdin and carrier.stdout
        try:
            assert carrier.stdout.readline() == "ready\n", f"ssh to {host} does not forward"
            yield Tunnels(host, ports)
        finally:
            carrier.terminate()


def submit(
    opened: smtp.Session, sender: str, recipients: Sequence[str], content: bytes, *, chunks: int = 0
) -> smtp.Reply:
    """The reply to one message; with `chunks` it goes by BDAT in that many pieces. The session is as before then."""
    assert opened.command(f"MAIL FROM:<{sender}>").positive
    for recipient in recipients:
        assert opened.command(f"RCPT TO:<{recipient}>").positive
    if chunks:
        size = -(-len(content) // chunks)
        reply = opened.bdat([content[start : start + size] for start in range(0, len(content), size)])
    else:
        reply = opened.data(content)
    opened.command("RSET")
    return reply


def signers(content: bytes) -> list[str]:
    """The domains (d=) whose signatures verify in `content` by the keys that the lab's name servers have, in order."""

    def published(name: bytes, timeout: float = 5) -> bytes | None:
        found = lab_api.ask("ns1", name.decode(), "TXT")
        return found[0].replace('" "', "").strip('"').encode() if found else None

    verified = []
    fields = dkim.DKIM(content).headers
    for index in range(sum(name.lower() == b"dkim-signature" for name, _ in fields)):
        one = dkim.DKIM(content)
        with suppress(dkim.DKIMException):
            if one.verify(index, dnsfunc=published):
                verified.append(one.domain.decode())
    return verified
