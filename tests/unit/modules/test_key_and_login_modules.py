# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""dkim_keys and domain_logins through main(), as Ansible calls them."""

from __future__ import annotations

import gzip
import json
import os
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sendyard.mail.plugins.module_utils import dkim_keys as keys
from ansible_collections.sendyard.mail.plugins.module_utils import domain_logins as logins
from ansible_collections.sendyard.mail.plugins.module_utils.host.command import Result
from ansible_collections.sendyard.mail.plugins.modules import dkim_keys, domain_logins

TABLE = {
    "format": 1,
    "host": {"name": "mx1", "fqdn": "mx1.yard.example", "selector": "s1", "addresses": ["198.51.100.1"]},
    "kept": [],
    "domains": {
        "mx1.yard.example": {"logins": [], "record_settings": "a"},
        "acme.example": {"logins": ["app@acme.example"], "record_settings": "b"},
    },
    "settings": {name: {"addresses": ["198.51.100.1"]} for name in "ab"},
    "logins": {"app@acme.example": "{SSHA512}c2VjcmV0"},
}


@pytest.fixture
def domains_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The table as the action plugin hands it over, and a host of the test's own."""
    monkeypatch.setattr(keys, "BITS", 1024)
    monkeypatch.setattr(keys.files, "owner_id", lambda _: os.geteuid())
    monkeypatch.setattr(keys.files, "group_id", lambda _: os.getegid())
    places = logins.Places(tmp_path / "owners", tmp_path / "logins", tmp_path / "senders", tmp_path / "state")
    directories = keys.Directories(tmp_path / "pending", tmp_path / "keys", tmp_path / "state")
    monkeypatch.setattr(logins, "Places", lambda: places)
    monkeypatch.setattr(keys, "Directories", lambda: directories)

    def postmap(argv: list[str], **_: Any) -> Result:
        for path in places.compiled:
            path.touch()
        return Result(tuple(argv), 0, "", "")

    monkeypatch.setattr(logins, "run", postmap)
    for module in (dkim_keys, domain_logins):
        monkeypatch.setattr(module, "host_lock", lambda _: nullcontext())
        monkeypatch.setattr(module, "keep_table", lambda _: None)
    path = tmp_path / "domains.json.gz"
    path.write_bytes(gzip.compress(json.dumps(TABLE).encode()))
    return str(path)


def run(module: ModuleType, capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    """What `module` answers."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_keys_are_made_told_and_then_sign(
    domains_file: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = run(dkim_keys, capsys, domains_file=domains_file, selector="s1")
    assert made["changed"]
    assert made["total"] == 2
    assert "PRIVATE" not in json.dumps(made)
    seen = [{"domain": name, "digest": key["digest"]} for name, key in made["pending"].items()]
    moved = run(dkim_keys, capsys, domains_file=domains_file, selector="s1", state="published", published=seen)
    assert moved["changed"]
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["acme.example.pem", "mx1.yard.example.pem"]
    again = run(dkim_keys, capsys, domains_file=domains_file, selector="s1")
    assert not again["changed"]
    assert again["pending"] == {}


def test_keys_in_check_mode(domains_file: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = run(dkim_keys, capsys, domains_file=domains_file, selector="s1", _ansible_check_mode=True)
    assert told["changed"]
    assert "acme.example: a new key" in told["diff"]["after"]
    assert not (tmp_path / "pending").exists()


def test_logins_are_written_once(domains_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(domain_logins, capsys, domains_file=domains_file)
    assert (first["changed"], first["domains"], first["total"]) == (True, ["acme.example"], 1)
    assert "c2VjcmV0" not in json.dumps(first)
    assert not run(domain_logins, capsys, domains_file=domains_file)["changed"]


def test_logins_in_check_mode(domains_file: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = run(domain_logins, capsys, domains_file=domains_file, _ansible_check_mode=True)
    assert told["changed"]
    assert not (tmp_path / "owners").exists()


@pytest.mark.parametrize("module", [dkim_keys, domain_logins])
def test_a_table_that_cannot_be_read_is_a_message(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"selector": "s1"} if module is dkim_keys else {}
    answer = run(module, capsys, domains_file="/nowhere/domains.json.gz", **arguments)
    assert answer["failed"]
    assert "/nowhere/domains.json.gz" in answer["msg"]
