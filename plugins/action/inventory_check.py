# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check all that the owner wrote for a host, in one go, before anything is asked of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.sendyard.mail.plugins.module_utils import preflight
from ansible_collections.sendyard.mail.plugins.module_utils.domain_files import DirectoryError, Inventory, nearest
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

INTERNAL = {"sendyard_domain_faults", "sendyard_run"}  # set by the run itself
OF_ZONES = (  # what must be right for the zones to be asked about
    "fqdn", "addresses", "selector", "bounce_domain", "domains_directory", "dns_credentials", "dns_credential",
    "publish_ptr", "ptr_credential", "publish_resolver", "dmarc_policy", "dmarc_rua", "spf_style", "return_path",
    "caa_issuers", "certificate_source", "acme_directory",
)  # fmt: skip


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Returns `faults`, one sentence each, and the facts that later steps build on."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        said, faults = self._settings(variables)
        own = owner.identity(variables["inventory_hostname"], said)
        faults += preflight.setting_faults(said)
        faults += preflight.file_faults(said, lambda path: self._text(path, variables), datetime.now(UTC))
        faults += preflight.identity_faults(own, owner.identities(variables, self._templar))
        faults += _unknown(variables)
        faults += self._of_roles(variables)
        found = Inventory((), ())
        if said.get("domains_directory"):
            faults += _parsed_by_ansible(said, variables)
            try:
                found = owner.domain_inventory(said, variables)
            except DirectoryError as error:
                faults.append(f"sendyard_domains_directory: {error}")
        wrong = {fault.partition(":")[0].removeprefix(owner.PREFIX) for fault in faults}
        faults = [_placed(fault, variables) for fault in faults]
        result.update(
            changed=False,
            faults=faults,
            msg="\n".join(f"{variables['inventory_hostname']}: {fault}" for fault in faults),
            bind_addresses=preflight.sound_addresses(said),
            port25_targets=said.get("preflight_port25_targets") or [],
            zones=wrong.isdisjoint(OF_ZONES),
            ansible_facts=owner.facts(
                sendyard_domain_faults=[asdict(fault) | {"left_alone": True} for fault in found.faults]
            ),
        )
        if found.faults:  # every host says the same, and Ansible prints the same warning once
            result["warnings"] = [f"Domains at fault, left as they are:\n{owner.told(map(asdict, found.faults))}"]
        return result

    def _settings(self, variables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the settings of the host that are of the right type, without their prefix, and what is wrong."""
        said: dict[str, Any] = {}
        faults: list[str] = []
        for name, option in owner.specification().items():
            if name not in variables:
                if option.get("required"):
                    faults.append(f"{name}: missing required setting: {option['description']}")
                continue
            try:
                value, wrong = owner.typed(name, self._templar.template(variables[name]))
            except AnsibleError as error:
                missing = [other for other in owner.specification() if f"'{other}' is undefined" in str(error)]
                if not missing:  # else the missing one is named by itself
                    faults.append(f"{name}: {error}")
                continue
            faults += [f"{name}: {message}" for message in wrong]
            if not wrong:
                said[name.removeprefix(owner.PREFIX)] = value
        return said, faults

    def _of_roles(self, variables: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the type of variables of our roles that the owner has set beside the settings."""
        for name, value in variables.items():
            role = name.partition("_")[0]
            if role in owner.roles() and name in owner.specification(role) and _by_owner(_origin(name, variables)):
                try:
                    wrong = owner.typed(name, self._templar.template(value), role)[1]
                except AnsibleError as error:
                    wrong = [str(error)]
                yield from (f"{name}: {message}" for message in wrong)

    def _text(self, path: str, variables: Mapping[str, Any]) -> str:
        """Return the text of a file of the controller, found and decrypted as the certificate role will."""
        lookup = lookup_loader.get("ansible.builtin.file", loader=self._loader, templar=self._templar)
        try:
            return str(lookup.run([path], variables=dict(variables))[0])
        except AnsibleError as error:
            why = str(error).partition(" Use -vvv")[0]
            raise OSError(f"{path} cannot be read on the controller ({why})") from error


def _origin(name: str, variables: Mapping[str, Any]) -> Origin | None:
    """Return where a variable was written. (A bool carries no tag, its name does.)"""
    key = next((key for key in variables if key == name), None)
    return Origin.get_tag(variables.get(name)) or Origin.get_tag(key)


def _by_owner(origin: Origin | None) -> bool:
    """False where it is a role's own default, which a play brings with it."""
    return not (origin and origin.path and Path(origin.path).is_relative_to(owner.ROLES))


def _placed(fault: str, variables: Mapping[str, Any]) -> str:
    """Put the place of a variable (file:line), where Ansible knows it, behind its name, with which the fault begins."""
    name, colon, rest = fault.partition(":")
    origin = _origin(name, variables)
    where = f" ({origin.path}:{origin.line_num})" if origin and origin.path and _by_owner(origin) else ""
    return f"{name}{where}{colon}{rest}"


def _unknown(variables: Mapping[str, Any]) -> Iterator[str]:
    """Yield every variable that looks like a setting and is none, with the nearest that is one."""
    known = tuple(owner.specification())
    for name in variables:
        if name.startswith(owner.PREFIX) and name not in known and name not in INTERNAL:
            yield f'{name}: "{name}" is no setting; {nearest(name, known)}'


def _parsed_by_ansible(said: Mapping[str, Any], variables: Mapping[str, Any]) -> Iterator[str]:
    """A domain file that Ansible parses as inventory could override a host's variables."""
    directory = Path(said["domains_directory"]).resolve()
    for source in variables.get("ansible_inventory_sources") or ():
        above = Path(source).resolve()
        if not above.is_dir() or not directory.is_relative_to(above):
            continue
        # Ansible goes down from its source and leaves out each file and directory whose name one of them matches.
        names = directory.relative_to(above).parts
        if not any(re.search(pattern, name) for pattern in C.INVENTORY_IGNORE_PATTERNS for name in names):
            yield (
                f"sendyard_domains_directory: {directory} lies in the inventory, and Ansible parses every file there. "
                f'Write "ignore_patterns = ^{directory.name}$" below [inventory] in ansible.cfg'
            )
