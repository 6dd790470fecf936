# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What a new host finds on its disk before its first boot: files of lab/setup with addresses filled in, and keys."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sendyard_lab import zones
from sendyard_lab.hosts import NS1, NS2, Host
from sendyard_lab.images import ARCHIVE, SETUP, Mirror, sources
from sendyard_lab.shell import LabError, run
from sendyard_lab.slice import GATEWAY, Slice
from sendyard_lab.state import State

APT_PORT = 3142
SECRET = 0o600


@dataclass(frozen=True)
class File:
    """One file, owned by root until the host's set-up script says otherwise."""

    path: str
    content: str
    mode: int = 0o644


def filled(name: str, lab: Slice, **values: str) -> str:
    """A file of lab/setup with @IPV4_53@, @IPV6_53@ (addresses of host 53) and @NAME@ (from `values`) filled in."""

    def value(match: re.Match[str]) -> str:
        kind, _, number = match[1].partition("_")
        if kind in ("IPV4", "IPV6"):
            return lab.addresses(int(number))[kind == "IPV6"]
        return values[match[1]]

    return re.sub(r"@([A-Z][A-Z0-9_]*)@", value, (SETUP / name).read_text())


def common_files(host: Host, lab: Slice, state: State) -> list[File]:
    """What every host has: its name, name servers, packages' sources and the keys for SSH."""
    name = host.hostname
    names = name if "." not in name else f"{name} {name.partition('.')[0]}"
    resolvers = "".join(f"nameserver {lab.addresses(server.number)[0]}\n" for server in (NS1, NS2))
    further = zip(host.ipv4(lab)[1:], host.ipv6(lab)[1:], strict=True)
    addresses = "".join(f"{ipv4}/{lab.ipv4.prefixlen}\n{ipv6}/{lab.ipv6.prefixlen}\n" for ipv4, ipv6 in further)
    suite = "bookworm" if host.image == "bookworm" else "trixie"
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    apt_sources = sources(suite, ARCHIVE, f"{ARCHIVE}-security", signed_by=keyring)
    return [
        File("etc/hostname", f"{name}\n"),
        File("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {names}\n::1 localhost ip6-localhost ip6-loopback\n"),
        File("etc/resolv.conf", resolvers),
        File("etc/lab-addresses", addresses),
        File("etc/apt/sources.list.d/debian.sources", apt_sources),
        File("etc/apt/apt.conf.d/90proxy", f'Acquire::http::Proxy "http://{lab.addresses(GATEWAY)[0]}:{APT_PORT}";\n'),
        File("etc/ssh/ssh_host_ed25519_key", state.text(f"host-keys/{host.name}") + "\n", SECRET),
        File("etc/ssh/ssh_host_ed25519_key.pub", state.text(f"host-keys/{host.name}.pub") + "\n"),
        File("home/ops/.ssh/authorized_keys", state.text("id_ed25519.pub") + "\n"),
    ]


def ns1_files(lab: Slice, state: State) -> list[File]:
    """The primary: its configuration, the zones and, until the set-up has taken them in, their keys."""
    files = [File("etc/knot/knot.conf", zones.knot_configuration(lab, state), SECRET)]
    for zone, text in zones.zone_files(lab, state).items():
        files.append(File(f"var/lib/knot/{zones.stem(zone)}.zone", text))
        files.append(File(f"etc/knot/keys/{zones.stem(zone)}.pem", state.text(zones.key_file(zone)) + "\n", SECRET))
    return files


def ns2_files(lab: Slice, state: State) -> list[File]:
    """The secondary."""
    return [File("etc/bind/named.conf", zones.bind_configuration(lab, state), SECRET)]


def ca_files(lab: Slice, state: State) -> list[File]:
    """The ACME server; its own API is served with a certificate of the lab's authority."""
    return [
        File("etc/pebble/pebble.json", filled("ca/pebble.json", lab)),
        File("etc/pebble/ca.crt", state.text("tls/ca.crt") + "\n"),
        File("etc/pebble/ca.key", state.text("tls/ca.key") + "\n", SECRET),
        File("etc/systemd/system/pebble.service", filled("ca/pebble.service", lab)),
    ]


def rx_files(lab: Slice, state: State) -> list[File]:
    """The receiver."""
    return [
        File("etc/postfix/main.cf", filled("rx/main.cf", lab)),
        File("etc/postfix/master.cf", filled("rx/master.cf", lab)),
        File("etc/postfix/rx.crt", state.text("tls/rx.crt") + "\n"),
        File("etc/postfix/rx.key", state.text("tls/rx.key") + "\n", SECRET),
        File("etc/opendmarc.conf", filled("rx/opendmarc.conf", lab)),
        File("etc/systemd/system/rx-policy.service", filled("rx/rx-policy.service", lab)),
        File("usr/local/lib/rx_policy.py", filled("rx/rx_policy.py", lab)),
        File("usr/local/sbin/lab-mail", filled("rx/lab-mail", lab)),
    ]


def stranger_files(lab: Slice, state: State) -> list[File]:
    """The stranger; it signs its controls with a key of its own."""
    return [
        File("usr/local/bin/smtp-probe", filled("stranger/smtp-probe", lab)),
        File("etc/control-dkim.pem", state.text("control-dkim.pem") + "\n", SECRET),
    ]


ROLE_FILES = {"ns1": ns1_files, "ns2": ns2_files, "ca": ca_files, "rx": rx_files, "stranger": stranger_files}


def lay(host: Host, root: Path, lab: Slice, state: State) -> None:
    """Write a new host's files below `root`, its root directory, and run its set-up script inside.

    Raises:
        LabError: the script failed.
    """
    files = common_files(host, lab, state)
    if host.name in ROLE_FILES:
        files += ROLE_FILES[host.name](lab, state)
    for file in files:
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, file.mode), "w") as stream:
            os.fchmod(stream.fileno(), file.mode)
            stream.write(file.content)
    # An image's empty list of packages must not look fresh to whoever trusts its date.
    os.utime(root / "var/lib/apt/lists", (0, 0))
    script = SETUP / host.name / "setup"
    if script.exists():
        try:
            run(["chroot", root, "sh", "-es"], stdin=script.read_text())
        except LabError as error:
            raise LabError(f"{host.name}: {script} failed: {error}") from error


def apt_configuration(lab: Slice, mirror: Mirror) -> str:
    """Configuration of the packages' proxy."""
    proxy = f"Proxy: {mirror.proxy}" if mirror.proxy else "# The machine itself needs no proxy."
    return filled("apt/acng.conf", lab, ARCHIVE=mirror.archive, SECURITY=mirror.security, PROXY=proxy)
