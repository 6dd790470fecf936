# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The commands of lab/lab."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from sendyard_lab import images, info, life, podman
from sendyard_lab.hosts import HOSTS, Host
from sendyard_lab.shell import LabError, run, wait_for
from sendyard_lab.slice import Slice, slice_of

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LOCK_SECONDS = 600


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="lab/lab", description="A sender's world in containers.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="bring up what is not up, and wait until it serves")
    one = commands.add_parser("down", help="remove the lab; base images stay, which all checkouts share")
    one.add_argument("--all", action="store_true", help="remove these too, unless another checkout has a lab")
    commands.add_parser("status", help="say what runs; exit code 1 unless everything does")
    one = commands.add_parser("ssh", help="log in to a host, or run a command there")
    one.add_argument("host", metavar="HOST", choices=HOSTS)
    one.add_argument("words", nargs=argparse.REMAINDER, metavar="command")
    one = commands.add_parser("info", help="addresses, logins, where mail goes")
    one.add_argument("--json", action="store_true", help="for scripts")
    one = commands.add_parser("mail", help="print what the receiver got, as an mbox")
    one.add_argument("token", nargs="?", default="", metavar="TOKEN", help="only messages that contain it")
    for name, text in (("save", "keep the present state"), ("reset", "bring a kept state back")):
        one = commands.add_parser(name, help=f"{text} of one host, or of the whole lab")
        one.add_argument("host", nargs="?", metavar="HOST", choices=HOSTS)
        one.add_argument("--name", type=_state_name, default="saved", help="what it is called; fresh is what `up` made")
    one = commands.add_parser("forget", help="remove a kept state")
    one.add_argument("--name", type=_state_name, default="saved", help="what it is called")
    one = commands.add_parser("fault", help="break a host's network by an nft rule, in both directions; or clear it")
    one.add_argument("host", metavar="HOST", choices=HOSTS)
    one.add_argument("rule", metavar="'NFT RULE'|clear", help="for example: tcp dport 25 drop")
    one = commands.add_parser(
        "image", help="name the image of a bare host with a sender's packages; build it if need be"
    )
    one.add_argument("release", choices=("trixie", "bookworm"))
    return top


def _state_name(text: str) -> str:
    """The name of a saved state, which becomes the tag of images."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,60}", text):
        raise argparse.ArgumentTypeError("a name is made of a-z, 0-9, _, . and -")
    return text


def main() -> int:
    """Run one command; the exit code is 0, or 1 with a text that says what is wrong."""
    arguments = parser().parse_args()
    lab = slice_of(CHECKOUT)
    try:
        code = run_command(arguments, lab)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # whoever reads us has seen enough; what is left must not be written at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: stopped; the same command takes up where this one left off", file=sys.stderr)
        return 130


def run_command(arguments: argparse.Namespace, lab: Slice) -> int:
    """Do what one command line says."""
    chosen: Host | None = HOSTS.get(getattr(arguments, "host", None) or "")
    match arguments.command:
        case "up" | "down" | "save" | "reset" | "forget":
            with _alone(lab):
                _change(arguments, lab, chosen)
        case "status":
            return _status(lab)
        case "info":
            print(json.dumps(info.info(lab), indent=1) if arguments.json else info.text(lab))
        case "ssh":
            _ssh(lab, arguments.host, *arguments.words)
        case "mail":
            _ssh(lab, "rx", "sudo", "lab-mail", *([shlex.quote(arguments.token)] if arguments.token else []))
        case "image":
            with _alone(lab), images.used():
                images.build_missing(lab, f"sender-{arguments.release}")
            print(images.image_name(f"sender-{arguments.release}"))
        case "fault":
            _fault(lab, arguments.host, arguments.rule)
    return 0


def _change(arguments: argparse.Namespace, lab: Slice, host: Host | None) -> None:
    """The commands that change the lab; the last line says how long it took."""
    start = time.monotonic()
    match arguments.command:
        case "up":
            life.up(lab)
        case "down":
            life.down(lab, everything=arguments.all)
        case "save" if arguments.name == life.FRESH:
            raise LabError(f"{life.FRESH} is the state that the first up made; save under another name")
        case "save":
            life.save(lab, host, arguments.name)
        case "reset":
            life.reset(lab, host, arguments.name)
        case "forget":
            life.forget(lab, arguments.name)
    print(f"lab: {arguments.command} took {time.monotonic() - start:.1f} s", file=sys.stderr)


@contextlib.contextmanager
def _alone(lab: Slice) -> Iterator[None]:
    """Wait for another command that changes this lab.

    Raises:
        LabError: it still runs after ten minutes.
    """
    life.check_machine()

    def locked() -> TextIO | None:
        stream = lab.lock.open("w")
        with contextlib.suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # `down` removes the file: a lock on a file that is gone is none
            if os.path.samestat(os.fstat(stream.fileno()), lab.lock.stat()):
                return stream
        stream.close()
        return None

    with wait_for(locked, deadline=LOCK_SECONDS, what="another lab/lab that changes this lab is to end", pause=0.2):
        yield


def _status(lab: Slice) -> int:
    """Print the state of every host."""
    present = podman.containers(lab)
    for host in HOSTS.values():
        print(f"{host.name:12} {present.get(lab.prefix + host.name, 'absent'):9} {host.ipv4(lab)[0]}")
    return 0 if all(present.get(lab.prefix + name) == "running" for name in HOSTS) else 1


def _ssh(lab: Slice, host: str, *words: str) -> None:
    """Become ssh; the lab's ssh_config says everything else.

    Raises:
        LabError: the lab is not up.
    """
    config = lab.state / "ssh_config"
    if not config.exists():
        raise LabError(info.DOWN)
    os.execvp("ssh", ["ssh", "-F", str(config), host, *words])  # noqa: S606 - ssh takes over, terminal and all


def _fault(lab: Slice, host: str, rule: str) -> None:
    """Add an nft rule to a host's network from outside, in a table of its own, or remove that table."""
    process = podman.process(lab, host)
    # By the host's own nft where it has one: another version's rules can be too new for the machine's.
    own = run(["podman", "exec", lab.prefix + host, "sh", "-c", "command -v nft || :"]).strip()
    outside = ["nsenter", "-t", process, "-n"]
    enter = [*(["podman", "exec", "-i", lab.prefix + host] if own else outside), "nft", "-f", "-"]
    run(enter, stdin="table inet lab_fault\ndelete table inet lab_fault\n")
    if rule != "clear":
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority -300; {rule}; }}\n" for hook in ("input", "output")
        )
        run(enter, stdin=f"table inet lab_fault {{\n{chains}}}\n")
