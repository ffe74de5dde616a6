# SPDX-License-Identifier: Apache-2.0
"""The openai package, as a user of OpenAI's API would use it."""
import math

import openai
import pytest

from conftest import MODEL_ID

CHAT = [{"role": "user", "content": "What color is the sky on a clear day?"}]


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.base + "/v1", api_key="none", max_retries=0, timeout=300)


def test_chat_answers(client):
    answer = client.chat.completions.create(model=MODEL_ID, messages=CHAT, temperature=0,
                                            max_tokens=32)
    assert "blue" in answer.choices[0].message.content
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streamed_chat_is_the_same_text(client):
    plain = client.chat.completions.create(model=MODEL_ID, messages=CHAT, temperature=0,
                                           max_tokens=24)
    chunks = list(client.chat.completions.create(model=MODEL_ID, messages=CHAT, temperature=0,
                                                 max_tokens=24, stream=True,
                                                 stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == plain.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage == plain.usage or \
        chunks[-1].usage.completion_tokens == plain.usage.completion_tokens
    finished = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert finished[-1] == plain.choices[0].finish_reason and set(finished[:-1]) == {None}


def test_logprobs_add_up(client):
    answer = client.chat.completions.create(model=MODEL_ID, messages=CHAT, temperature=0,
                                            max_tokens=8, logprobs=True, top_logprobs=5)
    entries = answer.choices[0].logprobs.content
    assert len(entries) == answer.usage.completion_tokens or \
        len(entries) == answer.usage.completion_tokens - 1
    for entry in entries:
        assert len(entry.top_logprobs) == 5
        assert entry.top_logprobs[0].logprob == max(t.logprob for t in entry.top_logprobs)
        assert entry.logprob == pytest.approx(entry.top_logprobs[0].logprob)
        assert sum(math.exp(t.logprob) for t in entry.top_logprobs) <= 1.0001
    assert b"".join(bytes(e.bytes) for e in entries).decode() == answer.choices[0].message.content


def test_three_choices_differ_and_a_seed_repeats_them(client):
    def ask():
        return [c.message.content for c in client.chat.completions.create(
            model=MODEL_ID, messages=[{"role": "user", "content": "Tell me a story."}], n=3,
            seed=11, temperature=1.0, max_tokens=24).choices]
    first, again = ask(), ask()
    assert len(first) == 3 and len(set(first)) > 1
    assert first == again


def test_completion_echo_and_prompt_lists(client):
    answer = client.completions.create(model=MODEL_ID, prompt=["The sky is", "Water is"],
                                       temperature=0, max_tokens=6, echo=True, logprobs=1)
    assert [c.index for c in answer.choices] == [0, 1]
    assert answer.choices[0].text.startswith("The sky is")
    assert answer.choices[1].text.startswith("Water is")
    assert answer.choices[0].logprobs.token_logprobs[0] is None
    assert "".join(answer.choices[0].logprobs.tokens) == answer.choices[0].text
    ids = client.completions.create(model=MODEL_ID, prompt=[504, 6376, 314], temperature=0,
                                    max_tokens=6)
    assert ids.usage.prompt_tokens == 3


def test_streamed_completion(client):
    plain = client.completions.create(model=MODEL_ID, prompt="Once upon a time", temperature=0,
                                      max_tokens=20)
    parts = client.completions.create(model=MODEL_ID, prompt="Once upon a time", temperature=0,
                                      max_tokens=20, stream=True)
    assert "".join(p.choices[0].text for p in parts if p.choices) == plain.choices[0].text


def test_stop_string_cuts_before_it(client):
    plain = client.completions.create(model=MODEL_ID, prompt="1, 2, 3, 4,", temperature=0,
                                      max_tokens=20).choices[0].text
    stop = plain[6:9]
    cut = client.completions.create(model=MODEL_ID, prompt="1, 2, 3, 4,", temperature=0,
                                    max_tokens=20, stop=[stop]).choices[0]
    assert cut.text == plain[:plain.index(stop)] and cut.finish_reason == "stop"


def test_models_show_the_licence(client):
    models = client.models.list().data
    assert [m.id for m in models] == [MODEL_ID]
    model = client.models.retrieve(MODEL_ID)
    assert model.license["id"].lower() == "apache-2.0"
    assert model.license["recognised_by"] == "weights"


def test_errors_are_openais(client):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nonesuch", messages=CHAT)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as hot:
        client.chat.completions.create(model=MODEL_ID, messages=CHAT, temperature=9)
    assert hot.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model=MODEL_ID, prompt="word " * 9000, max_tokens=5)
    assert long.value.code == "context_length_exceeded"
    assert "8192" in str(long.value)
