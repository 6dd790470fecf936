# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The test runner itself: what it counts, and that nothing hides behind a stage that failed."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import threading
import time
from itertools import takewhile
from pathlib import Path

import dns.exception
import lab_api
import pytest
from programs import ROOT
from tools import borrowed, junit, stages
from tools import test as runner_of_all
from tools.stages import Runner, Stage

SECONDS = 20.0


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reports of these stages go to a directory of their own."""
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    monkeypatch.setattr(stages, "REPORTS", tmp_path / "reports")
    return tmp_path / "reports"


def shell(name: str, script: str, **options: object) -> Stage:
    """A stage of one shell command."""
    return Stage(name, (("sh", "-c", script),), SECONDS, **options)  # type: ignore[arg-type]


def test_a_failed_stage_hides_none_after_it(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner = Runner()
    runner.run_all((shell("one", "echo broken >&2; exit 3"), shell("two", "true")))
    assert [outcome.verdict for outcome in runner.outcomes.values()] == ["failed", "passed"]
    assert "broken" in capsys.readouterr().out
    assert "exit code 3" in (reports / "one.xml").read_text()
    assert runner.failed


def test_a_stage_is_left_out_and_named_where_what_it_needs_failed() -> None:
    runner = Runner()
    runner.run_all((shell("lab", "false"), shell("converge", "true", needs="lab"), shell("idle", "true")))
    assert [outcome.verdict for outcome in runner.outcomes.values()] == ["failed", "skipped", "passed"]
    assert list(stages.summary(runner.outcomes.values()))[-1] == "1 passed, 2 failed"


def test_the_later_commands_of_a_stage_do_not_run_after_one_failed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    Runner().run(Stage("both", (("false",), ("touch", str(mark))), SECONDS))
    assert not mark.exists()


def test_a_stage_that_hangs_is_ended_with_all_that_it_started() -> None:
    started = time.monotonic()
    outcome = Runner().run(Stage("hangs", (("sh", "-c", "sleep 60 & wait"),), 0.5))
    assert outcome.verdict == "failed"
    assert "not done within" in outcome.why
    assert time.monotonic() - started < SECONDS


def test_what_is_under_way_is_interrupted_like_ctrl_c(tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    runner = Runner()
    stage = shell("long", f"trap 'touch {cleaned}; exit 1' INT; touch {tmp_path}/ready; while :; do sleep 0.1; done")
    thread = threading.Thread(target=runner.run, args=(stage,))
    thread.start()
    ends = time.monotonic() + SECONDS
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < ends
        time.sleep(0.05)
    runner.stop()
    thread.join(SECONDS)
    assert cleaned.exists()


def test_tests_are_counted_case_by_case(tmp_path: Path) -> None:
    report = tmp_path / "some.xml"
    report.write_text(
        '<testsuites><testsuite tests="4"><testcase name="a"/><testcase name="b"><failure/></testcase>'
        '<testcase name="c"><error/></testcase><testcase name="d"><skipped/></testcase></testsuite></testsuites>'
    )
    assert junit.count(report) == junit.Counts(passed=1, failed=2, skipped=1)


def test_a_command_that_fails_without_a_failed_test_counts_as_one(reports: Path) -> None:
    reports.mkdir()
    script = f"echo '<testsuite><testcase name=\"a\"/></testsuite>' >{reports}/odd.xml; exit 4"
    outcome = Runner().run(shell("odd", script, junit=True))
    assert outcome.counts == junit.Counts(failed=1)


def test_a_report_that_its_writer_did_not_finish_counts_as_one_failure(reports: Path) -> None:
    reports.mkdir()
    outcome = Runner().run(shell("torn", f"echo '<testsuite><testca' >{reports}/torn.xml; exit 1", junit=True))
    assert outcome.counts == junit.Counts(failed=1)


def test_tests_that_leave_no_report_did_not_pass() -> None:
    assert Runner().run(shell("silent", "true", junit=True)).verdict == "failed"


def test_colours_do_not_break_the_report(reports: Path) -> None:
    Runner().run(shell("red", r"printf '\033[31mred\033[0m'; exit 1"))
    assert junit.count(reports / "red.xml") == junit.Counts(failed=1)


def test_without_a_lab_one_is_made_and_removed(tmp_path: Path) -> None:
    assert borrowed.loan("kept", state=tmp_path / ".state") == borrowed.Loan(take=(("up",),), give_back=(("down",),))


def test_a_lab_that_is_there_is_set_aside_and_brought_back(tmp_path: Path) -> None:
    loan = borrowed.loan("kept", state=tmp_path)
    assert loan.take == (("up",), ("save", "--name", "kept"), ("reset", "--name", "fresh"))
    assert loan.give_back == (("reset", "--name", "kept"), ("forget", "--name", "kept"))


def test_what_a_killed_run_set_aside_is_what_is_brought_back(tmp_path: Path) -> None:
    (tmp_path / "saved/kept").mkdir(parents=True)
    loan = borrowed.loan("kept", state=tmp_path)
    assert loan.take == (("reset", "--name", "fresh"),)
    assert loan.give_back[0] == ("reset", "--name", "kept")


def test_all_tests_begin_with_a_bare_lab_and_end_with_the_one_before() -> None:
    loan = borrowed.Loan(take=(("first",), ("second",)), give_back=(("third",),))
    take, give_back = runner_of_all.lab_life(loan)
    assert take.commands[:2] == (("lab/lab", "first"), ("lab/lab", "second"))
    assert take.commands[-1] == ("script/molecule", "create")
    assert give_back.commands[0] == ("lab/lab", "third")
    assert {stage.needs for stage in runner_of_all.LAB} <= {take.name, *(stage.name for stage in runner_of_all.LAB)}


def test_make_help_names_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=True
    ).stdout
    assert targets == set(re.findall(r"^  make ([a-z-]+)", said, re.MULTILINE))


@pytest.mark.parametrize("packages", ["lab/packages", "tests/packages"])
def test_lists_of_packages_are_sorted_and_hold_nothing_twice(packages: str) -> None:
    lines = [line for line in (ROOT / packages).read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(set(lines))


@pytest.mark.parametrize("name", ["dev", "run"])
def test_requirements_are_pinned_by_hash_and_name_no_index(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    assert not re.search(r"^--|https?://", text, re.MULTILINE)
    pinned = re.findall(r"^[a-z0-9._-]+(?:\[[a-z,]+\])?==\S+ \\$", text, re.MULTILINE | re.IGNORECASE)
    named = re.findall(r"^[a-z0-9._-]+", text, re.MULTILINE | re.IGNORECASE)
    assert len(pinned) == len(named) > 0


def open_to_others(path: Path) -> None:
    """Let a user who is not us reach a directory of a test."""
    temporary = Path(tempfile.gettempdir())
    for directory in takewhile(lambda above: above != temporary, (path, *path.parents)):
        directory.chmod(0o755)


def bootstrap(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of script/bootstrap that wants a package which no machine has."""
    for name in ("script", "lab", "tests", "requirements"):
        (tmp_path / name).mkdir()
    (tmp_path / "lab/packages").write_text("sendyard-no-such-package\n")
    (tmp_path / "tests/packages").write_text("")
    (tmp_path / "requirements/dev.txt").write_text("")
    copy = tmp_path / "script/bootstrap"
    copy.write_text((ROOT / "script/bootstrap").read_text())
    return subprocess.run(
        ["bash", copy],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        user="nobody" if os.geteuid() == 0 else None,
    )


def test_bootstrap_names_what_is_missing_where_it_may_not_install(tmp_path: Path) -> None:
    open_to_others(tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "sed", "tr", "sort", "comm", "dpkg-query", "mktemp", "awk"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    said = bootstrap(tmp_path, PATH=str(tools))
    assert said.returncode == 1
    assert "sendyard-no-such-package" in said.stderr
    assert "apt-get install" in said.stderr


def test_bootstrap_says_so_where_the_machine_is_no_debian(tmp_path: Path) -> None:
    open_to_others(tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "sed", "tr"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    said = bootstrap(tmp_path, PATH=str(tools))
    assert said.returncode == 1
    assert "not a Debian" in said.stderr
    assert "sendyard-no-such-package" in said.stderr


# -- what bootstrap leaves of what it installs -----------------------------------------------------------------------

# Stands in for apt-get: while it installs it notes what the policy says; a second one takes longer than the first.
APT_GET = """
case "$*" in
*install*)
    if [ -e "$HERE/seen" ]; then times=50; else times=20; fi
    for _ in $(seq $times); do "$HERE/policy-rc.d"; echo $? >>"$HERE/seen"; sleep 0.02; done
    touch "$HERE/installed"
    ;;
esac
"""
SYSTEMCTL = """
case "$*" in
*disable*) for unit in "$@"; do echo "$unit"; done | grep -v ^- | tail -n +2 >>"$HERE/disabled" ;;
*list-unit-files*)
    types=$(echo "$*" | sed 's/.*--type=\\([^ ]*\\).*/\\1/')
    {
        echo ssh.service
        if [ -e "$HERE/installed" ]; then printf '%s\\n' podman.service podman.socket certbot.timer; fi
    } | while read -r unit; do
        case ",$types," in *,"${unit##*.}",*) echo "$unit enabled enabled" ;; esac
    done
    ;;
esac
"""
SUDO = '[ "$1" != -v ] || exit 0; [ "$1" != -n ] || shift; exec "$@"'
OWN_POLICY = "#!/bin/sh\nexit 0\n"


class Machine:
    """A checkout whose bootstrap finds an apt-get and a systemctl of ours, and its policy and lock in a directory."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.policy = here / "policy-rc.d"
        for name in ("bin", "one/.venv/bin", "two/.venv/bin"):
            (here / name).mkdir(parents=True)
        for name, script in {"apt-get": APT_GET, "systemctl": SYSTEMCTL, "sudo": SUDO}.items():
            (here / "bin" / name).write_text(f"#!/bin/sh\nexport HERE={here}\n{script}")
            (here / "bin" / name).chmod(0o755)

    def start(self, checkout: str) -> subprocess.Popen[str]:
        """Start bootstrap in one of two checkouts; a package is missing, and what Python needs is there."""
        root = self.here / checkout
        for name in ("script", "lab", "requirements"):
            (root / name).mkdir()
        (root / "lab/packages").write_text("sendyard-no-such-package\n")
        (root / "requirements/dev.txt").write_text("")
        (root / ".venv/.made-from").write_text(f"{hashlib.sha256().hexdigest()}\n{root}\n")
        (root / ".venv/bin/python").symlink_to("/bin/true")
        text = (ROOT / "script/bootstrap").read_text()
        for path in ("/usr/sbin/policy-rc.d", "/run/lock/sendyard-bootstrap"):
            assert path in text
            text = text.replace(path, f"{self.here}/{Path(path).name}")
        (root / "script/bootstrap").write_text(text)
        return subprocess.Popen(
            ["bash", root / "script/bootstrap"],
            env={**os.environ, "PATH": f"{self.here}/bin:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> None:
        """Run it in one checkout, to its end."""
        _ended_well(self.start("one"))

    def verdicts(self) -> set[str]:
        """What the policy said while packages were installed: "101" forbids to start anything."""
        return set((self.here / "seen").read_text().split())


def _ended_well(process: subprocess.Popen[str]) -> None:
    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0, said


def test_bootstrap_disables_whatever_its_packages_enabled(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.run()
    assert (tmp_path / "disabled").read_text().split() == ["certbot.timer", "podman.service", "podman.socket"]


def test_nothing_is_started_while_two_checkouts_install_at_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    first = machine.start("one")
    ends = time.monotonic() + SECONDS
    while not machine.policy.exists():
        assert time.monotonic() < ends
        time.sleep(0.02)
    second = machine.start("two")
    _ended_well(first)
    _ended_well(second)
    assert machine.verdicts() == {"101"}
    assert not machine.policy.exists()


def test_a_policy_that_a_killed_bootstrap_left_goes(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    marked = re.search(r"mark='(.*)' ", (ROOT / "script/bootstrap").read_text())
    assert marked
    machine.policy.write_text(f"#!/bin/sh\n{marked[1]}\n")  # killed before it was whole, or could be executed
    machine.run()
    assert machine.verdicts() == {"101"}
    assert not machine.policy.exists()


def test_a_policy_of_the_machines_own_decides_and_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.policy.write_text(OWN_POLICY)
    machine.policy.chmod(0o755)
    machine.run()
    assert machine.verdicts() == {"0"}
    assert machine.policy.read_text() == OWN_POLICY


def test_waiting_looks_again_where_a_look_gets_no_answer() -> None:
    looks = iter([OSError("refused"), None, dns.exception.Timeout(), "there"])

    def look() -> str | None:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    assert lab_api.until(look, what="it", pause=0) == "there"


def test_waiting_ends_and_says_what_the_last_look_met() -> None:
    def look() -> None:
        raise OSError("refused")

    with pytest.raises(AssertionError, match=r"not within 0 s: it \(OSError\('refused'\)\)"):
        lab_api.until(look, what="it", deadline=0)
    with pytest.raises(OSError, match="refused"):
        lab_api.until(look, what="it", passing=())
