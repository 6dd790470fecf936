# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Ansible's loader finds the collection for every test, from the first import on.

A test that renders templates installs that loader; what was imported without it before, it would not find again.
"""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).resolve().parents[1] / "collections")])
