# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of requests: the access log, the trace that each is part of,
and its spans."""
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest
from conftest import BUILD, MODEL_ID

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


def raw(server, request):
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as client:
        client.sendall(request)
        return client.recv(65536)


def test_what_the_protocol_refuses_has_a_line_and_its_status(configured, tmp_path):
    path = tmp_path / "access.log"
    server = configured(f"access_log: {{path: {path}}}\nlog: {{format: json}}\n"
                        "server: {limits: {body: 1KiB}}\n")
    for http2 in (False, True):
        with httpx.Client(http1=not http2, http2=http2, base_url=server.base) as client:
            for content in (b"x" * 2000, (b"x" * 500 for _ in range(4))):  # told before, or not
                assert client.post("/v1/chat/completions", content=content, headers={
                    "content-type": "application/json"}).status_code == 413
    assert raw(server, b"GET /health HTTP/1.1\r\nhost : a\r\n\r\n").startswith(b"HTTP/1.1 400")
    found = wait("five lines", lambda: len(lines_of(path)) == 5 and lines_of(path))
    assert [(line["status"], line["route"]) for line in found[:4]] == 4 * [
        (413, "/v1/chat/completions")]
    assert found[4]["status"] == 400
    assert server.metric("weir_http_requests_total", status="413") == 4


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


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("http2", [False, True])
def test_a_trace_is_continued_and_logged(configured, tmp_path, http2):
    path = tmp_path / "access.log"
    server = configured(f"access_log: {{path: {path}}}\nlog: {{format: json}}\n")
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
    with httpx.Client(http1=not http2, http2=http2, base_url=server.base, timeout=300) as client:
        with client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True},
                           headers=headers) as streamed:
            streamed.read()
        plain = client.get("/v1/models")
        twice = client.get("/v1/models", headers=[("traceparent", f"00-{TRACE}-{SPAN}-01")] * 2)
        probe = client.get("/health")
    version, trace, span, flags = streamed.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01") and span != SPAN
    for answer in (plain, twice):  # a trace of our own
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.headers["traceparent"])
        assert TRACE not in answer.headers["traceparent"]
    assert "traceparent" not in probe.headers
    found = wait("three lines", lambda: len(lines_of(path)) == 3 and lines_of(path))
    assert [line["trace_id"] for line in found] == [
        TRACE, *(answer.headers["traceparent"].split("-")[1] for answer in (plain, twice))]
    assert found[0]["protocol"] == ("HTTP/2" if http2 else "HTTP/1.1")


@pytest.fixture
def collector():
    """An OTLP/HTTP receiver: `spans` as they come; `status` is what it answers."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with server.lock:
                server.requests.append((self.path, dict(self.headers), server.status))
                if server.status == 200:
                    for resource in body["resourceSpans"]:
                        for scope in resource["scopeSpans"]:
                            server.spans += [(span, resource["resource"]) for span in scope["spans"]]
            self.send_response(server.status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.lock, server.requests, server.spans, server.status = threading.Lock(), [], [], 200
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def attributes(span):
    def value(of):
        (kind, inner), = of.items()
        if kind == "intValue":
            return int(inner)
        return [value(one) for one in inner["values"]] if kind == "arrayValue" else inner
    return {one["key"]: value(one["value"]) for one in span["attributes"]}


def test_spans_of_a_generation_nest_and_last_as_long_as_it(configured, collector, tmp_path):
    headers_file = tmp_path / "headers"
    headers_file.write_text("x-collector-key: s3cret\n")
    headers_file.chmod(0o600)
    server = configured(f"tracing: {{endpoint: '{collector.url}', sample: 0, "
                        f"headers_file: {headers_file}}}\n"
                        "access: {api_keys: [{key: sk-12345678, tenant: acme}]}\n")
    key = {"authorization": "Bearer sk-12345678"}
    sent = {**key, "traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1, other=2"}
    before = time.time_ns()
    assert server.post("/v1/chat/completions", {**CHAT, "user": USER, "max_tokens": 24}, sent)[0] == 200
    after = time.time_ns()
    wait("four spans", lambda: len(collector.spans) == 4)
    # what is not sampled leaves none: by the asker's word, and by our share of 0
    assert server.post("/v1/chat/completions", CHAT, {
        **key, "traceparent": f"00-{TRACE}-{SPAN}-00"})[0] == 200
    assert server.post("/v1/chat/completions", CHAT, key)[0] == 200
    server.wait_metric(4, "weir_trace_spans_exported_total")
    server.stop()  # sends what waits
    assert len(collector.spans) == 4
    path, headers, _ = collector.requests[0]
    assert path == "/v1/traces" and headers["content-type"] == "application/json"
    assert headers["x-collector-key"] == "s3cret"
    spans = {span["name"]: span for span, _ in collector.spans}
    assert set(spans) == {"POST /v1/chat/completions", "queue", "prefill", "decode"}
    root = spans.pop("POST /v1/chat/completions")
    assert root["parentSpanId"] == SPAN and root["kind"] == 2
    resource = attributes(collector.spans[0][1])
    assert resource["service.name"] == "weir" and resource["service.version"]

    times = {name: (int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]))
             for name, span in spans.items()}
    begin, end = int(root["startTimeUnixNano"]), int(root["endTimeUnixNano"])
    slack = 50_000_000  # the two clocks are read one after the other
    assert before - slack <= begin < end <= after + slack
    assert begin <= times["queue"][0] <= times["queue"][1] == times["prefill"][0]
    assert times["prefill"][0] < times["prefill"][1] == times["decode"][0] < times["decode"][1] <= end
    for span in [root, *spans.values()]:
        assert span["traceId"] == TRACE and span["traceState"] == "vendor=1,other=2"
    assert all(span["parentSpanId"] == root["spanId"] for span in spans.values())
    assert len({span["spanId"] for span, _ in collector.spans} - {SPAN}) == 4

    whole = attributes(root)
    assert whole["http.request.method"] == "POST" and whole["http.response.status_code"] == 200
    assert whole["http.route"] == "/v1/chat/completions" and whole["weir.tenant"] == "acme"
    assert whole["gen_ai.operation.name"] == "chat"
    assert whole["gen_ai.request.model"] == MODEL_ID
    assert whole["gen_ai.usage.output_tokens"] == 24 and whole["gen_ai.usage.input_tokens"] > 4
    assert whole["gen_ai.response.finish_reasons"] == ["length"]
    text = json.dumps(collector.spans)
    for secret in (USER, "sk-12345678", "xylophone", "127.0.0.1", "s3cret"):
        assert secret not in text


def test_errors_and_other_routes_are_one_span(configured, collector):
    server = configured(f"tracing: {{endpoint: '{collector.url}', sample: 1}}\n")
    assert server.get("/v1/models/none")[0] == 404
    assert server.get("/health")[0] == 200  # probes are in no trace
    wait("a span", lambda: collector.spans)
    server.stop()
    (span, _), = collector.spans
    assert span["name"] == "GET /v1/models"
    assert "parentSpanId" not in span and attributes(span)["http.response.status_code"] == 404


def test_a_collector_that_is_away_stops_nobody(configured, collector):
    server = configured(f"tracing: {{endpoint: '{collector.url}', sample: 1, queue: 16}}\n")
    collector.status = 503  # asks to come again

    def dropped():
        for _ in range(50):
            assert server.get("/v1/models")[0] == 200
        return server.metric("weir_trace_spans_dropped_total") > 0
    wait("spans are dropped", dropped)
    assert server.post("/v1/chat/completions", CHAT)[0] == 200
    collector.status = 400  # wants none of it: not tried again
    server.wait_for(r"event=tracing_failing", WAIT_S)
    collector.status = 200
    wait("spans again", lambda: server.get("/v1/models")[0] == 200 and collector.spans)
    server.wait_for(r"event=tracing_sends_again", WAIT_S)


@pytest.mark.parametrize("settings, words", [
    ("endpoint: 'ftp://127.0.0.1'", "tracing.endpoint: only https and http"),
    ("endpoint: 'http://127.0.0.1:4318/'", "tracing.endpoint: expected scheme, host and port"),
    ("endpoint: 'http://127.0.0.1:4318', headers_file: /no/such", "tracing.headers_file"),
])
def test_what_tracing_cannot_use_is_said_at_start(configured, settings, words):
    with pytest.raises(AssertionError, match=words):
        configured(f"tracing: {{{settings}}}\n")


def test_tokens_and_requests_are_counted_by_tenant(configured):
    server = configured("access: {api_keys: [{key: sk-12345678, tenant: acme},"
                        " {key: sk-abcdefgh, tenant: beta}, {key: sk-no-tenant}]}\n")
    for key, times in (("sk-12345678", 2), ("sk-abcdefgh", 1), ("sk-no-tenant", 1)):
        for _ in range(times):
            assert server.post("/v1/chat/completions", {**CHAT, "user": USER},
                               {"authorization": f"Bearer {key}"})[0] == 200
    assert server.post("/v1/chat/completions", {"messages": 1},
                       {"authorization": "Bearer sk-abcdefgh"})[0] == 400
    assert server.post("/v1/chat/completions", CHAT, {"authorization": "Bearer sk-wrong-key"})[0] == 401
    tokens = {name: server.metric("weir_tenant_generation_tokens_total", tenant=name, model=MODEL_ID)
              for name in ("acme", "beta", "")}
    assert tokens == {"acme": 8, "beta": 4, "": 4}
    prompt = server.metric("weir_tenant_prompt_tokens_total", tenant="beta", model=MODEL_ID)
    assert server.metric("weir_tenant_prompt_tokens_total", tenant="acme") == 2 * prompt > 0
    assert server.metric("weir_tenant_prompt_tokens_total") == server.metric("vllm:prompt_tokens_total")
    assert server.metric("weir_tenant_requests_total", tenant="acme") == 2
    assert server.metric("weir_tenant_requests_total", tenant="beta", **{"class": "2xx"}) == 1
    assert server.metric("weir_tenant_requests_total", tenant="beta", **{"class": "4xx"}) == 1
    assert server.metric("weir_tenant_requests_total") == 5  # a wrong key is no tenant's


def parts_of(state):
    by = {}
    for part in state:
        by.setdefault(part["event"], []).append(part)
    return by


def check_state(by, server):
    (process,), (engine,), (fleet,) = by["state_process"], by["state_engine"], by["state_fleet"]
    assert int(process["pid"]) == server.process.pid and int(process["resident_bytes"]) > 1 << 20
    assert int(process["ready"]) == 1 and int(process["workers"]) == len(by["state_worker"])
    assert engine["model"] == MODEL_ID and int(engine["generated_tokens"]) == 4
    assert int(engine["kv_blocks"]) == sum(int(engine[f"kv_{state}"])
                                           for state in ("free", "cached", "referenced"))
    assert int(engine["running"]) == int(engine["waiting"]) == 0
    assert sum(int(worker["http1_requests"]) for worker in by["state_worker"]) >= 1
    assert int(fleet["together"]) == 0


def test_sigusr1_writes_the_state_down(start, tmp_path):
    state_home = tmp_path / "home"
    server = start(env={"XDG_STATE_HOME": str(state_home), "RUNTIME_DIRECTORY": f"{tmp_path}:/no"})
    path = tmp_path / "state.json"
    assert server.post("/v1/chat/completions", {**CHAT, "user": USER})[0] == 200
    for _ in range(2):  # the second replaces the first
        path.unlink(missing_ok=True)
        server.process.send_signal(signal.SIGUSR1)
        wait("the state", path.exists)
        check_state(parts_of(json.loads(path.read_text())), server)
    assert USER not in path.read_text() and "127.0.0.1" not in path.read_text()
    assert server.get("/ready")[0] == 200


def test_without_a_runtime_folder_the_state_goes_into_the_log(configured):
    server = configured("log: {format: json}\n")
    assert server.post("/v1/chat/completions", CHAT)[0] == 200
    server.process.send_signal(signal.SIGUSR1)
    server.wait_for('"event":"state_fleet"', WAIT_S)
    check_state(parts_of(json.loads(line) for line in server.lines if '"event":"state_' in line),
                server)


def test_the_build_is_named(server):
    notes = subprocess.run(["readelf", "-n", BUILD / "weir"], check=True, capture_output=True,
                           text=True).stdout
    build_id = re.search("Build ID: ([0-9a-f]+)", notes).group(1)
    assert server.metric("weir_build_info", build_id=build_id) == 1
