# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Life of the lab: up, down, save, reset. Every step looks first and does what is missing."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sendyard_lab import dns, images, podman, provision, zones
from sendyard_lab.hosts import CA, HOSTS, NS1, NS2, RX, Host
from sendyard_lab.shell import LabError, run, step, wait_for
from sendyard_lab.slice import GATEWAY, Slice
from sendyard_lab.state import State, generate

TOOLS = (
    *("podman", "mmdebstrap", "ip", "iptables", "nft", "openssl", "ssh", "ssh-keygen"),
    *("apt-get", "nsenter", "chroot"),
)
READY_SECONDS = 60
FRESH = "fresh"  # the name of the state that the first `up` made
SAVED = "saved"  # the directory in lab/.state for what the controller kept at a save
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 1024  # every systemd takes several; the kernel's 128 are used up by some 16 hosts
GUARD_METRIC = "9999"


def check_machine() -> None:
    """Refuse where the lab cannot run, with everything that is missing at once.

    Raises:
        LabError: not root, or programs are missing.
    """
    if os.geteuid() != 0:
        raise LabError("the lab's networks and containers need root; run this command with sudo")
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        raise LabError(f"missing on this machine: {', '.join(missing)}; script/bootstrap installs lab/packages")


def up(lab: Slice) -> None:
    """Bring up everything that is not, and wait until it serves."""
    check_machine()
    with step("keys, logins and names"):
        state = generate(lab, [zones.key_file(zone) for zone in zones.zone_names(lab)])
        lab.sockets.mkdir(mode=0o700, exist_ok=True)
    with images.used():
        _build_images(lab)
        with step("network"):
            _prepare_machine(lab)
            podman.create_network(lab)
        _start_missing(lab, state)
    _wait_until_served(lab, state, HOSTS.values())


def _build_images(lab: Slice) -> None:
    """Build the images of the hosts that the store lacks: all of them, or those whose recipe changed."""
    images.build_missing(lab, *dict.fromkeys(host.image for host in HOSTS.values()))


def _prepare_machine(lab: Slice) -> None:
    """Guard the lab's addresses and give the kernel room.

    With no host up, the lab's addresses would leave by the default route; an unreachable route holds them back.
    """
    for family, network in (("-4", lab.ipv4), ("-6", lab.ipv6)):
        if not run(["ip", family, "route", "show", "type", "unreachable", str(network)]).strip():
            run(["ip", family, "route", "add", "unreachable", str(network), "metric", GUARD_METRIC])
    if int(INOTIFY.read_text()) < INOTIFY_INSTANCES:
        INOTIFY.write_text(str(INOTIFY_INSTANCES))


def _start_missing(lab: Slice, state: State) -> None:
    """Create the hosts that do not exist, lay their files, and start all that do not run."""
    present = _clean_up(lab)
    missing = [host for host in HOSTS.values() if lab.prefix + host.name not in present]
    if missing:
        with step(f"new hosts: {', '.join(host.name for host in missing)}"):
            _create(lab, missing, lambda host: images.image_name(host.image))
            with podman.mounted([lab.prefix + host.name for host in missing]) as roots:
                _together(lambda host: provision.lay(host, roots[lab.prefix + host.name], lab, state), missing)
    stopped = [host for host in HOSTS.values() if present.get(lab.prefix + host.name) != "running"]
    _start(lab, stopped)
    if present.get(lab.prefix + "apt") != "running":
        with step("proxy for Debian's packages"):
            _start_apt_proxy(lab, state)


def _clean_up(lab: Slice) -> dict[str, str]:
    """Mend what a command that was killed left behind; return the containers that remain and their states.

    A paused host was being saved. One that was created and never started may lack its files, and one that was being
    removed can only be removed.
    """
    present = podman.containers(lab)
    if paused := [name for name, status in present.items() if status == "paused"]:
        podman.podman("unpause", *paused)
    usable = {"running", "exited", "stopped", "paused"}
    if halves := [name for name, status in present.items() if status not in usable]:
        podman.podman("rm", "-f", *halves)
    return podman.containers(lab) if paused or halves else present


def _start(lab: Slice, hosts: list[Host]) -> None:
    """Start the containers of hosts."""
    if hosts:
        with step(f"start: {', '.join(host.name for host in hosts)}"):
            _together(lambda host: podman.podman("start", lab.prefix + host.name), hosts)


def _together(work: Callable[[Host], object], hosts: Iterable[Host]) -> None:
    """Do `work` for several hosts at once; the first that fails is raised."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, hosts))


def _create(lab: Slice, hosts: Iterable[Host], image: Callable[[Host], str]) -> None:
    """Create containers for hosts."""
    _together(
        lambda host: podman.create(lab, host.name, image(host), hostname=host.hostname, number=host.number), hosts
    )


def _start_apt_proxy(lab: Slice, state: State) -> None:
    """Start the packages' proxy on the controller's address: it uses the machine's own way to the mirrors."""
    state.write("apt/acng.conf", provision.apt_configuration(lab, images.machine_mirror()))
    state.file("apt").chmod(0o755)  # the proxy reads it as a user of its own
    podman.podman("rm", "-f", "-i", lab.prefix + "apt")
    podman.run_apt_proxy(lab, images.image_name("infra"), state.file("apt"))
    address = lab.addresses(GATEWAY)[0]
    wait_for(
        lambda: _listens(address, provision.APT_PORT),
        deadline=READY_SECONDS,
        what=f"the proxy for packages on {address} port {provision.APT_PORT}; see podman logs {lab.prefix}apt",
    )


def _listens(address: str, port: int) -> bool:
    """Whether a TCP connection can be made."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def _wait_until_served(lab: Slice, state: State, changed: Iterable[Host]) -> None:
    """Wait until the lab answers in all its services; then `changed` hosts trust its roots, all of them a new one."""
    with step("SSH"):
        for host in HOSTS.values():
            _wait_for_greeting(lab, host, host.ipv4(lab)[0], 22, b"SSH-")
    with step("services"):
        _wait_for_zones(lab)
        for address in RX.ipv4(lab):
            _wait_for_greeting(lab, RX, address, 25, b"220 ")
        root = wait_for(lambda: acme_root(lab, state), deadline=READY_SECONDS, what="ca: the root of pebble")
    new_root = _remember_root(state, root)
    with step("trust"):
        script = trust_script(state)
        _together(
            lambda host: podman.podman("exec", "-i", lab.prefix + host.name, "sh", "-es", stdin=script),
            HOSTS.values() if new_root else changed,
        )


def _wait_for_greeting(lab: Slice, host: Host, address: str, port: int, start: bytes) -> None:
    """Wait until a server on a TCP port of `host` greets with `start`.

    Raises:
        LabError: it does not; with the units of the host that failed.
    """

    def greeted() -> bool:
        try:
            with socket.create_connection((address, port), timeout=2) as connection:
                connection.settimeout(5)
                return connection.recv(64).startswith(start)
        except OSError:
            return False

    try:
        wait_for(greeted, deadline=READY_SECONDS, what=f"{host.name}: a greeting from {address} port {port}")
    except LabError as error:
        failed = podman.podman("exec", lab.prefix + host.name, "systemctl", "--failed", "--no-legend")
        raise LabError(f"{error}; failed units: {failed.strip() or 'none'}") from error


def _wait_for_zones(lab: Slice) -> None:
    """Wait until both name servers answer for every zone, with the same serial."""
    for zone in zones.zone_names(lab):

        def agreed(zone: str = zone) -> bool:
            primary = dns.serial(NS1.ipv4(lab)[0], zone)
            return primary is not None and primary == dns.serial(NS2.ipv4(lab)[0], zone)

        wait_for(agreed, deadline=READY_SECONDS, what=f"zone {zone} on ns1 and ns2")


def acme_root(lab: Slice, state: State) -> str | None:
    """The root certificate that pebble made when it started, or None while it does not answer."""
    context = ssl.create_default_context(cafile=str(state.file("ca.crt")))
    context.check_hostname = False  # reached by address; the authority signs for the lab alone
    url = f"https://{CA.ipv4(lab)[0]}:15000/roots/0"
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as reply:
            return str(reply.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def _remember_root(state: State, root: str) -> bool:
    """Keep pebble's root beside those before, and say whether it is new.

    A sender that was reset still serves what an older root signed.
    """
    known = state.text("acme-root.pem") + "\n" if state.file("acme-root.pem").exists() else ""
    if root.strip() in known:
        return False
    known += root.strip() + "\n"
    state.write("acme-root.pem", known)
    state.write("trust.pem", state.text("ca.crt") + "\n" + known)
    return True


def trust_script(state: State) -> str:
    """What update-ca-certificates would do with the lab's roots, without its seconds of looking at all others."""
    roots = {"lab-ca": state.text("ca.crt")}
    for root in re.findall(r"-----BEGIN.*?-----END CERTIFICATE-----", state.text("acme-root.pem"), re.DOTALL):
        roots[f"lab-acme-{hashlib.sha256(root.encode()).hexdigest()[:8]}"] = root
    script = "cd /etc/ssl/certs\n"
    for name, root in roots.items():
        subject = run(["openssl", "x509", "-noout", "-subject_hash"], stdin=root).strip()
        file = f"/usr/local/share/ca-certificates/{name}.crt"
        script += (
            f"if [ ! -e {name}.pem ]; then\ncat >{file} <<'E'\n{root}\nE\nln -s {file} {name}.pem\n"
            f"ln -s {name}.pem {subject}.0\ncat {file} >>ca-certificates.crt\nfi\n"
        )
    return script


def down(lab: Slice, *, everything: bool) -> None:
    """Remove the lab of this checkout; with `everything` also the base images, which make the next `up` quick."""
    with step("hosts, snapshots, fetched packages and network"):
        _close_connections(lab)
        podman.remove_all(lab)
    with step("keys and routes"):
        for family, network in (("-4", lab.ipv4), ("-6", lab.ipv6)):
            if run(["ip", family, "route", "show", "type", "unreachable", str(network)]).strip():
                run(["ip", family, "route", "del", "unreachable", str(network), "metric", GUARD_METRIC])
        shutil.rmtree(lab.sockets, ignore_errors=True)
        shutil.rmtree(lab.state, ignore_errors=True)
    if everything:
        with step("base images"):
            kept = images.remove_unused(lab)
        for line in kept:
            print(f"lab: {line}")
    lab.lock.unlink()  # last: whoever waits for it goes on from here


def save(lab: Slice, host: Host | None, name: str) -> None:
    """Keep the present state of one host, or of all and of what the controller keeps, as `name`."""
    chosen = [host] if host else list(HOSTS.values())
    with step(f"save {host.name if host else 'the lab'} as {name}"):
        _together(lambda one: podman.commit(lab, one.name, name), chosen)
        podman.prune_snapshots(lab)
        if host is None:
            _copy_state(lab.state, lab.state / SAVED / name)


def reset(lab: Slice, host: Host | None, name: str) -> None:
    """Bring one host, or the lab, back to what was saved as `name`; FRESH is the state that the first `up` made.

    The ACME server is left alone unless it is named: its accounts and its root live in its memory only, and
    senders that come back with certificates and accounts of it must find it as they left it.

    Raises:
        LabError: nothing was saved under that name.
    """
    chosen = [host] if host else [one for one in HOSTS.values() if one != CA]
    saved = {} if name == FRESH else podman.snapshots(lab, name)
    lacking = [one.name for one in chosen if one.name not in saved]
    if lacking and name != FRESH:
        raise LabError(f"nothing was saved as {name} of {', '.join(lacking)}; lab/lab save makes it")
    with images.used():
        _build_images(lab)
        with step(f"reset {host.name if host else 'the lab'} to {name}"):
            _close_connections(lab)
            podman.podman("rm", "-f", "-i", "-t", "0", *(lab.prefix + one.name for one in chosen))
            podman.prune_snapshots(lab)
            if saved:
                _create(lab, chosen, lambda one: saved[one.name])
                _own_databases(lab, chosen)
        if host is None:
            _restore_state(lab, name)
        state = generate(lab, [zones.key_file(zone) for zone in zones.zone_names(lab)])
        if saved:
            _start(lab, chosen)
        _start_missing(lab, state)
    if host in (NS1, NS2):
        with step("zones, from ns1 to ns2"):
            _transfer_all(lab)
    _wait_until_served(lab, state, chosen)


def forget(lab: Slice, name: str) -> None:
    """Remove what was saved as `name`, of any host.

    Raises:
        LabError: nothing was.
    """
    with step(f"forget {name}"):
        podman.forget(lab, name)
        shutil.rmtree(lab.state / SAVED / name, ignore_errors=True)


def _own_databases(lab: Slice, hosts: Iterable[Host]) -> None:
    """Have the hosts' databases in their own layer, not in that of the image which they come from.

    Whoever has a file of an image's layer open goes on reading that one when another process writes to it: a daemon
    would not see what postmap writes.
    """
    with podman.mounted([lab.prefix + host.name for host in hosts]) as roots:
        for root in roots.values():
            for path in (root / "etc").rglob("*.lmdb"):
                path.open("ab").close()


def _transfer_all(lab: Slice) -> None:
    """Have the secondary fetch every zone anew: after a reset of one server alone its copy may be the newer one."""
    for host in (NS1, NS2):
        _wait_for_greeting(lab, host, host.ipv4(lab)[0], 22, b"SSH-")
    script = "".join(f"rndc retransfer '{zone}'\n" for zone in zones.zone_names(lab))
    podman.podman("exec", "-i", lab.prefix + NS2.name, "sh", "-es", stdin=script)


def _close_connections(lab: Slice) -> None:
    """End the shared SSH connections: one to a host that is gone would hang whoever uses it next."""
    for control in lab.sockets.glob("*"):
        try:
            run(["ssh", "-o", f"ControlPath={control}", "-O", "exit", "lab"], deadline=5)
        except LabError:
            control.unlink(missing_ok=True)


def _copy_state(source: Path, target: Path) -> None:
    """Copy what the controller keeps, without what was saved before."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(SAVED))


def _restore_state(lab: Slice, name: str) -> None:
    """Put back what the controller kept, and nothing else.

    The roots that pebble had since are still known, and the proxy for packages reads a file that is mounted.
    """
    if name == FRESH:
        shutil.rmtree(lab.state / "domains", ignore_errors=True)
        return
    keep = {SAVED, "acme-root.pem", "trust.pem", "apt"}
    for path in lab.state.iterdir():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(lab.state / SAVED / name, lab.state, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*keep))
