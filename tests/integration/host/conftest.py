# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts on which the engine is tried for real.

SENDYARD_TEST_HOSTS names them, separated by spaces; the tests change them, so they must be throw-away ones:

* `image:localhost/dev/trixie` starts a container of that image and removes it afterwards;
* `podman:NAME` uses a running container;
* `ssh:ARGUMENTS` uses `ssh ARGUMENTS`, as root, such as `ssh:-F lab/.state/ssh_config mx-trixie`.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
CODE = "/run/sendyard-test"
_PLUGINS = "ansible_collections/sendyard/mail/plugins"


@dataclass(frozen=True)
class Host:
    """A host under test; `prefix` is the command that runs another one there as root."""

    name: str
    prefix: tuple[str, ...]

    def run(self, command: str, *, stdin: bytes | None = None, check: bool = True, timeout: float = 120) -> str:
        """Run a shell command on the host and return what it printed."""
        argv = [*self.prefix, "sh", "-c", shlex.quote(command) if self.prefix[0] == "ssh" else command]
        done = subprocess.run(argv, input=stdin or b"", capture_output=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise AssertionError(
                f"{command}\nended with {done.returncode}:\n{done.stderr.decode()}{done.stdout.decode()}"
            )
        return done.stdout.decode()

    def put(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file on the host."""
        self.run(f"mkdir -p $(dirname {path}); cat > {path}; chmod {mode} {path}", stdin=text.encode())

    def apply(self, generation: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Have the engine apply `generation`; {} where it died on the way."""
        call = json.dumps({**generation, **options}).encode()
        driver = f"PYTHONPATH={CODE} python3 -B {CODE}/driver.py"
        # A driver that was told to die leaves no answer.
        out = self.run(driver, stdin=call, check="die_after" not in options and "die_before_probe" not in options)
        return json.loads(out) if out else {}

    def send_code(self) -> None:
        """Copy the engine to the host, where a module would have brought it."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for source in [
                ROOT / "plugins/module_utils/errors.py",
                *(ROOT / "plugins/module_utils/host").rglob("*.py"),
            ]:
                tar.add(source, f"{_PLUGINS}/{source.relative_to(ROOT / 'plugins')}")
            tar.add(Path(__file__).with_name("driver.py"), "driver.py")
        self.run(f"rm -rf {CODE}; mkdir -p {CODE}; tar -x -C {CODE}", stdin=archive.getvalue())


@contextmanager
def _container(image: str) -> Iterator[str]:
    name = f"sendyard-engine-{uuid.uuid4().hex[:8]}"
    capabilities = "NET_ADMIN,NET_RAW,SYS_ADMIN,SYS_PTRACE"
    options = ["--hostname", "mx1.yard.example", "--systemd=always", "--cap-add", capabilities]
    start = ["podman", "run", "-d", "--rm", "--name", name, *options, image, "/sbin/init"]
    subprocess.run(start, check=True, capture_output=True, timeout=120)
    try:
        waiting = ["podman", "exec", name, "systemctl", "is-system-running", "--wait"]
        subprocess.run(waiting, capture_output=True, timeout=90, check=False)
        yield name
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "1", name], capture_output=True, timeout=60, check=False)


def _specs() -> list[str]:
    text = os.environ.get("SENDYARD_TEST_HOSTS", "")
    return shlex.split(text) if text else []


@pytest.fixture(scope="session", params=_specs() or [pytest.param("", marks=pytest.mark.skip("SENDYARD_TEST_HOSTS"))])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A throw-away host with the engine on it."""
    kind, _, rest = request.param.partition(":")
    if kind == "image":
        with _container(rest) as name:
            yield _ready(Host(rest, ("podman", "exec", "-i", name)))
    elif kind == "podman":
        yield _ready(Host(rest, ("podman", "exec", "-i", rest)))
    elif kind == "ssh":
        yield _ready(Host(rest, ("ssh", "-o", "BatchMode=yes", *shlex.split(rest))))
    else:
        raise pytest.UsageError(f"SENDYARD_TEST_HOSTS: {request.param!r} is none of image:, podman:, ssh:")


def _ready(host: Host) -> Host:
    host.send_code()
    return host
