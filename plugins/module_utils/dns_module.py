# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules have in common that take the owner's credentials, and ask name servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .dns import model
from .errors import SendyardError
from .quiet_module import QuietModule


class DnsModule(QuietModule):
    """A module that lets no credential's secret into a result.

    Ansible returns the arguments with every result, those of a failure before anything was read among them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hide_secrets()  # what was a text is parsed now

    def _load_params(self) -> None:
        """Read the arguments; before they are validated, since an invalid one is a failure too."""
        super()._load_params()
        self._hide_secrets()

    def _hide_secrets(self) -> None:
        self.no_log_values.update(secrets_in(self.params.get("credentials")))
        self.no_log_values.update(secrets_in({"inline": self.params.get("provider")}))


def secrets_in(said: Any) -> set[str]:
    """Return what is or may be a secret in the option credentials, whatever stands there instead of named ones."""
    if not isinstance(said, Mapping):
        return texts(said)
    found = (one.get("secret") if isinstance(one, Mapping) else one for one in said.values())
    return set().union(*map(texts, found))


def texts(value: Any) -> set[str]:
    """Return every text and number in `value`, as it stands there and without surrounding white space."""
    if isinstance(value, Mapping):
        return set().union(*map(texts, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(texts, value))
    text = "" if value is None or isinstance(value, bool) else str(value)
    return {text, text.strip()} - {""}


def parse_name_servers(said: Mapping[str, Any]) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return the option name_servers with absolute names. Raises SendyardError naming what is no address and port."""
    parsed: dict[str, tuple[tuple[str, int], ...]] = {}
    for name, where in said.items():
        try:
            address, port = where
            parsed[str(model.parse_name(name))] = ((str(address), int(port)),)
        except (TypeError, ValueError) as error:
            raise SendyardError(f"name_servers: {name} needs a list of address and port, not {where!r}") from error
    return parsed
