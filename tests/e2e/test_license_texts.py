# SPDX-License-Identifier: Apache-2.0
"""Published licence texts against the shipped catalogue: each is its own version and no other, and
with one sentence more it is none.

The texts are not kept here: WEIR_LICENCE_TEXTS names a folder that has them. Without it only the
table's ids are checked, so that this file runs everywhere.
"""
import os
import pathlib
import subprocess

import pytest

from conftest import BUILD
from license_models import check

FOLDER = os.environ.get("WEIR_LICENCE_TEXTS")

TEXTS = [
    ("chatglm2-model.txt", "chatglm2"),
    ("creativeml-openrail-m.txt", "creativeml-openrail-m"),
    ("dbrx.txt", "dbrx"),
    ("deepseek-model-1.0.txt", "deepseek-model-1.0"),
    ("deepseek-r1-mit.txt", "MIT"),
    ("deepseek-v3.2-exp-mit.txt", "MIT"),
    ("falcon-3.txt", "falcon-3"),
    ("flux-dev.txt", "flux-1-dev-non-commercial"),
    ("grok-2-2025-11-04.txt", "grok2-community"),
    ("hunyuan-a13b.txt", "tencent-hunyuan-a13b"),
    ("kimi-k2.5.txt", "kimi-k2.5"),
    ("kimi-k2.7-code.txt", "kimi-k2.7-code"),
    ("kimi-k2.txt", "kimi-k2"),
    ("kimi-k3.txt", "kimi-k3"),
    ("lfm-1.0.txt", "lfm-1.0"),
    ("licensedb-bigcode-open-rail-m-v1.txt", "bigcode-openrail-m"),
    ("licensedb-bigscience-open-rail-m.txt", "bigscience-openrail-m"),
    ("licensedb-bigscience-open-rail-m2.txt", "openrail++"),
    ("licensedb-bigscience-rail-1.0.txt", "bigscience-bloom-rail-1.0"),
    ("licensedb-bilibili-model-ula-2025-09-09.txt", "bilibili-index-2025-09-09"),
    ("licensedb-exaone-ai-model-1.1-nc.txt", "exaone-1.1-nc"),
    ("licensedb-falcon-2-11b-1.0.txt", "falcon-2-11b"),
    ("licensedb-gemma-pup-2024-02-21.txt", "gemma-2024-02-21"),
    ("licensedb-gemma-tou-2024-04-01.txt", "gemma-2024-04-01"),
    ("licensedb-gemma-tou-2025-03-24.txt", "gemma-2025-03-24"),
    ("licensedb-hyperclova-x-seed-2025.txt", "hyperclovax-seed"),
    ("licensedb-ltxv-owl-2025-04-17.txt", "ltxv-owl-2025-04-17"),
    ("licensedb-ltxv-owl-2025-05-05.txt", "ltxv-owl-2025-05-05"),
    ("licensedb-nvidia-open-model-2025-04-28.txt", "nvidia-open-model-2025-04-28"),
    ("licensedb-playground-v2-community.txt", "playground-v2-community"),
    ("licensedb-qwen-2024.txt", "qwen"),
    ("licensedb-stability-ai-community-2024.txt", "stabilityai-ai-community"),
    ("licensedb-stability-ai-nc-2023-12-06.txt", "stabilityai-nc-research"),
    ("licensedb-tencent-hunyuan-3d-2.0-cla.txt", "tencent-hunyuan-3d-2.0"),
    ("llama-2-LICENSE.txt", "llama2"),
    ("llama-2-USE_POLICY.md", "llama2"),
    ("llama-3-LICENSE.txt", "llama3"),
    ("llama-3-USE_POLICY.md", "llama3"),
    ("llama-3.1-LICENSE.txt", "llama3.1"),
    ("llama-3.1-USE_POLICY.md", "llama3.1"),
    ("llama-3.2-LICENSE.txt", "llama3.2"),
    ("llama-3.2-USE_POLICY.md", "llama3.2"),
    ("llama-3.3-LICENSE.txt", "llama3.3"),
    ("llama-3.3-USE_POLICY.md", "llama3.3"),
    ("llama-4-LICENSE.txt", "llama4"),
    ("llama-4-USE_POLICY.md", "llama4"),
    ("minimax-m2.1.txt", "minimax-m2.1"),
    ("minimax-m2.5-code.txt", "minimax-m2.5-code"),
    ("minimax-m2.5-model.txt", "minimax-model"),
    ("minimax-m2.7.txt", "minimax-m2.7"),
    ("minimax-m2.txt", "minimax-m2"),
    ("mistral-medium-3.5.txt", "mistral-modified-mit"),
    ("mnpl-0.1.md", "mnpl-0.1"),
    ("mrl-0.1.md", "mrl-0.1"),
    ("olmo-apache-2.0.txt", "Apache-2.0"),
    ("openmdw-1.1.txt", "OpenMDW-1.1"),
    ("pythia-apache-2.0.txt", "Apache-2.0"),
    ("qwen-research-2024.txt", "qwen-research"),
    ("tongyi-qianwen-2023.txt", "tongyi-qianwen"),
    ("tongyi-qianwen-research-2023.txt", "tongyi-qianwen-research"),
    ("yi.txt", "Apache-2.0"),
]

RIDERS = [
    "This model is provided for research use only.",
    "The model is not available in the EU.",
    "Services with above 5M monthly users must obtain a separate license.",
    "Commercial use requires written permission of the authors.",
]


def text_of(name):
    if FOLDER is None:
        pytest.skip("WEIR_LICENCE_TEXTS is not set")
    return (pathlib.Path(FOLDER) / name).read_text(encoding="utf-8")


def check_text(scratch, text):
    folder = scratch / "model"
    folder.mkdir(exist_ok=True)
    (folder / "LICENSE").write_text(text, encoding="utf-8")
    return check(folder)


def test_the_table_names_licences_of_the_catalogue():
    listed = subprocess.run([BUILD / "weir", "licenses", "list"], capture_output=True, text=True,
                            check=True).stdout
    ids = {line.split()[0] for line in listed.splitlines()[1:]}
    assert {license_id for _, license_id in TEXTS} <= ids


@pytest.mark.parametrize("name,license_id", TEXTS)
def test_each_text_is_its_own_version(name, license_id, tmp_path):
    _, answer = check_text(tmp_path, text_of(name))
    assert answer["license"]["id"] == license_id
    assert answer["license"]["recognised_by"] in ("text", "template")


@pytest.mark.parametrize("name,license_id", TEXTS)
def test_a_sentence_more_fails_closed_and_is_named(name, license_id, tmp_path):
    text = text_of(name)
    paragraphs = text.split("\n\n")
    middle = len(paragraphs) // 2
    for rider, riddled in (
            (RIDERS[0], f"{text}\n\n{RIDERS[0]}\n"),
            (RIDERS[1], f"{RIDERS[1]}\n\n{text}"),
            (RIDERS[2], "\n\n".join([*paragraphs[:middle], RIDERS[2], *paragraphs[middle:]])),
            (RIDERS[3], f"{text.rstrip()} {RIDERS[3]}")):
        code, answer = check_text(tmp_path, riddled)
        assert code == 3, rider
        assert license_id not in answer["license"]["id"].split(" AND "), rider
        said = " ".join(each["reason"] for each in answer["conditions"]
                        if each["kind"] == "recognition")
        assert rider in said, f"{rider!r} is not in {said!r}"
