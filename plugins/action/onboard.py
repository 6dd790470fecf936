# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write down a new sending domain on the controller: ask for what is missing, look at it in DNS, make its first login.

The token of the login is told once, on the terminal or in a file for its owner alone. It is in no result and no log.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.sendyard.mail.plugins.module_utils import onboarding
from ansible_collections.sendyard.mail.plugins.module_utils.dns import dmarc, model, verify
from ansible_collections.sendyard.mail.plugins.module_utils.domain_files import Invalid, parse
from ansible_collections.sendyard.mail.plugins.module_utils.domains import Domain
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from ansible_collections.sendyard.mail.plugins.module_utils.logins import generate_token, hash_token
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

ROOT = Path(__file__).resolve().parents[2]
# Ansible reads a plugin where the person's terminal still is, and runs it in a process that has none.
TERMINAL = all(stream and not stream.closed and stream.isatty() for stream in (sys.stdin, sys.stdout))
SECONDS_TO_ANSWER = 600
NEEDED = ("domains_directory", "dns_credentials", "publish_resolver", "return_path")


@dataclass(frozen=True)
class Found:
    """A domain as its file has it, whether that is new, and, where it is, what DNS said before."""

    domain: Domain
    new: bool
    findings: tuple[str, ...]


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Returns the domain as its file has it; `changed` where the file is new."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        try:
            found = self._onboard(variables)
        except SendyardError as error:
            raise AnsibleActionFail(f"Nothing was changed. {error}") from error
        for finding in found.findings:
            Display().display(f"  {finding}")
        said = {key: value for key, value in asdict(found.domain).items() if key in ("name", "servers", "dns")}
        result.update(
            said,
            changed=found.new,
            usernames=[login.username for login in found.domain.logins],
            findings=list(found.findings),
            written=not (found.new and self._task.check_mode),
        )
        return result

    def _onboard(self, variables: Mapping[str, Any]) -> Found:
        said = owner.settings(variables, self._templar, lenient=True)
        if missing := [f"{owner.PREFIX}{name}" for name in NEEDED if name not in said]:
            raise SendyardError(f"{', '.join(missing)}: they cannot be read; playbooks/preflight.yml says why.")
        directory = _directory(said, variables)
        senders, credentials = owner.senders_of(variables), owner.credentials_of(said)
        asked = {name: variables.get(name) for name in ("domain", "host", "dns", "login")}
        if not asked["domain"] and TERMINAL:
            asked["domain"] = _ask("The domain that is to send, such as shop.example.com", "")
        wanted = onboarding.wish(asked, senders=senders, credentials=credentials)
        path = next(
            (one for end in (".yml", ".yaml") if (one := directory / f"{wanted.domain}{end}").exists()),
            directory / f"{wanted.domain}.yml",
        )
        if path.exists():
            domain = _there(path, wanted)
            self._refuse_faults(domain, path, said, variables, new=False)
            _refuse_without(domain, variables)
            _look(domain.name, said)  # what it finds now is ours as well
            return Found(domain, False, ())
        findings = _look(wanted.domain, said)
        if TERMINAL:
            asked |= _ask_the_rest(asked, wanted.domain, senders, credentials)
            wanted = onboarding.wish(asked, senders=senders, credentials=credentials)
        wanted = onboarding.completed(wanted, senders)
        _refuse_without(Domain(wanted.domain, wanted.servers, wanted.dns), variables)
        token = generate_token()
        text = onboarding.file_text(wanted, hash_token(token))
        domain = parse(path, text)
        self._refuse_faults(domain, path, said, variables, new=True)
        place = _place_of_token(variables)
        if not self._task.check_mode:
            _write(path, text, wanted.login, token, place)
        return Found(domain, True, findings)

    def _refuse_faults(
        self, domain: Domain, path: Path, said: Mapping[str, Any], variables: Mapping[str, Any], *, new: bool
    ) -> None:
        inventory = owner.domain_inventory(said, variables, new=[domain] if new else [])
        if faults := [fault.message for fault in inventory.faults if fault.subject == domain.name]:
            raise SendyardError("\n".join(faults))


def _directory(said: Mapping[str, Any], variables: Mapping[str, Any]) -> Path:
    """Return where the domain files are. Raises SendyardError where a new one must not be written."""
    directory = Path(said["domains_directory"]).resolve()
    sources = [Path(source).resolve() for source in variables.get("ansible_inventory_sources") or ()]
    lab = ROOT / "inventory/lab"
    if any(source.is_relative_to(lab) for source in sources) or directory.is_relative_to(ROOT / "lab"):
        raise SendyardError(
            "This is the lab's inventory, and what the lab knows goes with it. Name one of yours: -i ../servers "
            "(README.md says how to make one)."
        )
    if not directory.is_dir():
        raise SendyardError(
            f"sendyard_domains_directory: there is no directory {directory}, where the files of the domains are. Make "
            "it, empty, beside your hosts.yml, or name the inventory that has it: -i …"
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise SendyardError(f"{directory}: you may not write there.")
    return directory


def _there(path: Path, wanted: onboarding.Wish) -> Domain:
    """Return the domain whose file is there. Raises SendyardError where that says something else than is asked for."""
    try:
        domain = parse(path, path.read_text(encoding="utf-8"))
    except (Invalid, OSError, UnicodeDecodeError) as error:
        raise SendyardError(f"{path} is there already, and at fault: {error}") from error
    if wrong := onboarding.differences(wanted, domain):
        raise SendyardError(
            f"{path} is there already and says something else: {'; '.join(wrong)}. Change the file and run site.yml, "
            "or ask for what it says."
        )
    logins = ", ".join(login.username for login in domain.logins) or "none (script/new-login makes one)"
    Display().display(
        f"{path} is there already; servers: {', '.join(domain.servers)}; dns: {domain.dns}; logins: {logins}"
    )
    return domain


def _refuse_without(domain: Domain, variables: Mapping[str, Any]) -> None:
    """Raise SendyardError where the run is about none of the domain's servers, and would end without a word."""
    if set(domain.servers).isdisjoint(variables["ansible_play_hosts_all"]):
        raise SendyardError(f"--limit leaves out all servers of {domain.name}: {', '.join(domain.servers)}.")


def _look(domain: str, said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what DNS says of a domain. Raises SendyardError where nobody knows a zone for it, or nobody answers."""
    directory = verify.Directory(said["publish_resolver"], {})
    apex = directory.zone_of(model.parse_name(domain))
    if apex is None or len(apex.labels) < 3:  # a label and the root: no domain that anybody registers
        raise SendyardError(
            f"domain: nobody in the world knows a zone that holds {domain} (no SOA record). Is it spelt so, "
            "registered, and does its registrar name its name servers?"
        )
    zone = apex.to_text(omit_final_dot=True)
    own = any(map(dmarc.tags, directory.look_up(f"_dmarc.{domain}", "TXT")))
    policy_of = domain if own else zone
    return tuple(
        onboarding.findings(
            domain,
            zone,
            texts=directory.look_up(domain, "TXT"),
            policies=directory.look_up(f"_dmarc.{policy_of}", "TXT"),
            policy_of=policy_of,
            exchanges=directory.look_up(domain, "MX"),
        )
    )


def _ask_the_rest(
    asked: Mapping[str, Any], domain: str, senders: tuple[str, ...], credentials: tuple[str, ...]
) -> dict[str, str]:
    """Return what a person says to what was not said yet, where there is a choice."""
    questions = {
        "host": ("Which servers send for it, with commas", ",".join(senders), len(senders) > 1),
        "dns": (
            f"Who changes its zone: {', '.join(credentials)} (manual: you, by hand)",
            onboarding.BY_HAND,
            len(credentials) > 1,
        ),
        "login": (f"The first login, before @{domain}", onboarding.LOGIN_NAME, True),
    }
    return {
        name: _ask(question, default)
        for name, (question, default, choice) in questions.items()
        if choice and not asked[name]
    }


def _ask(question: str, default: str) -> str:
    """Return what a person answers, `default` for an empty line. Raises SendyardError where nobody answers in time."""
    shown = f"{question} [{default}]:" if default else f"{question}:"
    ends = time.monotonic() + SECONDS_TO_ANSWER
    answer = Display().prompt_until(shown, seconds=SECONDS_TO_ANSWER)
    if time.monotonic() >= ends:
        raise SendyardError(f"{question}: nobody answered within {SECONDS_TO_ANSWER} s; say it with -e.")
    if isinstance(answer, BaseException):
        raise SendyardError(f"{question}: nobody could be asked ({answer}); say it with -e.") from answer
    return answer.decode("utf-8", "replace").strip() or default


def _place_of_token(variables: Mapping[str, Any]) -> Path | None:
    """Return the file that the token goes to, None for the terminal. Raises SendyardError where nobody would get it."""
    if variables.get("token_file"):
        place = Path(str(variables["token_file"])).expanduser().absolute()
        if place.exists():
            raise SendyardError(f"token_file: {place} is there already; name a new file.")
        if not os.access(place.parent, os.W_OK | os.X_OK):
            raise SendyardError(f"token_file: {place.parent} is no directory that you may write to.")
        return place
    if not TERMINAL:
        raise SendyardError(
            "There is no terminal to show the new login's token on. Name a file for it, which you alone will be able "
            "to read: -e token_file=…"
        )
    return None


def _write(path: Path, text: str, username: str, token: str, place: Path | None) -> None:
    """Write the domain's file, and tell the token. Raises SendyardError where one of them cannot be done."""
    try:
        with onboarding.new_file(path, text), _told(username, token, place):
            pass
    except OSError as error:
        if place and error.filename2:  # another run wrote the file first, so that this token is nobody's
            place.unlink(missing_ok=True)
        raise SendyardError(
            f"{error.filename2 or error.filename}: {error.strerror}; no domain was written down."
        ) from error


@contextmanager
def _told(username: str, token: str, place: Path | None) -> Iterator[None]:
    """Tell the token before the file that knows its hash stands: a login of whose token nobody knows is of no use."""
    if place is None:
        Display().display(
            f"\n  The token of {username}, its password. It is shown only now, and kept nowhere:\n\n      {token}\n",
            screen_only=True,
        )
    else:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{token}\n")
        Display().display(f"The token of {username} is in {place}, for you alone to read.")
    yield
