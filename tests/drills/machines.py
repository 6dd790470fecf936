# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Containers that become senders, and what they are asked."""

from __future__ import annotations

import base64
import hashlib
import io
import ipaddress
import json
import secrets
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dkim
import render
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import session as smtp
from sendyard_lab.podman import CAPABILITIES, limits

FQDN = "mx1.yard.example"
BOUNCES = f"bounces.{FQDN}"
SELECTOR = "s1"
LOGINS = {"app@acme.example": "acme-token", "app@globex.example": "globex-token"}
PROBE = f"probe-0123456789abcdef={FQDN}@{FQDN}"
KEY_KINDS = {"ecdsa": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("rsa:2048",)}
MODES = ("eight", "seven", "tls", "refusing")
UNITS = (
    "unbound",
    "sendyard-gate",
    "sendyard-opendkim",
    "dovecot",
    "postfix",
    "sendyard-postfix-housekeeping.timer",
)
VERSIONS = {"bookworm": ("3.7", "2.3"), "trixie": ("3.10", "2.4")}


def podman(*arguments: str, stdin: bytes | None = None, deadline: float = 60, check: bool = True) -> str:
    """Run podman; returns its output."""
    done = subprocess.run(["podman", *arguments], input=stdin, capture_output=True, timeout=deadline, check=False)
    if check and done.returncode:
        raise AssertionError(f"podman {' '.join(arguments)}: {done.stderr.decode()}\n{done.stdout.decode()}")
    return done.stdout.decode(errors="replace")


def wait_for(what: str, condition: Any, deadline: float = 20) -> Any:
    """The first true value of `condition()`; AssertionError naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {deadline} s")


@dataclass
class Container:
    """A running container."""

    name: str
    address: str

    def run(self, *argv: str, stdin: bytes | None = None, user: str = "root", check: bool = True) -> str:
        """The output of a command in it."""
        return podman("exec", "-i", "-u", user, self.name, *argv, stdin=stdin, check=check)

    def put(self, files: Mapping[str, render.RenderedFile | bytes]) -> None:
        """Write files, with the owners and modes that they name, in one go."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, file in files.items():
                rendered = file if isinstance(file, render.RenderedFile) else render.RenderedFile(path, "")
                content = file if isinstance(file, bytes) else rendered.content.encode()
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode, entry.mtime = len(content), int(rendered.mode, 8), int(time.time())
                entry.uname, entry.gname = rendered.owner, rendered.group
                tar.addfile(entry, io.BytesIO(content))
        self.run("tar", "-x", "-C", "/", stdin=archive.getvalue())


@dataclass(frozen=True)
class Received:
    """One message as the sink got it."""

    envelope: Mapping[str, Any]
    content: bytes


@dataclass
class Receiver:
    """The sink, by the directory it writes to."""

    directory: Path

    def find(self, token: str) -> list[Received]:
        """The messages whose envelope recipient contains `token`, oldest first."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            envelope = json.loads(path.read_text())
            if any(token in recipient for recipient in envelope["rcpt"]):
                found.append(Received(envelope, path.with_suffix(".eml").read_bytes()))
        return found

    def one(self, token: str) -> Received:
        """The only message to `token`, once it is here."""
        wait_for(f"a message to {token}", lambda: self.find(token))
        time.sleep(0.2)  # a second one would be a fault
        found = self.find(token)
        assert len(found) == 1, f"{len(found)} messages to {token}"
        return found[0]


@dataclass
class Sender(Container):
    """A host with the roles auth, signer and postfix, and two tenants."""

    release: str = ""
    public_keys: dict[str, str] = field(default_factory=dict)

    def session(self, port: int) -> Any:
        """A connection to `port`, as `smtp.session` gives it."""
        listener = next(one for one in smtp.LISTENERS if one.port == port)
        context = smtp.tls_context(verify=False)
        return smtp.session(smtp.Endpoint(FQDN, self.address, listener), context, timeout=20, whole=120)

    def log(self) -> str:
        """Postfix's log."""
        return self.run("cat", "/var/log/sendyard/postfix.log", check=False)

    def signers(self, content: bytes) -> list[str]:
        """The domains (d=) whose signatures verify in `content`, in order."""
        verified = []
        message = dkim.DKIM(content)
        for index in range(sum(name.lower() == b"dkim-signature" for name, _ in message.headers)):
            one = dkim.DKIM(content)
            with suppress(dkim.DKIMException):
                if one.verify(index, dnsfunc=lambda name, **_: self._record(name)):
                    verified.append(one.domain.decode())
        return verified

    def _record(self, name: bytes) -> bytes | None:
        selector, _, domain = name.decode().rstrip(".").partition("._domainkey.")
        key = self.public_keys.get(domain)
        return f"v=DKIM1; k=rsa; p={key}".encode() if key and selector == SELECTOR else None


def logged_in(opened: Any, login: str = "app@acme.example") -> None:
    """Greet, start TLS where it is not implicit, and log in."""
    assert opened.ehlo("client.example").positive
    if not opened.endpoint.listener.implicit_tls:
        assert opened.start_tls().positive
        assert opened.ehlo("client.example").positive
    password = LOGINS.get(login, "probe-token")
    reply = opened.login_plain(login, password)
    assert reply.code == 235, reply


def replies_until_closed(opened: Any) -> list[smtp.Reply]:
    """Say QUIT, and return every reply that is left."""
    opened.abandon()
    replies = []
    with suppress(smtp.SmtpError):
        opened.send_raw(b"QUIT\r\n")
        while True:
            replies.append(opened.reply())
    return replies


def _hash(password: str) -> str:
    salt = secrets.token_bytes(8)
    return "{SSHA512}" + base64.b64encode(hashlib.sha512(password.encode() + salt).digest() + salt).decode()


def self_signed(directory: Path, kind: Sequence[str]) -> bytes:
    """A key and its certificate, PEM."""
    key, certificate = directory / "key", directory / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "30", "-subj", f"/CN={FQDN}",
         "-addext", f"subjectAltName=DNS:{FQDN}", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return key.read_bytes() + certificate.read_bytes()


def _dkim_key() -> tuple[bytes, str]:
    """A private key (PEM) and its public half as p= has it."""
    key = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        check=True, capture_output=True, timeout=60,
    ).stdout  # fmt: skip
    public = subprocess.run(
        ["openssl", "pkey", "-pubout", "-outform", "DER"], input=key, check=True, capture_output=True, timeout=60
    ).stdout
    return key, base64.b64encode(public).decode()


def boot(name: str, image: str, *options: str) -> None:
    """Start a container of an image, with `options` of podman run, and wait until its systemd is up."""
    systemd = ("--systemd=always", "--cap-add", CAPABILITIES, *limits())
    podman("run", "-d", "--name", name, *systemd, *options, image, "/sbin/init")
    wait_for(
        f"{name} to have booted",
        lambda: podman("exec", name, "systemctl", "is-system-running", check=False).strip() in {"running", "degraded"},
    )


def start(name: str, image: str, network: str, address: str, hostname: str, *options: str) -> None:
    """Boot a container with an address in a network."""
    where = ("--network", network, "--ip", address, "--dns", "127.0.0.1", "--hostname", hostname)
    boot(name, image, *where, *options)


def _unbound(network: ipaddress.IPv4Network) -> bytes:
    """A resolver that knows the tests' names and nothing else."""
    lines = ["server:", '  module-config: "iterator"', '  local-zone: "example." static']
    for index, mode in enumerate(MODES):
        lines.append(f'  local-data: "{mode}.rx.example. MX 10 mx.{mode}.rx.example."')
        lines.append(f'  local-data: "mx.{mode}.rx.example. A {network[20 + index]}"')
    return "\n".join(lines).encode() + b"\n"


def provision(sender: Sender, network: ipaddress.IPv4Network, directory: Path) -> None:
    """What preflight to serve would leave, as far as mail is concerned."""
    postfix, dovecot = VERSIONS[sender.release]
    calls = [
        *render.host_config_calls("auth", auth_dovecot_version=dovecot),
        *render.host_config_calls("signer", signer_fqdn=FQDN, signer_selector=SELECTOR),
        *render.host_config_calls(
            "postfix",
            postfix_version=postfix,
            postfix_fqdn=FQDN,
            postfix_addresses=[{"public": sender.address}],
            postfix_certificates=["ecdsa", "rsa"],
            postfix_inbound_connection_rate_limit=0,  # all tests come from one address
            postfix_inbound_message_rate_limit=0,
        ),
    ]
    files: dict[str, Any] = {file["path"]: render.RenderedFile(**file) for call in calls for file in call["files"]}
    sysusers = {path: file for path, file in files.items() if "/sysusers.d/" in path}
    sender.put(sysusers)
    sender.run("systemd-sysusers")

    def private(path: str, content: str, owner: str = "root", group: str = "root", mode: str = "0600") -> None:
        files[path] = render.RenderedFile(path, content, mode, owner, group)

    private("/etc/sendyard/tls/ecdsa.pem", self_signed(directory, KEY_KINDS["ecdsa"]).decode())
    private("/etc/sendyard/tls/rsa.pem", self_signed(directory, ["rsa:2048"]).decode())
    for domain in ("acme.example", "globex.example", FQDN):
        key, sender.public_keys[domain] = _dkim_key()
        private(f"/etc/opendkim/keys/{domain}.pem", key.decode(), "opendkim", "opendkim")
    by_domain = {login.partition("@")[2]: login for login in LOGINS}
    for domain, login in by_domain.items():
        files[f"/etc/sendyard/owners/{domain}"] = f"{login}\n".encode()
    files["/etc/postfix/sender_login"] = "".join(f"@{d} {login}\n" for d, login in by_domain.items()).encode()
    maps = [f"/etc/postfix/{name}" for name in ("sender_login", "return_paths", "return_mailboxes")]
    maps.append("/var/lib/sendyard/postfix/unanswered")
    files |= dict.fromkeys(maps[1:], b"")
    logins = "".join(f"{login}:{_hash(password)}\n" for login, password in LOGINS.items())
    private("/etc/dovecot/sendyard-logins", logins, "root", "dovecot", "0640")
    private("/run/sendyard/probe-logins", f"{PROBE}:{_hash('probe-token')}\n", "root", "dovecot", "0640")
    files["/etc/unbound/unbound.conf.d/names.conf"] = _unbound(network)
    files["/etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf"] = b""
    for call in calls:
        for one in call.get("directories", ()):
            sender.run("install", "-d", "-m", one["mode"], "-o", one["owner"], "-g", one["group"], one["path"])
    sender.put(files)
    sender.run("systemd-tmpfiles", "--create")
    sender.run("postmap", *(f"lmdb:{path}" for path in maps))
    sender.run("systemctl", "daemon-reload")
    sender.run("systemctl", "mask", "--now", "opendkim")
    sender.run("systemctl", "enable", *UNITS)
    sender.run("systemctl", "restart", *UNITS)
