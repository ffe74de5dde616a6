# SPDX-License-Identifier: Apache-2.0
"""A restart that nobody notices: systemd holds the socket, one process drains, the next one starts.

What asks is h2load, a connection a request, so that each connection is either served or failed."""
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from conftest import BUILD, MODEL, SANITIZED

PATIENCE_S = 240
RESTARTS = 2
CONNECTIONS = 40 if SANITIZED else 200  # of one run of h2load


class Held:
    """A listening socket in systemd's hands, and processes that are started with it."""

    def __init__(self, folder):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.socket.getsockname()[1]
        self.config = folder / "weir.yaml"
        self.config.write_text(f"models: [{{path: {MODEL}}}]\n"
                               "server: {listen: '', workers: 2, listeners: [{activation: weir}]}\n")
        self.processes = []

    def start(self):
        command = shlex.join([str(BUILD / "weir"), "serve", "--config", str(self.config)])
        state = tempfile.mkdtemp(dir=os.environ["XDG_STATE_HOME"])
        process = subprocess.Popen(
            ["sh", "-c", f"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=weir exec {command}"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, close_fds=False,
            preexec_fn=lambda: os.dup2(self.socket.fileno(), 3),
            env={**os.environ, "XDG_STATE_HOME": state})
        self.processes.append(process)
        for line in process.stderr:
            if "event=ready" in line:
                threading.Thread(target=process.stderr.read, daemon=True).start()
                return process
        raise AssertionError("it did not start")


@pytest.fixture
def held(_needs, tmp_path):
    holder = Held(tmp_path)
    yield holder
    holder.socket.close()
    for process in holder.processes:
        if process.poll() is None:
            process.kill()
            process.wait()


class Load(threading.Thread):
    """h2load, run after run, until it is told to stop: what each run counted."""

    def __init__(self, port, *flags):
        super().__init__(daemon=True)
        self.command = ["h2load", "-n", str(CONNECTIONS), "-c", str(CONNECTIONS), "-m", "1", *flags,
                        f"http://127.0.0.1:{port}/health"]
        self.stopped = threading.Event()
        self.runs = []

    def run(self):
        while not self.stopped.is_set():
            done = subprocess.run(self.command, capture_output=True, text=True, timeout=PATIENCE_S)
            counts = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, "
                               r"(\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
            self.runs.append(tuple(map(int, counts.groups())) if counts else done.stdout)


def test_a_restart_fails_no_connection(held):
    process = held.start()
    loads = [Load(held.port), Load(held.port, "--h1")]
    for load in loads:
        load.start()
    for _ in range(RESTARTS):
        before = [len(load.runs) for load in loads]
        while any(len(load.runs) < count + 2 for load, count in zip(loads, before)):
            assert process.poll() is None
            threading.Event().wait(0.02)
        process.send_signal(signal.SIGTERM)  # and while it drains, connections wait in the queue
        assert process.wait(PATIENCE_S) == 0
        process = held.start()
    for load in loads:
        load.stopped.set()
        load.join(PATIENCE_S)
        assert not load.is_alive()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    for load in loads:
        whole = (CONNECTIONS, CONNECTIONS, CONNECTIONS, 0, 0, 0)
        assert len(load.runs) > 2 * RESTARTS and set(load.runs) == {whole}, load.runs
