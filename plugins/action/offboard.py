# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a sending domain out of the inventory: its file is moved aside, with what is to go from its zone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sendyard.mail.plugins.module_utils import onboarding
from ansible_collections.sendyard.mail.plugins.module_utils.domain_files import Invalid, nearest, parse
from ansible_collections.sendyard.mail.plugins.module_utils.domains import Domain
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

ASIDE = "offboarded"  # below the directory of the domain files, where nobody reads it as one


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`state: known` finds the domain, `state: moved` moves its file, `state: gone` removes what led to its records."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        arguments = self.validate_argument_spec(
            {
                "state": {"choices": ["known", "moved", "gone"], "required": True},
                "records_files": {"type": "list", "elements": "path", "default": []},
            }
        )[1]
        said = owner.settings(variables, self._templar, lenient=True)
        try:
            where = Places(said, variables)
            if arguments["state"] == "known":
                return {**result, "changed": False, **where.known()}
            if arguments["state"] == "moved":
                moved = where.move(arguments["records_files"], dry=self._task.check_mode)
                return {**result, "changed": moved, "records_file": str(where.records)}
            return {**result, "changed": where.forget(dry=self._task.check_mode)}
        except SendyardError as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename}: {error.strerror}") from error


class Places:
    """Where the files of a domain are, or were. Raises SendyardError where the variable `domain` names none."""

    def __init__(self, said: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        senders, credentials = owner.senders_of(variables), owner.credentials_of(said)
        self.name = onboarding.wish(
            {"domain": variables.get("domain")}, senders=senders, credentials=credentials
        ).domain
        self.directory = Path(said["domains_directory"])
        self.aside = self.directory / ASIDE
        self.records = self.aside / f"{self.name}.records.json"  # there until they are gone from the zone
        self.reports = Path(said["report_directory"]).absolute()

    @property
    def file(self) -> Path:
        """The domain's file, whether it is there or not."""
        files = [self.directory / f"{self.name}{end}" for end in (".yml", ".yaml")]
        return next((path for path in files if path.exists()), files[0])

    def known(self) -> dict[str, Any]:
        """Return the domain's name and servers, and whether its file is `there` and anything is `left` to do."""
        there = self.file.exists()
        left = there or self.records.exists()
        kept = [path for path in self._earlier() if path.exists()]
        if not there and not kept:
            names = tuple(sorted(path.stem for path in self.directory.glob("*.y*ml")))
            raise SendyardError(f"domain: {self.name} has no file in {self.directory}; {nearest(self.name, names)}")
        if not left:
            Display().display(f"{self.name} was offboarded before; its file is {kept[-1]}")
        domain = _read(self.file if there else kept[-1], self.name)
        return {"name": self.name, "servers": list(domain.servers), "there": there, "left": left}

    def move(self, records_files: list[str], *, dry: bool) -> bool:
        """Keep what is to be removed from the zone, then move the file aside; True where it was still there."""
        if not self.file.exists():
            return False
        records = [record for path in records_files for record in json.loads(Path(path).read_text(encoding="utf-8"))]
        for record in records:  # what a first record said instead is ours as well
            record["was"] = [*record["was"], *record.pop("first", [])]
        if dry:
            return True
        self.aside.mkdir(exist_ok=True)
        self.records.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
        self.file.rename(next(path for path in self._earlier() if not path.exists()))
        return True

    def forget(self, *, dry: bool) -> bool:
        """Remove what is left of an offboarded domain but its file; True where anything was."""
        pages = [self.reports / f"{self.name}{end}" for end in (".html", ".json")]
        there = [path for path in (self.records, *pages) if path.exists()]
        for path in there if not dry else ():
            path.unlink()
        return bool(there)

    def _earlier(self) -> Iterator[Path]:
        """Yield where the file lies or will lie: a domain may come and go several times.."""
        yield self.aside / f"{self.name}.yml"
        yield from (self.aside / f"{self.name}.{number}.yml" for number in range(2, 1000))


def _read(path: Path, name: str) -> Domain:
    try:
        return parse(Path(f"{name}.yml"), path.read_text(encoding="utf-8"))
    except (Invalid, UnicodeDecodeError) as error:
        raise SendyardError(f"{path}: {error}") from error
