# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which domains were published, stop a host whose own records were not, and write pages of what to do by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sendyard.mail.plugins.module_utils import dns_page
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Returns `published`, the waiting keys whose records were seen, and keeps the faults of the other domains."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        subjects = both(self._task.args["subjects"], self._task.args.get("looked") or {})
        waiting = self._task.args["waiting"]
        own = variables["inventory_hostname"]
        said = owner.settings(variables, self._templar)
        pages = Path(said["report_directory"]).absolute() / "dns"
        try:
            told = write_pages(pages, subjects, self._task.args.get("manual") or {})
        except OSError as error:
            raise AnsibleActionFail(
                f"what to enter by hand cannot be written to {pages}: {error.strerror}. Set sendyard_report_directory "
                "to a directory of the controller that you may write to."
            ) from error
        subjects = {subject: {**found, **told.get(subject, {})} for subject, found in subjects.items()}
        result.update(
            changed=False,
            published=[
                {"domain": key["domain"], "digest": key["digest"]}
                for key in waiting
                if subjects.get(key["subject"], {}).get("ok")
            ],
            ansible_facts=owner.facts(
                sendyard_domain_faults=owner.with_faults_of(subjects, variables, left_alone=False)
            ),
        )
        if not subjects.get(own, {"ok": True})["ok"]:
            result.update(failed=True, msg=f"{own}: {subjects[own]['error']}")
        return result


def both(published: Mapping[str, Any], looked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be said of each subject: what publishing said and, where that is fine, who looked elsewhere."""
    return {subject: looked.get(subject, found) if found["ok"] else found for subject, found in published.items()}


def write_pages(
    directory: Path, subjects: Mapping[str, Mapping[str, Any]], manual: Mapping[str, list[Any]]
) -> dict[str, dict[str, str]]:
    """Write a page, and lines of a zone file, for every subject with something `manual`; remove those of the others.

    Return the errors of those that are at fault, with where their page is.
    """
    told: dict[str, dict[str, str]] = {}
    for subject, found in subjects.items():
        paths = [directory / f"{subject}.html", directory / f"{subject}.zone"]
        to_do = manual.get(subject) or []
        if not to_do:
            _remove(paths)
            continue
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (dns_page.html(subject, to_do), dns_page.zone_lines(subject, to_do)), strict=True):
            path.write_text(text, encoding="utf-8")
        if not found["ok"]:
            told[subject] = {"error": f"{found['error']} What to enter, to copy from: {paths[0]}"}
    return told


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
