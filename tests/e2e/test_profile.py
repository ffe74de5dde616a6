# SPDX-License-Identifier: Apache-2.0
"""Where time and memory go, asked of a daemon that serves meanwhile."""
import contextlib
import hashlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import BUILD, MODEL, SANITIZED, Server

ADMIN = "an-admin-key-0123456789"
CPU, HEAP = "/admin/v1/profile/cpu", "/admin/v1/profile/heap"
ASK = {"prompt": "Once upon a time", "max_tokens": 8 if SANITIZED else 48, "temperature": 0}
PATIENCE_S = 240


def configured(folder, access=None, **server):
    path = folder / "weir.yaml"
    path.write_text(json.dumps({
        "users": {"state": str(folder / "state")},
        "server": {"workers": 1, **server},
        "engine": {"threads": 2},
        "access": access or {"admin_keys": [{"key": ADMIN, "name": "ops"}]},
        "models": [{"id": "m", "path": MODEL}]}))
    return path


def serve(start, tmp_path, env=None, **settings):
    return start("--config", configured(tmp_path, **settings), model=False, env=env)


def ask(server, path, key=ADMIN, port=None):
    """(status, headers, body as text)."""
    connection = http.client.HTTPConnection("127.0.0.1", port or server.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def fault(server, path, **options):
    status, headers, body = ask(server, path, **options)
    return status, json.loads(body)["error"], headers


def complete(server):
    status, _, answer = server.post("/v1/completions", ASK)
    assert status == 200, answer
    return answer["choices"][0]["text"]


class Begun:
    """A profile of five minutes that somebody waits for."""

    def __init__(self, server, path=CPU + "?seconds=300"):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        self.connection.request("GET", path, headers={"authorization": f"Bearer {ADMIN}"})
        server.wait_metric(1, "weir_profile_running", PATIENCE_S)

    def answer(self):
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()

    def go(self):
        self.connection.close()


@contextlib.contextmanager
def load(server):
    """Completions one after the other, and bursts of probes, until the end."""
    stop = threading.Event()
    counts = {"completions": 0, "probes": 0}

    def completions():
        while not stop.is_set():
            complete(server)
            counts["completions"] += 1

    def probes():
        burst = b"GET /health HTTP/1.1\r\nhost: weir\r\n\r\n" * 200
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as sock:
            while not stop.is_set():
                sock.sendall(burst)
                seen = b""
                while seen.count(b"HTTP/1.1 200") < 200 or not seen.endswith(b"{}"):
                    seen += sock.recv(1 << 20)
                counts["probes"] += 200

    threads = [threading.Thread(target=each) for each in (completions, completions, probes)]
    for each in threads:
        each.start()
    try:
        yield counts
    finally:
        stop.set()
        for each in threads:
            each.join(PATIENCE_S)


def stacks(headers, body):
    """{(frames, outermost first): samples}, and that the text is sound."""
    assert headers["content-type"].startswith("text/plain")
    found = {}
    for line in body.splitlines():
        match = re.fullmatch(r"([^;\n]+(?:;[^;\n]+)*) ([1-9][0-9]*)", line)
        assert match, line
        frames = tuple(match.group(1).split(";"))
        assert frames not in found, "a stack is one line"
        found[frames] = int(match.group(2))
    assert sum(found.values()) == int(headers["x-profile-samples"])
    return found


def test_a_profile_under_load_names_who_spends_the_time(start, tmp_path):
    server = serve(start, tmp_path)
    wanted = {("engine-0", "engine_main"), ("engine-0", "model_begin"),
              ("engine-0", "llama_forward"), ("compute-1", "helper_main"),
              ("worker-0", "worker_main"), ("worker-0", "event_base_loop")}
    with load(server) as counts:
        deadline = time.monotonic() + PATIENCE_S
        samples = broken = 0
        while wanted:
            assert time.monotonic() < deadline, wanted
            before = dict(counts)
            status, headers, body = ask(server, CPU + "?seconds=2&hz=199")
            assert status == 200, body
            found = stacks(headers, body)
            wanted -= {(frames[0], name) for frames in found for name in frames}
            assert counts["probes"] > before["probes"], "its worker serves the others meanwhile"
            assert 2 <= float(headers["x-profile-seconds"]) < PATIENCE_S
            assert headers["x-profile-hz"] == "199"
            samples += int(headers["x-profile-samples"])
            broken += int(headers["x-profile-broken"])
    assert counts["completions"] > 0
    assert broken * 20 <= samples
    assert server.metric("weir_profile_samples_total") == samples
    assert server.metric("weir_profiles_total", kind="cpu") >= 1
    assert server.metric("weir_profile_running") == 0


def test_answers_are_the_same_while_every_thread_is_asked(start, tmp_path):
    server = serve(start, tmp_path)
    alone = complete(server)
    begun = Begun(server, CPU + "?seconds=300&hz=1000")
    for _ in range(3):
        assert complete(server) == alone
    begun.go()
    server.assert_nothing_leaked()


def test_there_is_one_profile_at_a_time_and_a_client_that_goes_ends_it(start, tmp_path):
    server = serve(start, tmp_path)
    for _ in range(3):
        begun = Begun(server)
        for path in (CPU, HEAP + "?format=jeprof"):
            status, error, headers = fault(server, path)
            assert (status, error["code"]) == (409, "profile_running")
            assert int(headers["retry-after"]) > 0
        begun.go()
        server.wait_metric(0, "weir_profile_running", PATIENCE_S)
    assert ask(server, CPU + "?seconds=1")[0] == 200
    assert server.metric("weir_profiles_total", kind="cpu") == 4
    assert server.metric("weir_http_requests_total", route=CPU, status="499") == 3


def test_a_profile_outlasts_the_time_that_a_connection_may_idle(start, tmp_path):
    server = serve(start, tmp_path, limits={"idle_timeout": "1s"})
    status, headers, _ = ask(server, CPU + "?seconds=3")
    assert status == 200 and float(headers["x-profile-seconds"]) >= 3


def test_a_drain_ends_a_profile_with_what_there_is(start, tmp_path):
    server = serve(start, tmp_path, drain_timeout="30m")
    begun = Begun(server)
    complete(server)
    server.process.send_signal(signal.SIGTERM)
    status, headers, body = begun.answer()
    assert status == 200
    assert float(headers["x-profile-seconds"]) < 300
    stacks(headers, body)
    begun.go()
    server.wait_for('event=drained outcome="all answered"', PATIENCE_S)


def test_a_stop_that_does_not_wait_ends_it_too(start, tmp_path):
    server = serve(start, tmp_path)
    begun = Begun(server)
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(PATIENCE_S)
    begun.go()


@pytest.mark.parametrize("query, param", [
    ("?seconds=0", "seconds"), ("?seconds=301", "seconds"), ("?seconds=x", "seconds"),
    ("?hz=0", "hz"), ("?hz=1001", "hz"), ("?hz=99&hz=99", "hz"), ("?second=5", None)])
def test_bad_parameters_are_named(server_with_keys, query, param):
    status, error, _ = fault(server_with_keys, CPU + query)
    assert status == 400 and error["param"] == param, error
    assert server_with_keys.metric("weir_profiles_total") == 0


def test_a_bad_format_is_named(server_with_keys):
    status, error, _ = fault(server_with_keys, HEAP + "?format=pprof")
    assert status == 400 and error["param"] == "format"
    for path in (CPU, HEAP):
        assert server_with_keys.post(path, {}, {"authorization": f"Bearer {ADMIN}"})[0] == 405


@pytest.fixture(scope="module")
def server_with_keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    keys = folder / "keys"
    keys.write_text("".join(
        f"k_{scope} sha256:{hashlib.sha256(f'a-key-for-{scope}'.encode()).hexdigest()} "
        f"tenant=acme scopes={scope}\n" for scope in ("inference", "usage", "admin")))
    keys.chmod(0o600)
    access = {"keys_file": str(keys), "admin_keys": [{"key": ADMIN, "name": "ops"}]}
    instance = Server("--config", configured(folder, access=access,
                                             listeners=[{"port": 0, "admin": "yes"}]), model=False)
    instance.public = instance.port
    listening = re.findall(r"event=listening at=127\.0\.0\.1:(\d+)", "\n".join(instance.lines))
    instance.port = int(listening[1])
    instance.base = f"http://127.0.0.1:{instance.port}"
    yield instance
    instance.stop()


def test_profiles_are_for_admins_at_their_own_door(server_with_keys):
    server = server_with_keys
    for path in (CPU + "?seconds=1", HEAP):
        assert ask(server, path, key=None)[0] == 401
        assert ask(server, path, key="a-key-of-nobody-0123456789")[0] == 401
        for scope in ("inference", "usage"):
            status, error, headers = fault(server, path, key=f"a-key-for-{scope}")
            assert (status, error["code"]) == (403, "insufficient_scope")
            assert 'scope="admin"' in headers["www-authenticate"]
        for key in (ADMIN, "a-key-for-admin"):
            assert ask(server, path, key=key)[0] == (501 if SANITIZED and path == HEAP else 200)
            status, error, _ = fault(server, path, key=key, port=server.public)
            assert (status, error["code"]) == (404, "not_found")


def test_without_a_key_for_admins_there_is_no_profile(server):
    for path in (CPU, HEAP):
        assert ask(server, path)[0] == 404


# -- Memory --

@pytest.mark.skipif(SANITIZED, reason="a sanitizer's allocator is not jemalloc")
def test_the_heaps_numbers_are_in_order(start, tmp_path):
    server = serve(start, tmp_path)
    status, headers, body = ask(server, HEAP)
    assert status == 200 and headers["content-type"] == "application/json"
    heap = json.loads(body)
    assert heap["object"] == "heap" and heap["profiling"] is False
    assert 0 < heap["allocated_bytes"] <= heap["active_bytes"] <= heap["resident_bytes"]
    assert heap["resident_bytes"] <= heap["mapped_bytes"]
    assert heap["resident_bytes"] <= server.metric("process_virtual_memory_bytes")
    assert sum(arena["small_allocated_bytes"] + arena["large_allocated_bytes"]
               for arena in heap["arenas"]) == heap["allocated_bytes"]
    assert sum(arena["active_bytes"] for arena in heap["arenas"]) == heap["active_bytes"]
    assert len({arena["index"] for arena in heap["arenas"]}) == len(heap["arenas"]) > 0


def test_a_heap_profile_that_is_off_says_how_to_switch_it_on(start, tmp_path):
    server = serve(start, tmp_path)
    status, error, _ = fault(server, HEAP + "?format=jeprof")
    if SANITIZED:
        assert (status, error["code"]) == (501, "heap_profile_unsupported")
        assert fault(server, HEAP)[0] == 501
    else:
        assert (status, error["code"]) == (409, "heap_profile_off")
        assert "MALLOC_CONF=prof:true" in error["message"]
    server.wait_metric(0, "weir_profile_running")


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's allocator is not jemalloc")
def test_a_heap_profile_is_what_jeprof_reads(start, tmp_path):
    server = serve(start, tmp_path, env={"MALLOC_CONF": "prof:true,lg_prof_sample:16"})
    complete(server)
    status, _, body = ask(server, HEAP + "?format=jeprof")
    assert status == 200
    assert body.startswith("heap_v2/65536\n") and "MAPPED_LIBRARIES:" in body
    assert json.loads(ask(server, HEAP)[2])["profiling"] is True
    assert server.metric("weir_profiles_total", kind="heap") == 1
    if shutil.which("jeprof") is None:
        return
    file = tmp_path / "weir.heap"
    file.write_text(body)
    told = subprocess.run(["jeprof", "--text", "--cum", BUILD / "weir", file], check=True,
                          capture_output=True, text=True, timeout=PATIENCE_S).stdout
    assert re.search(r"\bserver_start\b", told) and re.search(r"\bvocabulary_new\b", told), told


# -- What else signals do --

@pytest.mark.skipif(SANITIZED, reason="sanitizers report crashes themselves")
def test_a_crash_under_a_profile_is_reported_as_any(start, tmp_path):
    server = serve(start, tmp_path)
    server.process.send_signal(signal.SIGPROF)  # outside of one it is nothing
    begun = Begun(server, CPU + "?seconds=300&hz=1000")
    server.process.send_signal(signal.SIGPROF)  # nor is it inside, but for the timers'
    complete(server)
    server.process.send_signal(signal.SIGSEGV)
    line = server.wait_for("event=crash .*", PATIENCE_S).group(0)
    assert re.search(r"signal=SIGSEGV sender_pid=.* backtrace=.*weir\+0x", line), line
    assert server.process.wait(PATIENCE_S) == -signal.SIGSEGV
    assert sum("event=crash" in each for each in server.lines) == 1
    begun.go()
    start.forget(server)
