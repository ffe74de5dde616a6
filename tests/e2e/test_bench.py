# SPDX-License-Identifier: Apache-2.0
"""weir bench --roofline: figures that add up, in the right order of size, and what is refused."""
import json
import subprocess

import pytest
import tiny_gguf
from conftest import BUILD, MODEL

WAIT_S = 120
GPUS = ("h100", "h200", "a100", "l40s", "4090")


def bench(*flags):
    return subprocess.run([BUILD / "weir", "bench", *map(str, flags)], capture_output=True,
                          text=True, timeout=WAIT_S)


def roofline(*flags, model=MODEL, gpu="h100"):
    shown = bench("--roofline", model, "--gpu", gpu, "--json", *flags)
    assert (shown.returncode, shown.stderr) == (0, "")
    return json.loads(shown.stdout)


def case(answer, kind, sequences, tokens):
    return next(each for each in answer["cases"]
                if (each["kind"], each["sequences"], each["tokens"]) == (kind, sequences, tokens))


def moved(of):
    return sum(kernel["read_bytes"] + kernel["written_bytes"] for kernel in of["kernels"])


def test_a_step_is_the_sum_of_its_kernels():
    answer = roofline("--batch", "1,8", "--context", "100,2000", "--prompt", "700", "--launch-us",
                      "3.5")
    assert len(answer["cases"]) == 5 and answer["launch_us"] == 3.5
    for each in answer["cases"]:
        tokens = each["tokens"] if each["kind"] == "prefill" else each["sequences"]
        assert each["us"] == pytest.approx(sum(kernel["us"] for kernel in each["kernels"]))
        assert each["tokens_per_second"] == pytest.approx(tokens / each["us"] * 1e6)
        launch = 3.5 if each["kind"] == "prefill" else 1.75  # of a graph's kernel
        assert all(kernel["us"] >= launch * kernel["launches"] for kernel in each["kernels"])
        assert each["fits"] and each["memory_bytes"] > answer["weight_bytes"]


def test_a_decode_reads_the_weights_once_and_the_cache_of_each():
    answer = roofline("--batch", "1,16", "--context", "1024,4096")
    one, many = case(answer, "decode", 1, 1024), case(answer, "decode", 16, 1024)
    longer = case(answer, "decode", 16, 4096)
    cache = answer["cache_bytes_a_token"]
    assert answer["weight_bytes"] < moved(one) < 1.4 * answer["weight_bytes"]
    assert 15 * 1024 * cache < moved(many) - moved(one) < 1.2 * 15 * 1024 * cache
    assert 16 * 3072 * cache < moved(longer) - moved(many) < 1.1 * 16 * 3072 * cache
    assert one["us"] < many["us"] < longer["us"]
    assert many["tokens_per_second"] > one["tokens_per_second"]


def test_a_prompt_goes_by_steps_and_has_the_head_once():
    whole, cut = (case(roofline("--prompt", "600", "--step-tokens", step), "prefill", 1, 600)
                  for step in (1000, 200))
    launches = [sum(kernel["launches"] for kernel in each["kernels"]) for each in (whole, cut)]
    assert 2 * launches[0] < launches[1] <= 3 * launches[0]
    assert [next(kernel["launches"] for kernel in each["kernels"] if kernel["bus_bytes"])
            for each in (whole, cut)] == [1, 1]


def test_more_bandwidth_takes_less_time():
    us = {gpu: case(roofline("--batch", "64", "--context", "8000", gpu=gpu), "decode", 64,
                    8000)["us"] for gpu in GPUS}
    assert us["h200"] < us["h100"] < us["a100"] < us["4090"] < us["l40s"]


def test_what_is_beyond_the_gpu_is_said():
    answer = roofline("--batch", "1024", "--context", "8192", gpu="4090")
    assert not answer["cases"][0]["fits"]


def test_types_and_lengths_that_a_model_has(tmp_path):
    path = tiny_gguf.write(tmp_path / "mixed.gguf")
    answer = roofline(model=path)
    names = {kernel["name"] for each in answer["cases"] for kernel in each["kernels"]}
    assert {"linear_few", "linear_many", "linear_float", "linear_half_few", "linear_half_many",
            "quantize", "round_rows", "attend (prefill)"} <= names
    assert {each["tokens"] for each in answer["cases"]} == {tiny_gguf.CONTEXT}
    shown = bench("--roofline", path, "--gpu", "l40s", "--batch", "3", "--context", "77")
    assert shown.returncode == 0 and "decode of 3, context 77" in shown.stdout
    assert "NVIDIA L40S" in shown.stdout and "tokens/s" in shown.stdout


def test_what_goes_wrong_is_said_and_has_a_status(tmp_path):
    no_model = tmp_path / "no-model.gguf"
    no_model.write_text("nothing of the kind")
    for flags, status, words in (
            ([], 64, "--roofline"),
            (["--roofline", MODEL], 64, "--gpu"),
            (["--nothing"], 64, "--nothing"),
            (["--roofline", MODEL, "--gpu", "b9"], 64, "h100"),
            (["--roofline", MODEL, "--gpu", "h100", "--batch", "0"], 64, "--batch"),
            (["--roofline", MODEL, "--gpu", "h100", "--batch", "1,,2"], 64, "--batch"),
            (["--roofline", MODEL, "--gpu", "h100", "--batch", "1,2,3,4,5,6,7,8,9"], 64, "up to 8"),
            (["--roofline", MODEL, "--gpu", "h100", "--context", "1x"], 64, "--context"),
            (["--roofline", MODEL, "--gpu", "h100", "--prompt", "99999999999999999999"], 64,
             "--prompt"),
            (["--roofline", MODEL, "--gpu", "h100", "--context", "99999"], 64, "8192"),
            (["--roofline", MODEL, "--gpu", "h100", "--step-tokens", "0"], 64, "--step-tokens"),
            (["--roofline", MODEL, "--gpu", "h100", "--launch-us", "nan"], 64, "--launch-us"),
            (["--roofline", no_model, "--gpu", "h100"], 65, "no GGUF file"),
            (["--roofline", "/no/such", "--gpu", "h100"], 66, "/no/such")):
        shown = bench(*flags)
        assert (shown.returncode, shown.stdout) == (status, "") and words in shown.stderr
    assert bench("--help").stdout.startswith("weir bench -- ")
