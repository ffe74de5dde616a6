# SPDX-License-Identifier: Apache-2.0
"""Each bound, met by what offends it: the error it names, its counter, and another client who notices
nothing. The table of them is in daemon/README.md."""
import concurrent.futures
import contextlib
import http.client
import json
import signal
import socket
import time

import pytest
from conftest import MODEL, SANITIZED

ASK = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 4, "ignore_eos": True}
SLOWER = 20 if SANITIZED else 1  # than a build that is measured
KEYS = """access:
  api_keys:
    - {key: sk-acme-secret, tenant: acme}
    - {key: sk-mill-secret, tenant: mill}
"""


def bearer(tenant):
    return {"authorization": f"Bearer sk-{tenant}-secret"}


def write(path, more="", keys=KEYS):
    path.write_text(f"models: [{{path: {MODEL}, id: m}}]\n{keys}{more}")


def serve(start, tmp_path, more="", keys=KEYS):
    config = tmp_path / "weir.yaml"
    write(config, more, keys)
    return start("--config", config, model=False)


def ask(server, tenant="mill", **more):
    return server.post("/v1/chat/completions", {**ASK, **more}, bearer(tenant))


def refused(server, tenant, status, code, **more):
    """The headers of a refusal that must be this one."""
    got, headers, body = ask(server, tenant, **more)
    assert (got, body["error"]["code"]) == (status, code), body
    return headers


def undisturbed(server):
    status, _, body = ask(server, "mill")
    assert status == 200, body
    assert body["usage"]["completion_tokens"] == 4


@contextlib.contextmanager
def streaming(server, tenant, **more):
    """An answer that goes on; its first bytes are there."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("POST", "/v1/chat/completions",
                       json.dumps({**ASK, "stream": True, "max_tokens": 2000, **more}),
                       {"content-type": "application/json", **bearer(tenant)})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read(6) == b"data: "
    try:
        yield answer
    finally:
        connection.close()


def reload(server, config, more):
    write(config, more)
    seen = len([line for line in server.lines if "event=reloaded" in line])
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60
    while len([line for line in server.lines if "event=reloaded" in line]) == seen:
        assert time.monotonic() < deadline, server.lines[-5:]
        time.sleep(0.01)


def test_requests_a_minute(start, tmp_path):
    server = serve(start, tmp_path, "tenants: [{name: acme, requests_per_minute: 3}]\n")
    for left in (2, 1, 0):
        status, headers, _ = ask(server, "acme")
        assert status == 200
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == str(left)
        assert headers["x-ratelimit-reset-requests"][-1] == "s"
    headers = refused(server, "acme", 429, "rate_limit_exceeded")
    assert 1 <= int(headers["retry-after"]) <= 20
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert server.metric("weir_limited_total", limit="requests") == 1
    undisturbed(server)
    reload(server, tmp_path / "weir.yaml", "tenants: [{name: acme, requests_per_minute: 3}]\n")
    refused(server, "acme", 429, "rate_limit_exceeded")  # a reload forgives nothing


def test_tokens_a_minute(start, tmp_path):
    server = serve(start, tmp_path, "limits: {tokens_per_minute: 400}\n"
                                    "tenants: [{name: mill, tokens_per_minute: 0}]\n")
    refused(server, "acme", 400, "rate_limit_too_small", max_tokens=400)
    with streaming(server, "acme", max_tokens=300) as answer:
        assert answer.headers["x-ratelimit-limit-tokens"] == "400"
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 100
        headers = refused(server, "acme", 429, "rate_limit_exceeded", max_tokens=300)
        assert int(headers["retry-after"]) >= 1
    assert server.metric("weir_limited_total", limit="tokens") == 2
    undisturbed(server)


def test_tokens_that_were_not_used_go_back(start, tmp_path):
    server = serve(start, tmp_path, "limits: {tokens_per_minute: 400}\n")
    for _ in range(3):  # each reserves half of the minute and more, and uses a tenth
        assert ask(server, "acme", max_tokens=200, stop=[" ", "e", "o", "1", ","])[0] == 200
        server.wait_metric(0, "weir_limited_running")


def test_requests_at_once(start, tmp_path):
    server = serve(start, tmp_path, "limits: {concurrent_requests: 1}\n")
    with streaming(server, "acme"):
        assert server.metric("weir_limited_running") == 1
        headers = refused(server, "acme", 429, "concurrency_limit_exceeded")
        assert headers["retry-after"] == "1"
        undisturbed(server)
    server.wait_metric(0, "weir_limited_running")
    assert ask(server, "acme")[0] == 200
    assert server.metric("weir_limited_total", limit="concurrent") == 1


def raw(server, text):
    """What comes back over HTTP/1.1 for these bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(text.encode())
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    return answer.decode()


def test_heads(start, tmp_path):
    server = serve(start, tmp_path, "server: {limits: {headers: 16, header_bytes: 1KiB}}\n")
    many = "".join(f"x-{i}: 1\r\n" for i in range(16))
    for head in (many, f"x: {'v' * 1024}\r\n"):
        answer = raw(server, f"GET /health HTTP/1.1\r\nhost: a\r\n{head}\r\n")
        assert answer.startswith("HTTP/1.1 431 ") and '"headers_too_large"' in answer
    assert server.metric("weir_limited_total", limit="head") == 2
    undisturbed(server)


def test_bodies(start, tmp_path):
    server = serve(start, tmp_path, "server: {limits: {body: 4KiB, json_depth: 8}}\n")
    answer = raw(server, "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 4097\r\n"
                         "content-type: application/json\r\nauthorization: Bearer sk-acme-secret"
                         "\r\n\r\n")
    assert answer.startswith("HTTP/1.1 413 ") and '"body_too_large"' in answer
    assert server.metric("weir_limited_total", limit="body") == 1
    deep = eval("[" * 9 + "]" * 9)
    refused(server, "acme", 400, "json_too_deep", metadata=deep)
    assert server.metric("weir_limited_total", limit="json") == 1
    undisturbed(server)


def test_a_first_token_that_does_not_come(start, tmp_path):
    """One runs at a time, and the other waits too long for its turn."""
    server = serve(start, tmp_path, "engine: {max_sequences: 1, "
                                    f"first_token_timeout: {500 * SLOWER}ms}}\n")
    with streaming(server, "acme"):
        headers = refused(server, "mill", 503, "first_token_timeout")
        assert int(headers["retry-after"]) >= 1
    assert server.metric("weir_limited_total", limit="first_token") == 1
    server.assert_nothing_leaked()
    undisturbed(server)


def test_a_request_past_its_time(start, tmp_path):
    server = serve(start, tmp_path, "server: {limits: "
                                    f"{{request_timeout: {700 * SLOWER}ms}}}}\n")
    with streaming(server, "acme", max_tokens=8000) as answer:
        rest = answer.read().decode()
        assert '"code":"request_timeout"' in rest and "[DONE]" not in rest
    refused(server, "acme", 504, "request_timeout", max_tokens=8000)
    assert server.metric("weir_limited_total", limit="request_time") == 2
    server.assert_nothing_leaked()


def test_a_wait_that_would_be_too_long(start, tmp_path):
    server = serve(start, tmp_path, "engine: {max_sequences: 1, max_wait: 1ms}\n")
    undisturbed(server)  # somebody ended: now it knows how long that takes
    with streaming(server, "acme"):
        headers = refused(server, "acme", 429, "wait_too_long")
        assert int(headers["retry-after"]) >= 1
        assert server.metric("weir_estimated_wait_seconds", model="m") > 0
    assert server.metric("weir_limited_total", limit="wait") == 1
    server.assert_nothing_leaked()
    undisturbed(server)


def test_a_queue_that_is_full(start, tmp_path):
    server = serve(start, tmp_path, "engine: {max_sequences: 1, max_queue: 1}\n")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with streaming(server, "acme"):
            waiting = pool.submit(ask, server)
            server.wait_metric(1, "vllm:num_requests_waiting")
            headers = refused(server, "acme", 429, "queue_full")
            assert int(headers["retry-after"]) >= 1
            assert server.metric("weir_limited_total", limit="queue") == 1
        assert waiting.result()[0] == 200  # now that the other has gone


@pytest.mark.slow
def test_a_reader_too_slow(start, tmp_path):
    """Sends 16 answers at once and reads none: what waits for it is bounded."""
    server = serve(start, tmp_path, "server: {limits: {output_buffer: 64KiB}}\n")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        body = json.dumps({**ASK, "stream": True, "max_tokens": 4000, "n": 16, "logprobs": True,
                           "top_logprobs": 20})
        connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: "
                           f"{len(body)}\r\ncontent-type: application/json\r\nauthorization: "
                           f"Bearer sk-acme-secret\r\n\r\n{body}".encode())
        server.wait_metric(1, "weir_slow_readers_total", timeout_s=240)
        undisturbed(server)
    server.assert_nothing_leaked()


def test_memory_past_its_watermark(start, tmp_path):
    server = serve(start, tmp_path, "server: {limits: {memory: 1MiB}}\n")
    headers = refused(server, "acme", 503, "overloaded")
    assert int(headers["retry-after"]) >= 1
    assert server.get("/health")[0] == 200
    assert server.metric("weir_memory_over") == 1
    assert server.metric("weir_memory_watermark_bytes") == 1 << 20
    assert server.metric("weir_memory_bytes") > 1 << 20
    assert server.metric("weir_limited_total", limit="memory") == 1
    server.wait_for("event=memory_over ", 30)
    reload(server, tmp_path / "weir.yaml", "server: {limits: {memory: auto}}\n")
    server.wait_for("event=memory_over_ended", 30)
    undisturbed(server)


def held(server, count, source="127.0.0.2", first=b""):
    """So many connections from there, each with its first bytes sent, and those that were refused."""
    sockets = [socket.create_connection(("127.0.0.1", server.port), timeout=60,
                                        source_address=(source, 0)) for _ in range(count)]
    for each in sockets:
        with contextlib.suppress(ConnectionError):
            each.sendall(first + b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
    refused_ones = []
    for each in sockets:
        try:
            if not each.recv(1):
                refused_ones.append(each)
        except ConnectionError:
            refused_ones.append(each)
    return sockets, refused_ones


def close(sockets):
    for each in sockets:
        each.close()


def test_connections_of_an_address(start, tmp_path):
    """Over all workers, and another address has its own."""
    server = serve(start, tmp_path,
                   "server: {workers: 4, limits: {connections_per_address: 3}}\n")
    sockets, gone = held(server, 8)
    assert len(gone) == 5
    assert server.metric("weir_limited_total", limit="address") == 5
    assert server.metric("weir_connections_refused_total") == 5
    assert server.metric("weir_client_addresses") == 2  # ours, and whoever asks for this
    undisturbed(server)
    close(sockets)
    server.wait_metric(1, "weir_client_addresses")
    sockets, gone = held(server, 3)
    assert not gone
    close(sockets)


def test_connections_of_an_address_behind_a_proxy(start, tmp_path):
    """The client counts, not the proxy that speaks for it."""
    server = serve(start, tmp_path, "server: {proxy_protocol: on, limits: "
                                    "{connections_per_address: 3}}\n")
    sockets = []
    for client, expected in (("192.0.2.7", 2), ("192.0.2.8", 2), ("2001:db8::1", 2)):
        family = "TCP6" if ":" in client else "TCP4"
        ours = "::1" if ":" in client else "127.0.0.1"
        more, gone = held(server, 5, first=f"PROXY {family} {client} {ours} 5 443\r\n".encode())
        sockets += more
        assert len(gone) == expected, client
    more, gone = held(server, 1, first=b"PROXY TCP6 2001:db8::2 ::1 5 443\r\n")
    assert gone  # of the same /64
    close(sockets + more)


def test_connections_of_all(start, tmp_path):
    server = serve(start, tmp_path, "server: {workers: 4, limits: {connections: 8}}\n")
    sockets, gone = held(server, 12)
    assert len(gone) == 4  # not two a worker: all have the eight together
    close(sockets)
    deadline = time.monotonic() + 60
    while True:  # until the workers have heard of it
        with contextlib.suppress(OSError, http.client.HTTPException):
            assert server.metric("weir_connections_refused_total") >= 4
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    undisturbed(server)


def test_operators_find_room_when_clients_have_taken_theirs(start, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve(start, tmp_path,
                   "server: {limits: {connections: 4, connections_per_address: 4},\n"
                   f"  listeners: [{{port: {port}, admin: yes}}]}}\n")
    sockets, gone = held(server, 8)
    assert len(gone) == 4
    public, server.base = server.base, f"http://127.0.0.1:{port}"
    for _ in range(6):
        assert server.metric("weir_connections") >= 5
    server.base = public
    close(sockets)


def test_refusals_cost_little(start, tmp_path):
    """Two thousand of them by their heads, and another client is answered meanwhile."""
    server = serve(start, tmp_path, "tenants: [{name: acme, requests_per_minute: 1}]\n")
    assert ask(server, "acme")[0] == 200
    body = json.dumps(ASK)
    one = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n"
           f"content-type: application/json\r\nauthorization: Bearer sk-acme-secret\r\n\r\n{body}")
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        sender = concurrent.futures.ThreadPoolExecutor(1)
        sent = sender.submit(connection.sendall, (one * 2000).encode())
        undisturbed(server)
        answer = b""
        while answer.count(b"HTTP/1.1 429 ") < 2000:
            piece = connection.recv(1 << 20)
            assert piece
            answer += piece
        sent.result()
        sender.shutdown()
    assert answer.count(b'"rate_limit_exceeded"') == 2000
    assert server.metric("weir_limited_total", limit="requests") == 2000
    undisturbed(server)
