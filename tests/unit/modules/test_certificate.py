# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The module `certificate` through its main(), on a host below a temporary directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sendyard.mail.plugins.module_utils import (
    acme,
    certificate_run,
    certificates,
    dane,
    deploy_certificate,
)
from ansible_collections.sendyard.mail.plugins.module_utils.host import systemd
from ansible_collections.sendyard.mail.plugins.modules import certificate
from tls import Authority, Issued, make_key

FQDN = "mx1.yard.example"
ACME = {"source": "acme", "acme_directory": "https://ca.lab.example/dir", "acme_email": "ops@yard.example"}


@dataclass
class Host:
    layout: deploy_certificate.Layout
    root: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *, check: bool = False, **args: Any) -> dict[str, Any]:
        with patch_module_args({"fqdn": FQDN, **args, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            certificate.main()
        result: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return result

    def written(self) -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(self.root.rglob("*")) if p.is_file() and p.name != "lock"}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    """A host without Postfix, whose certbot is a function."""
    layout = deploy_certificate.Layout(tmp_path / "tls", tmp_path / "letsencrypt", tmp_path / "state")
    absent = deploy_certificate.Holder("Postfix", ("false",), ("false",), ("false",))
    lock = certificate_run.host_lock
    monkeypatch.setattr(deploy_certificate, "POSTFIX", absent)
    monkeypatch.setattr(certificate_run, "Layout", lambda: layout)
    monkeypatch.setattr(certificate_run, "host_lock", lambda purpose: lock(purpose, path=tmp_path / "lock"))
    monkeypatch.setattr(certificate_run, "PROGRAM_DIRECTORY", tmp_path / "program")
    monkeypatch.setattr(certificate_run, "HOOK", tmp_path / "hook")
    monkeypatch.setattr(certificate_run, "RENEWAL_DROP_IN", tmp_path / "certbot.service.d/sendyard.conf")
    monkeypatch.setattr(
        systemd, "status", lambda names: {n: systemd.UnitStatus(n, "loaded", "active", "enabled") for n in names}
    )
    monkeypatch.setattr(systemd, "daemon_reload", lambda: None)
    real = certificate_run.FileSpec
    monkeypatch.setattr(certificate_run, "FileSpec", lambda *a, **k: mine(real(*a, **k)))
    return Host(layout, tmp_path, capsys)


def mine(spec: Any) -> Any:
    """The file as whoever runs the tests can write it."""
    import os
    from dataclasses import replace

    from ansible_collections.sendyard.mail.plugins.module_utils.host import files

    return replace(spec, owner=files.owner_name(os.geteuid()), group=files.group_name(os.getegid()))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def provided(authority: Authority, *issued: Issued, names: tuple[str, ...] = ("a.pem", "b.pem")) -> dict[str, Any]:
    return {
        "source": "provided",
        "provided_names": list(names[: len(issued)]),
        "provided_certificates": [one.certificate + authority.intermediate.certificate for one in issued],
        "provided_keys": [one.key for one in issued],
    }


# --- provided


def test_ecdsa_and_rsa_serve_side_by_side(host: Host, authority: Authority) -> None:
    both = provided(authority, authority.issue(FQDN), authority.issue(FQDN, key=make_key("rsa")))
    result = host.run(**both)
    assert (result["changed"], sorted(result["certificates"])) == (True, ["ecdsa", "rsa"])
    assert result["certificates"]["rsa"]["names"] == [FQDN]
    before = host.written()
    again = host.run(**both)
    assert (again["changed"], again["diff"], host.written()) == (False, [], before)


def test_another_ones_key_is_refused_and_the_old_one_stays(host: Host, authority: Authority) -> None:
    host.run(**provided(authority, authority.issue(FQDN)))
    before = host.written()
    wrong = Issued(authority.issue(FQDN).certificate, make_key())
    result = host.run(**provided(authority, wrong))
    assert result["failed"]
    assert result["msg"].startswith("a.pem: the private key does not belong to the certificate")
    assert host.written() == before


def test_two_of_one_type_are_refused(host: Host, authority: Authority) -> None:
    result = host.run(**provided(authority, authority.issue(FQDN), authority.issue(FQDN)))
    assert result["msg"] == "b.pem: a second certificate with an ecdsa key; one can serve."


def test_one_near_its_end_is_warned_of(host: Host, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []  # beside Ansible's loader a warning goes to the terminal, not into the result
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    host.run(**provided(authority, authority.issue(FQDN, days=10)))
    assert "a.pem: it expires on" in warned[0]


def test_no_key_is_shown_anywhere(host: Host, authority: Authority) -> None:
    issued = authority.issue(FQDN)
    result = host.run(**provided(authority, issued))
    assert issued.key.splitlines()[1] not in json.dumps(result)
    assert FQDN in result["diff"][0]["after"]


def test_a_check_says_what_would_be_and_writes_nothing(host: Host, authority: Authority) -> None:
    args = provided(authority, authority.issue(FQDN))
    result = host.run(check=True, **args)
    assert (result["changed"], host.written()) == (True, {})
    host.run(**args)
    assert not host.run(check=True, **args)["changed"]


# --- selfsigned


def test_a_self_signed_one_is_made_once(host: Host) -> None:
    first = host.run(source="selfsigned", key_types=["ecdsa", "rsa"])
    assert first["requested"] == {"ecdsa": "there is none yet", "rsa": "there is none yet"}
    before = host.written()
    assert not host.run(source="selfsigned", key_types=["ecdsa", "rsa"])["changed"]
    assert host.written() == before


def test_a_self_signed_one_is_renewed_with_its_key(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "SELF_SIGNED_DAYS", 5)
    first = host.run(source="selfsigned")["certificates"]["ecdsa"]
    monkeypatch.setattr(certificates.Certificate, "due", lambda self, now: self.not_after - now < timedelta(days=30))
    monkeypatch.setattr(certificates, "SELF_SIGNED_DAYS", 800)
    result = host.run(source="selfsigned")
    second = result["certificates"]["ecdsa"]
    assert result["requested"]["ecdsa"].startswith("the one there ends on")
    assert second["not_after"] > first["not_after"]
    assert second["key_digest"] == first["key_digest"]


def test_a_new_name_is_a_new_certificate(host: Host) -> None:
    host.run(source="selfsigned")
    result = host.run(source="selfsigned", fqdn="mx2.yard.example")
    assert result["requested"] == {"ecdsa": f"the one there is for {FQDN}"}
    assert result["certificates"]["ecdsa"]["names"] == ["mx2.yard.example"]


def test_a_check_on_a_bare_host_says_what_would_be(host: Host) -> None:
    result = host.run(check=True, source="selfsigned")
    assert (result["changed"], host.written()) == (True, {})
    assert result["diff"][0]["after"] == f"(a new certificate for {FQDN}, selfsigned)\n"


# --- acme


@pytest.fixture
def certbot(host: Host, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """certbot as a function that issues; returns the list of its calls."""
    calls: list[str] = []

    def request(key_type: str, *, fqdn: str, account: acme.Account, layout: deploy_certificate.Layout) -> None:
        calls.append(key_type)
        issued = authority.issue(fqdn, key=make_key(key_type))
        lineage = layout.lineage(key_type)
        renewal = layout.letsencrypt / "renewal" / f"{deploy_certificate.lineage_name(key_type)}.conf"
        for directory in (lineage, renewal.parent):
            directory.mkdir(parents=True, exist_ok=True)
        (lineage / "fullchain.pem").write_text(issued.certificate + authority.intermediate.certificate)
        (lineage / "privkey.pem").write_text(issued.key)
        renewal.write_text(f"server = {account.directory}\n")

    monkeypatch.setattr(acme, "request", request)
    return calls


def test_requested_once_a_key_type(host: Host, certbot: list[str]) -> None:
    result = host.run(**ACME, key_types=["rsa", "ecdsa"])
    assert (certbot, sorted(result["certificates"])) == (["ecdsa", "rsa"], ["ecdsa", "rsa"])
    before = host.written()
    again = host.run(**ACME, key_types=["ecdsa", "rsa"])
    assert (again["changed"], certbot, host.written()) == (False, ["ecdsa", "rsa"], before)


def test_renewals_find_program_and_hook(host: Host, certbot: list[str]) -> None:
    host.run(**ACME, acme_ca_file="/etc/ssl/lab.pem")
    assert (host.root / "hook").stat().st_mode & 0o777 == 0o755
    assert "sendyard.deploy_certificate" in (host.root / "hook").read_text()
    assert (host.root / "program/deploy_certificate.py").exists()
    unit = host.root / "certbot.service.d/sendyard.conf"
    assert "Environment=REQUESTS_CA_BUNDLE=/etc/ssl/lab.pem\n" in unit.read_text()
    host.run(**ACME)
    assert unit.read_text() == "# Sendyard writes this file.\n[Service]\nLimitCORE=0\n"


def test_a_renewal_whose_hook_failed_is_deployed_by_the_next_run(host: Host, certbot: list[str]) -> None:
    first = host.run(**ACME)["certificates"]["ecdsa"]["fingerprint"]
    acme.request(
        "ecdsa", fqdn=FQDN, account=acme.Account(ACME["acme_directory"], ACME["acme_email"]), layout=host.layout
    )
    result = host.run(**ACME)
    assert (result["changed"], result["requested"]) == (True, {})
    assert result["certificates"]["ecdsa"]["fingerprint"] != first


def test_a_refusal_leaves_what_is_in_use(host: Host, certbot: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    host.run(**ACME)
    before = host.written()

    def refuse(*_: Any, **__: Any) -> None:
        raise acme.AcmeError("ca said no")

    monkeypatch.setattr(acme, "request", refuse)
    result = host.run(**{**ACME, "acme_directory": "https://other.example/dir"})
    assert (result["failed"], result["msg"], host.written()) == (True, "ca said no", before)


def test_a_check_asks_nobody(host: Host, certbot: list[str]) -> None:
    result = host.run(check=True, **ACME)
    assert (result["changed"], result["requested"], certbot) == (True, {"ecdsa": "there is none yet"}, [])
    assert host.written() == {}


def test_an_account_is_needed(host: Host) -> None:
    result = host.run(source="acme")
    assert "acme_directory" in result["msg"]


# --- the TLSA record


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dane.Trust]]:
    """What is to be found out of the host's names: the last of this list. At first they are signed."""
    found = [dane.Trust(dane.SECURE, "")]
    monkeypatch.setattr(dane, "trust", lambda fqdn, domains: found[-1])
    yield found


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited; the clock goes on by that."""
    waits: list[float] = []
    now = datetime.now

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return now(tz) + timedelta(seconds=sum(waits))

    monkeypatch.setattr(certificate, "datetime", Clock)
    monkeypatch.setattr(certificate_run, "time", SimpleNamespace(sleep=waits.append))
    return waits


def key_of(issued: Issued) -> str:
    return certificates.public_key_digest(issued.key, "test")


def announce(host: Host, pair: dict[str, Any], result: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the playbook does: the record says what the call before wanted, and the module is told."""
    return host.run(**pair, tlsa=True, tlsa_seen=result["tlsa"]["keys"], **more)


@pytest.mark.usefixtures("signed", "slept")
def test_all_that_is_served_is_announced(host: Host, authority: Authority) -> None:
    ecdsa, rsa = authority.issue(FQDN), authority.issue(FQDN, key=make_key("rsa"))
    pair = provided(authority, ecdsa, rsa)
    result = host.run(**pair, tlsa=True)
    keys = sorted([key_of(ecdsa), key_of(rsa)])
    assert result["tlsa"] == {"keys": keys, "gone": [], "due": True, "missing": []}
    assert sorted(result["certificates"]) == ["ecdsa", "rsa"], "nobody looks for keys that no record announces"
    assert not announce(host, pair, result)["tlsa"]["due"]
    before = host.written()
    assert not host.run(**pair, tlsa=True)["tlsa"]["due"]
    assert host.written() == before


@pytest.mark.usefixtures("signed")
def test_a_new_key_is_served_when_every_cache_knows_it(host: Host, authority: Authority, slept: list[float]) -> None:
    old, new = authority.issue(FQDN), authority.issue(FQDN)
    first = provided(authority, old)
    announce(host, first, host.run(**first, tlsa=True))
    assert slept == []
    second = provided(authority, new)
    result = host.run(**second, tlsa=True)
    assert result["tlsa"] == {"keys": sorted([key_of(old), key_of(new)]), "gone": [], "due": True, "missing": []}
    assert result["certificates"]["ecdsa"]["key_digest"] == key_of(old)
    again = host.run(**second, tlsa=True)  # the record could not be changed
    assert (again["certificates"]["ecdsa"]["key_digest"], slept) == (key_of(old), [])
    result = announce(host, second, result, tlsa_ttl=77)
    assert slept == [pytest.approx(77, abs=1)]
    assert result["certificates"]["ecdsa"]["key_digest"] == key_of(new)
    assert result["tlsa"] == {"keys": [key_of(new)], "gone": [key_of(old)], "due": True, "missing": []}
    assert not announce(host, second, result)["tlsa"]["due"]
    assert len(slept) == 1, "what is served already waits for nobody"


@pytest.mark.usefixtures("signed")
def test_a_run_killed_while_it_waited_is_finished_by_the_next(
    host: Host, authority: Authority, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = authority.issue(FQDN), authority.issue(FQDN)
    first, second = provided(authority, old), provided(authority, new)
    announce(host, first, host.run(**first, tlsa=True))
    result = host.run(**second, tlsa=True)
    with monkeypatch.context() as patch:
        patch.setattr(certificate_run, "time", SimpleNamespace(sleep=killed))
        with pytest.raises(RuntimeError):
            announce(host, second, result)
    result = host.run(**second, tlsa=True)
    assert slept == [pytest.approx(300, abs=5)]
    assert result["certificates"]["ecdsa"]["key_digest"] == key_of(new)


def killed(seconds: float) -> None:
    raise RuntimeError


@pytest.mark.usefixtures("signed", "slept")
def test_a_second_type_of_key_waits_for_its_record(host: Host, authority: Authority) -> None:
    ecdsa, rsa = authority.issue(FQDN), authority.issue(FQDN, key=make_key("rsa"))
    announce(host, provided(authority, ecdsa), host.run(**provided(authority, ecdsa), tlsa=True))
    both = provided(authority, ecdsa, rsa)
    result = host.run(**both, tlsa=True)
    assert (result["tlsa"]["missing"], sorted(result["certificates"])) == (["rsa"], ["ecdsa"])
    result = announce(host, both, result)
    assert (result["tlsa"]["missing"], sorted(result["certificates"])) == ([], ["ecdsa", "rsa"])


@pytest.mark.parametrize("host_is", [dane.INSECURE, dane.BOGUS, dane.UNKNOWN])
def test_where_nobody_would_believe_it_there_is_no_record(
    host: Host, authority: Authority, signed: list[dane.Trust], host_is: str
) -> None:
    warned: list[str] = []
    signed.append(dane.Trust(host_is, "mx1.yard.example is so"))
    pair = provided(authority, authority.issue(FQDN))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AnsibleModule, "warn", lambda self, text: warned.append(text))
        result = host.run(**pair, tlsa=True)
        host.run(**pair, tlsa=True)
    assert result["tlsa"] == {"keys": [], "gone": [], "due": False, "missing": []}
    assert "ecdsa" in result["certificates"]
    assert warned == ["DANE will have no effect: mx1.yard.example is so."], "said once, not in every run"


@pytest.mark.usefixtures("slept")
@pytest.mark.parametrize(
    ("host_is", "served_now"), [(dane.INSECURE, "new"), (dane.BOGUS, "old"), (dane.UNKNOWN, "old")]
)
def test_a_standing_record_stays_and_binds_as_long_as_it_may_be_believed(
    host: Host, authority: Authority, signed: list[dane.Trust], host_is: str, served_now: str
) -> None:
    keys = {"old": authority.issue(FQDN), "new": authority.issue(FQDN)}
    first = provided(authority, keys["old"])
    announce(host, first, host.run(**first, tlsa=True))
    signed.append(dane.Trust(host_is, "why"))
    result = host.run(**provided(authority, keys["new"]), tlsa=True)
    assert result["certificates"]["ecdsa"]["key_digest"] == key_of(keys[served_now])
    assert result["tlsa"] == {"keys": [key_of(keys["old"])], "gone": [], "due": False, "missing": []}


@pytest.mark.usefixtures("signed", "slept")
def test_a_record_that_is_not_wanted_any_more_goes(host: Host, authority: Authority) -> None:
    issued = authority.issue(FQDN)
    pair = provided(authority, issued)
    announce(host, pair, host.run(**pair, tlsa=True))
    result = host.run(**pair)
    assert result["tlsa"] == {"keys": [], "gone": [key_of(issued)], "due": True, "missing": []}
    assert not host.run(**pair, tlsa_seen=[])["tlsa"]["due"]


@pytest.mark.usefixtures("signed", "slept")
def test_a_check_announces_nothing(host: Host, authority: Authority) -> None:
    pair = provided(authority, authority.issue(FQDN))
    host.run(**pair, tlsa=True)
    before = host.written()
    assert host.run(**pair, tlsa=True, check=True)["tlsa"]["due"]
    host.run(**pair, tlsa=True, tlsa_seen=["ab" * 32], check=True)
    assert host.written() == before
