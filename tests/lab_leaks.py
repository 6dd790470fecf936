# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The secrets of the lab and of its senders, and where on either side they can be seen."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import lab_api
import leaks
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from leaks import Grams, Secret

SCAN_SECONDS = 600.0
# Every user as whom something of the mail path runs, one as whom nothing does, and who logs in.
USERS = (
    *("nobody", "postfix", "opendkim", "sendyard-gate", "dovecot", "dovenull", "unbound", "mail", "www-data"),
    *("_apt", "ops"),
)
ROOTS = ("/etc", "/var", "/home", "/root", "/srv", "/opt", "/usr/local", "/usr/lib/sendyard")
# Where a sender keeps secrets, and who but root may read them there.
KEPT: Mapping[str, set[str]] = {
    "/etc/opendkim/keys/*.pem": {"opendkim"},
    "/etc/sendyard/tls/*.pem": set(),
    "/etc/letsencrypt/archive/*/privkey*.pem": set(),
    "/etc/letsencrypt/accounts/*/private_key.json": set(),
    "/etc/letsencrypt/keys/*.pem": set(),
    "/etc/dovecot/sendyard-logins": {"dovecot"},
    "/var/lib/sendyard/domains.json.gz": set(),
}
# Secret keys, as the sender keeps them: everything that is not public in these files.
KEYS = (
    "find /etc/opendkim /etc/sendyard/tls /etc/letsencrypt /var/lib/sendyard -type f"
    r" \( -name '*.pem' -o -name private_key.json \) -exec grep -lE 'PRIVATE KEY|\"d\"' {} +"
)
ALWAYS = ("/etc/opendkim/keys/*.pem", "/etc/sendyard/tls/*.pem", "/etc/dovecot/sendyard-logins")
PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
# Lists of packages, from the network: large, and no secret was there when they were written.
LEFT_OUT = ("/proc", "/sys", "/var/lib/apt/lists", "/var/cache/apt", "/usr/share", "/usr/lib/x86_64-linux-gnu")


def key(name: str, pem: bytes) -> Secret:
    """A private key in PEM."""
    loaded = load_pem_private_key(pem, None)
    if isinstance(loaded, rsa.RSAPrivateKey):
        private = loaded.private_numbers()
        numbers = (private.d, private.p, private.q)
    else:
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        numbers = (loaded.private_numbers().private_value,)
    # One with leading zeros is an octet shorter where DER or a JWK has it, and is found by the rest.
    return Secret(name, pem, tuple(number.to_bytes(-(-number.bit_length() // 8), "big") for number in numbers))


def account_key(name: str, jwk: bytes) -> Secret:
    """The private key of an ACME account, as certbot keeps it (RFC 7517)."""
    said = json.loads(jwk)
    numbers = [base64.urlsafe_b64decode(said[part] + "==") for part in ("d", "p", "q") if part in said]
    return Secret(name, jwk, tuple(numbers))


def password_hash(name: str, kept: str) -> Secret:
    """A password's hash, without the scheme that stands before it."""
    return Secret(name, kept.rpartition("}")[2].encode())


def of_lab() -> Iterator[Secret]:
    """The secrets that the controller has: the key that changes zones, and the logins."""
    state = Path(lab_api.info()["state"])
    yield Secret("TSIG secret", (state / "tsig").read_bytes().strip())
    for login in lab_api.info()["logins"]:
        yield Secret(f"password of {login['username']}", login["password"].encode())
    for path in sorted((state / "domains").glob("*.yml")):
        for kept in re.findall(r'password_hash: "([^"]+)"', path.read_text()):
            yield password_hash(f"hash in {path.name}", kept)


def of_sender(host: str) -> Iterator[Secret]:
    """The secrets that a sender has made for itself: keys for DKIM and TLS, and the key of its ACME account."""
    for path in lab_api.root(host, "sh", "-c", KEYS).stdout.split():
        content = lab_api.root(host, "cat", path).stdout.encode()
        if path.endswith(".json"):
            yield account_key(f"{host}:{path}", content)
        else:
            yield from (key(f"{host}:{path}", pem) for pem in PEM.findall(content))


def _order(do: str, grams: Grams, **more: Any) -> str:
    known = {gram.decode("latin-1"): name for gram, name in grams.names.items()}
    return json.dumps({"do": do, "grams": known, **more}) + "\n"


def _command(host: str) -> list[str]:
    # The program is an argument, the secrets come on standard input: nothing of them is written on the host.
    program = Path(leaks.__file__).read_text()
    return ["ssh", "-F", lab_api.info()["ssh_config"], host, shlex.join(["sudo", "python3", "-c", program])]


@dataclass(frozen=True)
class Seen:
    """Where secrets are on a sender. `held`: files; `readers`: who can open them; `passing`: journal and processes."""

    held: dict[str, list[str]]
    readers: dict[str, list[str]]
    passing: dict[str, list[str]]


def look(host: str, grams: Grams, roots: Iterable[str] = ROOTS) -> Seen:
    """Look through a sender's files, journal and processes."""
    more = {"roots": [*roots, "/run", "/tmp", "/dev/shm"], "left_out": LEFT_OUT, "users": USERS}
    done = subprocess.run(
        _command(host), input=_order("look", grams, **more), capture_output=True, text=True, timeout=SCAN_SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Seen(**json.loads(done.stdout))


def misplaced(seen: Seen) -> list[str]:
    """What is wrong with where secrets are: not where KEPT has them, or readable for somebody else than it says.

    Keys and logins must be among them: a look that finds nothing has not looked.
    """
    wrong = [f"{where}: {name}" for where, names in seen.passing.items() for name in names]
    for path, users in seen.readers.items():
        kept = next((who for pattern, who in KEPT.items() if fnmatch(path, pattern)), None)
        if kept is None:
            wrong.append(f"{path} holds {', '.join(seen.held[path])}")
        elif set(users) != kept:
            wrong.append(f"{path} is read by {', '.join(users) or 'nobody'}, not by {', '.join(kept) or 'nobody'}")
    missed = [pattern for pattern in ALWAYS if not any(fnmatch(path, pattern) for path in seen.held)]
    return wrong + [f"no secret was found in {pattern}" for pattern in missed]


@dataclass
class Watched:
    """What was seen while something ran, and how often was looked."""

    found: dict[str, list[str]] = field(default_factory=dict)
    rounds: int = 0


@contextmanager
def watched(host: str, grams: Grams, pause: float = 0.02) -> Iterator[Watched]:
    """Watch the processes of a sender, and what others may read where runs write, during the body."""
    roots = ["/tmp", "/var/tmp", "/home", "/root", "/run/sendyard", "/dev/shm"]
    seen = Watched()
    with subprocess.Popen(_command(host), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(_order("watch", grams, roots=roots, pause=pause))
        process.stdin.flush()
        assert process.stdout.readline() == "watching\n"
        try:
            yield seen
        finally:
            process.stdin.close()
            answer = json.loads(process.stdout.read())
            seen.found.update(answer["found"])
            seen.rounds = answer["rounds"]
