# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Debian's packages without anything being started, also where an earlier installation was killed.

While packages are installed, a policy of ours forbids to start daemons. It is also what tells the next run that this
one did not come to its end: it is taken away last. An owner's policy stands aside meanwhile, and comes back.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .errors import SendyardError
from .host.command import Result, run
from .host.files import FileSpec, write
from .host.lock import host_lock
from .inspection import POLICY, POLICY_ASIDE, missing_packages, policy_is_ours

FORBID = b"""#!/bin/sh
# Sendyard installs packages: nothing is started meanwhile. This file is gone when it is done, or with the next run.
exit 101
"""
CONFFILES = ("--force-confdef", "--force-confold")  # an owner's are kept
# What apt, dpkg and debconf say while another of them works.
BUSY = re.compile(r"[Cc]ould not get lock|Unable to (?:lock|acquire)|locked by another process")
PATIENCE = 600.0  # seconds: as long as another installation may take
PAUSE = 1.0


class PackagesError(SendyardError):
    """Packages cannot be installed."""


def install(names: Sequence[str], preseeds: Sequence[str]) -> None:
    """Install what is missing of `names`, and finish what an earlier run began.

    Args:
        names: packages; of "one|other", any will do.
        preseeds: lines for debconf-set-selections(1); those of missing packages are set.
    """
    with host_lock("packages", deadline=PATIENCE), nothing_starts():
        _patiently("dpkg", *CONFFILES, "--configure", "-a")  # it fails where apt-get has to mend more
        missing = missing_packages(names)
        answers = [line for line in preseeds if line.split()[0] in missing]
        if answers:
            doing = "answering the packages' questions"
            _patiently("debconf-set-selections", stdin="\n".join(answers) + "\n").require(doing)
        _patiently("apt-get", "--quiet", "update").require("reading the lists of packages")
        options = [word for option in CONFFILES for word in ("--option", f"Dpkg::Options::={option}")]
        _patiently(
            *("apt-get", "--quiet", "--yes", "--no-install-recommends", "--fix-broken", *options, "install", *missing)
        ).require("installing packages")
        missing = missing_packages(names)
        if missing:
            raise PackagesError(f"apt-get installed no {', '.join(missing)}. Look at /var/log/apt/term.log.")


@contextmanager
def nothing_starts() -> Iterator[None]:
    """Forbid for the body that packages start daemons. A policy of somebody else's is put aside for so long.

    Where the body fails and leaves dpkg with half a package, it stays forbidden: to mend it would start daemons.
    """
    if os.path.lexists(POLICY) and not policy_is_ours():
        POLICY.replace(POLICY_ASIDE)
    write(FileSpec(POLICY, FORBID, mode=0o755))
    try:
        yield
    except SendyardError:
        if _patiently("dpkg", "--audit").stdout:
            raise
        _allow()
        raise
    _allow()


def _allow() -> None:
    """Take our policy away, and put back what stood there before."""
    if os.path.lexists(POLICY_ASIDE):
        POLICY_ASIDE.replace(POLICY)
    else:
        POLICY.unlink()


def _patiently(*argv: str, stdin: str | None = None) -> Result:
    """Run a program of Debian's, again while another one is at work: an apt-get whose run was killed goes on."""
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    end = time.monotonic() + PATIENCE
    while True:
        done = run(argv, deadline=1800, stdin=stdin, env={"DEBIAN_FRONTEND": "noninteractive", **proxies})
        if done.ok or not BUSY.search(done.stderr) or time.monotonic() > end:
            return done
        time.sleep(PAUSE)
