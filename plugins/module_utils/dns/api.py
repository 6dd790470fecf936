# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON over HTTPS to a provider: deadlines, what may be tried again and for how long, and errors that say what to do.

A redirect is not followed, since what proves who we are would go along.
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import math
import random
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from .backends import AuthError, Conflict, Transient, Unsupported
from .model import DnsError

with suppress(ImportError):  # the module that needs urllib3 names it
    import urllib3
    import urllib3.exceptions

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds between two pieces of an answer
TRIES = 3  # of what may be repeated without harm
PATIENCE = 120.0  # seconds in which one call obeys a provider that asks to come later
CONNECTIONS = 8  # kept open, as many as zones are worked on at a time
SHOWN = 300  # characters of what a provider says
TOO_MANY, UNAVAILABLE = 429, 503


class NotFound(DnsError):
    """The provider knows no such thing."""


class Api:
    """One provider's API with one credential. May be used by several threads.

    Args:
        name: of the credential, for errors.
        url: where the API is, without the last slash.
        headers: sent with every request; the secret is in one of them.
        secret: never shown, whatever a provider repeats.
        ca_file: PEM of the authorities to trust instead of the system's.
        told: makes of an error and the parsed answer that it came with a nearer one, where a provider says more in it
            than by its status.

    Raises:
        AuthError: `url` is not https, and not on this machine; or the secret cannot be part of a header.
    """

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str],
        secret: str,
        *,
        ca_file: str | None = None,
        told: Callable[[DnsError, Any], DnsError] = lambda error, _said: error,
    ) -> None:
        self._here = f'DNS credential "{name}"'
        if find_spec("urllib3") is None:
            raise AuthError(f"{self._here}: its provider needs urllib3 on the controller (requirements/run.txt).")
        if not re.fullmatch(r"[!-~]+", secret):  # the error that Python would raise for it shows the header
            raise AuthError(
                f"{self._here}: the secret has white space or other characters that no token has. Give the token "
                "alone, on one line."
            )
        self._told = told
        self._url = secure(self._here, url)
        self._host = urllib.parse.urlsplit(url).netloc
        self._secret = secret
        self._headers = {"Accept": "application/json", "User-Agent": "sendyard", **headers}
        settings: dict[str, Any] = {
            "maxsize": CONNECTIONS,
            "retries": False,
            "timeout": urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
            "ca_certs": ca_file,
        }
        proxy = _proxy(self._url)
        self._pool = urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)

    def get(self, path: str, **query: Any) -> Any:
        """Return what the API answers to GET `path`, parsed. Raises as `send` does."""
        return self.send("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path, repeatable=True)

    def send(self, method: str, path: str, body: Any = None, *, repeatable: bool = False) -> Any:
        """Return what the API answers, parsed; None where that is nothing.

        Args:
            repeatable: whether a request of which nobody knows whether it arrived may be sent again.

        Raises:
            AuthError: the credential is not accepted, or may not do this.
            NotFound: there is no such thing.
            Conflict: what was to be changed is not as it was.
            Unsupported: the provider does not take this.
            Transient: no answer, or an error of the provider's own; it may have done what was asked.
        """
        expires = time.monotonic() + PATIENCE
        pauses = _pauses()
        tries = TRIES if repeatable else 1
        while True:
            failure: DnsError
            try:
                status, headers, text = self._request(method, path, body)
            except urllib3.exceptions.HTTPError as error:
                failure = Transient(f"{self._host}: {_transport(error)}")
            else:
                if 200 <= status < 300:
                    return self._parsed(method, path, text)
                failure = self._refusal(method, path, status, text)
                wait = _asked_to_wait(status, headers, pauses)
                if wait is not None:  # it did nothing, so that whatever was asked may be asked again
                    if time.monotonic() + wait > expires:
                        raise failure
                    time.sleep(wait)
                    continue
            tries -= 1
            if tries <= 0 or not isinstance(failure, Transient):
                raise failure
            time.sleep(next(pauses))

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _request(self, method: str, path: str, body: Any) -> tuple[int, Mapping[str, str], str]:
        headers = dict(self._headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        answer = self._pool.request(method, self._url + path, body=data, headers=headers, redirect=False)
        return answer.status, answer.headers, answer.data.decode("utf-8", "replace")

    def _parsed(self, method: str, path: str, text: str) -> Any:
        if not text.strip():
            return None
        try:
            return json.loads(text)
        except ValueError as error:
            raise Transient(
                f"{self._host} answers {method} {path} with something that is no JSON: {self._shown(text)}"
            ) from error

    def _refusal(self, method: str, path: str, status: int, text: str) -> DnsError:
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        said = " ".join(dict.fromkeys(_messages(parsed))) or text
        return self._told(self._by_status(method, path, status, said), parsed)

    def _by_status(self, method: str, path: str, status: int, said: str) -> DnsError:
        what = (
            f"{self._here}: {self._host} answers {method} {path.partition('?')[0]} with {status}: {self._shown(said)}"
        )
        if status in (401, 403):
            return AuthError(
                f"{what}. It is not accepted, or may not do this. See whether its token is valid, and which zones and "
                "rights it has (docs/dns-backends.md)."
            )
        if status == 404:
            return NotFound(what)
        if status in (409, 412, 423):
            return Conflict(what)
        if status == TOO_MANY:
            return Transient(f"{what}. It wants fewer requests; what is left is done by a later run.")
        if status >= 500:
            return Transient(what)
        return Unsupported(what)

    def _shown(self, text: str) -> str:
        """Return what a provider said, on one line, shortened, and without our secret."""
        line = " ".join(text.split()).replace(self._secret, "***")
        return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."


def quoted(*segments: str) -> str:
    """Return a path of `segments`, whatever characters they have."""
    return "".join(f"/{urllib.parse.quote(segment, safe='@')}" for segment in segments)


def secure(here: str, url: str) -> str:
    """Return `url` without its last slash. Raises AuthError, naming `here`, where a secret would go there in clear."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return url.rstrip("/")
    raise AuthError(
        f"{here}: {url} is no https address, and the secret would be sent in clear. Put TLS before it, or forward a "
        "port of this machine to it by SSH."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for `url` (https_proxy, no_proxy)."""
    parts = urllib.parse.urlsplit(url)
    if _is_loopback(parts.hostname or "") or urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _pauses() -> Iterator[float]:
    """Yield how many seconds to wait before the next try, each about twice the last, and no two callers the same."""
    pause = 0.5
    while True:
        yield pause * random.uniform(0.5, 1.5)  # noqa: S311  # no secret hangs on it
        pause = min(2 * pause, 16.0)


def _asked_to_wait(status: int, headers: Mapping[str, str], pauses: Iterator[float]) -> float | None:
    """Return how many seconds the provider wants us to wait (RFC 9110 section 10.2.3), None where it does not."""
    said = headers.get("Retry-After")
    if status != TOO_MANY and not (status == UNAVAILABLE and said):
        return None
    try:
        wait = float(said or "")
    except ValueError:
        try:
            wait = email.utils.parsedate_to_datetime(said or "").timestamp() - time.time()
        except ValueError:
            wait = next(pauses)
    return max(wait, 0.0) if math.isfinite(wait) else PATIENCE


def _transport(error: Exception) -> str:
    """Return what went wrong on the way, without the request that urllib3 tells with it."""
    return {
        "NewConnectionError": "no connection",
        "NameResolutionError": "its name has no address",
        "ConnectTimeoutError": f"no connection within {CONNECT_TIMEOUT:.0f} s",
        "ReadTimeoutError": f"no answer within {READ_TIMEOUT:.0f} s",
        "SSLError": f"no TLS: {error}",
    }.get(type(error).__name__, f"the connection broke ({type(error).__name__})")


def _messages(said: Any) -> Iterator[str]:
    """Yield the texts of an error, whatever it is packed in."""
    if isinstance(said, Mapping):
        for name, value in said.items():
            if name in ("message", "error", "errors", "cause", "description", "error_chain"):
                yield from _messages(value)
    elif isinstance(said, list):
        for one in said:
            yield from _messages(one)
    elif isinstance(said, str) and said:
        yield said
