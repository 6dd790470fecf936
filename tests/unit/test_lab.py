# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the lab decides before it touches the machine: where packages come from, what is whose, what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sendyard_lab import images

# -- the machine's own mirror ----------------------------------------------------------------------------------------


def mirror_of(monkeypatch: pytest.MonkeyPatch, *bases: str) -> images.Mirror:
    """The mirror of a machine whose apt has these sources."""
    fetched = "".join(f"'{base}/dists/trixie/InRelease' a_file_name 0 \n" for base in bases)

    def run(argv: Sequence[str]) -> str:
        return {"apt-get": fetched, "apt-config": 'Acquire::http::Proxy "http://proxy.example:3128";\n'}[argv[0]]

    monkeypatch.setattr(images, "run", run)
    return images.machine_mirror()


def test_packages_come_from_the_machines_own_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = mirror_of(
        monkeypatch,
        "cdrom:[Debian]",
        "https://packages.other.example/apt",
        "https://mirror.example/debian",
        "https://mirror.example/debian-security",
    )
    assert (mirror.archive, mirror.security) == (
        "https://mirror.example/debian",
        "https://mirror.example/debian-security",
    )
    assert mirror.proxy == "http://proxy.example:3128"


def test_of_a_list_of_mirrors_the_first_that_speaks_http_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed = tmp_path / "debian.list"
    listed.write_text(
        "# near\nfile:/srv/debian\thost:here\nhttps://near.example/debian/\tpriority:1\nhttp://far.example/debian\n"
    )
    mirror = mirror_of(monkeypatch, f"mirror+file:{tmp_path}/is-not-there.list", f"mirror+file:{listed}")
    assert (mirror.archive, mirror.security) == ("https://near.example/debian", "https://near.example/debian-security")


def test_a_machine_without_a_mirror_takes_debians_public_one(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = mirror_of(monkeypatch)
    assert (mirror.archive, mirror.security) == (images.PUBLIC_ARCHIVE, f"{images.PUBLIC_ARCHIVE}-security")
