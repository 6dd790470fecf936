# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A new certificate becomes live: the file, the reload, and what the listeners then show."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import certificate_run, certificates, deploy_certificate
from ansible_collections.sendyard.mail.plugins.module_utils.certificates import Pair
from ansible_collections.sendyard.mail.plugins.module_utils.deploy_certificate import (
    DeployError,
    HandshakeError,
    Holder,
    Layout,
    Listener,
    Order,
)
from ansible_collections.sendyard.mail.plugins.module_utils.host import state
from tls import Authority, MailServer, mail_server, make_key

FQDN = "mx1.yard.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pairs(authority: Authority) -> list[Pair]:
    """Three certificates one after the other, as renewals give them."""
    return [make_pair(authority) for _ in range(3)]


def make_pair(authority: Authority, kind: str = "ecdsa") -> Pair:
    issued = authority.issue(FQDN, key=make_key(kind))
    return certificates.parse_pair(issued.certificate + authority.intermediate.certificate, issued.key, "test")


@dataclass
class Host:
    """A host below a temporary directory with two listeners, one of each kind, and a daemon that reloads them."""

    layout: Layout
    servers: tuple[MailServer, MailServer]
    root: Path

    def order(self, **changed: object) -> Order:
        listeners = (Listener(self.servers[0].port), Listener(self.servers[1].port, implicit=True))
        return replace(Order(FQDN, "acme", ("ecdsa",), listeners), **changed)

    def reloads(self) -> int:
        return len(list(self.root.glob("reload*")))

    def holder(
        self, *, configured: str = "{pem}", running: bool = True, reload: str = "mktemp {root}/reloadXXXX"
    ) -> Holder:
        where = {"pem": self.layout.pem("ecdsa"), "root": self.root}
        return Holder(
            "Postfix",
            ("echo", configured.format(**where)),
            ("true",) if running else ("false",),
            tuple(reload.format(**where).split()),
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: list[Pair]) -> Iterator[Host]:
    """The host with the first certificate live."""
    layout = Layout(tls=tmp_path / "tls", letsencrypt=tmp_path / "letsencrypt", state=tmp_path / "state")
    monkeypatch.setattr(deploy_certificate, "_POLL", 0.05)
    pem = layout.pem("ecdsa")
    pem.parent.mkdir()
    pem.write_bytes(pairs[0].pem)
    with mail_server(pem) as starttls, mail_server(pem, implicit=True) as implicit:
        made = Host(layout, (starttls, implicit), tmp_path)
        monkeypatch.setattr(deploy_certificate, "POSTFIX", made.holder())
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what never comes: the wait for it takes half a second."""
    monkeypatch.setattr(deploy_certificate, "WIRE_DEADLINE", 0.5)


@pytest.fixture
def reloading(host: Host) -> Iterator[Host]:
    """The servers take up the file a moment after a reload, as Postfix does."""
    stop = threading.Event()

    def follow() -> None:
        seen = 0
        while not stop.wait(0.05):
            if host.reloads() > seen:
                seen = host.reloads()
                time.sleep(0.2)
                for server in host.servers:
                    server.reload()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    yield host
    stop.set()
    thread.join(5)


def shown(host: Host) -> set[str]:
    return {deploy_certificate.served(FQDN, listener, "ecdsa") for listener in host.order().listeners}


def test_a_new_certificate_is_reloaded_and_seen_on_every_listener(reloading: Host, pairs: list[Pair]) -> None:
    outcome = deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, reloading.layout)
    assert (outcome.replaced, outcome.reloaded) == ([reloading.layout.pem("ecdsa")], ["Postfix"])
    assert shown(reloading) == {deploy_certificate.fingerprint(pairs[1])}
    assert reloading.layout.pem("ecdsa").stat().st_mode & 0o777 == 0o600


def test_the_same_certificate_again_touches_nothing(reloading: Host, pairs: list[Pair]) -> None:
    deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, reloading.layout)
    before = (reloading.reloads(), reloading.layout.pem("ecdsa").stat().st_mtime_ns, reloading.servers[0].sessions)
    assert not deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, reloading.layout).changed
    assert (
        reloading.reloads(),
        reloading.layout.pem("ecdsa").stat().st_mtime_ns,
        reloading.servers[0].sessions,
    ) == before


def test_a_run_killed_before_the_reload_is_finished_by_the_next(reloading: Host, pairs: list[Pair]) -> None:
    deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, reloading.layout)
    reloading.layout.pem("ecdsa").write_bytes(pairs[2].pem)  # all that the killed run did
    outcome = deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[2]}, reloading.layout)
    assert (outcome.replaced, outcome.reloaded) == ([], ["Postfix"])
    assert shown(reloading) == {deploy_certificate.fingerprint(pairs[2])}


@pytest.mark.usefixtures("impatient")
def test_a_daemon_that_shows_the_old_one_is_named_and_the_new_file_stays(host: Host, pairs: list[Pair]) -> None:
    port = host.servers[0].port
    with pytest.raises(DeployError, match=f"port {port} still shows the ecdsa certificate"):
        deploy_certificate.deploy(host.order(), {"ecdsa": pairs[1]}, host.layout)
    assert host.layout.pem("ecdsa").read_bytes() == pairs[1].pem
    with pytest.raises(DeployError):  # and it is tried again, though the file is in place
        deploy_certificate.deploy(host.order(), {"ecdsa": pairs[1]}, host.layout)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("broken", [0, 1])
def test_a_listener_without_tls_brings_the_previous_one_back(host: Host, pairs: list[Pair], broken: int) -> None:
    host.servers[broken]._context = None
    host.servers[1 - broken].pem = host.root / "new.pem"
    host.servers[1 - broken].pem.write_bytes(pairs[1].pem)
    host.servers[1 - broken].reload()
    with pytest.raises(HandshakeError, match=r"offers no TLS .*\nThe previous certificate is back\."):
        deploy_certificate.deploy(host.order(), {"ecdsa": pairs[1]}, host.layout)
    assert host.layout.pem("ecdsa").read_bytes() == pairs[0].pem
    assert host.reloads() == 2


@pytest.mark.usefixtures("impatient")
def test_a_listener_that_does_not_answer_is_named(host: Host, pairs: list[Pair]) -> None:
    closed = host.order(listeners=(Listener(1),))
    with pytest.raises(DeployError, match="port 1 does not answer"):
        deploy_certificate.deploy(closed, {"ecdsa": pairs[1]}, host.layout)


@pytest.mark.parametrize("holder", [{"running": False}, {"configured": "/etc/ssl/snakeoil.pem"}])
def test_a_daemon_that_does_not_run_or_reads_another_file_is_left_alone(
    host: Host, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, holder: dict[str, object]
) -> None:
    monkeypatch.setattr(deploy_certificate, "POSTFIX", host.holder(**holder))
    outcome = deploy_certificate.deploy(host.order(), {"ecdsa": pairs[1]}, host.layout)
    assert (outcome.reloaded, host.reloads(), host.servers[0].sessions) == ([], 0, 0)


def test_two_types_of_keys_are_told_apart(host: Host, authority: Authority, pairs: list[Pair]) -> None:
    rsa = make_pair(authority, "rsa")
    host.servers[0]._context.load_cert_chain(write(host.root / "rsa.pem", rsa))  # type: ignore[union-attr]
    listener = host.order().listeners[0]
    assert deploy_certificate.served(FQDN, listener, "rsa") == deploy_certificate.fingerprint(rsa)
    assert deploy_certificate.served(FQDN, listener, "ecdsa") == deploy_certificate.fingerprint(pairs[0])


def write(path: Path, pair: Pair) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pair.pem)
    return path


def test_a_key_type_no_longer_wanted_goes_once_nothing_reads_it(
    reloading: Host, authority: Authority, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    rsa = write(reloading.layout.pem("rsa"), make_pair(authority, "rsa"))
    monkeypatch.setattr(deploy_certificate, "POSTFIX", reloading.holder(configured=f"{{pem}}, {rsa}"))
    deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, reloading.layout)
    assert rsa.exists()
    monkeypatch.setattr(deploy_certificate, "POSTFIX", reloading.holder())
    outcome = deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, reloading.layout)
    assert (outcome.replaced, rsa.exists()) == ([rsa], False)


# --- the hook


def renew(host: Host, pair: Pair) -> None:
    """What certbot leaves after a renewal."""
    directory = host.layout.lineage("ecdsa")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "privkey.pem").write_text(pair.private_key)
    (directory / "fullchain.pem").write_text("\n".join(pair.chain))


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = deploy_certificate.host_lock
    monkeypatch.setattr(
        deploy_certificate,
        "host_lock",
        lambda purpose, deadline: real(purpose, deadline=deadline, path=tmp_path / "lock"),
    )


@pytest.mark.usefixtures("unlocked")
def test_a_renewal_is_deployed_as_the_last_run_ordered(reloading: Host, pairs: list[Pair]) -> None:
    deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, reloading.layout)
    renew(reloading, pairs[2])
    assert deploy_certificate.deploy_renewed(reloading.layout).reloaded == ["Postfix"]
    assert shown(reloading) == {deploy_certificate.fingerprint(pairs[2])}
    assert state.read_state("certificate", reloading.layout.state)["order"] == json.loads(
        json.dumps(reloading.order().as_state())
    )


@pytest.mark.usefixtures("unlocked")
def test_a_renewal_that_cannot_serve_changes_nothing(reloading: Host, pairs: list[Pair]) -> None:
    deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, reloading.layout)
    renew(reloading, Pair(pairs[0].private_key, pairs[2].chain))
    with pytest.raises(certificates.CertificateError, match="does not belong"):
        deploy_certificate.deploy_renewed(reloading.layout)
    assert shown(reloading) == {deploy_certificate.fingerprint(pairs[1])}


@pytest.mark.usefixtures("unlocked")
def test_a_host_that_is_given_its_certificates_ignores_certbot(reloading: Host, pairs: list[Pair]) -> None:
    deploy_certificate.deploy(reloading.order(source="provided"), {"ecdsa": pairs[1]}, reloading.layout)
    renew(reloading, pairs[2])
    assert not deploy_certificate.deploy_renewed(reloading.layout).changed


@pytest.mark.usefixtures("unlocked")
def test_without_a_run_there_is_nothing_to_deploy(host: Host) -> None:
    with pytest.raises(DeployError, match=r"run site\.yml"):
        deploy_certificate.deploy_renewed(host.layout)


def test_the_installed_program_runs_without_ansible(tmp_path: Path) -> None:
    """Copied as the module installs it, beside nothing else, by a Python without our packages."""
    for spec in certificate_run._program():
        target = tmp_path / "sendyard" / spec.path.relative_to(certificate_run.PROGRAM_DIRECTORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(spec.content)
    script = (
        "import sys\nfrom pathlib import Path\nfrom sendyard import deploy_certificate as program\n"
        f"here = Path({str(tmp_path)!r})\n"
        "lock, layout = program.host_lock, program.Layout(state=here / 'state')\n"
        "program.host_lock = lambda purpose, deadline: lock(purpose, deadline=deadline, path=here / 'lock')\n"
        "program.Layout = lambda: layout\n"
        "sys.exit(program.main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == (
        "sendyard: the renewed certificate is not in use: No run has said yet which certificate this host serves; "
        "run site.yml.\n"
    )


def test_a_certificate_is_described_without_its_key(pairs: list[Pair]) -> None:
    leaf = certificates.read_certificate(pairs[0].chain[0], "test")
    line = deploy_certificate.describe(leaf)
    assert FQDN in line
    assert f"{leaf.not_after:%Y-%m-%d}" in line
    assert datetime.now(UTC) < leaf.not_after


@pytest.mark.usefixtures("unlocked")
def test_a_renewal_with_a_key_that_the_tlsa_record_lacks_is_not_served(reloading: Host, pairs: list[Pair]) -> None:
    layout = reloading.layout
    deploy_certificate.deploy(reloading.order(), {"ecdsa": pairs[1]}, layout)
    digest = certificates.public_key_digest(pairs[1].private_key, "test")
    deploy_certificate.remember_announced({digest: 0.0}, layout)
    renew(reloading, pairs[2])
    with pytest.raises(DeployError, match=r"ecdsa: the TLSA record does not have its key .* Run site\.yml"):
        deploy_certificate.deploy_renewed(layout)
    assert shown(reloading) == {deploy_certificate.fingerprint(pairs[1])}
    deploy_certificate.remember_announced({}, layout)
    assert deploy_certificate.deploy_renewed(layout).reloaded == ["Postfix"]


@pytest.mark.parametrize(
    ("announced", "why"),
    [
        ({}, {}),  # without a record nobody looks
        ({"aa": 0.0, "bb": 0.0}, {}),
        ({"aa": 0.0}, {"rsa": "the TLSA record does not have its key (bb…) yet"}),
        ({"aa": 0.0, "bb": 130.0}, {"rsa": "caches may have the TLSA record without its key for 30 s"}),
        ({"aa": 100.0, "bb": 99.0}, {}),
    ],
)
def test_keys_that_must_not_be_served_yet(announced: dict[str, float], why: dict[str, str]) -> None:
    assert deploy_certificate.held_back({"ecdsa": "aa", "rsa": "bb"}, announced, 100.0) == why
