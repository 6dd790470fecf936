# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What every provider's API has in common: what is tried again, what is never shown, and where no secret goes."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.dns import api
from ansible_collections.sendyard.mail.plugins.module_utils.dns.backends import (
    AuthError,
    Conflict,
    Transient,
    Unsupported,
)

SECRET = "a-token-that-only-this-test-knows"
Answer = tuple[int, dict[str, str], str]


class Provider(ThreadingHTTPServer):
    """Answers what a test wants, one after the other, the last again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = [(200, {}, "{}")]
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        answers = self.server.answers
        status, headers, text = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr(api.time, "sleep", found.append)
    return found


def client(provider: Provider, secret: str = SECRET) -> api.Api:
    url = f"http://127.0.0.1:{provider.server_port}"
    return api.Api("ours", url, {"Authorization": f"Bearer {secret}"}, secret)


@pytest.mark.parametrize("url", ["http://api.example", "http://192.0.2.1:8081", "ftp://127.0.0.1", "api.example"])
def test_no_secret_goes_out_in_clear(url: str) -> None:
    with pytest.raises(AuthError, match="no https address"):
        api.Api("ours", url, {}, SECRET)


@pytest.mark.parametrize("secret", ["one\ntwo", "with space", "tökén-of-somebody", ""])
def test_a_secret_that_can_be_no_header_is_refused_unseen(provider: Provider, secret: str) -> None:
    with pytest.raises(AuthError, match="Give the token alone") as refused:
        client(provider, secret)
    assert not secret or secret not in str(refused.value)


def test_a_redirect_is_not_followed(provider: Provider) -> None:
    with Provider() as other:
        provider.answers = [(302, {"Location": f"http://127.0.0.1:{other.server_port}/"}, "")]
        with pytest.raises(Unsupported, match="with 302"):
            client(provider).get("/zones")
        assert (len(provider.asked), other.asked) == (1, [])


def test_what_asks_is_tried_again_and_what_writes_is_not(provider: Provider, pauses: list[float]) -> None:
    provider.answers = [(500, {}, "")]
    for method, times in (("GET", 3), ("POST", 1)):
        provider.asked.clear()
        with pytest.raises(Transient, match="with 500"):
            client(provider).send(method, "/zones", repeatable=method == "GET")
        assert provider.asked == [f"{method} /zones"] * times
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_who_asks_to_come_later_is_obeyed_even_for_a_write(
    provider: Provider, pauses: list[float], status: int
) -> None:
    later = email.utils.formatdate(time.time() + 30, usegmt=True)
    provider.answers = [(status, {"Retry-After": "7"}, ""), (status, {"Retry-After": later}, ""), (200, {}, '{"a": 1}')]
    assert client(provider).send("POST", "/zones", {}) == {"a": 1}
    assert pauses[0] == 7
    assert 25 < pauses[1] <= 30
    assert len(provider.asked) == 3


def test_nobody_is_waited_for_longer_than_two_minutes(provider: Provider, pauses: list[float]) -> None:
    provider.answers = [(429, {"Retry-After": "121"}, "")]
    with pytest.raises(Transient, match="fewer requests"):
        client(provider).get("/zones")
    assert (pauses, len(provider.asked)) == ([], 1)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthError), (403, AuthError), (404, api.NotFound), (409, Conflict), (412, Conflict), (422, Unsupported)],
)
def test_what_was_said_is_told_with_the_credential_and_without_its_secret(
    provider: Provider, status: int, error: type[Exception]
) -> None:
    provider.answers = [(status, {}, f'{{"errors": [{{"message": "no, {SECRET}, not you"}}]}}')]
    with pytest.raises(error) as refused:
        client(provider).get("/zones", name="acme.example")
    text = str(refused.value)
    assert text.startswith('DNS credential "ours": 127.0.0.1:')
    assert f"answers GET /zones with {status}: no, ***, not you" in text


@pytest.mark.parametrize("text", ["<html>", "{"])
def test_what_is_no_json_is_no_answer(provider: Provider, text: str) -> None:
    provider.answers = [(200, {}, text)]
    with pytest.raises(Transient, match="no JSON"):
        client(provider).get("/zones")


def test_where_nobody_listens_that_is_said(provider: Provider, pauses: list[float]) -> None:
    nowhere = client(provider)
    nowhere._url = "http://127.0.0.1:1"
    with pytest.raises(Transient, match="no connection"):
        nowhere.get("/zones")
    assert len(pauses) == 2
