# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the controller keeps of the lab, in lab/.state: keys, passwords and what follows from them.

Every file is made once and then stays, so that `up` can be run again and again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sendyard_lab.hosts import HOSTS, LOGIN, SENDERS
from sendyard_lab.shell import run
from sendyard_lab.slice import GATEWAY, Slice

TENANTS = ("acme.example", "news.globex.example")  # one plain sending domain, one below another zone's apex
RETURN_PATHS = {"news.globex.example": "bounces"}  # labels below the domain
TLS_NAMES = {"ca": ("ca.lab.example",), "rx": ("mx.rx.example", "mx.sink.rx.example", "mx.seven.rx.example")}
CERTIFICATE_DAYS = "3650"


@dataclass(frozen=True)
class State:
    """Paths of the files in lab/.state, and what is read from them."""

    directory: Path

    def file(self, name: str) -> Path:
        """The path of one file."""
        return self.directory / name

    def text(self, name: str) -> str:
        """The content of one file, without the white space around it."""
        return self.file(name).read_text().strip()

    def write(self, name: str, content: str, mode: int = 0o644) -> None:
        """Write one file; its mode is set before anyone can read it, and it appears whole."""
        target = self.file(name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = target.with_name(target.name + ".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as stream:
            stream.write(content)
        fresh.replace(target)


def state_of(lab: Slice) -> State:
    """The state of one lab, which need not exist yet."""
    return State(lab.state)


def generate(lab: Slice, zone_keys: Sequence[str]) -> State:
    """Make what is missing: SSH keys, certification authority, TSIG, DNSSEC and DKIM keys, logins."""
    lab.state.mkdir(mode=0o700, exist_ok=True)
    state = state_of(lab)
    for name in ("id_ed25519", *(f"host-keys/{host}" for host in HOSTS)):
        _make_ssh_key(state, name)
    for name in ("tsig", "transfer.tsig"):
        if not state.file(name).exists():
            state.write(name, base64.b64encode(secrets.token_bytes(32)).decode() + "\n", 0o600)
    for name in zone_keys:
        _make_key(state, name, "EC", "ec_paramgen_curve:P-256")
    _make_key(state, "control-dkim.pem", "RSA", "rsa_keygen_bits:2048")
    _make_authority(state)
    for name, names in TLS_NAMES.items():
        _make_certificate(state, name, names)
    _make_tenants(state)
    _write_ssh_files(lab, state)
    return state


def public_key(state: State, name: str) -> bytes:
    """The public half of a key file, as DER (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7)."""
    pem = run(["openssl", "pkey", "-in", state.file(name), "-pubout"])
    return base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-")))


def _make_key(state: State, name: str, algorithm: str, option: str) -> None:
    """Make a private key with openssl, unless it is there."""
    if not state.file(name).exists():
        state.write(name, run(["openssl", "genpkey", "-algorithm", algorithm, "-pkeyopt", option]), 0o600)


def _make_ssh_key(state: State, name: str) -> None:
    """Make an Ed25519 key pair for SSH, unless it is there."""
    path = state.file(name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {path.name}", "-f", path])


def _make_authority(state: State) -> None:
    """Make the lab's own certification authority: it signs what the lab's services serve, never the senders'."""
    if state.file("ca.crt").exists():
        return
    _make_key(state, "ca.key", "EC", "ec_paramgen_curve:P-256")
    certificate = run(
        [
            *("openssl", "req", "-x509", "-new", "-key", state.file("ca.key"), "-days", CERTIFICATE_DAYS),
            *("-subj", "/CN=Lab CA", "-addext", "basicConstraints=critical,CA:TRUE"),
            # Python 3.13 refuses an authority without keyUsage
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        ]
    )
    state.write("ca.crt", certificate)


def _make_certificate(state: State, name: str, names: tuple[str, ...]) -> None:
    """Make a certificate of the lab's authority for one service that is reached as `names`."""
    target = state.file(f"tls/{name}.crt")
    if target.exists():
        return
    _make_key(state, f"tls/{name}.key", "EC", "ec_paramgen_curve:P-256")
    request = run(["openssl", "req", "-new", "-key", state.file(f"tls/{name}.key"), "-subj", f"/CN={names[0]}"])
    alternatives = ",".join(f"DNS:{alternative}" for alternative in names)
    state.write(
        "tls/extensions",
        f"subjectAltName={alternatives}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
    )
    certificate = run(
        [
            *("openssl", "x509", "-req", "-days", CERTIFICATE_DAYS, "-CA", state.file("ca.crt")),
            *("-CAkey", state.file("ca.key"), "-set_serial", str(secrets.randbits(120))),
            *("-extfile", state.file("tls/extensions")),
        ],
        stdin=request,
    )
    state.write(f"tls/{name}.crt", certificate)


def _make_tenants(state: State) -> None:
    """Make the tenants' logins, whose clear passwords only the lab's clients use, and their domain files."""
    if not state.file("logins.json").exists():
        logins = [
            {"username": f"app@{domain}", "password": secrets.token_urlsafe(24), "domains": [domain]}
            for domain in TENANTS
        ]
        state.write("logins.json", json.dumps(logins, indent=1) + "\n", 0o600)
    if state.file("domains").exists():
        return
    for login in json.loads(state.text("logins.json")):
        domain = login["domains"][0]
        return_path = f"return_path: {RETURN_PATHS[domain]}\n" if domain in RETURN_PATHS else ""
        state.write(
            f"domains/{domain}.yml",
            f"---\ndomain: {domain}\nservers: [{', '.join(host.name for host in SENDERS)}]\ndns: lab\n{return_path}"
            f'logins:\n  - username: {login["username"]}\n    password_hash: "{_ssha512(login["password"])}"\n',
        )


def _ssha512(password: str) -> str:
    """Hash a password for Dovecot: SHA-512 of password and salt, followed by the salt, in Base64."""
    salt = secrets.token_bytes(8)
    return "{SSHA512}" + base64.b64encode(hashlib.sha512(password.encode() + salt).digest() + salt).decode()


def _write_ssh_files(lab: Slice, state: State) -> None:
    """Write ssh_config and known_hosts: both follow from the keys, so that nobody is asked to trust anything."""
    known, config = [], []
    for host in HOSTS.values():
        key = " ".join(state.text(f"host-keys/{host.name}.pub").split()[:2])
        names = ",".join([host.name, *host.ipv4(lab), *host.ipv6(lab)])
        known.append(f"{names} {key}\n")
        config.append(f"Host {host.name}\n  HostName {host.ipv4(lab)[0]}\n")
    config.append(
        f"Host *\n  User {LOGIN}\n  IdentityFile {state.file('id_ed25519')}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {state.file('known_hosts')}\n  StrictHostKeyChecking yes\n"
        # the address is there only while the lab is: with the lab down, no connection leaves the machine
        f"  BindAddress {lab.addresses(GATEWAY)[0]}\n  ConnectTimeout 10\n  LogLevel ERROR\n"
        f"  ControlMaster auto\n  ControlPath {lab.sockets}/%C\n  ControlPersist 600\n"
    )
    state.write("known_hosts", "".join(known))
    state.write("ssh_config", "".join(config))
