# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""When certbot is asked for a certificate, and what is made of its refusals. (Certbot itself: tests/integration.)"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import acme
from ansible_collections.sendyard.mail.plugins.module_utils.deploy_certificate import Layout
from ansible_collections.sendyard.mail.plugins.module_utils.host.command import Result
from tls import Authority

FQDN = "mx1.yard.example"
ACCOUNT = acme.Account(directory="https://ca.lab.example:14000/dir", email="ops@yard.example")
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tls=tmp_path / "tls", letsencrypt=tmp_path / "letsencrypt", state=tmp_path / "state")


def hold(layout: Layout, authority: Authority, *names: str, server: str = ACCOUNT.directory) -> None:
    """What certbot has after it got a certificate for `names`."""
    issued = authority.issue(*names)
    lineage = layout.lineage("ecdsa")
    lineage.mkdir(parents=True)
    (lineage / "fullchain.pem").write_text(issued.certificate + authority.intermediate.certificate)
    (lineage / "privkey.pem").write_text(issued.key)
    renewal = layout.letsencrypt / "renewal"
    renewal.mkdir()
    (renewal / "sendyard-ecdsa.conf").write_text(
        f"version = 2.1.0\n[renewalparams]\nreuse_key = True\nserver = {server}\n"
    )


def why(layout: Layout, now: datetime = NOW) -> str:
    return acme.why_request("ecdsa", fqdn=FQDN, account=ACCOUNT, now=now, layout=layout)


def test_asked_where_there_is_none(layout: Layout) -> None:
    assert why(layout) == "there is none yet"


def test_not_asked_where_all_is_well(layout: Layout, authority: Authority) -> None:
    hold(layout, authority, FQDN)
    assert why(layout) == ""


def test_asked_where_the_files_are_there_but_nothing_renews_them(layout: Layout, authority: Authority) -> None:
    hold(layout, authority, FQDN)
    (layout.letsencrypt / "renewal/sendyard-ecdsa.conf").unlink()
    assert why(layout) == "there is none yet"


@pytest.mark.parametrize("names", [("mx2.yard.example",), (FQDN, "mx2.yard.example")])
def test_asked_where_it_is_for_other_names(layout: Layout, authority: Authority, names: tuple[str, ...]) -> None:
    hold(layout, authority, *names)
    assert why(layout) == f"the one there is for {', '.join(names)}"


def test_asked_where_another_server_gave_it(layout: Layout, authority: Authority) -> None:
    hold(layout, authority, FQDN, server="https://staging.example/dir")
    assert why(layout) == "the one there is from https://staging.example/dir"


def test_asked_where_the_timer_did_not_renew_it(layout: Layout, authority: Authority) -> None:
    hold(layout, authority, FQDN)
    assert "nothing has renewed it" in why(layout, NOW + timedelta(days=61))


ORDER_REFUSED = """\
2026-11-24 02:00:00,000:DEBUG:acme.client:Received response:
HTTP 400
Content-Type: application/problem+json; charset=utf-8

{
   "type": "urn:ietf:params:acme:error:badNonce",
   "detail": "JWS has an invalid anti-replay nonce: x",
   "status": 400
}
2026-11-24 02:00:01,000:DEBUG:acme.client:Received response:
HTTP 400

{
   "type": "urn:ietf:params:acme:error:rejectedIdentifier",
   "detail": "Issuance for mx1.yard.example is forbidden.",
   "status": 400
}
"""
CHALLENGE_FAILED = """\
{
  "status": "invalid",
  "challenges": [
    {
      "type": "http-01",
      "status": "invalid",
      "error": {
        "type": "urn:ietf:params:acme:error:dns",
        "detail": "NXDOMAIN looking up A for mx1.yard.example, \\"really\\"",
        "status": 400
      }
    }
  ]
}
2026-11-24 02:00:02,000:DEBUG:certbot._internal.error_handler:Calling registered functions
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (ORDER_REFUSED, "rejectedIdentifier: Issuance for mx1.yard.example is forbidden."),
        (CHALLENGE_FAILED, 'dns: NXDOMAIN looking up A for mx1.yard.example, "really".'),
        (ORDER_REFUSED + CHALLENGE_FAILED, 'dns: NXDOMAIN looking up A for mx1.yard.example, "really".'),
        (ORDER_REFUSED.partition("2026-11-24 02:00:01")[0], ""),
        ("", ""),
    ],
)
def test_the_servers_reason_is_that_of_its_last_problem_document(log: str, reason: str) -> None:
    assert acme.problem(log) == reason


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "Could not bind TCP port 80 because it is already in use.\n",
            "Could not bind TCP port 80 because it is already in use.",
        ),
        (
            "Saving debug log to /var/log/letsencrypt/x.log\nAn unexpected error occurred:\nNo route to host\n"
            "Ask for help or search for solutions at https://community.letsencrypt.org. See the logfile /var/log/x.\n",
            "No route to host.",
        ),
        ("", "certbot said nothing."),
    ],
)
def test_without_one_certbot_is_quoted(output: str, reason: str) -> None:
    assert acme._printed(output) == reason


def answers(monkeypatch: pytest.MonkeyPatch, *given: Callable[[], Result]) -> list[Callable[[], Result]]:
    """certbot answers what `given` returns, one after the other; returns what is not asked yet. Time passes at once."""
    left, now = list(given), [0.0]
    monkeypatch.setattr(acme, "run", lambda *_, **__: left.pop(0)())
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(acme, "time", clock)
    return left


def ends(rc: int, said: str = "") -> Result:
    return Result(("certbot",), rc, "", said)


def request(layout: Layout, key_type: str = "rsa") -> None:
    acme.request(key_type, fqdn=FQDN, account=ACCOUNT, layout=layout)


OURS = ("csr/0000_csr.pem", "keys/0000_key.pem", "live/sendyard-rsa/README", "archive/sendyard-rsa/cert1.pem")
OTHERS = ("accounts/ca/dir/1/private_key.json", "live/www.example/README", "archive/www.example/cert1.pem",
          "renewal/www.example.conf")  # fmt: skip


def test_a_refused_request_leaves_nothing_of_ours_and_everything_of_others(
    layout: Layout, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(layout, authority, FQDN)
    before = {path for path in layout.letsencrypt.rglob("*") if path.is_file()}

    def refuses() -> Result:
        for name in (*OURS, *OTHERS):
            path = layout.letsencrypt / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        (layout.letsencrypt / "live/sendyard-rsa/cert.pem").symlink_to("nowhere")
        return ends(1, "no")

    answers(monkeypatch, refuses)
    with pytest.raises(acme.AcmeError):
        request(layout)
    left = {path for path in layout.letsencrypt.rglob("*") if path.is_file() or path.is_symlink()}
    assert left == before | {layout.letsencrypt / name for name in OTHERS}
    assert not (layout.letsencrypt / "live/sendyard-rsa").exists()


def test_another_certbot_is_waited_for(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = ends(1, "Another instance of Certbot is already running.\n")
    left = answers(monkeypatch, lambda: busy, lambda: busy, lambda: ends(0))
    request(layout)
    assert not left


def test_but_not_for_ever(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = ends(1, "Another instance of Certbot is already running.\n")
    left = answers(monkeypatch, *[lambda: busy] * 100)
    with pytest.raises(acme.AcmeError, match="another one ran for 90 s"):
        request(layout)
    assert len(left) == 100 - 46
