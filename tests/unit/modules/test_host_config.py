# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_config through main(), as Ansible calls it: arguments, check mode on a bare host, what comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sendyard.mail.plugins.module_utils.host import generations, lock, systemd
from ansible_collections.sendyard.mail.plugins.modules import host_config

MAIN_CF = {"path": "/etc/postfix/sendyard-unit-test/main.cf", "content": "myhostname = secret-to-logs\n"}
SETTINGS = {"fqdn": "mx1.yard.example", "milters": ["unix:a"]}


def call(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    """Run the module and return its answer."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        host_config.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.fixture(autouse=True)
def bare_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No unit is installed, nothing is remembered; whoever starts a program fails."""
    monkeypatch.setattr(
        systemd, "status", lambda names: {n: systemd.UnitStatus(n, "not-found", "inactive", "") for n in names}
    )
    layout = generations.Layout(state=tmp_path / "state", stage=tmp_path / "stage")
    monkeypatch.setattr(generations, "Layout", lambda: layout)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a check runs no program")

    monkeypatch.setattr(generations, "run", refuse)


def test_a_check_on_a_bare_host_says_what_it_would_make_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answer = call(
        capsys,
        subsystem="postfix",
        files=[{**MAIN_CF, "owner": "not-yet", "group": "there"}],
        settings=SETTINGS,
        _ansible_check_mode=True,
        _ansible_diff=True,
    )
    assert answer["changed"]
    assert answer["diff"] == [
        {
            "before_header": f"{MAIN_CF['path']} (absent)",
            "after_header": MAIN_CF["path"],
            "before": "",
            "after": f"# 0644 not-yet:there\n{MAIN_CF['content']}",
        }
    ]
    assert (answer["started"][0], answer["enabled"]) == ("postfix.service", ["postfix.service"])
    assert list(tmp_path.iterdir()) == []


def test_contents_do_not_come_back_as_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    sensitive = {**MAIN_CF, "sensitive": True}
    answer = call(capsys, subsystem="postfix", files=[sensitive], settings=SETTINGS, _ansible_check_mode=True)
    assert "secret-to-logs" not in json.dumps(answer)
    assert answer["invocation"]["module_args"]["files"] == [MAIN_CF["path"]]


def test_contents_do_not_go_to_the_journal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(basic, "has_journal", False)
    monkeypatch.setattr(basic.AnsibleModule, "_log_to_syslog", lambda _, line: logged.append(line))
    order = {"subsystem": "postfix", "files": [MAIN_CF], "settings": SETTINGS, "_ansible_check_mode": True}
    for says in ({}, {"_ansible_no_log": False}):  # a task without no_log says so, or nothing
        call(capsys, **order, **says)
    assert "secret-to-logs" not in "".join(logged)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"files": [{**MAIN_CF, "path": "etc/main.cf"}]}, 'path "etc/main.cf" is not absolute'),
        ({"files": [{**MAIN_CF, "path": "/etc/postfix/../passwd"}]}, "is not absolute and plain"),
        ({"files": [{**MAIN_CF, "mode": "rw"}]}, 'mode "rw" is not octal'),
        ({"files": [{**MAIN_CF, "path": "/etc/passwd"}]}, "/etc/passwd does not belong to postfix"),
        ({"files": [MAIN_CF, MAIN_CF]}, "named twice"),
        ({"settings": {"fqnd": "x"}}, "settings of postfix: 'fqnd' is not known"),
        ({"settings": {"listeners": "25"}}, "settings of postfix: listeners is '25', a str"),
        ({"subsystem": "postfx"}, "value of subsystem must be one of"),
    ],
)
def test_a_wrong_argument_is_named(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], message: str) -> None:
    answer = call(capsys, **{"subsystem": "postfix", "_ansible_check_mode": True, **arguments})
    assert answer["failed"]
    assert message in answer["msg"]
    assert "Traceback" not in json.dumps(answer)


def test_a_check_does_not_wait_for_a_run_and_a_run_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(purpose: str) -> None:
        raise lock.LockError(f"another run holds this host; {purpose}")

    monkeypatch.setattr(host_config, "host_lock", held)
    assert call(capsys, subsystem="postfix", files=[MAIN_CF], settings=SETTINGS, _ansible_check_mode=True)["changed"]
    answer = call(capsys, subsystem="postfix", files=[MAIN_CF], settings=SETTINGS)
    assert answer["msg"] == "another run holds this host; host_config postfix"
