# SPDX-License-Identifier: Apache-2.0
"""engine.kv_format: each format of the KV cache on the CPU and on an emulated GPU."""
import concurrent.futures
import subprocess

import pytest
import tiny_gguf

from conftest import BUILD
from test_cuda import PROMPTS, ask, complete, flags_of, machine

pytestmark = pytest.mark.skipif(BUILD.name == "tsan", reason="an emulated GPU under TSan is too slow")

# And vLLM's names.
FORMATS = {"f16": "float16", "bf16": "bfloat16", "fp8": "fp8_per_token_head"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_gguf.write(tmp_path_factory.mktemp("model") / "tiny.gguf", kinds=tiny_gguf.FLOATS)


@pytest.fixture
def serve(start, model):
    """A daemon with the tiny model, told its device, format and further flags."""
    def serve_one(device, kv_format, *flags):
        server = start(*flags_of(model, "--device", device, "--kv-format", kv_format, *flags),
                       model=False, env=machine())
        server.wait_for(rf"event=model_loaded.* kv_format={kv_format} device={device}", 1)
        assert server.metric("vllm:cache_config_info", cache_dtype=FORMATS[kv_format]) == 1
        return server
    return serve_one


def alternatives(server, prompt):
    """The tokens of a greedy answer, and what they and those after them weighed."""
    return complete(server, prompt, 8, logprobs=2)["logprobs"]


@pytest.mark.parametrize("kv_format", FORMATS)
def test_both_devices_say_the_same_up_to_a_tie(serve, kv_format):
    """Attention rounds queries and weights on a GPU, to 2^-8 where keys are bf16, and what meets a
    weight of 16 bits: logits move by some hundredths. So the first token that differs was a near tie."""
    cpu, gpu = serve("cpu", kv_format), serve("cuda", kv_format)
    for prompt in PROMPTS:
        on_cpu, on_gpu = alternatives(cpu, prompt), alternatives(gpu, prompt)
        for at, (want, got) in enumerate(zip(on_cpu["tokens"], on_gpu["tokens"])):
            if want != got:
                first, second = sorted(on_cpu["top_logprobs"][at].values(), reverse=True)[:2]
                assert first - second < .2
                break
            assert on_gpu["token_logprobs"][at] == pytest.approx(on_cpu["token_logprobs"][at],
                                                                 abs=.2)


@pytest.mark.parametrize("kv_format", FORMATS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_company_chunks_and_prefixes_do_not_show_in_a_bit(serve, device, kv_format):
    server = serve(device, kv_format)
    alone = [ask(server, prompt, cache_salt="alone") for prompt in PROMPTS]
    assert ask(server, PROMPTS[3], cache_salt="alone") == alone[3]
    assert server.metric("vllm:prompt_tokens_cached_total") >= 80
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, server, PROMPTS[i % 4], cache_salt=f"company {i}")
                 for i in range(6)]
    for i, each in enumerate(asked):
        assert each.result() == alone[i % 4]
    chunked = serve(device, kv_format, "--max-step-tokens", 16)
    assert ask(chunked, PROMPTS[3]) == alone[3]
    server.assert_nothing_leaked()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_fp8_holds_nearly_twice_the_tokens_in_the_same_memory(serve, device):
    blocks = {kv_format: serve(device, kv_format, "--kv-memory", "1MiB", "--context", 128)
              .metric("weir_kv_blocks") for kv_format in FORMATS}
    # A token of tiny's: 2 layers, K and V, 2 heads of 128 numbers, with a scale of 2 bytes each.
    assert blocks["f16"] == blocks["bf16"] == 2**20 // (16 * 2 * 2 * 2 * 256)
    assert blocks["fp8"] == 2**20 // (16 * 2 * 2 * 2 * 130)


def test_what_is_no_format_is_named_with_those_that_are(model):
    done = subprocess.run([BUILD / "weir", "serve", "--model", model, "--kv-format", "q4", "--check"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 64
    assert "--kv-format: expected one of f16, bf16, fp8, got 'q4'" in done.stderr, done.stderr
