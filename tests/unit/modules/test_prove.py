# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that prove, through their main()."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sendyard.mail.plugins.module_utils import domains
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import probe_login as logic
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import prove
from ansible_collections.sendyard.mail.plugins.modules import probe_login, prove_smtp, queue_trace

FQDN = "mx1.yard.example"
LOGIN = {"prefix": "probe-0123456789abcdef", "password": "secret"}


def run(module: Any, capsys: pytest.CaptureFixture[str], check_mode: bool = False, **args: Any) -> dict[str, Any]:
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A host whose state is kept in a dictionary, with one customer and one new domain."""
    state: dict[str, Any] = {"dkim": {"published": {FQDN: "k0", "acme.example": "k1"}}}
    table = {
        "format": domains.FORMAT,
        "host": {"name": "mx1", "fqdn": FQDN, "selector": "s1"},
        "domains": {name: {"logins": [], "record_settings": ""} for name in (FQDN, "acme.example", "new.example")},
        "logins": {},
    }
    path = tmp_path / "domains.json.gz"
    path.write_bytes(gzip.compress(json.dumps(table).encode()))
    monkeypatch.setattr(domains, "TABLE", path)
    monkeypatch.setattr(probe_login, "read_state", lambda name: state.get(name, {}))
    monkeypatch.setattr(probe_login, "write_state", state.__setitem__)
    monkeypatch.setattr(logic, "make", lambda due, fqdn, lifetime: logic.Made(LOGIN["prefix"], LOGIN["password"]))
    monkeypatch.setattr(logic, "take_away", lambda prefix: state.setdefault("taken", prefix))
    return state


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = probe_login.host_lock
    monkeypatch.setattr(probe_login, "host_lock", lambda purpose: real(purpose, path=tmp_path / "lock"))


def test_a_proof_takes_in_what_is_published_and_not_proven(
    host: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(probe_login, capsys, fqdn=FQDN)
    assert made["domains"] == ["acme.example"]
    assert made["foreign_domain"] == "acme.example"
    assert made["changed"] is False
    run(probe_login, capsys, fqdn=FQDN, state="absent", prefix=made["prefix"], proven=["acme.example"])
    assert host["taken"] == LOGIN["prefix"]
    assert run(probe_login, capsys, fqdn=FQDN)["domains"] == []
    assert run(probe_login, capsys, fqdn=FQDN, everything=True)["domains"] == ["acme.example"]


def test_check_mode_makes_no_login_and_forgets_nothing(
    host: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(probe_login, capsys, check_mode=True, fqdn=FQDN)
    assert result["domains"] == ["acme.example"]
    assert "password" not in result
    run(probe_login, capsys, check_mode=True, fqdn=FQDN, state="absent", prefix=LOGIN["prefix"])
    assert "taken" not in host


@pytest.mark.parametrize("prefix", ["", "app@acme.example", "probe-xyz", "probe-0123456789abcdef/d;s"])
def test_only_logins_of_a_proof_are_removed(
    host: dict[str, Any], capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    result = run(probe_login, capsys, fqdn=FQDN, state="absent", prefix=prefix)
    assert result["failed"]
    assert "taken" not in host


def test_the_prover_gets_what_the_play_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[prove.Order] = []

    def noted(order: prove.Order) -> prove.Proof:
        orders.append(order)
        return prove.Proof((), (), ("acme.example",), ("globex.example",))

    monkeypatch.setattr(prove, "prove", noted)
    result = run(
        prove_smtp,
        capsys,
        fqdn="MX1.yard.example",
        addresses=["198.51.100.1", "2001:DB8:0::1"],
        bounce_domain=f"bounces.{FQDN}",
        login=LOGIN,
        domains=["acme.example"],
    )
    (order,) = orders
    assert order.addresses == ("198.51.100.1", "2001:db8::1")
    assert order.canary == f"canary@bounces.{FQDN}"
    assert order.login("acme.example").username == f"probe-0123456789abcdef=acme.example@{FQDN}"
    assert order.login("acme.example").sender == "probe-0123456789abcdef@acme.example"
    assert (result["proven"], result["at_fault"]) == (["acme.example"], ["globex.example"])
    assert "failed" not in result, "Ansible would take the module for failed"
    assert "secret" not in json.dumps(result)


def test_nothing_is_tried_in_check_mode(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "prove", lambda _order: pytest.fail("it was tried"))
    result = run(
        prove_smtp, capsys, check_mode=True, fqdn=FQDN, addresses=["198.51.100.1"], bounce_domain="b", login=LOGIN
    )
    assert result["outcomes"] == []


@pytest.mark.parametrize("wrong", [{"addresses": ["mx1"]}, {"recipient": "nobody"}, {"recipient": "a@b@c"}])
def test_what_is_no_address_is_named(capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]) -> None:
    right = {"fqdn": FQDN, "addresses": ["198.51.100.1"], "bounce_domain": "b", "login": LOGIN}
    result = run(prove_smtp, capsys, **{**right, **wrong})
    assert result["failed"]
    assert str(next(iter(wrong.values()))[0]) in result["msg"]


def test_a_trace_ends_with_an_outcome_for_each_message(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    messages = [{"queue_id": "4cA", "subject": FQDN}, {"queue_id": "4cB", "subject": "acme.example"}]
    result = run(queue_trace, capsys, messages=messages, log_file=str(log), deadline=0)
    assert [(outcome["subject"], outcome["verdict"]) for outcome in result["outcomes"]] == [
        (FQDN, "unknown"),
        ("acme.example", "unknown"),
    ]
