# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Write the tables of variables from what the roles declare: docs/variables.md, and a block in each role's README.

A variable's meaning stands in meta/argument_specs.yml, its default and why that value in defaults/main.yml; nobody
writes a table by hand. `--check` writes nothing and fails, naming the files, where a table is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.stages import ROOT

BEGIN = "<!-- variables: written by script/docs -->"
END = "<!-- end of variables -->"
LONGEST_DEFAULT = 60  # characters; a longer one is left to the defaults file

SECTION = re.compile(r"# --- (?P<title>.+)")


@dataclass(frozen=True)
class Default:
    """One variable of defaults/main.yml: its value, the comment beside it, and the section it stands in."""

    value: Any
    comment: str
    section: str


@dataclass(frozen=True)
class Role:
    """What a role declares, by variable."""

    name: str
    options: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Default]


def parse_defaults(text: str) -> dict[str, Default]:
    """Read a defaults file: values by YAML, and from the lines the comments, which YAML drops."""
    document, values, lines = yaml.compose(text), yaml.safe_load(text), text.splitlines()
    defaults = {}
    for key, value in document.value if document else ():
        number = key.start_mark.line
        sections = [found["title"] for line in lines[:number] if (found := SECTION.match(line))]
        beside = lines[number][value.end_mark.column :] if value.end_mark.line == number else ""
        comment = beside.strip().removeprefix("#").strip()
        defaults[key.value] = Default(values[key.value], comment, sections[-1] if sections else "")
    return defaults


def read_role(directory: Path) -> Role:
    """Read what the role in `directory` declares; a role need not have defaults."""
    specs = yaml.safe_load((directory / "meta/argument_specs.yml").read_text())
    defaults = directory / "defaults/main.yml"
    return Role(
        directory.name,
        specs["argument_specs"]["main"].get("options", {}),
        parse_defaults(defaults.read_text()) if defaults.exists() else {},
    )


def table(role: Role, names: Sequence[str]) -> Iterator[str]:
    """A Markdown table of some of a role's variables, with what lies inside them below each."""
    yield "| Variable | Type | Default | Meaning |"
    yield "|---|---|---|---|"
    for name in names:
        default = role.defaults.get(name)
        yield _row(name, role.options[name], default)
        for inner, option in role.options[name].get("options", {}).items():
            yield _row(f"{name}[].{inner}", option, None)


def variables_page(settings: Role) -> str:
    """docs/variables.md: the owner's settings, by section."""
    required = [name for name in settings.options if name not in settings.defaults]
    lines = [
        "# Settings",
        "",
        "What an inventory may say, all of it named `sendyard_*`; preflight refuses any other such name. The defaults",
        "are in `roles/settings/defaults/main.yml`. What a role leaves to its own defaults (limits for a client, say)",
        "is in its README, and may be set in an inventory too. This page is written by `script/docs`; do not edit it.",
        "",
        "## What only you know",
        "",
        *table(settings, required),
    ]
    for section in dict.fromkeys(default.section for default in settings.defaults.values()):
        names = [name for name, default in settings.defaults.items() if default.section == section]
        heading = section[:1].upper() + section[1:]
        lines += ["", f"## {heading}", "", *table(settings, [name for name in names if name in settings.options])]
    return "\n".join(lines) + "\n"


def with_table(readme: str, role: Role) -> str:
    """A role's README with its table of variables up to date, at the end if it had none."""
    block = "\n".join([BEGIN, *table(role, list(role.options)), END])
    if BEGIN not in readme:
        return f"{readme.rstrip()}\n\n## Variables\n\n{block}\n"
    before, _, rest = readme.partition(BEGIN)
    return before + block + rest.partition(END)[2]


def pages(root: Path) -> Iterator[tuple[Path, str]]:
    """Every page that holds generated text, as it ought to be."""
    for specs in sorted((root / "roles").glob("*/meta/argument_specs.yml")):
        role = read_role(specs.parents[1])
        if role.name == "settings":
            yield root / "docs/variables.md", variables_page(role)
        elif role.options:
            readme = specs.parents[1] / "README.md"
            yield readme, with_table(readme.read_text() if readme.exists() else f"# {role.name}\n", role)


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/docs", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a page is out of date")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in pages(ROOT) if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        print(f"{path.relative_to(ROOT)}: {'out of date, run script/docs' if check else 'written'}")
    return int(check and bool(stale))


def _row(name: str, option: Mapping[str, Any], default: Default | None) -> str:
    meaning = " ".join(
        [_text(option.get("description", "")), *([f"({default.comment})"] if default and default.comment else [])]
    )
    return (
        "| "
        + " | ".join(_cell(cell) for cell in (f"`{name}`", _type(option), _default(option, default), meaning))
        + " |"
    )


def _type(option: Mapping[str, Any]) -> str:
    kind = str(option.get("type", "str"))
    if "elements" in option:
        kind = f"{kind} of {option['elements']}"
    choices = ", ".join(f"`{choice}`" for choice in option.get("choices", ()))
    return f"{kind}: {choices}" if choices else kind


def _default(option: Mapping[str, Any], default: Default | None) -> str:
    if default is None:
        return "**required**" if option.get("required") else ""
    value = default.value
    text = value if value and isinstance(value, str) else _flow(value)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "see `defaults/main.yml`"


def _flow(value: Any) -> str:
    """YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def _text(description: str | Sequence[str]) -> str:
    text = description if isinstance(description, str) else " ".join(description)
    # Ansible's markup of options, values, modules and code: all of it is code in Markdown.
    return re.sub(r"\b[OVCMP]\(([^)]*)\)", r"`\1`", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
