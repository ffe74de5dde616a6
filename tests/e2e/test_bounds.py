# SPDX-License-Identifier: Apache-2.0
"""Each bound, met by what offends it: the error it names, its counter, and another client who notices
nothing. The table of them is in daemon/README.md."""
import contextlib
import http.client
import json
import signal
import time

from conftest import MODEL

ASK = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 4, "ignore_eos": True}
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
    status, headers, body = ask(server, "acme", max_tokens=300)
    assert status == 200
    assert headers["x-ratelimit-limit-tokens"] == "400"
    assert int(headers["x-ratelimit-remaining-tokens"]) < 100
    headers = refused(server, "acme", 429, "rate_limit_exceeded", max_tokens=300)
    assert int(headers["retry-after"]) >= 1
    assert server.metric("weir_limited_total", limit="tokens") == 2
    undisturbed(server)


def test_tokens_that_were_not_used_go_back(start, tmp_path):
    server = serve(start, tmp_path, "limits: {tokens_per_minute: 400}\n")
    for _ in range(3):  # each reserves most of the minute, and uses a few of it
        assert ask(server, "acme", max_tokens=300, stop=[" ", "e", "o", "1", ","])[0] == 200
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
