# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Run commands as stages: a line each with its time, the whole output in reports/, a JUnit file for every one.

A stage is one thing that can pass or fail. Its output goes to reports/<name>.log; only a failed one
shows the end of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tools import junit

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "reports"
SHOWN_LINES = 60  # of a failed stage's output
GRACE = 30.0  # seconds that an interrupted command has to clean up


@dataclass(frozen=True)
class Stage:
    """Commands that run one after the other, until one fails.

    `junit`: the commands themselves write reports/<name>.xml; else the stage counts as one test.
    `needs`: the name of a stage without whose success this one makes no sense.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    deadline: float  # seconds, for all commands together
    junit: bool = False
    needs: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where the output of its commands goes."""
        return REPORTS / f"{self.name}.log"

    @property
    def report(self) -> Path:
        """Its JUnit file."""
        return REPORTS / f"{self.name}.xml"


@dataclass(frozen=True)
class Outcome:
    """What became of a stage. `why` is empty where it passed."""

    stage: str
    verdict: str  # "passed", "failed" or "skipped"
    seconds: float
    counts: junit.Counts
    why: str = ""


def pytest_stage(name: str, *paths: str, deadline: float, needs: str = "") -> Stage:
    """The tests below `paths` as a stage. `paths` may hold options of pytest too."""
    command = (sys.executable, "-m", "pytest", "-q", *paths, f"--junitxml={REPORTS / name}.xml")
    return Stage(name, (command,), deadline, junit=True, needs=needs)


class Runner:
    """Runs stages, remembers what became of each, and can stop what is under way."""

    def __init__(self) -> None:
        # A shell that puts a command into the background has it ignore Ctrl-C; so would all that it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.outcomes: dict[str, Outcome] = {}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._printing = threading.Lock()

    @property
    def failed(self) -> bool:
        """Whether a stage failed, or was skipped for want of another."""
        return any(outcome.verdict != "passed" for outcome in self.outcomes.values())

    def run(self, stage: Stage) -> Outcome:
        """Run one stage, and print its line."""
        needed = self.outcomes.get(stage.needs)
        if needed and needed.verdict != "passed":
            outcome = Outcome(stage.name, "skipped", 0.0, junit.Counts(), f"{stage.needs} did not pass")
        else:
            outcome = self._execute(stage)
        self.outcomes[stage.name] = outcome
        with self._printing:
            _print_line(outcome)
            if outcome.verdict == "failed":
                _print_end_of(stage.log)
        return outcome

    def run_all(self, stages: Iterable[Stage], *, at_once: int = 1) -> None:
        """Run stages, `at_once` of them at a time; all of them, even if one fails."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                for outcome in [pool.submit(self.run, stage) for stage in stages]:
                    outcome.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.stop()
                raise

    def stop(self) -> None:
        """Interrupt the commands under way as Ctrl-C does, and end those that do not heed it."""
        running = tuple(self._running)
        for process in running:
            _signal(process, signal.SIGINT)
        ends = time.monotonic() + GRACE
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, ends - time.monotonic()))
            _signal(process, signal.SIGKILL)

    def _execute(self, stage: Stage) -> Outcome:
        REPORTS.mkdir(exist_ok=True)
        stage.report.unlink(missing_ok=True)
        started = time.monotonic()
        why = ""
        with stage.log.open("wb") as log:
            for command in stage.commands:
                log.write(f"$ {' '.join(command)}\n".encode())
                log.flush()
                why = self._command(command, stage, log.fileno(), started + stage.deadline)
                if why:
                    break
        seconds = time.monotonic() - started
        counts = junit.count(stage.report) if stage.junit else None
        if stage.junit and not counts and not why:
            why = f"no report: {stage.report.name} is missing or not whole"
        if not counts or (why and not counts.failed):
            junit.write_single(stage.report, stage.name, seconds, why and f"{why}\n{end_of(stage.log)}")
            counts = junit.Counts(passed=int(not why), failed=int(bool(why)))
        return Outcome(stage.name, "failed" if why else "passed", seconds, counts, why)

    def _command(self, command: tuple[str, ...], stage: Stage, output: int, ends: float) -> str:
        """Run one command in a process group of its own; return why it failed, or ""."""
        environment = {**os.environ, **stage.environment}
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running.add(process)
        try:
            code = process.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.stop_one(process)
            return f"{command[0]}: not done within {stage.deadline:.0f} s"
        finally:
            self._running.discard(process)
        return f"{' '.join(command[:3])}: exit code {code}" if code else ""

    def stop_one(self, process: subprocess.Popen[bytes]) -> None:
        """Interrupt one command, and end it if it does not heed that."""
        _signal(process, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        _signal(process, signal.SIGKILL)


def end_like_ctrl_c() -> None:
    """From now on a polite kill and a closed terminal end this program as Ctrl-C does: it gives back what it took."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def end_of(log: Path) -> str:
    """The last lines of a stage's output."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(lines[-SHOWN_LINES:])


def summary(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """A table of what became of every stage; the last line is for programs."""
    outcomes = tuple(outcomes)
    yield f"{'stage':<16} {'verdict':<8} {'passed':>6} {'failed':>6} {'skipped':>7} {'seconds':>8}"
    for outcome in outcomes:
        counts = outcome.counts
        yield (
            f"{outcome.stage:<16} {outcome.verdict:<8} {counts.passed:>6} {counts.failed:>6} {counts.skipped:>7}"
            f" {outcome.seconds:>8.1f}" + (f"  {outcome.why}" if outcome.why else "")
        )
    total = sum((outcome.counts for outcome in outcomes), junit.Counts())
    # A stage that could not run is not a test that failed, but the run must not look complete without it.
    left_out = sum(outcome.verdict == "skipped" for outcome in outcomes)
    yield f"{total.passed} passed, {total.failed + left_out} failed"


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _print_line(outcome: Outcome) -> None:
    tests = f"{outcome.counts.passed} passed" if outcome.counts.passed > 1 else ""
    note = outcome.why or tests
    print(f"  {outcome.stage:<16} {outcome.verdict:<8} {outcome.seconds:6.1f} s  {note}", flush=True)


def _print_end_of(log: Path) -> None:
    text = end_of(log).replace("\n", "\n    ")
    print(f"    {text}\n    … all of it: {log.relative_to(ROOT)}", flush=True)
    sys.stdout.flush()
