# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The documentation: generated where it can be, and true where it can be checked."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
import yaml
from programs import ROOT
from tools import docs

PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "roles/*/README.md", "lab/*.md", "agent/*.md", "inventory/*/*.md")
    for page in ROOT.glob(pattern)
)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#]+)(?:#[^)]*)?\)")
SETTING = re.compile(r"`(sendyard_[a-z0-9_]+)")
DEFAULTS = """---
# --- the first section
role_size: 5  # megabytes; more than anybody sends
role_names: [a, "b # not a comment"]
# a remark on the next one
role_long:
  - one
  - two

# --- the second
role_text: "x | y"
"""
SPECS = {
    "role_size": {"type": "int", "description": "How large."},
    "role_names": {"type": "list", "elements": "str", "description": ["Names,", "O(role_size) of them."]},
    "role_long": {"type": "list", "elements": "str", "description": "Long."},
    "role_text": {"type": "str", "choices": ["a", "b"], "description": "Text."},
    "role_needed": {"type": "dict", "required": True, "description": "N.", "options": {"inner": {"description": "I."}}},
}
ROLE = docs.Role("role", SPECS, docs.parse_defaults(DEFAULTS))


def test_defaults_keep_their_comments_and_sections() -> None:
    assert ROLE.defaults["role_size"] == docs.Default(5, "megabytes; more than anybody sends", "the first section")
    assert ROLE.defaults["role_names"].comment == ""
    assert ROLE.defaults["role_long"].value == ["one", "two"]
    assert ROLE.defaults["role_text"].section == "the second"


def test_a_row_says_type_default_and_meaning() -> None:
    rows = list(docs.table(ROLE, ["role_size", "role_names", "role_text", "role_needed"]))[2:]
    assert rows[0] == "| `role_size` | int | `5` | How large. (megabytes; more than anybody sends) |"
    assert "list of str" in rows[1]
    assert "`role_size` of them." in rows[1]
    assert "str: `a`, `b` | `x \\| y`" in rows[2]
    assert "**required**" in rows[3]
    assert rows[4].startswith("| `role_needed[].inner` |")


def test_a_readme_gets_its_table_once_and_keeps_the_rest() -> None:
    once = docs.with_table("# role\n\nText.\n", ROLE)
    assert once.startswith("# role\n\nText.\n")
    assert docs.with_table(once, ROLE) == once
    stale = once.replace("How large.", "How small.") + "\nMore text.\n"
    assert docs.with_table(stale, ROLE) == once + "\nMore text.\n"


def test_every_setting_with_a_default_is_described() -> None:
    settings = docs.read_role(ROOT / "roles/settings")
    assert set(settings.defaults) <= set(settings.options)
    assert all(default.section for default in settings.defaults.values())


def test_settings_without_a_default_are_required() -> None:
    settings = docs.read_role(ROOT / "roles/settings")
    assert {name for name, option in settings.options.items() if option.get("required")} == set(settings.options) - set(
        settings.defaults
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_are_named_exist(page: Path) -> None:
    known = set(docs.read_role(ROOT / "roles/settings").options)
    assert set(SETTING.findall(page.read_text())) <= known


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
    assert named <= targets


def test_scripts_that_are_named_exist() -> None:
    named = {
        name for page in PAGES for name in re.findall(r"\b((?:script|lab|\.ci)/[a-z-]+)(?=[ `\n])", page.read_text())
    }
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_example_inventory_uses_settings_that_exist() -> None:
    known = set(docs.read_role(ROOT / "roles/settings").options)
    for path in (ROOT / "inventory").glob("*/group_vars/*.yml"):
        said = yaml.safe_load(path.read_text()) or {}
        assert {name for name in said if name.startswith("sendyard_")} <= known


def test_readme_names_everything_that_a_run_puts_on_a_host() -> None:
    table = (ROOT / "README.md").read_text().partition("On the host:")[2].partition("In DNS")[0]
    named = re.findall(r"`(/?[\w./*-]+)`", table)
    units = {name.removesuffix(f".{kind}") for name in named for kind in ("service", "path", "timer")}
    placed = {
        path
        for variables in ROOT.glob("roles/*/vars/main.yml")
        for path in re.findall(r"^ *- path: (/\S+)", variables.read_text(), re.MULTILINE)
    }
    assert len(placed) > 20
    for path in map(PurePosixPath, sorted(placed)):
        inside = any(str(path).startswith(name) for name in named if name.endswith("/"))
        is_unit = path.parent == PurePosixPath("/etc/systemd/system") and path.stem in units
        assert inside or is_unit or any(fnmatch(str(path), name) for name in named), path


def test_readme_says_which_secret_the_example_wants() -> None:
    wanted = re.findall(r"secret_env: (\w+)", (ROOT / "inventory/example/group_vars/senders.yml").read_text())
    readme = (ROOT / "README.md").read_text()
    assert wanted
    assert [name for name in wanted if f"export {name}=" not in readme] == []
