#!/usr/bin/python

# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_config
short_description: Makes a set of configuration files live, or leaves the running one
version_added: "0.1.0"
author: The Sendyard maintainers (@sendyard)
description:
  - Takes the whole wanted set of files of one subsystem, stages and validates it, swaps it in an order in which every
    prefix works, has the daemons take it up and proves it on the wire. If that fails, what ran before is brought back.
  - Unchanged files are not rewritten, and no daemon is touched where nothing changed and the live generation runs.
  - A file that an earlier call placed and this one lacks is removed. What stood at a path before the first call is kept
    below C(/var/lib/sendyard/replaced).
  - Files in a directory called C(sysusers.d) or C(tmpfiles.d) are applied before the others are placed, so that a
    subsystem brings its own users and run-time directories.
options:
  subsystem:
    description: Whose files they are. It decides which paths are allowed, how they are validated, and what is probed.
    type: str
    required: true
    choices: [auth, firewall, guard, postfix, resolver, signer, transport_policy, updates]
  files:
    description: The whole wanted set of files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path. One that the subsystem may not own is refused.
        type: str
        required: true
      content:
        description: The whole content.
        type: str
        required: true
      mode:
        description: Permission bits, octal, as a string.
        type: str
        default: "0644"
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      sensitive:
        description: Show in the diff only that the content differs.
        type: bool
        default: false
  directories:
    description: Directories that must exist with this owner and mode. They are never removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      mode:
        description: Permission bits, octal, as a string.
        type: str
        default: "0755"
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
  settings:
    description:
      - What validation and probe need to know. Names that the subsystem does not know are refused.
      - "All subsystems: C(enabled) (false removes files and stops units), C(units) (further units of the subsystem that
        are to be enabled and running, such as a timer)."
      - "C(postfix): C(fqdn), C(listeners) (ports, of 25, 465, 587, 2525), C(milters) (what smtpd_milters must name on
        every submission listener, and non_smtpd_milters), C(probe_recipient)."
      - "C(auth): C(socket) (where Postfix asks), C(mechanisms) (that must be offered)."
      - "C(signer): C(fqdn), C(gate_socket), C(signer_socket), C(key_directory), C(selector)."
      - "C(guard): C(socket) (where Dovecot is asked), C(failures) (that block a network), C(prefix4) (its length)."
      - "C(transport_policy): C(socket) (where Postfix asks)."
      - "C(updates): C(unattended) (whether packages are installed by themselves)."
      - "C(resolver): C(address), C(probe_name), C(probe_type), C(expect_ad), C(deadline) in seconds."
      - "C(firewall): C(ssh_ports) (by which the host is reached; they must be accepted), C(confirm) (C(host) or
        C(controller))."
    type: dict
    default: {}
  asked:
    description:
      - A digest of all that is asked for, which M(sendyard.mail.host_inspect) tells as long as it stands. The action
        plugin of this name fills it in, and calls no module where it does.
    type: str
    default: ""
attributes:
  check_mode:
    description: Can run in check mode and says what would change, also on a host that lacks packages and users.
    support: full
  diff_mode:
    description: Shows every file before and after; of sensitive ones only that they differ.
    support: full
"""

EXAMPLES = r"""
- name: Postfix serves what its templates say
  sendyard.mail.host_config:
    subsystem: postfix
    files:
      - path: /etc/postfix/main.cf
        content: "{{ lookup('ansible.builtin.template', 'main.cf.j2') }}"
      - path: /etc/postfix/master.cf
        content: "{{ lookup('ansible.builtin.template', 'master.cf.j2') }}"
    settings:
      fqdn: mx1.yard.example
      listeners: [25, 587, 465, 2525]
      milters: ["unix:gate/gate.sock", "unix:opendkim/opendkim.sock"]
"""

RETURN = r"""
started:
  description: Units that did not run and were started.
  type: list
  elements: str
  returned: success
restarted:
  description: Units that were restarted.
  type: list
  elements: str
  returned: success
reloaded:
  description: Units that were reloaded.
  type: list
  elements: str
  returned: success
enabled:
  description: Units that start at boot from now on.
  type: list
  elements: str
  returned: success
stopped:
  description: Units that were stopped.
  type: list
  elements: str
  returned: success
reason:
  description: Why daemons had to take up and answer though no file differs, empty where they had not.
  type: str
  returned: success
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.host import generations
from ansible_collections.sendyard.mail.plugins.module_utils.host.files import FileSpec
from ansible_collections.sendyard.mail.plugins.module_utils.host.lock import host_lock
from ansible_collections.sendyard.mail.plugins.module_utils.host.plan import DirectorySpec
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.registry import NAMES, subsystem
from ansible_collections.sendyard.mail.plugins.module_utils.quiet_module import QuietModule

_OWNERSHIP = {
    "path": {"type": "str", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
}
SPEC = {
    "subsystem": {"type": "str", "required": True, "choices": list(NAMES)},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            **_OWNERSHIP,
            "content": {"type": "str", "required": True},
            "mode": {"type": "str", "default": "0644"},
            "sensitive": {"type": "bool", "default": False},
        },
    },
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**_OWNERSHIP, "mode": {"type": "str", "default": "0755"}},
    },
    "settings": {"type": "dict", "default": {}},
    "asked": {"type": "str", "default": ""},
}


def parse_mode(text: str, path: str) -> int:
    """Permission bits from octal text such as "0640". Raises SendyardError naming `path`."""
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise SendyardError(f'{path}: mode "{text}" is not octal; write it as a string such as "0640".')
    return mode


def parse_path(text: str) -> Path:
    """An absolute path without "..". Raises SendyardError for another one."""
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise SendyardError(f'path "{text}" is not absolute and plain; write it from / on, without "..".')
    return path


def parse_file(item: dict[str, Any]) -> FileSpec:
    """One entry of `files`."""
    return FileSpec(
        path=parse_path(item["path"]),
        content=item["content"].encode(),
        mode=parse_mode(item["mode"], item["path"]),
        owner=item["owner"],
        group=item["group"],
        sensitive=item["sensitive"],
    )


def parse_directory(item: dict[str, Any]) -> DirectorySpec:
    """One entry of `directories`."""
    mode = parse_mode(item["mode"], item["path"])
    return DirectorySpec(parse_path(item["path"]), mode, item["owner"], item["group"])


def main() -> None:
    """Make the wanted files of one subsystem live."""
    # All the files' contents are arguments: QuietModule keeps them from the journal, `invocation` from the result.
    module = QuietModule(argument_spec=SPEC, supports_check_mode=True)
    name = module.params["subsystem"]
    invocation = {"module_args": {"subsystem": name, "files": [item["path"] for item in module.params["files"]]}}
    try:
        chosen = subsystem(name)(module.params["settings"])
        wanted = [parse_file(item) for item in module.params["files"]]
        directories = [parse_directory(item) for item in module.params["directories"]]
        # A check writes nothing, so it needs no lock, and is not kept waiting by a run.
        with nullcontext() if module.check_mode else host_lock(f"host_config {name}"):
            outcome = generations.apply(
                chosen, wanted, directories, check=module.check_mode, asked=module.params["asked"]
            )
    except SendyardError as error:
        module.fail_json(msg=str(error), invocation=invocation, **error.facts)
    module.exit_json(
        changed=outcome.changed,
        invocation=invocation,
        diff=outcome.diff,
        started=outcome.started,
        restarted=outcome.restarted,
        reloaded=outcome.reloaded,
        enabled=outcome.enabled,
        stopped=outcome.stopped,
        reason=outcome.reason,
    )


if __name__ == "__main__":
    main()
