# SPDX-License-Identifier: Apache-2.0
"""Many clients at once, some of whom go away; and what each gets does not depend on the others."""
import json
import random
import time

from conftest import SANITIZED
from h2client import Connection

CLIENTS = 64
CONNECTIONS = 4
ANSWER_TIMEOUT_S = 400


def ask(prompt, tokens, **more):
    return {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "stream": True, **more}


def test_64_streams_on_4_connections_with_a_fifth_going_away(start):
    """A tenth of the clients resets its stream, one connection in ten's worth drops: the others'
    answers are whole and right, and nothing of the gone stays behind."""
    server = start()
    dice = random.Random(7)
    scale = 4 if SANITIZED else 1
    plans = []
    for number in range(CLIENTS):
        words = " ".join(dice.choice(["river", "dam", "flow", "stone", "bank", "rain"])
                         for _ in range(dice.choice([3, 40, 200]) // scale))
        plans.append(ask(f"{number}: {words}", dice.choice([8, 24, 64]) // scale, seed=number,
                         temperature=0.8))
    resetting = set(range(0, 60, 10))
    dropping = {61, 62, 63} | set(range(5, 45, 10))
    doomed = [Connection(server.port) for _ in dropping]
    connections = [Connection(server.port) for _ in range(CONNECTIONS)]
    streams, gone = {}, []
    for number, plan in enumerate(plans):
        if number in dropping:
            gone.append((doomed.pop(), plan))
            gone[-1][0].post("/v1/completions", {**plan, "max_tokens": 2000})
            continue
        connection = connections[number % CONNECTIONS]
        body = {**plan, "max_tokens": 2000} if number in resetting else plan
        streams[number] = (connection, *connection.post("/v1/completions", body))
    for index, (connection, _) in enumerate(gone):
        time.sleep(0.02 * index)  # at different stages of their lives
        connection.drop()
    for number in resetting:
        connection, stream_id, stream = streams[number]
        if number % 20 == 0:
            stream.first_data.wait(ANSWER_TIMEOUT_S)
        connection.reset(stream_id)
    for number, (_, _, stream) in streams.items():
        if number in resetting:
            continue
        assert stream.ended.wait(ANSWER_TIMEOUT_S), f"client {number} got no whole answer"
        assert stream.status == 200 and stream.whole() and not stream.reset, number
    server.assert_nothing_leaked()
    for number in random.Random(1).sample(sorted(set(streams) - resetting), 4):
        alone, stream = connections[0].post("/v1/completions", plans[number])
        assert stream.ended.wait(ANSWER_TIMEOUT_S)
        assert stream.text() == streams[number][2].text(), f"client {number} was not alone"
    for connection in connections:
        connection.close()


def test_work_of_the_gone_stops_within_a_step(start):
    server = start()
    connection = Connection(server.port)
    number, stream = connection.post("/v1/completions", ask("Once upon a time", 4000))
    assert stream.first_data.wait(ANSWER_TIMEOUT_S)
    connection.reset(number)
    server.wait_metric(0, "vllm:num_requests_running")
    generated = server.metric("vllm:generation_tokens_total")
    received = stream.body.count(b"data: {")
    assert generated - received < 200, (generated, received)
    time.sleep(0.2)
    assert server.metric("vllm:generation_tokens_total") == generated
    server.assert_nothing_leaked()
    connection.close()


PROMPT = "The quick brown fox " * (8 if SANITIZED else 30)
SAMPLED = {"prompt": PROMPT, "max_tokens": 24, "temperature": 0.9, "top_p": 0.95, "seed": 1234,
           "logprobs": 3, "ignore_eos": True}


def outcome(server, body):
    status, _, answer = server.post("/v1/completions", body)
    assert status == 200, answer
    return json.dumps([answer["choices"][0]["text"], answer["choices"][0]["logprobs"]])


def test_answers_do_not_depend_on_the_batch(start):
    """Alone, among 32, cached or not, chunked or not, preempted: the same bits."""
    alone = start("--prefix-cache", "false")
    expected = outcome(alone, SAMPLED)
    cached = start()
    assert outcome(cached, SAMPLED) == expected
    assert outcome(cached, SAMPLED) == expected
    assert cached.metric("vllm:prefix_cache_hits_total") > 0
    chunked = start("--max-step-tokens", 16, "--max-sequences", 16, "--prefix-cache", "false")
    assert outcome(chunked, SAMPLED) == expected
    for server in (cached, alone):
        connection = Connection(server.port)
        tokens = 6 if SANITIZED else 40
        crowd = [connection.post("/v1/completions", ask(f"{n} " * (n + 1), tokens, temperature=0))
                 for n in range(32)]
        assert outcome(server, SAMPLED) == expected
        for _, stream in crowd:
            assert stream.ended.wait(ANSWER_TIMEOUT_S) and stream.whole()
        connection.close()


def test_preemption_changes_nothing(start):
    """A pool so small that sequences are preempted and recomputed."""
    roomy = start()
    prompts = [ask(f"Number {n}: " + "water " * 60, 80 if SANITIZED else 160, temperature=0.7, seed=n, stream=False)
               for n in range(8)]
    expected = [outcome(roomy, body) for body in prompts[:3]]
    tight = start("--context", 512, "--kv-memory", "16MiB", "--prefix-cache", "false")
    connection = Connection(tight.port)
    streams = [connection.post("/v1/completions", {**body, "stream": True})[1] for body in prompts]
    for stream in streams:
        assert stream.ended.wait(ANSWER_TIMEOUT_S) and stream.whole()
    assert tight.metric("vllm:num_preemptions_total") > 0
    for stream, text in zip(streams, expected):
        assert stream.text() == json.loads(text)[0]
    tight.assert_nothing_leaked()
    connection.close()


def test_a_reader_that_stalls_does_not_hold_the_others(start):
    """A client whose window is one byte is sent away, if it goes on so; the next one is served all
    the same."""
    server = start()
    lazy = Connection(server.port, window=1, source="127.0.0.9")
    connection = Connection(server.port)
    lazy.post("/v1/completions", ask("One", 60 if SANITIZED else 600))
    _, stream = connection.post("/v1/completions", ask("Two", 60))
    assert stream.ended.wait(ANSWER_TIMEOUT_S) and stream.whole()
    lazy.drop()
    server.assert_nothing_leaked()
    connection.close()
