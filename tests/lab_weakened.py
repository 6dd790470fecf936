# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A sender of the lab whose Postfix lacks something for a while, to show what that something is there for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import lab_api
from lab_hosts import Sender

CONFIGURATION = "/etc/postfix"


@contextmanager
def weakened(
    sender: Sender, main: Mapping[str, str] | None = None, master: Mapping[str, str] | None = None
) -> Iterator[None]:
    """With these values in main.cf, and of master.cf (by "service/type/parameter"); all as it was afterwards."""
    kept = f"/root/{lab_api.token()}"
    lab_api.root(sender.name, "cp", "-a", CONFIGURATION, kept)
    try:
        for option, values in (("-e", main or {}), ("-P", master or {})):
            if values:
                lab_api.root(sender.name, "postconf", option, *(f"{name}={value}" for name, value in values.items()))
        reload_postfix(sender.name)
        yield
    finally:
        for name in ("main.cf", "master.cf"):
            lab_api.root(sender.name, "cp", "-a", f"{kept}/{name}", f"{CONFIGURATION}/{name}")
        lab_api.root(sender.name, "rm", "-r", kept)
        reload_postfix(sender.name)


def reload_postfix(host: str) -> None:
    """Have Postfix take its files up; master(8) does so after the command has ended, and says it in the log."""

    def reloads() -> str:
        return lab_api.root(
            host, "grep", "-c", "reload -- version", "/var/log/sendyard/postfix.log", check=False
        ).stdout

    before = reloads()
    lab_api.root(host, "postfix", "reload")
    lab_api.until(lambda: reloads() != before, what=f"the reload of Postfix on {host}")
