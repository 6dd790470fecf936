# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Stands in for get-pip.py, which ansible-test would fetch from a server of its own: pip is inside Python already.

ensurepip runs as a process of its own: in this one it would set PIP_CONFIG_FILE, and pip would no longer know the index
and the CA that the machine is set to.
"""

from __future__ import annotations

import subprocess
import sys

GET_PIP_ONLY = ("--no-setuptools", "--no-wheel")  # options of get-pip.py that pip itself does not know


def main() -> int:
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    wanted = [argument for argument in sys.argv[1:] if argument not in GET_PIP_ONLY]
    return subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
