# SPDX-License-Identifier: Apache-2.0
"""The whole daemon on a GPU: weir-cuda-emulated.so stands in for weir-cuda.so and a machine with
one. Its kernels, plug-in and host side are those that nvcc compiles; see tests/emulator."""
import concurrent.futures
import http.client
import json
import os
import re
import subprocess
import tempfile

import pytest
import tiny_gguf

from conftest import BUILD, Server

# Under TSan a step takes seconds here; tests/unit/cuda has the races of kernels and host.
pytestmark = pytest.mark.skipif(BUILD.name == "tsan", reason="an emulated GPU under TSan is too slow")

PLUGIN = BUILD / "weir-cuda-emulated.so"
PROMPTS = ("A weir is", "hello, hello, hello world; and all that was said before it was", "x",
           "the quick brown fox jumps over the lazy dog " * 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_gguf.write(tmp_path_factory.mktemp("model") / "tiny.gguf")


def machine(**settings):
    """The environment of a machine with an emulated GPU."""
    return {"WEIR_CUDA_PLUGIN": str(PLUGIN),
            "XDG_STATE_HOME": tempfile.mkdtemp(dir=os.environ["XDG_STATE_HOME"]),
            **{f"WEIR_EMULATOR_{name}": str(value) for name, value in settings.items()}}


def flags_of(model, *flags):
    return ("--model", model, "--max-step-tokens", 64, "--max-sequences", 16, *flags)


@pytest.fixture(scope="module")
def gpu(_needs, model):
    server = Server(*flags_of(model, "--device", "cuda"), model=False, env=machine())
    yield server
    server.assert_nothing_leaked()
    server.stop()


def ask(server, prompt, tokens=8, **more):
    """(text, log-probabilities) of a greedy completion, which a GPU draws by itself."""
    answer = complete(server, prompt, tokens, logprobs=0, **more)
    return answer["text"], answer["logprobs"]["token_logprobs"]


def complete(server, prompt, tokens, **more):
    status, _, answer = server.post("/v1/completions", {
        "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True,
        **more})
    assert status == 200, answer
    return answer["choices"][0]


def test_tokens_are_those_of_the_cpu(start, tmp_path):
    floats = tiny_gguf.write(tmp_path / "floats.gguf", kinds=tiny_gguf.FLOATS)
    cpu = start(*flags_of(floats, "--device", "cpu"), model=False)
    gpu = start(*flags_of(floats, "--device", "cuda"), model=False, env=machine())
    cpu.wait_for(r"event=model_loaded.*device=cpu-", 1)
    gpu.wait_for(r"event=device_memory model=floats device=\"emulated sm_\d+\" total_bytes=\d", 1)
    gpu.wait_for(r"event=model_loaded.*device=cuda", 1)
    for prompt in PROMPTS:
        on_cpu, on_gpu = ask(cpu, prompt), ask(gpu, prompt)
        assert on_gpu[0] == on_cpu[0]
        # Activations that meet a bf16 weight are rounded to bf16, to 2^-9 of themselves.
        assert on_gpu[1] == pytest.approx(on_cpu[1], abs=.1)


def test_a_mixture_of_experts_says_what_it_says_on_the_cpu(start, tmp_path):
    """Scores that all but tie could choose another expert; none of these do."""
    mixture = tiny_gguf.write(tmp_path / "mixture.gguf", kinds=(tiny_gguf.F32, tiny_gguf.F16), experts=5)
    cpu = start(*flags_of(mixture, "--device", "cpu"), model=False)
    gpu = start(*flags_of(mixture, "--device", "cuda"), model=False, env=machine())
    gpu.wait_for(r"event=model_loaded.*device=cuda", 1)
    for prompt in PROMPTS:
        on_cpu, on_gpu = ask(cpu, prompt), ask(gpu, prompt)
        assert on_gpu[0] == on_cpu[0]
        assert on_gpu[1] == pytest.approx(on_cpu[1], abs=.1)


def test_whose_experts_others_choose_does_not_show_in_a_bit(start, tmp_path):
    mixture = tiny_gguf.write(tmp_path / "mixture.gguf", experts=5)
    gpu = start(*flags_of(mixture, "--device", "cuda"), model=False, env=machine())
    alone = [ask(gpu, prompt, cache_salt="alone") for prompt in PROMPTS]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, gpu, PROMPTS[i % 4], cache_salt=f"company {i}")
                 for i in range(6)]
    for i, each in enumerate(asked):
        assert each.result() == alone[i % 4]
    gpu.assert_nothing_leaked()


def test_quantised_weights_say_the_same_up_to_a_tie(gpu, start, model):
    """Activations are 8-bit there: attention's other rounding moves a code now and then, and with
    it the logits by a hundredth. So the first token that differs was a near tie for the CPU."""
    cpu = start(*flags_of(model, "--device", "cpu"), model=False)
    for prompt in PROMPTS:
        on_cpu, on_gpu = (complete(server, prompt, 12, logprobs=2)["logprobs"]
                          for server in (cpu, gpu))
        for at, (want, got) in enumerate(zip(on_cpu["tokens"], on_gpu["tokens"])):
            if want != got:
                first, second = sorted(on_cpu["top_logprobs"][at].values(), reverse=True)[:2]
                assert first - second < .2
                break
            assert on_gpu["token_logprobs"][at] == pytest.approx(on_cpu["token_logprobs"][at],
                                                                 abs=.2)


@pytest.mark.parametrize("settings", [
    {"temperature": .8}, {"temperature": 1.2, "top_k": 20, "top_p": .9},
    {"temperature": 1, "min_p": .02, "repetition_penalty": 1.2, "frequency_penalty": .5},
    {"logit_bias": {"100": 4, "65": -9}, "min_tokens": 6}])
def test_the_device_draws_what_the_host_would(gpu, settings):
    """A list of likely tokens is the host's to make, and then it draws too."""
    drawn = [gpu.metric("weir_device_drawn_tokens_total")]
    said = []
    for logprobs in (None, 0, 3):
        said.append(complete(gpu, PROMPTS[0], 12, seed=7, logprobs=logprobs, **settings))
        drawn.append(gpu.metric("weir_device_drawn_tokens_total"))
    assert said[0]["text"] == said[1]["text"] == said[2]["text"]
    assert said[1]["logprobs"]["token_logprobs"] == said[2]["logprobs"]["token_logprobs"]
    assert [b - a for a, b in zip(drawn, drawn[1:])] == [12, 12, 0]


def test_the_next_step_is_on_its_way_while_one_runs(gpu):
    before = gpu.metric("weir_engine_steps_ahead_total")
    said = ask(gpu, PROMPTS[2], tokens=20)
    assert gpu.metric("weir_engine_steps_ahead_total") - before == 19
    # A penalty has to know the last token before it can draw: then nothing is ahead.
    before = gpu.metric("weir_engine_steps_ahead_total")
    assert ask(gpu, PROMPTS[2], tokens=20, presence_penalty=1e-30) == said
    assert gpu.metric("weir_engine_steps_ahead_total") == before


def test_graphs_do_not_show_in_a_bit(gpu, start, model, tmp_path):
    config = tmp_path / "weir.yaml"
    config.write_text("engine:\n  gpu_graphs: false\n")
    plain = start("--config", config, *flags_of(model, "--device", "cuda"), model=False,
                  env=machine())
    for prompt in PROMPTS[:2]:
        assert ask(plain, prompt) == ask(gpu, prompt)


def test_a_stream_says_what_a_whole_answer_says(gpu):
    connection = http.client.HTTPConnection("127.0.0.1", gpu.port, timeout=300)
    connection.request("POST", "/v1/completions", json.dumps({
        "prompt": PROMPTS[1], "max_tokens": 8, "temperature": 0, "ignore_eos": True,
        "stream": True}), {"content-type": "application/json"})
    events = connection.getresponse().read().decode().split("\n\n")
    connection.close()
    assert events[-2] == "data: [DONE]"
    pieces = [json.loads(event[len("data: "):]) for event in events[:-2]]
    assert "".join(each["choices"][0]["text"] for each in pieces) == ask(gpu, PROMPTS[1])[0]


def test_company_does_not_show_in_a_bit(gpu):
    alone = [ask(gpu, prompt, cache_salt="alone") for prompt in PROMPTS]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, gpu, PROMPTS[i % 4], cache_salt=f"company {i}")
                 for i in range(6)]
    for i, each in enumerate(asked):
        assert each.result() == alone[i % 4]


def test_a_prefix_in_the_cache_does_not_show_in_a_bit(gpu):
    first = ask(gpu, PROMPTS[3], cache_salt="prefix")
    before = gpu.metric("vllm:prompt_tokens_cached_total")
    assert ask(gpu, PROMPTS[3], cache_salt="prefix") == first
    assert gpu.metric("vllm:prompt_tokens_cached_total") >= before + 80


def test_preemption_does_not_show_in_a_bit(start, model, gpu):
    alone = ask(gpu, PROMPTS[1][:14], tokens=24)
    # A GPU with room for some sixteen blocks: eight of these begin with one and end with three.
    small = start(*flags_of(model, "--device", "cuda", "--context", 128), model=False,
                  env=machine(MEMORY_MIB=5))
    assert 8 <= small.metric("weir_kv_blocks") < 24
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, small, PROMPTS[1][:14], tokens=24, cache_salt=str(i))
                 for i in range(8)]
    assert small.metric("vllm:num_preemptions_total") > 0
    for each in asked:
        assert each.result() == alone
    small.assert_nothing_leaked()


def test_who_leaves_is_cancelled(gpu):
    connection = http.client.HTTPConnection("127.0.0.1", gpu.port, timeout=300)
    connection.request("POST", "/v1/completions", json.dumps({
        "prompt": PROMPTS[0], "max_tokens": 400, "ignore_eos": True, "stream": True}),
        {"content-type": "application/json"})
    assert connection.getresponse().read(10)
    connection.close()
    gpu.wait_metric(0, "vllm:num_requests_running", timeout_s=300)
    gpu.assert_nothing_leaked()


@pytest.mark.parametrize("streams", ["eager", "lazy"])
def test_a_lost_device_is_503_and_the_end_of_the_process(start, model, streams):
    server = start(*flags_of(model, "--device", "cuda"), model=False,
                   env=machine(LOST_AT=300, STREAMS=streams))
    start.forget(server)
    status, headers, answer = server.post("/v1/completions", {
        "prompt": PROMPTS[0], "max_tokens": 100, "temperature": 0, "ignore_eos": True})
    assert status == 503 and answer["error"]["code"] == "device_lost"
    assert headers["retry-after"] == "1"
    try:
        status, body = server.get("/health")
        assert status == 503 and json.loads(body)["error"]["code"] == "device_lost"
    except OSError:
        pass  # the process was quicker
    server.wait_for(r"level=error event=device_lost model=tiny error=\"the GPU failed in \w", 60)
    assert server.process.wait(120) == 1
    server.stop(expected=1)


def test_what_is_no_number_is_500_and_counted(start, tmp_path):
    spoiled = tiny_gguf.write(tmp_path / "spoiled.gguf", spoiled=True)
    server = start(*flags_of(spoiled, "--device", "cuda"), model=False, env=machine())
    status, _, answer = server.post("/v1/completions", {"prompt": "x", "max_tokens": 4})
    assert status == 500 and answer["error"]["code"] == "nan_logits"
    server.wait_metric(1, "vllm:request_success_total", finished_reason="nan")
    assert server.get("/health")[0] == 200


# What is wrong with the machine, and what weir says of it.
LACKING = {
    "plug-in": ({"plugin": "/nowhere/weir-cuda.so"}, r"\$WEIR_CUDA_PLUGIN names no file"),
    "driver": ({"DRIVER": 0}, "there is no NVIDIA driver, or one older than CUDA"),
    "device": ({"DEVICES": 0}, "the driver knows of no GPU"),
    "memory": ({"MEMORY_MIB": 2}, "lower engine.context or engine.max_step_tokens"),
    "working device": ({"LOST_AT": 1}, "the GPU does not run our kernels"),
}


def lacking(what):
    settings = dict(LACKING[what][0])
    plugin = settings.pop("plugin", str(PLUGIN))
    return {**machine(**settings), "WEIR_CUDA_PLUGIN": plugin}, LACKING[what][1]


@pytest.mark.parametrize("what", LACKING)
def test_auto_falls_back_to_the_cpu_and_says_why(start, model, what):
    environment, why = lacking(what)
    server = start(*flags_of(model), model=False, env=environment)
    server.wait_for(r"event=no_gpu model=tiny device=cpu-\w+ reason=.*" + why, 1)
    assert sum("event=no_gpu" in line for line in server.lines) == 1
    assert ask(server, "x", tokens=2)[0]


@pytest.mark.parametrize("what", LACKING)
def test_cuda_does_not_start_without(model, what):
    environment, why = lacking(what)
    command = [BUILD / "weir", "serve", "--port", "0", *flags_of(model, "--device", "cuda")]
    done = subprocess.run([str(part) for part in command], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert re.search(r"event=start_failed error=\"model 'tiny': engine.device 'cuda': .*" + why,
                     done.stderr), done.stderr
