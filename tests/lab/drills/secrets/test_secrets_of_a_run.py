# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A first run that tells everything (-vvv, --diff, a log, cached facts, JUnit) tells no secret, on neither side.

It runs from a copy of the tree in which the password of every login that a run makes for itself is a planted one; the
key that changes zones is given as a text, and not as a file. In the controls one protection is taken away.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import lab_api
import lab_leaks
import leaks
import pytest
from lab_broken import NOT_COPIED
from lab_hosts import SENDERS
from leaks import Secret
from programs import ROOT, run

DEADLINE = 600.0  # seconds for one run
PLANTED = Secret("planted password", secrets.token_urlsafe(24).encode())
TOKEN = "secrets.token_urlsafe(_TOKEN_BYTES)"
TSIG = "TSIG secret"
# What protects it, the file in which that stands and the secret that is seen without it.
PROTECTIONS = (
    ("          no_log: true  # its password", "          # its password", "playbooks/prove.yml", PLANTED.name),
    (', "no_log": True', "", "plugins/modules/prove_smtp.py", PLANTED.name),
    (
        "no_log_values.update",
        "no_log_values.copy().update",
        "plugins/modules/mail_dns.py plugins/module_utils/dns_module.py",
        TSIG,
    ),
)


def plant(tree: Path) -> None:
    """Copy this tree to `tree`, with the planted password."""
    shutil.copytree(ROOT, tree, symlinks=True, ignore=NOT_COPIED)
    replace(tree / "plugins/module_utils/logins.py", TOKEN, repr(PLANTED.text.decode()))


def replace(path: Path, old: str, new: str) -> None:
    """Write `new` for `old`, which stands there."""
    text = path.read_text()
    assert old in text, f"{path} has no {old}"
    path.write_text(text.replace(old, new))


def known() -> Iterator[Secret]:
    """The secrets that the controller has."""
    yield PLANTED
    yield from lab_leaks.of_lab()


def site(tree: Path, left: Path, *options: str) -> None:
    """Run the tree's site.yml and leave everything that it says and keeps below `left`."""
    secret = next(one for one in lab_leaks.of_lab() if one.name == TSIG).text.decode()
    listed = run("ansible-inventory", "-i", ROOT / "inventory/lab", "--host", SENDERS[0])
    credentials = json.loads(listed.stdout)["sendyard_dns_credentials"]
    for credential in credentials.values():
        del credential["secret_file"]
        credential["secret"] = secret
    left.mkdir()
    variables = left.with_suffix(".json")
    variables.write_text(json.dumps({"sendyard_dns_credentials": credentials}))
    done = run(
        "ansible-playbook", "-i", ROOT / "inventory/lab", "-e", f"@{variables}", "-vvv", "--diff", *options, "site.yml",
        cwd=tree,
        deadline=DEADLINE,
        ANSIBLE_LOG_PATH=str(left / "ansible.log"),
        ANSIBLE_CACHE_PLUGIN="jsonfile",
        ANSIBLE_CACHE_PLUGIN_CONNECTION=str(left / "facts"),
        ANSIBLE_CALLBACKS_ENABLED="sendyard.mail.exit_code,ansible.builtin.junit",
        JUNIT_OUTPUT_DIR=str(left / "junit"),
    )  # fmt: skip
    (left / "output").write_text(done.stdout + done.stderr)
    variables.unlink()
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    for name in ("ansible.log", "facts", "junit", "output"):
        assert list(leaks.files_below([str(left / name)])), f"the run left no {name}"


def test_a_first_run_that_tells_everything_tells_no_secret(tmp_path: Path) -> None:
    tree, left = tmp_path / "tree", tmp_path / "left"
    plant(tree)
    lab_api.lab("reset", "--name", "fresh", deadline=300)
    grams = leaks.index(known())
    with ExitStack() as stack:
        watched = {host: stack.enter_context(lab_leaks.watched(host, grams)) for host in SENDERS}
        site(tree, left)
    for host, seen in watched.items():
        assert seen.rounds > 100, host
        assert seen.found == {}, host
    made = [secret for host in SENDERS for secret in lab_leaks.of_sender(host)]
    assert len(made) > 2 * len(lab_api.info()["logins"])
    grams = grams.and_of(made)
    kept = [str(left), str(tree / "reports"), str(ROOT / "reports"), str(Path("~/.ansible").expanduser())]
    assert leaks.where(leaks.files_below(kept), grams) == {}
    assert leaks.processes(grams) == {}
    for host in SENDERS:
        assert lab_leaks.misplaced(lab_leaks.look(host, grams)) == []


@pytest.mark.parametrize(("old", "new", "file", "seen"), PROTECTIONS, ids=[path for _, _, path, _ in PROTECTIONS])
def test_without_its_protection_a_secret_is_seen(tmp_path: Path, old: str, new: str, file: str, seen: str) -> None:
    tree, left = tmp_path / "tree", tmp_path / "left"
    plant(tree)
    for one in file.split():
        replace(tree / one, old, new)
    site(tree, left, "--limit", SENDERS[1])
    found = leaks.where(leaks.files_below([str(left)]), leaks.index(known()))
    assert seen in found[str(left / "output")]
    assert seen in found[str(left / "ansible.log")]
