# SPDX-License-Identifier: Apache-2.0
"""systemd's own word on our units: no mistake in them, and little that a break-in could reach."""
import os
import re
import shutil
import subprocess

import pytest
from conftest import BUILD, ROOT

EXPOSURE_MAX = 1.5
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze")


@pytest.fixture
def units(tmp_path):
    """As `make install` writes them, for a prefix where the binary really is."""
    prefix = tmp_path / "usr"
    subprocess.run([ROOT / "systemd/package/install", BUILD / "weir", prefix, tmp_path / "etc"],
                   check=True, env={**os.environ, "DESTDIR": ""})
    return sorted((prefix / "lib/systemd/system").iterdir())


@needs_systemd
def test_units_have_no_mistake(units):
    checked = subprocess.run([ANALYZE, "verify", "--man=no", *units], capture_output=True,
                             text=True, check=False)
    ours = [line for line in checked.stderr.splitlines() if "weir" in line]
    assert checked.returncode == 0 and not ours, checked.stderr


@needs_systemd
def test_service_is_little_exposed(units):
    service = next(unit for unit in units if unit.name == "weir.service")
    told = subprocess.run([ANALYZE, "security", "--offline=true", "--no-pager", service],
                          capture_output=True, text=True, check=False).stdout
    exposure = float(re.search(r"exposure level for weir.service: ([\d.]+)", told).group(1))
    print(f"systemd-analyze security: {exposure}")
    assert exposure <= EXPOSURE_MAX, told


def test_service_gives_up_on_what_does_not_heal(units):
    """A check before the start would hide its status from RestartPreventExitStatus=."""
    text = next(unit for unit in units if unit.name == "weir.service").read_text()
    assert re.search(r"(?m)^RestartPreventExitStatus=64 78$", text)
    assert not re.search(r"(?m)^ExecStartPre=", text)
    assert not re.search(r"(?m)^ProcSubset=", text)  # it hides what the KV cache is planned by
