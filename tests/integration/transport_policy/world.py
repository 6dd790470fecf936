# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A world of its own in a network namespace: signed and unsigned domains, receivers, a policy host, and a sender.

Knot signs a root, below which one zone is not signed; Unbound validates it; Debian's mta-sts-daemon runs with the
role's configuration, our server by Debian's python3; Postfix has the role's main.cf, and is chrooted as on a host.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import knot
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.host.postfix_config import with_settings
from programs import ROOT
from render import role_files
from tls import Authority, Issued

T = TypeVar("T")
# As their units say, with Postfix's group for the one that both have on a host.
DAEMON_USER = ("setpriv", "--reuid", "_mta-sts", "--regid", "_mta-sts", "--groups", "postfix")
SERVER_USER = ("setpriv", "--reuid", "nobody", "--regid", "postfix", "--clear-groups")
NS, SENDER, POLICIES = "10.254.74.53", "10.254.74.2", "10.254.74.3"
FQDN = "mx1.yard.example"
RECEIVERS = {  # by what they show; mixed.signed has two of them
    "valid": "10.254.74.11",
    "expired": "10.254.74.12",
    "clear": "10.254.74.13",
    "other": "10.254.74.14",
}
ENFORCE = "version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 86400\r\n"


@dataclass(frozen=True)
class Domain:
    """A receiving domain: where its MX points, the certificate of its TLSA record ("" for none), its policy."""

    name: str
    receiver: str
    tlsa: str = ""
    policy: str = ""  # "" for none; {mx} is its MX host
    forged: str = ""  # the MX host that the MX record names instead
    second: str = ""  # another MX host, tried later, whose certificate its TLSA record names

    @property
    def mx(self) -> str:
        return f"mx.{self.name}"

    def records(self, digests: dict[str, str]) -> str:
        """Its records, as lines of a zone file."""
        lines = [f"{self.name}. MX 10 {self.forged or self.mx}.", f"{self.mx}. A {RECEIVERS[self.receiver]}"]
        lines += [f"_25._tcp.{self.mx}. TLSA 3 1 1 {digests[self.tlsa]}"] if self.tlsa else []
        if self.policy:
            lines += [f'_mta-sts.{self.name}. TXT "v=STSv1; id=1;"', f"mta-sts.{self.name}. A {POLICIES}"]
        if self.second:
            lines += [f"{self.name}. MX 20 mx2.{self.name}.", f"mx2.{self.name}. A {RECEIVERS[self.second]}"]
            lines += [f"_25._tcp.mx2.{self.name}. TLSA 3 1 1 {digests[self.second]}"]
        return "\n".join(lines) + "\n"


DOMAINS = (
    # Secure: DANE goes first.
    Domain("wrong-tlsa.signed", "valid", tlsa="expired", policy=ENFORCE),
    Domain("disagree.signed", "expired", tlsa="expired", policy=ENFORCE.format(mx="nobody.signed")),
    Domain("mixed.signed", "valid", policy=ENFORCE, second="other"),
    Domain("sts.signed", "expired", policy=ENFORCE),
    Domain("forger.signed", "expired", tlsa="expired"),
    # Not secure: who forges the MX record chooses whose TLSA records are looked at.
    Domain("good.plain", "valid", policy=ENFORCE),
    Domain("forged.plain", "valid", policy=ENFORCE, forged="mx.forger.signed"),
    Domain("expired.plain", "expired", policy=ENFORCE),
    Domain("stripped.plain", "clear", policy=ENFORCE),
    Domain("elsewhere.plain", "valid", policy=ENFORCE.format(mx="nobody.plain")),
    Domain("testing.plain", "expired", policy=ENFORCE.replace("enforce", "testing")),
    Domain("nothing.plain", "clear"),
    Domain("cached.plain", "expired", policy=ENFORCE),
    Domain("cached-good.plain", "valid", policy=ENFORCE),
    Domain("unlearnt.plain", "expired", policy=ENFORCE),
    Domain("unlearnt2.plain", "expired", policy=ENFORCE),
)
# How a recipient is sent to: the local part's first word is the transport, "smtp" for the one that hosts have.
TRANSPORTS = "".join(f"/^{name}-/ {name}:\n" for name in ("direct", "without", "unanswered"))


def wait_for(what: str, condition: Callable[[], T], seconds: float = 20) -> T:
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return value


@dataclass
class World:
    """Everything that runs, in the network namespace `namespace`."""

    namespace: str
    directory: Path
    stack: ExitStack
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, tuple[list[str], dict[str, str]]] = field(default_factory=dict)

    def inside(self, *command: str | Path) -> list[str]:
        """A command in the namespace, where /etc/resolv.conf names its resolver."""
        own = f'mount --bind {self.directory}/resolv.conf /etc/resolv.conf && exec "$@"'
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", own, "-", *map(str, command)]

    def run(self, *command: str | Path, stdin: str = "", check: bool = True) -> str:
        done = subprocess.run(
            self.inside(*command), input=stdin, capture_output=True, text=True, timeout=30, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def spawn(self, name: str, *command: str | Path, **environment: str) -> None:
        """Start a program that stays, or start it again as it was."""
        if command:
            self.commands[name] = (self.inside(*command), {**os.environ, **environment})
        argv, whole = self.commands[name]
        umask = 0o007 if name in {"daemon", "server"} else -1  # as their units say
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, env=whole, umask=umask)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(10)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def ours(self, module: str) -> list[str]:
        """A program of ours, by Debian's python3, as the server's user."""
        python = ["env", f"PYTHONPATH={self.directory}/agent", "PYTHONUNBUFFERED=1", "/usr/bin/python3", "-B", "-m"]
        return [*SERVER_USER, *python, f"sendyard.{module}"]

    def mended(self) -> str:
        """What the daemon's unit runs before it starts it, as the daemon's user."""
        command = self.ours("sts_cache")[len(SERVER_USER) :]
        return self.run(*DAEMON_USER, "sh", "-c", 'umask 007; exec "$@"', "-", *command, self.cache)

    def start_daemon(self) -> None:
        """The daemon, as its unit starts it."""
        self.mended()
        self.spawn("daemon")

    def ask(self, domain: str) -> str:
        """What our server answers, by its own client."""
        return self.run(
            *self.ours("transport_policy"), "--socket", self.policy_socket, "--ask", domain, check=False
        ).strip()

    def up(self) -> bool:
        return self.ask("") == "mta-sts-daemon is up"

    @property
    def policy_socket(self) -> Path:
        return self.directory / "queue/transport_policy/policy.sock"

    @property
    def cache(self) -> Path:
        return self.directory / "sts/cache.db"

    def send(self, domain: str, transport: str = "smtp") -> str:
        """Send a message there; the line that Postfix logs of its first attempt."""
        token = f"{transport}-{secrets.token_hex(6)}"
        message = f"From: root@{FQDN}\nTo: {token}@{domain}\nSubject: a test\n\nhello\n"
        self.run("sendmail", "-C", self.directory / "config", "-f", f"root@{FQDN}", f"{token}@{domain}", stdin=message)
        pattern = re.compile(rf"to=<{token}@[^>]+>.* status=.*")

        def attempt() -> str:
            found = pattern.search(self.log("maillog"))
            return found[0] if found else ""

        return wait_for(f"an attempt for {domain}", attempt, 40)

    def restart_policies(self, *, up: bool = True) -> None:
        """Our server again, which holds nothing it was told before, and with `up` has seen the daemon."""
        self.kill("server")
        self.spawn("server")
        wait_for("our server", self.up if up else lambda: "down for" in self.ask(""))


def digest(issued: Issued, directory: Path) -> str:
    """The SHA-256 of a certificate's public key (RFC 6698: selector 1, matching type 1)."""
    (directory / "key").write_text(issued.key)
    der = subprocess.run(
        ["openssl", "pkey", "-in", str(directory / "key"), "-pubout", "-outform", "DER"],
        capture_output=True, check=True, timeout=20,
    ).stdout  # fmt: skip
    return hashlib.sha256(der).hexdigest()


def _dns(world: World, digests: dict[str, str]) -> None:
    signed = "".join(domain.records(digests) for domain in DOMAINS if domain.name.endswith(".signed"))
    plain = "".join(domain.records(digests) for domain in DOMAINS if domain.name.endswith(".plain"))
    directory = world.directory
    zones = {".": f". NS ns.\nns. A {NS}\nplain. NS ns.\n{signed}", "plain.": f"plain. NS ns.\n{plain}"}
    world.spawn("knot", "knotd", "-c", knot.configure(directory, NS, zones, unsigned=["plain."]))
    anchor = wait_for("the root's key", lambda: [
        line for line in world.run("keymgr", "-c", directory / "knot.conf", ".", "ds", check=False).splitlines()
        if " 13 2 " in line
    ])  # fmt: skip
    variables = {"resolver_root_hints": [f"ns. {NS}"], "resolver_trust_anchor": anchor[0], "resolver_private_zones": []}
    text = ""
    for path, file in role_files("resolver", **variables).items():
        if path.startswith("/etc/unbound/"):
            target = directory / Path(path).name
            target.write_text(file.content.replace("/etc/unbound/", f"{directory}/"))
            text += f'include: "{target}"\n' if path.endswith(".conf") else ""
    text += f'server:\n  username: ""\n  chroot: ""\n  pidfile: ""\n  directory: "{directory}"\n  use-syslog: no\n'
    (directory / "unbound.conf").write_text(text)
    world.spawn("unbound", "unbound", "-d", "-c", directory / "unbound.conf")
    wait_for("a validated answer", lambda: " ad;" in world.run("dig", "+time=2", "@127.0.0.1", ".", "SOA", check=False))


def _policies(world: World, authority: Authority) -> None:
    directory = world.directory
    shown = authority.issue(*(f"mta-sts.{domain.name}" for domain in DOMAINS))
    (directory / "policies.pem").write_text(shown.key + shown.certificate + authority.intermediate.certificate)
    (directory / "policies").mkdir()
    for domain in DOMAINS:
        if domain.policy:
            (directory / "policies" / f"mta-sts.{domain.name}").write_text(domain.policy.format(mx=domain.mx))
    program = Path(__file__).with_name("policy_host.py")
    world.spawn("policies", sys.executable, program, POLICIES, directory / "policies.pem", directory / "policies")

    files = role_files("transport_policy")
    config = files["/etc/sendyard/mta-sts-daemon.yml"].content
    (directory / "daemon.yml").write_text(config.replace("/var/lib/sendyard-mta-sts", str(directory / "sts")))
    for name, user in (("sts", "_mta-sts"), ("queue/transport_policy", "nobody")):
        (directory / name).mkdir(parents=True)
        shutil.chown(directory / name, user, "postfix")
        (directory / name).chmod(0o2770)
    shutil.copytree(ROOT / "agent", directory / "agent")  # a checkout may be closed to other users
    world.mended()
    command = [*DAEMON_USER, "mta-sts-daemon", "--config", str(directory / "daemon.yml")]
    world.spawn("daemon", *command, SSL_CERT_FILE=str(directory / "ca.pem"), HOME=str(directory))
    sts = directory / "sts"
    daemon = ["--daemon", sts / "daemon.sock", "--cache", sts / "cache.db"]
    world.spawn("server", *world.ours("transport_policy"), "--socket", world.policy_socket, *daemon)
    wait_for("our server and the daemon", world.up)


def _receivers(world: World, authority: Authority, shown: dict[str, Issued]) -> None:
    (world.directory / "received").mkdir()
    for name, address in RECEIVERS.items():
        chain = world.directory / f"{name}.pem"
        chain.write_text(shown[name].key + shown[name].certificate + authority.intermediate.certificate)
        mode = "eight" if name == "clear" else "tls"
        world.spawn(
            name,
            sys.executable,
            ROOT / "tests/drills/sink.py",
            world.directory / "received",
            chain,
            f"{address}={mode}",
        )


def _postfix(world: World) -> None:
    directory, queue = world.directory, world.directory / "queue"
    asked = "socketmap:unix:transport_policy/policy.sock:tls"
    files = role_files(
        "postfix", postfix_version="3.7", postfix_fqdn=FQDN, postfix_certificates=["ecdsa"],
        postfix_addresses=[{"public": SENDER}], postfix_tls_policy_maps=[asked],
        postfix_tls_ca_file=str(directory / "ca.pem"), postfix_dnssec_probe="ns:.",
    )  # fmt: skip
    config = directory / "config"
    config.mkdir()
    (config / "transports").write_text(TRANSPORTS)
    changed = {
        "queue_directory": str(queue), "data_directory": str(directory / "data"),
        "maillog_file_prefixes": str(directory),
        "maillog_file": str(directory / "maillog.log"), "transport_maps": f"regexp:{config}/transports",
        "non_smtpd_milters": "", "smtpd_tls_chain_files": "", "bounce_template_file": "", "inet_interfaces": SENDER,
        "virtual_mailbox_domains": "", "virtual_mailbox_maps": "",
    }  # fmt: skip
    (config / "main.cf").write_text(with_settings(files["/etc/postfix/main.cf"].content, changed))
    master = re.sub(r"(?m)^\S+\s+inet .*\n(  .*\n)*", "", files["/etc/postfix/master.cf"].content)
    master = re.sub(r"(?m)^(\S+ +unix .*cleanup)\n(  -o .*\n)*", r"\1\n", master)  # no header checks of files not here
    # The same service that asks the daemon itself, and one that asks nobody: what our server is measured against.
    for name, maps in (("direct", "socketmap:unix:direct/daemon.sock:tls"), ("without", "")):
        master += f"{name} unix - - n - - smtp\n  -o smtp_tls_policy_maps={maps}\n"
    (config / "master.cf").write_text(master)
    (queue / "direct").symlink_to(directory / "sts")
    (queue / "etc").mkdir()
    for name in ("resolv.conf", "services"):
        shutil.copy(directory / name if name == "resolv.conf" else f"/etc/{name}", queue / "etc")
    for path in (directory / "data", queue / "private"):
        path.mkdir(exist_ok=True)
        shutil.chown(path, "postfix")
    for path in config.iterdir():
        os.utime(path, (0, 0))
    world.spawn("postfix", "postfix", "-c", config, "start-fg")
    world.stack.callback(lambda: world.run("postfix", "-c", config, "stop", check=False))
    wait_for("Postfix", lambda: "daemon started" in world.log("maillog"))


@contextmanager
def build(directory: Path) -> Iterator[World]:
    """All of it, in an empty directory."""
    needed = ("unbound", "knotd", "keymgr", "dig", "ip", "postfix", "mta-sts-daemon")
    missing = [name for name in needed if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        pytest.fail(f"needs root, and {', '.join(missing) or 'nothing else'}")
    directory.chmod(0o755)  # daemons run as users of their own
    (directory / "maillog.log").touch()
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\noptions edns0 trust-ad\n")
    (directory / "authority").mkdir()
    authority = Authority(directory / "authority")
    (directory / "ca.pem").write_text(authority.root.certificate)
    names = [name for domain in DOMAINS for name in (domain.mx, f"mx2.{domain.name}")]
    shown = {name: authority.issue(*names, days=-1 if name == "expired" else 90) for name in RECEIVERS}
    digests = {name: digest(issued, directory) for name, issued in shown.items()}
    namespace = f"sendyard-{os.getpid()}-sts"
    subprocess.run(["ip", "netns", "add", namespace], check=True, timeout=20)
    try:
        with ExitStack() as stack:
            made = World(namespace, directory, stack)
            for address in (NS, SENDER, POLICIES, *RECEIVERS.values()):
                made.run("ip", "address", "add", f"{address}/32", "dev", "lo")
            made.run("ip", "link", "set", "lo", "up")

            def end() -> None:
                for process in made.processes.values():
                    process.kill()
                for process in made.processes.values():
                    process.wait(10)

            stack.callback(end)
            _dns(made, digests)
            _receivers(made, authority, shown)
            _policies(made, authority)
            _postfix(made)
            yield made
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], check=False, timeout=20)
