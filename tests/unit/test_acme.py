# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""When certbot is asked for a certificate, and what is made of its refusals. (Certbot itself: tests/integration.)"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import acme
from ansible_collections.sendyard.mail.plugins.module_utils.deploy_certificate import Layout
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


def test_what_a_refused_request_left_is_removed_but_for_the_account(layout: Layout, authority: Authority) -> None:
    hold(layout, authority, FQDN)
    before = acme._entries(layout.letsencrypt)
    account = layout.letsencrypt / "accounts/ca.lab.example/dir/1/private_key.json"
    for path in (account, layout.letsencrypt / "csr/0000.pem", layout.letsencrypt / "live/sendyard-rsa/README"):
        path.parent.mkdir(parents=True)
        path.write_text("x")
    (layout.letsencrypt / "live/sendyard-rsa/cert.pem").symlink_to("nowhere")
    acme._forget(layout.letsencrypt, before)
    left = {path for path in acme._entries(layout.letsencrypt) - before if path.is_file()}
    assert left == {account}
