# SPDX-License-Identifier: Apache-2.0
"""The numbers: perplexity and top-1 agreement with llama.cpp on a text kept in tests/golden."""
import subprocess

import pytest

from conftest import BUILD, MODEL, ROOT


@pytest.mark.slow
def test_perplexity_and_agreement():
    golden = ROOT / "tests" / "golden"
    result = subprocess.run([BUILD / "golden" / "perplexity_check", MODEL,
                             golden / "perplexity.q4_1_f32.reference",
                             golden / "perplexity.q4_1.reference"],
                            capture_output=True, text=True, timeout=900)
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
