# SPDX-License-Identifier: Apache-2.0
"""What `make install` lays out: it runs from there, and the operator's configuration is kept."""
import os
import re
import shutil
import subprocess

import pytest
from conftest import BUILD, MODEL, ROOT


def install(folder, prefix="/usr", sysconfdir="/etc"):
    subprocess.run([ROOT / "systemd/package/install", BUILD / "weir", prefix, sysconfdir], check=True,
                   env={**os.environ, "DESTDIR": str(folder)})


def weir(folder, *arguments, prefix="usr"):
    return subprocess.run([folder / prefix / "bin/weir", *arguments], capture_output=True,
                          text=True, check=False, cwd=folder)


def test_installed_weir_finds_its_licences_and_says_what_its_configuration_lacks(tmp_path):
    install(tmp_path, "/usr/local", "/usr/local/etc")
    listed = weir(tmp_path, "licenses", "list", prefix="usr/local")
    assert listed.returncode == 0 and "Apache-2.0" in listed.stdout
    settings = tmp_path / "usr/local/etc/weir/weir.yaml"
    assert settings.stat().st_mode & 0o777 == 0o640
    assert "/usr/local/share/doc/weir/weir.yaml" in settings.read_text()
    lacks = weir(tmp_path, "serve", "--config", settings, prefix="usr/local")
    assert lacks.returncode == 78
    assert "no model: give --model PATH, or a list under models:" in lacks.stderr


def test_example_in_the_configuration_is_sound_without_its_comment_signs(tmp_path):
    install(tmp_path)
    text = (tmp_path / "etc/weir/weir.yaml").read_text()
    body = re.sub(r"\A(#( .*)?\n)+", "", text)
    settings = tmp_path / "whole.yaml"
    settings.write_text(re.sub(r"(?m)^#(?! \S)", "", body))
    whole = weir(tmp_path, "--config", settings, "--check")
    assert whole.returncode == 0 and "(1 models)" in whole.stdout, whole.stderr


def test_configuration_that_lies_there_is_never_overwritten(tmp_path):
    install(tmp_path)
    settings = tmp_path / "etc/weir/weir.yaml"
    own = f"models:\n  - path: {MODEL}\n"
    settings.write_text(own)
    install(tmp_path)
    assert settings.read_text() == own
    assert weir(tmp_path, "--config", settings, "--check").returncode == 0


def test_paths_of_another_prefix_are_written_into_units(tmp_path):
    install(tmp_path, "/opt/weir", "/opt/weir/etc")
    unit = (tmp_path / "opt/weir/lib/systemd/system/weir.service").read_text()
    assert re.search(r"(?m)^ExecStart=/opt/weir/bin/weir .*/opt/weir/etc/weir/weir.yaml$", unit)
    assert "/usr/bin/weir" not in unit and " /etc/weir" not in unit


def test_manual_names_every_command_and_has_no_mistake(tmp_path):
    install(tmp_path)
    page = tmp_path / "usr/share/man/man1/weir.1"
    commands = re.findall(r"(?m)^  weir ([a-z]+) ", weir(tmp_path, "--help").stdout)
    assert "check" in commands
    for command in commands:
        assert f".It Cm {command}\n" in page.read_text(), command
    if shutil.which("mandoc"):
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], check=False,
                              capture_output=True, text=True)
        assert lint.returncode == 0, lint.stdout


def test_completion_offers_commands_and_flags(tmp_path):
    install(tmp_path)
    if not shutil.which("bash"):
        pytest.skip("no bash")
    script = """. "$1"; COMP_WORDS=("$2" "$3" "$4"); COMP_CWORD=$5; _weir; echo "${COMPREPLY[@]}" """

    def complete(at, first, second=""):
        return subprocess.run(
            ["bash", "-c", script, "-", tmp_path / "usr/share/bash-completion/completions/weir",
             tmp_path / "usr/bin/weir", first, second, str(at)], capture_output=True, text=True,
            check=True).stdout.split()

    assert "report" in complete(1, "rep")
    assert "--month" in complete(2, "report", "--mo")
    assert "--port" in complete(2, "serve", "--po")
