# SPDX-License-Identifier: Apache-2.0
"""The Debian package: what is in it, what it needs, and that it is the same bytes each time."""
import os
import shutil
import subprocess

import pytest
from conftest import BUILD, ROOT, SANITIZED

pytestmark = pytest.mark.skipif(
    SANITIZED or not all(map(shutil.which, ("dpkg-deb", "dpkg-shlibdeps", "strip"))),
    reason="no dpkg-dev, or a binary that is never shipped")


def package(folder, version="9.8.7"):
    built = subprocess.run([ROOT / "systemd/package/deb", BUILD / "weir", version, folder], check=True,
                           capture_output=True, text=True,
                           env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    return built.stdout.strip()


def told(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_package_is_the_same_bytes_each_time(tmp_path):
    first, second = package(tmp_path / "a"), package(tmp_path / "b")
    with open(first, "rb") as one, open(second, "rb") as other:
        assert one.read() == other.read()


def test_package_has_what_it_needs_and_keeps_the_configuration(tmp_path):
    path = package(tmp_path)
    assert told("dpkg-deb", "-f", path, "Version").strip() == "9.8.7"
    needs = told("dpkg-deb", "-f", path, "Depends")
    for library in ("libc6 (>= ", "libnghttp2-14", "libssl3", "libsqlite3-0", "systemd"):
        assert library in needs
    listed = told("dpkg-deb", "-c", path)
    for name in ("usr/bin/weir", "lib/systemd/system/weir.service", "sysusers.d/weir.conf",
                 "tmpfiles.d/weir.conf", "man1/weir.1.gz", "licenses/Apache-2.0.yaml",
                 "prometheus/weir.rules.yml", "doc/weir/copyright"):
        assert name in listed, name
    assert all(" root/root " in line for line in listed.splitlines())
    control = tmp_path / "control"
    subprocess.run(["dpkg-deb", "-e", path, control], check=True)
    assert (control / "conffiles").read_text() == "/etc/weir/weir.yaml\n"


def test_package_starts_nothing_that_nobody_asked_for(tmp_path):
    control = tmp_path / "control"
    subprocess.run(["dpkg-deb", "-e", package(tmp_path), control], check=True)
    after = (control / "postinst").read_text()
    assert "try-restart" in after and "enable" not in after.replace("neither enabled", "")
    assert " start " not in after
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", control / script], check=True)
    assert "/var/lib/weir" not in (control / "prerm").read_text()
