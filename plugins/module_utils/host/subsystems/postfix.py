# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix: main.cf, master.cf and the maps they name, as one generation."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from .. import files, postfix_inspect, postfix_stage, smtp_probe, systemd
from ..command import run
from ..files import FileSpec
from ..postfix_config import PostfixConfigError, lmdb_sources, parse_main, parse_master, split_list
from ..probe_logins import temporary_login
from ..smtp_probe import Expectation, Target
from .base import (
    ACTIVATE,
    COMMON_PATHS,
    PROBE,
    Change,
    Derived,
    Effect,
    ProbeError,
    Stage,
    Step,
    Subsystem,
    Unit,
    ValidationError,
    read_text,
)

MAIN = Path("/etc/postfix/main.cf")
MASTER = Path("/etc/postfix/master.cf")
_QUEUE = Path("/var/spool/postfix")
# master(8) reads these only when it starts.
_AT_START = ("inet_interfaces", "inet_protocols", "maillog_file", "queue_directory", "mail_owner", "data_directory")
# What else a role places (housekeeping, rotation, programs) is none of Postfix's affair.
_READ_BY_POSTFIX = re.compile(r"/etc/postfix/.+|/etc/aliases|/etc/systemd/system/postfix(@-)?\.service\.d/.+")
# Receivers that do not answer: the host keeps this table itself (sendyard-unanswered), and no Postfix starts without.
_UNANSWERED = Path("/var/lib/sendyard/postfix/unanswered")
_LISTENERS = (25, 587, 465, 2525)
_LEFT = "The running configuration was left as it is."


def postfix_unit() -> str:
    """The unit that runs Postfix: Debian 12's postfix.service is a dummy that pulls the real one in, 13's is real."""
    dummy = "oneshot" in read_text(Path("/usr/lib/systemd/system/postfix.service"))
    return "postfix@-.service" if dummy else "postfix.service"


class Postfix(Subsystem):
    """Validated by postconf, by rules that postconf lacks, and by sessions with a staged instance."""

    name = "postfix"
    title = "Postfix"
    owned = (
        r"/etc/postfix(/.+)?",
        r"/etc/aliases",
        r"/etc/systemd/system/postfix(@-)?\.service\.d(/[\w.-]+\.conf)?",
        *COMMON_PATHS,
    )
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {
        "fqdn": str,
        "listeners": list,
        "milters": list,
        "non_smtpd_milters": list,
        "probe_recipient": str,
    }

    @property
    def listeners(self) -> list[smtp_probe.Listener]:
        """The ports that this host serves."""
        return [smtp_probe.listener(int(port)) for port in self.settings.get("listeners", _LISTENERS)]

    @property
    def milters(self) -> list[str]:
        """What every submission listener must have as smtpd_milters, in order."""
        return [str(milter) for milter in self.required("milters")]

    @property
    def recipient(self) -> str:
        """An address of this host, which port 25 takes mail for."""
        return str(self.settings.get("probe_recipient") or f"postmaster@{self.required('fqdn')}")

    def own_units(self) -> tuple[Unit, ...]:
        """The unit that is enabled, and the real one where that is another."""
        real = postfix_unit()
        others = (Unit(real, enable=False),) if real != "postfix.service" else ()
        return (Unit("postfix.service"), *others)

    def derived(self, wanted: Sequence[FileSpec]) -> tuple[Derived, ...]:
        """The lmdb tables of this generation's sources."""
        texts = [spec.content.decode(errors="replace") for spec in wanted if spec.path in {MAIN, MASTER}]
        sources = {source for text in texts for source in lmdb_sources(text)}

        def program(source: Path) -> str:
            return "postalias" if source.name == "aliases" else "postmap"

        return tuple(
            Derived(
                path=Path(f"{spec.path}.lmdb"),
                source=spec.path,
                # With the staged main.cf: on a host that had no Postfix there is no other.
                argv=(program(spec.path), "-c", f"{{stage}}{MAIN.parent}", "lmdb:{source}"),
            )
            for spec in wanted
            if spec.path in sources
        )

    # --- validation

    def validate(self, stage: Stage) -> None:
        """Parse as Postfix does, look for what it does not see, then have sessions with a staged instance."""
        directory = self._rewritten(stage)
        if _UNANSWERED in lmdb_sources(stage.text(MAIN)):
            _provide(_UNANSWERED, directory)
        try:
            found = postfix_inspect.inspect(directory)
            non_smtpd = [str(milter) for milter in self.settings.get("non_smtpd_milters", self.milters)]
            wrong = postfix_inspect.mistakes(found, directory)
            wrong += postfix_inspect.breaches(found, self.listeners, self.milters, non_smtpd)
        except PostfixConfigError as error:
            wrong = [str(error)]
        if wrong:
            lines = [line.replace(str(stage.root), "") for line in wrong]  # a staged path would help nobody
            raise ValidationError("Postfix would not serve with this:\n  " + "\n  ".join(lines) + f"\n{_LEFT}")
        self._try(stage, directory)

    @staticmethod
    def _rewritten(stage: Stage) -> Path:
        """A configuration directory within the stage whose files name each other there; returns it."""
        directory = stage.root / "config"
        directory.mkdir()
        for path in (MAIN, MASTER):
            (directory / path.name).write_text(stage.rewritten(stage.text(path)))
        files.settle(directory / MAIN.name)
        return directory

    def _try(self, stage: Stage, directory: Path) -> None:
        """Sessions with a staged instance. Raises ValidationError quoting what it logged."""
        instance = stage.root / "instance"
        with temporary_login(self.required("fqdn")) as login:
            expected = Expectation(self.required("fqdn"), self.recipient, login, staged=True)
            try:
                with postfix_stage.running(
                    instance,
                    main=(directory / MAIN.name).read_text(),
                    master=(directory / MASTER.name).read_text(),
                    listeners=self.listeners,
                    login=login,
                    live_queue=_QUEUE,
                ) as targets:
                    smtp_probe.check_all(targets, expected)
            except ProbeError as error:
                said = str(error).replace(str(stage.root), "")
                raise ValidationError(
                    f"A Postfix started beside the live one, with these files, does not serve:\n{said}\n{_LEFT}"
                ) from error

    # --- the swap

    def rank(self, path: Path) -> int:
        """Maps, then main.cf which names them, then master.cf which names main.cf's values."""
        return {MAIN: 1, MASTER: 2}.get(path, 0)

    def steps(self, changes: Sequence[Change]) -> Iterable[Step]:
        """In order; where master.cf still refers to values that go, main.cf keeps them until it was taken up.

        The running master hands its services the options it has read, and they read main.cf when they start. Without
        the bridge, `$submission_sender_restrictions` would expand to nothing between the swap and the reload (or, after
        a kill, until the next run), and every login could send as anybody.
        """
        for spec in self.in_order(changes):
            bridge = self._bridge(changes) if spec.path == MAIN else ""
            yield replace(spec, content=spec.content + bridge.encode()) if bridge else spec
        yield ACTIVATE
        main = next((change.after for change in changes if change.path == MAIN), None)
        if main is not None and self._bridge(changes):
            yield main
        yield PROBE

    @staticmethod
    def _bridge(changes: Sequence[Change]) -> str:
        """The lines of the old main.cf that the old master.cf refers to and the new main.cf lacks, "" if none."""
        by_path = {change.path: change for change in changes}
        main, master = by_path.get(MAIN), by_path.get(MASTER)
        if main is None or master is None or not (main.before and main.after and master.before):
            return ""
        old, new = parse_main(main.before.content.decode()), parse_main(main.after.content.decode())
        used = set(re.findall(r"\$[({]?(\w+)", master.before.content.decode()))
        return "".join(f"{name} = {old[name].value}\n" for name in sorted(used & old.keys() - new.keys()))

    def effects(self, changes: Sequence[Change]) -> dict[str, Effect]:
        """A reload, or a restart where master(8) takes a change up only when it starts."""
        its_own = [change for change in changes if _READ_BY_POSTFIX.fullmatch(str(change.path))]
        if not its_own:
            return {}
        real = postfix_unit()
        return {real: "restart" if _stale_chroot() or any(map(_at_start, its_own)) else "reload"}

    def take_up(self, effects: Mapping[str, Effect]) -> None:
        """The real unit reloads or restarts; Debian 12's dummy has nothing to do."""
        real = postfix_unit()
        if real in effects:
            systemd.act(effects[real], real)

    # --- the proof

    def probe(self) -> None:
        """The sessions of the staged instance again, with the live listeners."""
        real = postfix_unit()
        if not run(["postfix", "status"], deadline=20).ok:
            raise ProbeError(f"Postfix does not run. {real} logged last:\n{systemd.recent_log(real)}")
        time.sleep(0.3)  # master(8) takes a SIGHUP up after the reload command has ended
        log, size = _log_end()
        with temporary_login(self.required("fqdn")) as login:
            expected = Expectation(self.required("fqdn"), self.recipient, login, staged=False)
            try:
                smtp_probe.check_all(self._targets(), expected, patience=6)
            except ProbeError as error:
                raise ProbeError(f"{error}\n{postfix_stage.complaints(_read_from(log, size))}".rstrip()) from error

    def _targets(self) -> list[Target]:
        """Where the live listeners answer from the host itself: loopback, or the first address they are bound to."""
        answer = run(["postconf", "-hx", "inet_interfaces", "inet_protocols"], deadline=20)
        interfaces, protocols = answer.require("Reading main.cf").stdout.splitlines()[:2]
        host = "::1" if protocols == "ipv6" else "127.0.0.1"
        bound = [word for word in split_list(interfaces) if word not in {"all", "loopback-only", host, "localhost"}]
        if bound and not set(split_list(interfaces)) & {"all", "loopback-only", host, "localhost"}:
            host = bound[0].strip("[]")
        return [Target(listener, host, listener.port) for listener in self.listeners]


def _log_end() -> tuple[Path, int]:
    """The file that Postfix logs to and its size; (/dev/null, 0) where it logs to the journal."""
    answer = run(["postconf", "-hx", "maillog_file"], deadline=20)
    path = Path(answer.stdout.strip() or "/dev/null")
    return (path, path.stat().st_size) if path.is_file() else (Path("/dev/null"), 0)


def _read_from(path: Path, offset: int, limit: int = 100_000) -> str:
    """What stands in the file from `offset` on, at most `limit` bytes."""
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(limit).decode(errors="replace")


def _provide(table: Path, directory: Path) -> None:
    """Make an empty lmdb table, with the main.cf of `directory`, where there is none."""
    if not table.with_name(f"{table.name}.lmdb").exists():
        table.parent.mkdir(mode=0o755, exist_ok=True)
        table.touch()
        run(["postmap", "-c", directory, f"lmdb:{table}"], deadline=20).require(f"Making {table}.lmdb")


def _at_start(change: Change) -> bool:
    """True if master(8) takes `change` up only when it starts."""
    if change.before is None or change.after is None:
        return change.path in {MAIN, MASTER} or "systemd" in change.path.parts
    before, after = change.before.content.decode(errors="replace"), change.after.content.decode()
    try:
        if change.path == MAIN:
            old, new = parse_main(before), parse_main(after)
            return any((old[n].value if n in old else "") != (new[n].value if n in new else "") for n in _AT_START)
        if change.path == MASTER:
            return _inet(before) != _inet(after)
    except PostfixConfigError:  # the live file is broken: nothing of it was taken up
        return True
    return "systemd" in change.path.parts


def _inet(text: str) -> set[tuple[str, str]]:
    """The listening services of master.cf `text` by name and command."""
    return {(service.name, service.command) for service in parse_master(text) if service.type == "inet"}


def _stale_chroot() -> bool:
    """True if the copy of resolv.conf in the chroot, made when Postfix started, is not the file of today."""
    copy = read_text(_QUEUE / "etc/resolv.conf")
    return bool(copy) and copy != Path("/etc/resolv.conf").resolve().read_text(errors="replace")
