# SPDX-License-Identifier: Apache-2.0
"""What clients and operators get wrong: a clear error, and nothing lost."""
import json
import os
import socket
import subprocess

import pytest

from conftest import BUILD, MODEL

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}

BODIES = [
    (b"", "JSON"),
    (b"{", "JSON"),
    (b"[]", "object"),
    (b'{"messages": "hi"}', "messages"),
    (b'{"messages": []}', "messages"),
    (b'{"messages": [{"role": 5}]}', "role"),
    (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "image_url"),
    (b"[" * 5000, "nesting"),
    (b'{"messages": [{"role": "user", "content": "\xff"}]}', "0xff"),
    (json.dumps({**CHAT, "n": 10**9}).encode(), "n"),
    (json.dumps({**CHAT, "n": 0}).encode(), "n"),
    (json.dumps({**CHAT, "max_tokens": 10**7}).encode(), "8192"),
    (json.dumps({**CHAT, "max_tokens": -1}).encode(), "max_tokens"),
    (json.dumps({**CHAT, "temperature": "hot"}).encode(), "temperature"),
    (json.dumps({**CHAT, "logit_bias": {"x": 1}}).encode(), "logit_bias"),
    (json.dumps({**CHAT, "stop": [1]}).encode(), "stop"),
    (json.dumps({**CHAT, "stream": "yes"}).encode(), "stream"),
    (json.dumps({**CHAT, "top_logprobs": 99, "logprobs": True}).encode(), "top_logprobs"),
]


@pytest.mark.parametrize("body, word", BODIES, ids=range(len(BODIES)))
def test_bad_body_is_a_400_that_names_it(server, body, word):
    status, headers, answer = server.post("/v1/chat/completions", body)
    assert status == 400, answer
    assert answer["error"]["type"] == "invalid_request_error"
    assert word.lower() in answer["error"]["message"].lower() or word == answer["error"]["param"]
    assert headers["x-request-id"]


def test_body_too_large_is_a_413(server, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b" " * (64 << 20))
    url = server.base + "/v1/chat/completions"
    kind = ["-H", "content-type: application/json"]
    for client in (["curl", "-s", "--data-binary", f"@{body}", *kind, url],
                   ["nghttp", "-d", str(body), *kind, url]):
        result = subprocess.run(client, capture_output=True, text=True, timeout=60)
        assert "body is larger" in result.stdout, result
    status, _, answer = server.post("/v1/chat/completions", b"{}")
    assert status == 400, answer  # and it lives


def test_unknown_routes_and_methods(server):
    assert server.get("/nowhere")[0] == 404
    status, headers, _ = server.post("/v1/models", {})
    assert status == 405 and "GET" in headers["allow"]


def test_prompt_beyond_the_context_names_both_numbers(server):
    status, _, answer = server.post("/v1/completions", {"prompt": "word " * 9000})
    assert status == 400 and "8192" in answer["error"]["message"]
    assert any(number in answer["error"]["message"] for number in ("9000", "9001", "9002"))


def test_queue_full_is_a_429_before_the_body(start):
    server = start("--max-sequences", 1, "--max-queue", 1)
    long = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "stream": True}
    head = ("POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"content-length: {len(json.dumps(long))}\r\n\r\n")
    held = []
    for state in ("running", "waiting"):
        held.append(socket.create_connection(("127.0.0.1", server.port)))
        held[-1].sendall((head + json.dumps(long)).encode())
        server.wait_metric(1, f"vllm:num_requests_{state}")
    late = socket.create_connection(("127.0.0.1", server.port))
    late.sendall(head.encode())  # the body never comes: the answer must not wait for it
    answer = late.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 429") and "retry-after:" in answer.lower()
    for connection in held + [late]:
        connection.close()
    server.assert_nothing_leaked()


def test_port_in_use_says_so(server):
    result = subprocess.run([BUILD / "weir", "serve", "--model", MODEL, "--port", str(server.port)],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert str(server.port) in result.stderr and "in use" in result.stderr


def test_bad_settings_name_line_and_key(tmp_path):
    settings = tmp_path / "weir.yaml"
    settings.write_text("server:\n  port: 8080\nengine:\n  max_step_tokens: lots\n")
    result = subprocess.run([BUILD / "weir", "serve", "--config", settings, "--model", MODEL],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 78
    assert "max_step_tokens" in result.stderr and ":4" in result.stderr


@pytest.mark.parametrize("cut", [0, 3, 24, 5000, 90_000_000])
def test_truncated_weights_are_refused(tmp_path, cut):
    broken = tmp_path / "broken.gguf"
    with open(MODEL, "rb") as source:
        broken.write_bytes(source.read(cut))
    result = subprocess.run([BUILD / "weir", "serve", "--model", broken, "--port", "0"],
                            capture_output=True, text=True, timeout=60,
                            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)})
    assert result.returncode == 1 and "broken.gguf" in result.stderr


def test_api_keys_guard_the_api(start, tmp_path):
    settings = tmp_path / "weir.yaml"
    settings.write_text(f"models:\n  - path: {MODEL}\naccess:\n  api_keys:\n"
                        "    - key: secret-one\n      tenant: acme\n")
    server = start("--config", settings, model=False)
    status, headers, answer = server.post("/v1/chat/completions", CHAT)
    assert status == 401 and answer["error"]["code"] == "invalid_api_key"
    assert headers["www-authenticate"].startswith("Bearer")
    status, _, _ = server.post("/v1/chat/completions", CHAT,
                               {"authorization": "Bearer secret-one"})
    assert status == 200
    assert server.get("/health")[0] == 200
