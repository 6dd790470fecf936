# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Containers, networks and images, by the podman program. Everything made here carries the checkout's path as label."""

from __future__ import annotations

import contextlib
import json
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sendyard_lab.shell import LabError, run
from sendyard_lab.slice import GATEWAY, Slice

LABEL = "sendyard.lab"
# Enough for systemd, nftables and a provisioner. Never the right to set the clock: it is the whole machine's.
CAPABILITIES = "NET_ADMIN,NET_RAW,SYS_ADMIN,SYS_PTRACE"
CAP_SYS_RESOURCE = 24


def podman(*arguments: str | Path, deadline: float = 120, stdin: str | bytes = b"") -> str:
    """Run podman with `arguments` and return its output."""
    return run(["podman", *arguments], deadline=deadline, stdin=stdin)


def containers(lab: Slice) -> dict[str, str]:
    """Name and state ("running", "exited", "created", …) of every container of this lab."""
    listed = json.loads(podman("ps", "-a", "--filter", f"label={LABEL}={lab.checkout}", "--format", "json") or "[]")
    return {entry["Names"][0]: entry["State"] for entry in listed}


def create(lab: Slice, name: str, image: str, *, hostname: str, number: int) -> None:
    """Create, but do not start, a container that boots systemd and has the addresses of host `number`."""
    ipv4, ipv6 = lab.addresses(number)
    # From the address, so that a host which comes back is found at once by those who remember it.
    mac = "02:00:" + ":".join(f"{byte:02x}" for byte in lab.ipv4[number].packed)
    podman(
        *("create", "--name", lab.prefix + name, "--label", f"{LABEL}={lab.checkout}", "--hostname", hostname),
        *("--systemd=always", "--restart=always", "--stop-signal=SIGRTMIN+3", "--cap-add", CAPABILITIES),
        # podman would mount these files, and a mounted file cannot be replaced by rename
        *("--no-hosts", "--dns=none"),
        *("--network", f"{lab.network}:ip={ipv4},ip6={ipv6},mac={mac}", *limits(), image, "/sbin/init"),
    )


def limits() -> list[str]:
    """Options for a machine whose root may not raise limits: what it has, instead of podman's higher defaults."""
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    if int(effective.split()[1], 16) >> CAP_SYS_RESOURCE & 1:
        return []
    # podman itself lowers the limit of processes to pid_max, and could not raise it again
    ceilings = {"nofile": 1 << 20, "nproc": int(Path("/proc/sys/kernel/pid_max").read_text())}
    options = []
    for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(kind)[1]
        allowed = ceilings[name] if hard == resource.RLIM_INFINITY else min(hard, ceilings[name])
        options.append(f"--ulimit={name}={min(1024, allowed) if name == 'nofile' else allowed}:{allowed}")
    return options


def create_network(lab: Slice) -> None:
    """Create the lab's network, which has no way out; both gateways, else the machine gets no IPv6 address in it."""
    ipv4, ipv6 = lab.addresses(GATEWAY)
    networks = json.loads(podman("network", "ls", "--format", "json") or "[]")
    if lab.network in (network["name"] for network in networks):
        return
    try:
        podman(
            *("network", "create", "--internal", "--disable-dns", "--ipv6", "--label", f"{LABEL}={lab.checkout}"),
            *("--subnet", str(lab.ipv4), "--gateway", ipv4, "--subnet", str(lab.ipv6), "--gateway", ipv6, lab.network),
        )
    except LabError as error:
        raise LabError(f"{_holder(lab, networks)}\n{error}") from error


def _holder(lab: Slice, networks: Sequence[Mapping[str, Any]]) -> str:
    """Who has the addresses of this lab, as far as podman knows, and what to do."""
    ours = {str(lab.ipv4), str(lab.ipv6)}
    for network in networks:
        if taken := ours & {subnet["subnet"] for subnet in network.get("subnets") or []}:
            checkout = (network.get("labels") or {}).get(LABEL)
            owner = f"the lab of {checkout}" if checkout else f"podman's network {network['name']}"
            return (
                f"{owner} has {' and '.join(sorted(taken))} already, which is this lab's too: networks follow from the "
                "path of the checkout. Remove the other one, or give this checkout another path."
            )
    return f"the network of the lab, {lab.ipv4} and {lab.ipv6}, cannot be made. Both follow from the checkout's path."


@contextlib.contextmanager
def mounted(names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Give the root directories of containers that are not running, by container name, to lay files in."""
    try:
        yield {name: Path(podman("mount", name).strip()) for name in names}
    finally:
        podman("umount", *names)


def image_exists(image: str) -> bool:
    """Whether the store has `image`."""
    return bool(podman("images", "-q", image).strip())


def snapshots(lab: Slice, name: str) -> dict[str, str]:
    """Image of every host that was saved as `name`."""
    label = f"label={LABEL}={lab.checkout}"
    listed = podman("images", "--filter", label, "--format", "{{.Repository}}:{{.Tag}}").split()
    start = f"localhost/{lab.prefix}"
    return {
        image.removeprefix(start).rpartition(":")[0]: image
        for image in listed
        if image.startswith(start) and image.endswith(f":{name}")
    }


def forget(lab: Slice, name: str) -> None:
    """Remove the snapshots called `name`; one that a host stands on goes with that host.

    Raises:
        LabError: there are none.
    """
    if not (held := snapshots(lab, name)):
        raise LabError(f"nothing was saved as {name}")
    for image in held.values():
        podman("untag", image, image)
    prune_snapshots(lab)


def build_name(lab: Slice, image: str) -> str:
    """The container in which an image is built."""
    return f"{lab.prefix}build-{image}"


def other_labs(lab: Slice) -> list[str]:
    """The other checkouts that have containers or snapshots of a lab."""
    found = set()
    for command in (("ps", "-a"), ("images",)):
        for entry in json.loads(podman(*command, "--filter", f"label={LABEL}", "--format", "json") or "[]"):
            found.add(entry["Labels"][LABEL])
    return sorted(found - {str(lab.checkout)})


def remove_all(lab: Slice) -> None:
    """Remove every container, snapshot, network and volume of this lab, and nothing else."""
    label = f"label={LABEL}={lab.checkout}"
    # left by a build that was killed: known by its name, since a label would get into the image
    if held := podman("ps", "-aq", "--filter", f"name=^{build_name(lab, '')}").split():
        podman("rm", "-f", "-t", "0", *held)
    if held := podman("ps", "-aq", "--filter", label).split():
        podman("rm", "-f", "-t", "0", *held)
    if held := podman("images", "-aq", "--filter", label).split():
        podman("rmi", "-f", *sorted(set(held)))
    if held := podman("network", "ls", "-q", "--filter", label).split():
        podman("network", "rm", *held)
    if held := podman("volume", "ls", "-q", "--filter", label).split():
        podman("volume", "rm", *held)


def process(lab: Slice, host: str) -> str:
    """Process id of the init of `host`, as the machine sees it.

    Raises:
        LabError: it does not run.
    """
    if containers(lab).get(lab.prefix + host) != "running":
        raise LabError(f"{host} does not run; lab/lab up brings it up")
    return podman("inspect", "-f", "{{.State.Pid}}", lab.prefix + host).strip()


def run_apt_proxy(lab: Slice, image: str, configuration: Path) -> None:
    """Start the proxy for Debian's packages, as a plain container in the machine's own network."""
    volume = lab.prefix + "apt"
    if volume not in podman("volume", "ls", "-q").split():
        podman("volume", "create", "--label", f"{LABEL}={lab.checkout}", volume)
    podman(
        *("run", "-d", "--name", lab.prefix + "apt", "--label", f"{LABEL}={lab.checkout}", "--restart=always"),
        *("--network=host", "--user=apt-cacher-ng", *limits(), "-v", f"{volume}:/var/cache/apt-cacher-ng"),
        *("-v", f"{configuration}:/etc/apt-cacher-ng:ro", "-v", "/etc/ssl/certs:/etc/ssl/certs:ro"),
        *(image, "/usr/sbin/apt-cacher-ng", "-c", "/etc/apt-cacher-ng"),
    )


def commit(lab: Slice, host: str, name: str) -> None:
    """Keep the disk of a host as a snapshot image; it is paused meanwhile, so that no file is caught half-written."""
    image = f"localhost/{lab.prefix}{host}:{name}"
    podman("commit", "-q", "-c", f"LABEL {LABEL}={lab.checkout}", lab.prefix + host, image)


def prune_snapshots(lab: Slice) -> None:
    """Remove the snapshots that a newer one of the same name has replaced and that no host stands on any more."""
    podman("image", "prune", "-f", "--filter", f"label={LABEL}={lab.checkout}")
