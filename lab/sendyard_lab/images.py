# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The base images, built from Debian's packages: no image registry is needed.

An image's tag is a digest of its recipe: a changed recipe is a new image, and checkouts with the same recipe share one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sendyard_lab.hosts import LOGIN
from sendyard_lab.podman import build_name, image_exists, limits, other_labs, podman
from sendyard_lab.shell import LabError, run, step, wait_for
from sendyard_lab.slice import Slice

SETUP = Path(__file__).resolve().parent.parent / "setup"
NAMESPACE = "localhost/sendyard"
ARCHIVE = (
    "http://debian.lab.example/debian"  # what hosts are told; the lab's proxy makes the machine's own mirror of it
)
BUILD_SECONDS = 900
USE = Path("/run/sendyard-images")  # locked by all checkouts that use images together, by one that removes them alone
REMOVE_SECONDS = 120

BASE_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "iproute2", "procps"),
    *("ca-certificates", "openssh-server", "sudo"),
)
INFRA_PACKAGES = (
    *("knot", "knot-dnssecutils", "bind9", "bind9-dnsutils", "pebble", "apt-cacher-ng", "openssl", "tcpdump"),
    *("postfix", "python3-milter", "python3-spf", "python3-dkim", "python3-dnspython"),
    *("opendmarc", "dbconfig-no-thanks"),  # without a database for its reports
    *("swaks", "libnet-ssleay-perl"),
)
INFRA_DAEMONS = ("knot", "named", "apt-cacher-ng", "postfix", "opendmarc")
SENDER_DAEMONS = ("certbot.timer", "dovecot", "opendkim", "postfix", "postfix-mta-sts-resolver", "unbound")
SENDER_PACKAGES_FILE = SETUP.parent.parent / "playbooks/vars/packages.yml"

# A bare Debian server as a provider hands it over. Manuals and translations are left out to save build time.
BASE_HOOKS = (
    f'chroot "$1" useradd -m -s /bin/bash -G sudo {LOGIN}',
    f'echo "{LOGIN} ALL=(ALL) NOPASSWD:ALL" >"$1/etc/sudoers.d/{LOGIN}"; chmod 440 "$1/etc/sudoers.d/{LOGIN}"',
    'rm "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"; rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
    'rm -f "$1/etc/apt/sources.list" "$1"/etc/apt/sources.list.d/* "$1/etc/apt/apt.conf.d/99mmdebstrap"',
    'install -m 755 "$SETUP/base/lab-boot" "$1/usr/local/sbin/lab-boot"; : >"$1/etc/lab-addresses"',
    'install -m 644 "$SETUP/base/lab-boot.service" "$1/etc/systemd/system/lab-boot.service"',
    'chroot "$1" systemctl -q enable lab-boot.service',
    # nothing may hold apt's lock at a moment of its own choice; the lab brings the host's key
    'chroot "$1" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer sshd-keygen.service',
)
# Postfix comes without a configuration: whose it is to be, is the host's affair.
BUILD_LAYER = (
    "export DEBIAN_FRONTEND=noninteractive; "
    "echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections; "
    "apt-get -qq update; apt-get -qq install --no-install-recommends {packages}; "
    "systemctl -q disable {daemons}; apt-get clean; rm -rf /var/lib/apt/lists/*"
)
BASE_EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Layer:
    """Packages on top of a bare release, whose daemons are not started at boot."""

    release: str
    packages: tuple[str, ...]
    daemons: tuple[str, ...]


@dataclass(frozen=True)
class Mirror:
    """Where the machine itself gets Debian from."""

    archive: str
    security: str
    options: tuple[str, ...]  # apt.conf lines of its proxy and certificates

    @property
    def proxy(self) -> str:
        """The proxy for plain HTTP, or an empty string."""
        found = re.search(r'^Acquire::http::Proxy "([^"]+)"', "\n".join(self.options), re.MULTILINE)
        return found[1] if found and found[1] != "DIRECT" else ""


def machine_mirror() -> Mirror:
    """Ask the machine's apt for mirror and proxy.

    Raises:
        LabError: it has no Debian mirror that is reached by HTTP.
    """
    # What an update would fetch: known also where the lists are empty, as in many cloud images.
    fetched = run(["apt-get", "--print-uris", "update"])
    bases = dict.fromkeys(re.findall(r"^'(\S+)/dists/", fetched, re.MULTILINE))
    mirrors = [mirror for base in bases if (mirror := _over_http(base))]
    archive = next((mirror for mirror in mirrors if mirror.endswith("/debian")), "")
    if not archive:
        raise LabError(
            f"apt on this machine has no Debian mirror, one whose URI is http(s) and ends in /debian (it has "
            f"{', '.join(bases) or 'no sources'}). Add one to its sources."
        )
    security = next((mirror for mirror in mirrors if mirror.endswith("/debian-security")), f"{archive}-security")
    settings = run(["apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', "Acquire"]).splitlines()
    options = tuple(line for line in settings if re.match(r"Acquire::https?::", line))
    return Mirror(archive, security, options)


def _over_http(base: str) -> str:
    """A source that is reached by HTTP, as it is; of a list of mirrors (apt-transport-mirror(1)) the first such one."""
    if base.startswith("mirror+file:"):
        listed = Path(base.removeprefix("mirror+file:"))
        lines = listed.read_text().splitlines() if listed.is_file() else []
        base = next((line.split()[0] for line in lines if line.startswith("http")), "")
    return base.rstrip("/") if base.startswith("http") else ""


def sources(suite: str, archive: str, security: str, *, signed_by: str) -> str:
    """An apt sources file in deb822 form."""
    return (
        f"Types: deb\nURIs: {archive}\nSuites: {suite} {suite}-updates\nComponents: main\nSigned-By: {signed_by}\n\n"
        f"Types: deb\nURIs: {security}\nSuites: {suite}-security\nComponents: main\nSigned-By: {signed_by}\n"
    )


def layer(name: str) -> Layer | None:
    """What an image has on top of a release: the lab's servers ("infra"), or what a sender needs; else None."""
    if name == "infra":
        return Layer("trixie", INFRA_PACKAGES, INFRA_DAEMONS)
    if name.startswith("sender-"):
        # Of alternatives the first, as a run does. (Read as text: the system's Python need not have YAML.)
        packages = re.findall(r"^  - ([a-z0-9.+-]+)", SENDER_PACKAGES_FILE.read_text(), re.MULTILINE)
        return Layer(name.removeprefix("sender-"), tuple(packages), SENDER_DAEMONS)
    return None


def _recipe(name: str) -> str:
    """Everything that decides what is in an image."""
    if upper := layer(name):
        return "\n".join([_recipe(upper.release), name, *upper.packages, *upper.daemons, BUILD_LAYER])
    files = [path.read_text() for path in sorted((SETUP / "base").iterdir())]
    return "\n".join([name, *BASE_PACKAGES, *BASE_HOOKS, *BASE_EXCLUDED, *files])


def image_name(name: str) -> str:
    """The full name of an image ("trixie", "bookworm", "infra", "sender-trixie" or "sender-bookworm")."""
    return f"{NAMESPACE}/{name}:{hashlib.sha256(_recipe(name).encode()).hexdigest()[:12]}"


def build_missing(lab: Slice, *names: str) -> None:
    """Build those of the images, and of what they stand on, that the store lacks; each release beside the other."""
    chains: dict[str, list[str]] = {}
    for name in names:
        upper = layer(name)
        chain = chains.setdefault(upper.release if upper else name, [])
        chain += [one for one in ((upper.release, name) if upper else (name,)) if one not in chain]
    missing = [[name for name in chain if not image_exists(image_name(name))] for chain in chains.values()]
    if not any(missing):
        return
    mirror = machine_mirror()

    def build(chain: list[str]) -> None:
        for name in chain:
            with step(f"image {name}"):
                upper = layer(name)
                _build_layer(lab, mirror, name, upper) if upper else _build_base(name, mirror)

    with ThreadPoolExecutor() as pool:
        list(pool.map(build, missing))


def _build_base(suite: str, mirror: Mirror) -> None:
    """Bootstrap one release and import it.

    Raises:
        LabError: mmdebstrap or podman failed, with the last lines it wrote.
    """
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}"]
    command += [f"--aptopt={option}" for option in mirror.options]
    command += ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={path}" for path in BASE_EXCLUDED)]
    command += [f"--customize-hook=SETUP={SETUP}; {hook}" for hook in BASE_HOOKS]
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    with tempfile.TemporaryDirectory(prefix="sendyard-lab-") as directory:
        listed = Path(directory) / "debian.sources"
        listed.write_text(sources(suite, mirror.archive, mirror.security, signed_by=keyring))
        archive = Path(directory) / "image.tar"
        run([*command, suite, archive, listed], deadline=BUILD_SECONDS)
        podman("import", "--change", 'CMD ["/sbin/init"]', archive, image_name(suite), deadline=BUILD_SECONDS)


def _build_layer(lab: Slice, mirror: Mirror, name: str, upper: Layer) -> None:
    """Put packages on top of a release."""
    script = BUILD_LAYER.format(packages=" ".join(upper.packages), daemons=" ".join(upper.daemons))
    with tempfile.TemporaryDirectory(prefix="sendyard-lab-") as directory:
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (Path(directory) / "build.sources").write_text(
            sources(upper.release, mirror.archive, mirror.security, signed_by=keyring)
        )
        (Path(directory) / "build.conf").write_text("\n".join(mirror.options) + "\n")
        container = build_name(lab, name)
        podman("rm", "-f", "-i", container)
        try:
            podman(
                *("run", "--name", container, *limits(), "--network=host"),
                *("-v", f"{directory}:/etc/apt/sources.list.d:ro"),
                *("-v", f"{directory}/build.conf:/etc/apt/apt.conf.d/99build:ro"),
                *(image_name(upper.release), "sh", "-ec", script),
                deadline=BUILD_SECONDS,
            )
            podman("commit", "-q", container, image_name(name), deadline=BUILD_SECONDS)
        finally:
            podman("rm", "-f", "-i", container)


@contextlib.contextmanager
def used() -> Iterator[None]:
    """Have no other checkout remove base images while the block builds them and makes containers of them."""
    with USE.open("w") as stream:
        wait_for(
            lambda: _locked(stream, fcntl.LOCK_SH),
            deadline=REMOVE_SECONDS,
            what="lab/lab down --all of another checkout is to end",
            pause=0.2,
        )
        yield


def remove_unused(lab: Slice) -> list[str]:
    """Remove the base images, of every recipe, unless another checkout needs them; say which stay, and why."""
    with USE.open("w") as stream:
        if not _locked(stream, fcntl.LOCK_EX):
            return ["the base images stay: another lab is being brought up"]
        # podman would take the name from an image that a snapshot stands on
        if others := other_labs(lab):
            return [f"the base images stay, for the labs of {', '.join(others)}"]
        return [f"{image} stays: a container uses it" for image in _base_images() if not _removed(image)]


def _locked(stream: TextIO, kind: int) -> bool:
    """Lock a file until it is closed; False where somebody else has it."""
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _base_images() -> list[str]:
    """The base images, of every recipe."""
    listed = podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    return [image for image in listed if image.startswith(f"{NAMESPACE}/")]


def _removed(image: str) -> bool:
    """Remove one image, unless a container uses it."""
    try:
        podman("rmi", image)
    except LabError:
        return False
    return True
