# SPDX-License-Identifier: Apache-2.0
"""A thread that stops while the process lives: said within seconds, and no watchdog is fed.

One thread alone is stopped by ptrace, as a debugger would; where that is not allowed there is
nothing to see here."""
import ctypes
import os
import pathlib
import signal
import threading
import time

import pytest

from conftest import MODEL, MODEL_ID
from test_notify import Manager

PATIENCE_S = 120
ATTACH, DETACH = 16, 17
LONG = {"prompt": "Once upon a time", "max_tokens": 4000, "ignore_eos": True}


class Stopped:
    """`with Stopped(server, "engine-0"):` that thread does not run."""

    def __init__(self, server, name):
        tasks = pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()
        self.thread = next(int(task.name) for task in tasks
                           if (task / "comm").read_text().strip() == name)
        self.ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def __enter__(self):
        if self.ptrace(ATTACH, self.thread, None, None) != 0:
            pytest.skip(f"ptrace: {os.strerror(ctypes.get_errno())}")
        assert os.WIFSTOPPED(os.waitpid(self.thread, 0x40000000)[1])  # __WALL

    def __exit__(self, *_):
        if self.ptrace(DETACH, self.thread, None, None) != 0:  # it has died meanwhile: it is ours to reap
            deadline = time.monotonic() + PATIENCE_S
            try:
                while os.waitpid(self.thread, 0x40000000 | os.WNOHANG)[0] == 0:
                    assert time.monotonic() < deadline, "it neither runs nor dies"
                    time.sleep(0.01)
            except ChildProcessError:
                pass


def watched(start, tmp_path, *flags):
    """A server whose watchdog wants to be fed each second, and who hears it."""
    manager = Manager(tmp_path / "manager")
    config = tmp_path / "weir.yaml"
    config.write_text(f"models: [{{path: {MODEL}}}]\nserver: {{stall_timeout: 2s}}\n")
    server = start("--config", config, *flags, model=False,
                   env=manager.environment(tmp_path, watchdog_s=1))
    manager.await_line("WATCHDOG=1")
    return server, manager


def assert_not_fed(manager):
    while manager.listen(0.05) is not None:
        pass  # what was on its way
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert "WATCHDOG=1" not in (manager.listen(0.5) or [])


def ask_on(server):
    """A generation that outlasts the test; it ends with an error when the server stops."""
    def ask():
        try:
            server.post("/v1/completions", LONG)
        except OSError:
            pass
    threading.Thread(target=ask, daemon=True).start()


def test_an_engine_that_stops_while_it_sleeps_is_told_of_when_it_is_asked(start, tmp_path):
    server, manager = watched(start, tmp_path)
    with Stopped(server, "engine-0"):
        for _ in range(3):  # nothing to do is no stall
            manager.await_line("WATCHDOG=1")
        assert server.get("/health")[0] == 200
        ask_on(server)
        server.wait_for(f"level=error event=stall model={MODEL_ID}", PATIENCE_S)
        assert server.get("/health")[0] == 503
        assert_not_fed(manager)
    server.wait_for(f"event=stall_over model={MODEL_ID}", PATIENCE_S)
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGTERM)


def test_an_engine_that_stops_is_told_of_everywhere(start, tmp_path):
    server, manager = watched(start, tmp_path)
    ask_on(server)
    server.wait_metric(1, "vllm:num_requests_running")
    with Stopped(server, "engine-0"):
        server.wait_for(f"level=error event=stall model={MODEL_ID}", PATIENCE_S)
        status, body = server.get("/health")
        assert status == 503 and "engine_stalled" in body and MODEL_ID in body
        server.wait_metric(1, "weir_engine_stalled", model=MODEL_ID)
        assert server.get("/ready")[0] == 200  # it is up to the balancer which it asks
        assert_not_fed(manager)
    server.wait_for(f"event=stall_over model={MODEL_ID}", PATIENCE_S)
    manager.await_line("WATCHDOG=1")
    server.wait_metric(0, "weir_engine_stalled", model=MODEL_ID)
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGTERM)


def test_a_worker_that_stops_is_told_of(start, tmp_path):
    server, manager = watched(start, tmp_path, "--workers", "2")
    with Stopped(server, "worker-1"):
        server.wait_for("level=error event=stall worker=1", PATIENCE_S)
        assert_not_fed(manager)
    server.wait_for("event=stall_over worker=1", PATIENCE_S)
    manager.await_line("WATCHDOG=1")


def test_a_stop_does_not_wait_for_an_engine_that_is_stuck(start, tmp_path):
    server, _ = watched(start, tmp_path)
    ask_on(server)
    server.wait_metric(1, "vllm:num_requests_running")
    with Stopped(server, "engine-0"):
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("event=draining", PATIENCE_S)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("level=error event=stop_forced", PATIENCE_S)
    assert server.process.wait(PATIENCE_S) == 1
    start.forget(server)
