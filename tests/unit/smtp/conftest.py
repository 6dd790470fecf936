# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from unit.smtp import servers


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> servers.Ca:
    return servers.make_ca(tmp_path_factory.mktemp("ca"))
