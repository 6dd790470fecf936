# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check all that the owner wrote for a host, in one go, before anything is asked of the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.module_utils.domain_files import DirectoryError, Inventory, nearest
from ansible_collections.sendyard.mail.plugins.module_utils.preflight import setting_faults
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

PREFIX = "sendyard_"
INTERNAL = {"sendyard_domain_faults"}  # set by the run itself


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Returns `faults`, one sentence each, and the facts that later steps build on."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        said, faults = self._settings(variables)
        found = Inventory((), ())
        if not faults:  # what follows relies on the types
            faults += [_placed(fault, variables) for fault in setting_faults(said)]
            faults += _parsed_by_ansible(said, variables)
            try:
                found = owner.domain_inventory(said, variables)
            except DirectoryError as error:
                faults.append(_placed(f"sendyard_domains_directory: {error}", variables))
        faults += _unknown(variables)
        result.update(
            changed=False,
            faults=faults,
            msg="\n".join(f"{variables['inventory_hostname']}: {fault}" for fault in faults),
            bind_addresses=[] if faults else list(owner.bind_addresses(said)),
            ansible_facts={"sendyard_domain_faults": [asdict(fault) | {"left_alone": True} for fault in found.faults]},
        )
        return result

    def _settings(self, variables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the settings of the host, and what is wrong with their types."""
        said: dict[str, Any] = {}
        faults: list[str] = []
        for name in owner.specification():
            if name not in variables:
                continue
            try:
                said[name] = self._templar.template(variables[name])
            except AnsibleError as error:
                missing = [other for other in owner.specification() if f"'{other}' is undefined" in str(error)]
                if not missing:  # else the missing one is named by itself
                    faults.append(f"{name}: {error}")
        checked = ArgumentSpecValidator(_without_defaults(owner.specification())).validate(said)
        faults += [_readable(message, said) for message in checked.error_messages]
        return {name.removeprefix(PREFIX): value for name, value in said.items()}, faults


def _without_defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an argument specification that the validator knows; texts are for people."""
    known = ("type", "elements", "required", "choices")
    return {
        name: {key: option[key] for key in known if key in option}
        | ({"options": _without_defaults(option["options"])} if "options" in option else {})
        for name, option in spec.items()
    }


def _readable(message: str, said: Mapping[str, Any]) -> str:
    """Put the variable, and where it stands, before Ansible's own words."""
    for name in sorted(said, key=len, reverse=True):
        if name in message:
            return f"{name}{_where(name, said[name])}: {message}"
    return message


def _placed(fault: str, variables: Mapping[str, Any]) -> str:
    """Put the place of a variable behind its name, with which the fault begins."""
    name, colon, rest = fault.partition(":")
    return f"{name}{_where(name, variables.get(name))}{colon}{rest}"


def _where(name: str, value: Any) -> str:
    """Return " (file:line)" where Ansible knows it."""
    origin = Origin.get_tag(name) or Origin.get_tag(value)
    return f" ({origin.path}:{origin.line_num})" if origin and origin.path else ""


def _unknown(variables: Mapping[str, Any]) -> Iterator[str]:
    """Yield every variable that looks like a setting and is none, with the nearest that is one."""
    known = tuple(owner.specification())
    for name, value in variables.items():
        if name.startswith(PREFIX) and name not in known and name not in INTERNAL:
            yield f'{name}{_where(name, value)}: "{name}" is no setting; {nearest(name, known)}'


def _parsed_by_ansible(said: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """A domain file that Ansible parses as inventory could override a host's variables."""
    directory = Path(said["domains_directory"]).resolve()
    sources = [Path(source).resolve() for source in variables.get("ansible_inventory_sources") or ()]
    if directory.name in "".join(C.INVENTORY_IGNORE_PATTERNS) or not any(
        source.is_dir() and directory.is_relative_to(source) for source in sources
    ):
        return []
    return [
        f"sendyard_domains_directory: {directory} lies in the inventory, and Ansible parses every file there. "
        f'Write "ignore_patterns = ^{directory.name}$" below [inventory] in ansible.cfg'
    ]
