# SPDX-License-Identifier: Apache-2.0
"""SIGTERM under load: whoever was let in gets an answer or hears why not, over either protocol."""
import http.client
import json
import signal
import socket
import threading
import time

from conftest import MODEL, SANITIZED
from h2client import Connection

STREAMS_EACH = 50  # over HTTP/1.1, and as many over HTTP/2
ASK = {"prompt": "Once upon a time", "max_tokens": 8 if SANITIZED else 24, "ignore_eos": True,
       "stream": True}
PATIENCE_S = 240


class Plain(threading.Thread):
    """One HTTP/1.1 request on a connection of its own: `body` is whole, or `failure` says why."""

    def __init__(self, port, ask):
        super().__init__(daemon=True)
        self.port, self.ask = port, ask
        self.status, self.body, self.failure = None, b"", None
        self.first = threading.Event()
        self.start()

    def run(self):
        try:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
            link.request("POST", "/v1/completions", json.dumps(self.ask),
                         {"content-type": "application/json"})
            answer = link.getresponse()
            self.status = answer.status
            self.body = answer.read(1)
            self.first.set()
            self.body += answer.read()  # raises where a chunk is missing
        except (OSError, http.client.HTTPException) as error:
            self.failure = error
        self.first.set()

    def whole(self):
        return self.body.endswith(b"data: [DONE]\n\n")


def load(port, ask):
    """Streams over both protocols, some of which have their first tokens, while some still wait."""
    plain = [Plain(port, ask) for _ in range(STREAMS_EACH)]
    links = [Connection(port) for _ in range(2)]
    multiplexed = [links[i % 2].post("/v1/completions", ask)[1] for i in range(STREAMS_EACH)]
    deadline = time.monotonic() + PATIENCE_S
    while sum(stream.first.is_set() for stream in plain) + \
            sum(stream.first_data.is_set() for stream in multiplexed) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return plain, multiplexed


def await_ends(plain, multiplexed):
    for stream in plain:
        stream.join(PATIENCE_S)
        assert not stream.is_alive()
        assert stream.failure is None, stream.failure
    for stream in multiplexed:
        assert stream.ended.wait(PATIENCE_S)
        assert not stream.reset


def configured(tmp_path, server_keys):
    config = tmp_path / "weir.yaml"
    config.write_text(f"models: [{{path: {MODEL}}}]\nserver: {{{server_keys}}}\n"
                      "engine: {max_wait: 0s, first_token_timeout: 0s}\n")  # however slow the build
    return config


def test_a_hundred_streams_end_whole(start, tmp_path):
    server = start("--config", configured(tmp_path, "drain_timeout: 30m"), model=False)
    plain, multiplexed = load(server.port, ASK)
    server.process.send_signal(signal.SIGTERM)
    await_ends(plain, multiplexed)
    assert all(stream.status == 200 and stream.whole() for stream in plain)
    assert all(stream.status == 200 and stream.whole() for stream in multiplexed)
    server.wait_for('event=drained outcome="all answered"', PATIENCE_S)
    assert server.process.wait(PATIENCE_S) == 0


def is_honest(status, body):
    """503 where nothing was said yet, else an error as the last event, and no [DONE]."""
    if status == 503:
        return json.loads(body)["error"]["code"] == "shutting_down"
    last = body.rstrip(b"\n").split(b"\n\n")[-1]
    return (status == 200 and b"[DONE]" not in body and
            json.loads(last.removeprefix(b"data: "))["error"]["code"] == "shutting_down")


def test_what_outlasts_the_drain_hears_why(start, tmp_path):
    server = start("--config", configured(tmp_path, "drain_timeout: 500ms"), model=False)
    plain, multiplexed = load(server.port, {**ASK, "max_tokens": 4000})
    whole = Plain(server.port, {**ASK, "max_tokens": 4000, "stream": False})
    server.wait_metric(2 * STREAMS_EACH + 2, "weir_open_requests")  # and this very one
    server.process.send_signal(signal.SIGTERM)
    await_ends(plain + [whole], multiplexed)
    assert all(is_honest(stream.status, stream.body) for stream in plain)
    assert all(is_honest(stream.status, bytes(stream.body)) for stream in multiplexed)
    assert whole.status == 503 and is_honest(whole.status, whole.body)
    server.wait_for("event=drained outcome=timeout", PATIENCE_S)
    assert server.process.wait(PATIENCE_S) == 0


def test_who_still_uploads_when_the_drain_ends_hears_why(start, tmp_path):
    server = start("--config", configured(tmp_path, "drain_timeout: 500ms"), model=False)
    multiplexed = Connection(server.port)
    _, stream = multiplexed.begin("/v1/completions", 1000)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as plain:
        plain.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
                      b"content-length: 1000\r\n\r\n{")
        server.wait_metric(3, "weir_open_requests")  # and this very one
        server.process.send_signal(signal.SIGTERM)
        answer = http.client.HTTPResponse(plain)
        answer.begin()
        assert answer.getheader("connection") == "close"
        assert answer.status == 503 and is_honest(answer.status, answer.read())
        assert plain.recv(1) == b""
    assert stream.ended.wait(PATIENCE_S)
    assert stream.status == 503 and is_honest(stream.status, bytes(stream.body))
    server.wait_for("event=drained outcome=timeout", PATIENCE_S)
    assert server.process.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_the_drain_and_is_honest_too(start, tmp_path):
    server = start("--config", configured(tmp_path, "drain_timeout: 30m"), model=False)
    stream = Plain(server.port, {**ASK, "max_tokens": 4000})
    assert stream.first.wait(PATIENCE_S)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("event=draining", PATIENCE_S)
    server.process.send_signal(signal.SIGTERM)
    await_ends([stream], [])
    assert is_honest(stream.status, stream.body)
    assert server.process.wait(PATIENCE_S) == 0


def test_a_request_that_is_on_its_way_is_served(start):
    server = start()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as fresh:
        server.get("/health")  # what was accepted before it is accepted by now
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("event=draining", PATIENCE_S)
        ask = json.dumps({"prompt": "A", "max_tokens": 2}).encode()
        fresh.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: a\r\n"
                      b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ask) + ask)
        answer = http.client.HTTPResponse(fresh)
        answer.begin()
        assert answer.status == 200 and answer.getheader("connection") == "close"
        assert json.loads(answer.read())["usage"]["completion_tokens"] == 2
    assert server.process.wait(PATIENCE_S) == 0


def test_a_slow_reader_gets_the_rest_of_its_answer(start):
    """More than the kernel holds is still ours when the engine has long finished."""
    server = start()
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect(("127.0.0.1", server.port))
    ask = json.dumps({"prompt": "A", "max_tokens": 60 if SANITIZED else 600, "ignore_eos": True, "n": 8,
                      "stream": True, "logprobs": 5}).encode()
    link.sendall(b"POST /v1/completions HTTP/1.0\r\ncontent-type: application/json\r\n"
                 b"content-length: %d\r\n\r\n" % len(ask) + ask)
    server.wait_metric(1, "vllm:request_success_total", PATIENCE_S)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("event=draining", PATIENCE_S)
    received = b""
    while piece := link.recv(65536):
        received += piece
        time.sleep(0.0005)
    link.close()
    assert received.endswith(b"data: [DONE]\n\n")
    assert server.process.wait(PATIENCE_S) == 0


def test_a_balancer_has_time_to_notice(start, tmp_path):
    """For drain_delay /ready says 503, and whoever comes all the same is served."""
    server = start("--config", configured(tmp_path, "drain_delay: 1h"), model=False)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("event=leaving delay_ms=3600000", PATIENCE_S)
    assert server.get("/ready")[0] == 503
    assert server.get("/health")[0] == 200
    assert server.post("/v1/completions", {"prompt": "A", "max_tokens": 2})[0] == 200
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)  # enough
    server.wait_for("event=draining", PATIENCE_S)
    assert server.process.wait(PATIENCE_S) == 0
