# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What zones and reverse DNS have in common in the Hetzner Cloud API: the token, lists in pages, and actions."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .api import Api, quoted
from .backends import Transient, check_options, check_secret

OPTIONS = frozenset({"url"})
URL = "https://api.hetzner.cloud/v1"
ACTION_SECONDS = 60.0  # that a write may take
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0  # seconds between two looks at an action; an hour has 3600 requests


def connect(name: str, said: Mapping[str, Any], secret: str) -> Api:
    """Return the API with the credential `name`; `secret` is an API token of the project.

    Options: `url` of the API, with its version.

    Raises:
        AuthError: an option is none, or the address is not https.
    """
    check_options(name, "hetzner", said, OPTIONS)
    headers = {"Authorization": f"Bearer {check_secret(name, secret)}"}
    return Api(name, str(said.get("url") or URL), headers, secret)


def project(name: str) -> str:
    """Return what errors call the project of the credential `name`."""
    return f'the project of DNS credential "{name}"'


def pages(
    api: Api, path: str, what: str, a_page: int, query: Sequence[tuple[str, str]] = ()
) -> Iterator[Mapping[str, Any]]:
    """Yield all entries of a list; its next page is asked for when it is needed."""
    page = 1
    while page:
        text = urllib.parse.urlencode([*query, ("page", page), ("per_page", a_page)])
        answer = api.send("GET", f"{path}?{text}", repeatable=True)
        yield from answer[what]
        page = answer["meta"]["pagination"]["next_page"]


def wait(api: Api, action: Mapping[str, Any], about: object, where: str) -> None:
    """Return when `action` has succeeded.

    Raises:
        Transient: it failed, or is not done in time; `about` and `where` say of what, and at whom.
    """
    expires = time.monotonic() + ACTION_SECONDS
    pause = 0.0
    while action["status"] == "running":
        if time.monotonic() + pause > expires:
            raise Transient(
                f"{about}: {action['command']} (action {action['id']}) is not done after {ACTION_SECONDS:.0f} s at "
                f"{where}. A later run finds out what became of it."
            )
        time.sleep(pause)
        pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
        action = api.get(quoted("actions", str(action["id"])))["action"]
    if action["status"] != "success":
        error = action["error"] or {"code": "no code", "message": "no message"}
        raise Transient(
            f"{about}: {action['command']} (action {action['id']}) failed at {where}: {error['message']} "
            f"({error['code']}). What it did is read again."
        )
