# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""onboard.yml up to its first server, against a real name server: what it refuses, writes, asks, and tells of a token.

It stops there, since an inventory must not name a resolver at another port than 53, as these tests do.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible_collections.sendyard.mail.plugins.module_utils import logins
from integration.dns.servers import ADDRESS, Knot, NameServer, soa
from programs import BIN, ROOT, clean_environment

DOMAIN = "acme.example"
SPF = "v=spf1 include:_spf.google.com ip4:192.0.2.7 ~all"
ZONES = {
    "example.": soa("example."),  # as every top-level domain, no zone of anybody who sends
    f"{DOMAIN}.": soa(f"{DOMAIN}.")
    + f'@ 300 TXT "{SPF}"\n@ 300 MX 10 mx.{DOMAIN}.\n_dmarc 300 TXT "v=DMARC1; p=reject"\n',
}
TOKEN = re.compile(r"^ {6}([A-Za-z0-9_-]{32})\r?$", re.MULTILINE)
STOPS = "is no IP address"
DEADLINE = 60.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], NameServer]:
    server = Knot(tmp_path_factory.mktemp("world"), ZONES)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def inventory(tmp_path: Path, world: NameServer) -> Path:
    """An inventory of two servers, and a directory of no domains."""
    group = {
        "sendyard_admin": "postmaster@yard.example",
        "sendyard_dns_credential": "lab",
        "sendyard_dns_credentials": {"lab": world.credential()},
        "sendyard_publish_resolver": [f"{ADDRESS}@{world.port}"],
        "sendyard_preflight_port25_targets": [],
        "ansible_connection": "local",
        "ansible_become": False,
    }
    hosts = {
        f"mx{number}": {
            "sendyard_fqdn": f"mx{number}.yard.example",
            "sendyard_addresses": [{"public": f"127.0.0.{number}"}],
        }
        for number in (1, 2)
    }
    directory = tmp_path / "inventory"
    (directory / "domains").mkdir(parents=True)
    (directory / "hosts.yml").write_text(yaml.safe_dump({"senders": {"vars": group, "hosts": hosts}}))
    return directory


def words(text: str) -> str:
    """What was said, without the line breaks of YAML, in which an apostrophe is doubled."""
    return " ".join(text.replace("''", "'").split())


def onboard(inventory: Path, *said: str, playbook: str = "onboard.yml", **environment: str) -> tuple[int, str]:
    """Run it as CI does, without a terminal; its exit code, and what it said."""
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", inventory, playbook, *(word for one in said for word in ("-e", one))],
        cwd=ROOT, env=environment_of(inventory, **environment), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    return done.returncode, output


def environment_of(inventory: Path, **more: str) -> dict[str, str]:
    return clean_environment(XDG_CACHE_HOME=str(inventory.parent / "cache"), COLUMNS="200", TERM="xterm", **more)


def on_a_terminal(inventory: Path, answers: list[tuple[str, str]], *words: str, **environment: str) -> str:
    """Run it on a terminal of its own, and answer each question once it was asked; all that was to be seen there."""
    ours, theirs = os.openpty()
    command = ["setsid", "--ctty", BIN / "ansible-playbook", "-i", inventory, "onboard.yml", *words]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment_of(inventory, **environment), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen, place, waiting, end = "", 0, list(answers), time.monotonic() + DEADLINE
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                seen += os.read(ours, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                break
            if waiting and waiting[0][0] in seen[place:]:
                place = len(seen)
                time.sleep(0.2)  # what was typed before it listens is thrown away
                os.write(ours, f"{waiting.pop(0)[1]}\r".encode())
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert not waiting, f"not asked: {waiting}; it said: {seen}"
    return seen


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "domain: which domain is to send? Say so: -e domain=acme.example"),
        (["domain=Bücher.example"], "write it in A-labels"),
        (["domain=nosuch.example"], "nobody in the world knows a zone that holds nosuch.example (no SOA record)"),
        (["domain=acme.example", "host=mx1,mx3"], 'host: "mx3" is no host of group senders; did you mean "mx'),
        (["domain=acme.example", "dns=labb"], 'dns: "labb" is not in sendyard_dns_credentials; did you mean "lab"?'),
        (["domain=acme.example", "login=ceo@globex.example"], "is another domain's; write ceo, for ceo@acme.example"),
        (["domain=acme.example", "login=probe-x"], "are for proving"),
        (["domain=acme.example"], "There is no terminal to show the new login's token on"),
        (["domain=acme.example", "token_file=/no/such/place"], "/no/such is no directory that you may write to"),
        (["domain=acme.example", "token_file=/etc/hostname"], "/etc/hostname is there already"),
        (["domain={{ lookup('pipe', 'id') }}.example"], "is no domain name"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_changes(inventory: Path, said: list[str], reason: str) -> None:
    code, output = onboard(inventory, *said)
    assert code == 2, output
    assert reason in words(output)
    assert "Nothing was changed." in output
    assert list((inventory / "domains").iterdir()) == []


def test_the_labs_inventory_is_not_written_to() -> None:
    code, output = onboard(ROOT / "inventory/lab", "domain=acme.example")
    assert code == 2, output
    assert "This is the lab's inventory" in words(output)


def test_an_inventory_without_domains_is_told(inventory: Path) -> None:
    (inventory / "domains").rmdir()
    code, output = onboard(inventory, "domain=acme.example")
    assert code == 2, output
    assert f"there is no directory {inventory}/domains" in words(output)


@pytest.mark.parametrize("playbook", ["onboard.yml", "sendyard.mail.onboard"])
def test_ci_gets_the_token_in_a_file_and_a_second_run_goes_on(inventory: Path, playbook: str) -> None:
    place, log = inventory.parent / "token", inventory.parent / "log"
    said = ("domain=acme.example", "host=mx2", "dns=lab", "login=Shop", f"token_file={place}")
    environment = {"ANSIBLE_VERBOSITY": "3", "ANSIBLE_LOG_PATH": str(log)}
    code, output = onboard(inventory, *said, playbook=playbook, **environment)
    assert code == 2 and STOPS in words(output), output
    assert place.stat().st_mode & 0o777 == 0o600
    token = place.read_text().strip()
    assert len(token) == 32
    for what in (output, log.read_text(), *(path.read_text() for path in (inventory / "domains").iterdir())):
        assert token not in what
    path = inventory / "domains/acme.example.yml"
    domain = yaml.safe_load(path.read_text())
    assert (domain["servers"], domain["dns"]) == (["mx2"], "lab")
    assert domain["logins"][0]["username"] == "shop@acme.example"
    assert logins.verify(token, domain["logins"][0]["password_hash"])
    assert "others may send for it: Google Workspace (include:_spf.google.com), ip4:192.0.2.7. That stays" in output
    assert 'DMARC: "v=DMARC1; p=reject" stands' in output
    assert "MX: mx.acme.example takes its mail" in output

    written = path.read_bytes()
    code, output = onboard(inventory, "domain=acme.example", playbook=playbook)
    assert code == 2 and STOPS in words(output), output
    assert f"{path} is there already; servers: mx2; dns: lab; logins: shop@acme.example" in output
    code, output = onboard(inventory, "domain=acme.example", "host=mx1", "login=other", playbook=playbook)
    assert code == 2
    assert "says something else: servers is [mx2], and host asks for mx1; other@acme.example is not among" in words(
        output
    )
    assert path.read_bytes() == written


def test_check_mode_writes_nothing(inventory: Path) -> None:
    place = inventory.parent / "token"
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", inventory, "onboard.yml", "--check", "-e", "domain=acme.example",
         "-e", f"token_file={place}"],
        cwd=ROOT, env=environment_of(inventory), capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert not place.exists()
    assert list((inventory / "domains").iterdir()) == []


def test_a_person_is_asked_for_what_is_missing_and_sees_the_token_once(inventory: Path) -> None:
    log = inventory.parent / "log"
    answers = [
        ("The domain that is to send", DOMAIN),
        ("Which servers send for it, with commas [mx1,mx2]:", "mx1"),
        ("Who changes its zone: manual, lab", ""),
        ("The first login, before @acme.example [app]:", ""),
    ]
    seen = on_a_terminal(inventory, answers, "-vvv", ANSIBLE_LOG_PATH=str(log))
    (token,) = TOKEN.findall(seen)
    assert seen.count(token) == 1
    assert token not in log.read_text()
    assert STOPS in words(log.read_text())
    domain = yaml.safe_load((inventory / "domains/acme.example.yml").read_text())
    assert (domain["servers"], domain["dns"]) == (["mx1"], "manual")
    assert logins.verify(token, domain["logins"][0]["password_hash"])


def test_a_person_who_said_it_all_is_asked_nothing(inventory: Path) -> None:
    said = [word for one in ("domain=acme.example", "host=mx1", "dns=lab", "login=app") for word in ("-e", one)]
    seen = on_a_terminal(inventory, [], *said)
    assert TOKEN.search(seen)
    assert STOPS in words(seen)
