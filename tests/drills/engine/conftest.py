# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away hosts of both releases on which the engine is tried for real."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from drills import machines
from drills.conftest import image
from drills.engine import stack

ROOT = Path(__file__).resolve().parents[3]
CODE = "/run/sendyard-test"
_PLUGINS = "ansible_collections/sendyard/mail/plugins"


@dataclass(frozen=True)
class Host:
    """A host under test, by the name of its container."""

    name: str

    def run(self, command: str, *, stdin: bytes | None = None, check: bool = True, timeout: float = 120) -> str:
        """Run a shell command on the host and return what it printed."""
        argv = ["podman", "exec", "-i", self.name, "sh", "-c", command]
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
                ROOT / "plugins/module_utils/logins.py",
                *(ROOT / "plugins/module_utils/host").rglob("*.py"),
            ]:
                tar.add(source, f"{_PLUGINS}/{source.relative_to(ROOT / 'plugins')}")
            tar.add(Path(__file__).with_name("driver.py"), "driver.py")
        self.run(f"rm -rf {CODE}; mkdir -p {CODE}; tar -x -C {CODE}", stdin=archive.getvalue())


@pytest.fixture(scope="session", params=machines.VERSIONS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A throw-away host with the engine on it."""
    name = f"sendyard-engine-{uuid.uuid4().hex[:8]}"
    try:
        machines.boot(name, image(request.param), "--hostname", stack.FQDN)
        made = Host(name)
        made.send_code()
        yield made
    finally:
        machines.podman("rm", "-f", "-t", "1", name, check=False)
