# SPDX-License-Identifier: Apache-2.0
"""The numbers: perplexity and top-1 agreement with llama.cpp on a text kept in tests/golden."""
import subprocess

import pytest

from conftest import BUILD, MODEL


@pytest.mark.slow
def test_perplexity_and_agreement():
    result = subprocess.run([BUILD / "golden" / "perplexity_check", MODEL], capture_output=True,
                            text=True, timeout=900, cwd=BUILD.parent)
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
