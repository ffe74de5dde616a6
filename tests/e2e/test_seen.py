# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of requests: the access log."""
import json
import os
import re
import signal
import time

import pytest
from conftest import MODEL_ID

WAIT_S = 60
CHAT = {"model": MODEL_ID, "max_tokens": 4, "temperature": 0, "ignore_eos": True,
        "messages": [{"role": "user", "content": "A secret word: xylophone"}]}
USER = "someone-in-particular"


def wait(what, condition):
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)
    return found


def lines_of(path):
    """The whole lines of a log in JSON."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")]


@pytest.fixture
def configured(start, tmp_path):
    """A daemon with this text in its file."""
    def one(text, *flags):
        path = tmp_path / f"weir-{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(text)
        return start("--config", path, *flags)
    return one


def test_access_log_has_a_line_a_request(configured, tmp_path):
    path = tmp_path / "access.log"
    server = configured(f"access_log: {{path: {path}}}\nlog: {{format: json, level: warn}}\n"
                        "access: {api_keys: [{key: sk-12345678, tenant: acme}]}\n",
                        "--log-level", "info")
    key = {"authorization": "Bearer sk-12345678"}
    body = {**CHAT, "user": USER}
    assert server.post("/v1/chat/completions", body, key)[0] == 200
    assert server.post("/v1/chat/completions", body)[0] == 401
    assert server.get("/no/such/path")[0] == 404
    assert server.get("/health")[0] == 200  # probes that succeed say nothing
    found = wait("three lines", lambda: len(lines_of(path)) == 3 and lines_of(path))
    chat, refused, unknown = found
    assert chat["event"] == "request" and chat["route"] == "/v1/chat/completions"
    assert chat["status"] == 200 and chat["tenant"] == "acme" and chat["model"] == MODEL_ID
    assert chat["completion_tokens"] == 4 and chat["prompt_tokens"] > 4
    assert chat["finish"] == "length" and chat["user_class"] == "asserted"
    assert chat["protocol"] == "HTTP/1.1" and chat["tls"] == "no"
    assert chat["bytes_in"] == len(json.dumps(body)) and chat["bytes_out"] > 100
    assert 0 <= chat["queue_ms"] <= chat["ttft_ms"] <= chat["duration_ms"]
    assert refused["status"] == 401 and "tenant" not in refused and "model" not in refused
    assert unknown["status"] == 404 and unknown["route"] == "other"
    text = path.read_text()
    for secret in (USER, "sk-12345678", "xylophone", "127.0.0.1", "/no/such/path"):
        assert secret not in text
    assert not any(re.search(r'event(=|":")request\b', line) for line in server.lines)
    assert server.metric("weir_access_log_lines_total") == 3
    assert server.metric("weir_access_log_dropped_total") == 0


def test_sighup_opens_the_access_log_anew(configured, tmp_path):
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    server = configured(f"access_log: {{path: {path}, addresses: true}}\nlog: {{format: json}}\n")
    server.get("/v1/models")
    wait("the first line", lambda: len(lines_of(path)) == 1)
    path.rename(moved)
    server.process.send_signal(signal.SIGHUP)
    wait("a new file", path.exists)
    server.get("/v1/models")
    wait("the second line", lambda: len(lines_of(path)) == 1)
    assert len(lines_of(moved)) == 1
    assert lines_of(path)[0]["address"] == "127.0.0.1"


def test_sampling_leaves_out_but_never_errors(configured, tmp_path):
    path = tmp_path / "access.log"
    server = configured(f"access_log: {{path: {path}, sample: 0, slow: 24h}}\n"
                        "log: {format: json}\n")
    for _ in range(20):
        assert server.get("/v1/models")[0] == 200
    server.stop()  # what waits is written
    assert lines_of(path) == []


def test_an_access_log_that_nobody_reads_stops_nobody(configured, tmp_path):
    path = tmp_path / "access.pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        server = configured(f"access_log: {{path: {path}, buffer: 64}}\n")

        def dropped():
            for _ in range(100):
                assert server.get("/v1/models")[0] == 200
            return server.metric("weir_access_log_dropped_total") > 0
        wait("lines are dropped", dropped)
        assert server.post("/v1/chat/completions", CHAT)[0] == 200
        server.stop()
    finally:
        os.close(reader)


def test_an_access_log_that_cannot_be_opened_is_said_at_start(configured, tmp_path):
    with pytest.raises(AssertionError, match="access_log.path: .*its folder must exist"):
        configured(f"access_log: {{path: {tmp_path}/none/access.log}}\n")
