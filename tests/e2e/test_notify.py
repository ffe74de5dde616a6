# SPDX-License-Identifier: Apache-2.0
"""What a service manager hears of us: readiness, reloads, the drain, and that we are alive."""
import os
import signal
import socket
import time

import pytest

from conftest import MODEL

PATIENCE_S = 120
WATCHDOG_S = 1


class Manager:
    """A datagram socket in systemd's place."""

    def __init__(self, name):
        self.name = str(name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.name[1:] if self.name.startswith("@") else self.name)
        self.heard = []

    def environment(self, tmp_path, watchdog_s=None):
        more = {} if watchdog_s is None else {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))}
        return {"NOTIFY_SOCKET": self.name, "XDG_STATE_HOME": str(tmp_path), **more}

    def listen(self, timeout_s):
        """The next message's lines, or None."""
        self._socket.settimeout(timeout_s)
        try:
            message = self._socket.recv(4096).decode().split("\n")
        except (TimeoutError, BlockingIOError):
            return None
        self.heard.append(message)
        return message

    def await_line(self, line):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            message = self.listen(1)
            if message is not None and any(each.startswith(line) for each in message):
                return message
        raise AssertionError(f"never heard {line!r}: {self.heard}")


@pytest.mark.parametrize("abstract", [False, True])
def test_a_life_as_the_manager_hears_it(start, tmp_path, abstract):
    manager = Manager(f"@weir-{os.getpid()}" if abstract else tmp_path / "manager")
    config = tmp_path / "weir.yaml"
    config.write_text(f"models: [{{path: {MODEL}}}]\n")
    server = start("--config", config, model=False, env=manager.environment(tmp_path))
    manager.await_line("STATUS=loading model 1 of 1")
    manager.await_line("EXTEND_TIMEOUT_USEC=")
    assert manager.await_line("READY=1") == ["READY=1"]
    manager.await_line("STATUS=serving 1 model: 0 running, 0 waiting")
    server.process.send_signal(signal.SIGHUP)
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    reloading = manager.await_line("RELOADING=1")
    assert float(reloading[1].removeprefix("MONOTONIC_USEC=")) / 1e6 == pytest.approx(before, abs=60)
    manager.await_line("READY=1")
    assert not any("WATCHDOG=1" in message for message in manager.heard)  # nobody asked for it
    server.process.send_signal(signal.SIGTERM)
    assert manager.await_line("STOPPING=1")[1].startswith("EXTEND_TIMEOUT_USEC=50")
    assert server.process.wait(PATIENCE_S) == 0


def test_the_watchdog_is_fed_while_all_get_on(start, tmp_path):
    manager = Manager(tmp_path / "manager")
    server = start(env=manager.environment(tmp_path, WATCHDOG_S))
    manager.await_line("READY=1")
    for _ in range(3):
        manager.await_line("WATCHDOG=1")
    server.process.send_signal(signal.SIGSTOP)  # nothing gets on any more
    while manager.listen(0.1) is not None:
        pass  # what was on its way
    assert manager.listen(3 * WATCHDOG_S) is None
    server.process.send_signal(signal.SIGCONT)
    manager.await_line("WATCHDOG=1")


def test_a_manager_that_cannot_be_told_is_no_reason_not_to_serve(start, tmp_path):
    server = start(env={"NOTIFY_SOCKET": "nowhere", "XDG_STATE_HOME": str(tmp_path)})
    assert "NOTIFY_SOCKET" in server.wait_for("event=notify_off.*", PATIENCE_S).group(0)
    assert server.get("/health")[0] == 200
