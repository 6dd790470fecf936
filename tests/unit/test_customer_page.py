# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The page that a customer gets: what it says, what of it is to be copied, and what a browser makes of it."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import customer_page
from ansible_collections.sendyard.mail.plugins.module_utils.dns.standing import Standing
from programs import ROOT

EVIL = '<script>alert("1")</script>'
KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA" + "wXy9+/" * 58 + "IDAQAB"
SPF, MERGED = "v=spf1 include:_spf.google.com ~all", "v=spf1 include:_spf.google.com ip4:192.0.2.10 ~all"
RECORDS = (
    Standing("acme.example.", "acme.example.", "TXT", 300, "wrong", MERGED, SPF),
    Standing("mta1-1._domainkey.acme.example.", "acme.example.", "TXT", 3600, "missing", f"v=DKIM1; k=rsa; p={KEY}"),
    Standing("_dmarc.acme.example.", "acme.example.", "TXT", 3600, "present", "v=DMARC1; p=none"),
    Standing(
        "bounces.acme.example.", "acme.example.", "MX", 3600, "unknown", "10 mta1.example.net.", note=f"why {EVIL}"
    ),
)
SAMPLES = {name: (ROOT / "playbooks/samples" / name).read_text() for name in customer_page.SAMPLES}
# What a page is shown in, by its width alone: a headless window is never as narrow as a phone.
FRAME = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="phone" src="page.html" style="width:390px;height:9000px;border:0"></iframe>
<script>addEventListener("load", () => {
  const page = document.getElementById("phone").contentDocument;
  const wide = [...page.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > 390);
  document.title = JSON.stringify({
    width: page.documentElement.scrollWidth,
    height: page.documentElement.scrollHeight,
    wide: wide.map(one => one.outerHTML.slice(0, 99)),
    asked: document.getElementById("phone").contentWindow.performance.getEntriesByType("resource").map(one => one.name),
  });
});</script>"""


def facts(**said: Any) -> dict[str, Any]:
    """What is found of a domain whose records a person enters, and has not yet."""
    found = {
        "fqdns": ["mta1.example.net", "mta2.example.net"],
        "usernames": ["app@acme.example"],
        "by_hand": True,
        "standings": RECORDS,
        "selectors": {"mta1-1": "mta1.example.net"},
        "return_name": "bounces.acme.example",
        "fault": "enter at acme.example. …",
        "cached": 0,
        "findings": [f"MX: {EVIL}"],
        "proof": [],
        "now": "2026-11-27 09:00+00:00",
    }
    return customer_page.facts("acme.example", **{**found, **said})


def page(**said: Any) -> str:
    return customer_page.html(json.loads(json.dumps(facts(**said))), SAMPLES)


def test_each_record_is_there_in_both_notations_with_purpose_and_state() -> None:
    spf, dkim, policy, bounces = facts()["records"]
    assert (spf["host_part"], spf["name"], spf["zone"]) == ("@", "acme.example", "acme.example")
    assert (dkim["host_part"], dkim["name"]) == ("mta1-1._domainkey", "mta1-1._domainkey.acme.example")
    assert dkim["purpose"] == "DKIM: the key by which receivers verify what mta1.example.net signs"
    assert [one["purpose"].partition(":")[0] for one in (spf, policy, bounces)] == ["SPF", "DMARC", "Return path"]
    text = page()
    for one in (spf, dkim, policy, bounces):
        assert f"<code>{one['host_part']}</code>" in text
        assert f"<code>{one['value']}</code>" in text
        assert f">{one['state']}</span>" in text


def test_the_difference_to_what_is_there_is_marked() -> None:
    assert "include:_spf.google.com <ins>ip4:192.0.2.10 </ins>~all" in page()
    assert customer_page.difference("v=DMARC1; p=<b>", "v=DMARC1; p=none") == (
        "v=DMARC1; <del>p=&lt;b&gt;</del><ins>p=none</ins>"
    )


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        ({}, ["Enter the 2 records below that are missing or wrong where the zone acme.example is kept", "p=none"]),
        ({"by_hand": False}, ["The domain does not send yet: enter at acme.example. …", "p=none"]),
        ({"standings": RECORDS[2:3], "fault": ""}, ["Put the settings below into your program", "p=none"]),
        (
            {"standings": (), "fault": "", "cached": 61},
            ["Put the settings below", "Receivers may know the earlier records for 2 minutes more"],
        ),
        (
            {
                "standings": (),
                "fault": "",
                "proof": [{"check": "delivered.spf", "verdict": "fail", "evidence": "SPF says softfail"}],
            },
            ["SPF says softfail (delivered.spf)", "Put the settings below"],
        ),
    ],
)
def test_what_to_do_next_is_what_is_left_to_do(said: dict[str, Any], steps: list[str]) -> None:
    found = facts(**said)["next"]
    assert len(found) == len(steps)
    for one, step in zip(found, steps, strict=True):
        assert step in one


def test_what_others_wrote_is_text() -> None:
    text = page(usernames=[EVIL], fqdns=[EVIL])
    assert "<script" not in text
    assert EVIL in unescape(text)


def test_samples_have_the_customers_names_and_no_password() -> None:
    text = unescape(page())
    for name in ("mta1.example.net", "app@acme.example", "A message from acme.example"):
        assert text.count(name) >= len(SAMPLES)
    for example in customer_page.SAMPLE.values():
        assert example not in text
    for sample in SAMPLES.values():
        assert "SMTP_TOKEN" in sample
        assert all(example in sample for example in customer_page.SAMPLE.values())


def test_the_page_needs_nothing_but_itself() -> None:
    markup = re.sub(r"<code>.*?</code>|<style>.*?</style>", "", page(), flags=re.DOTALL)
    assert not re.search(
        r"\b(?:src|href|srcset|action|data|poster)\s*=|@import|url\(|<(?:link|script|img|iframe)", page()
    )
    assert "http" not in markup


def test_a_browser_shows_it_on_a_phone_without_scrolling_sideways(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page(), encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME, encoding="utf-8")
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path}/profile", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000",
        "--dump-dom", f"file://{tmp_path}/frame.html",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    shown = json.loads(unescape(re.findall(r"<title>(.*?)</title>", done.stdout)[0]))
    assert shown["width"] == 390, shown
    assert shown["wide"] == []
    assert shown["height"] > 1000
    assert shown["asked"] == []
