# SPDX-License-Identifier: Apache-2.0
"""weir top on a real daemon: once for scripts, on a terminal, and when the daemon goes away."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest
from conftest import BUILD, MODEL_ID

WAIT_S = 120
KEY, ADMIN = "sk-12345678", "sk-admin-0123456789"
CHAT = {"model": MODEL_ID, "max_tokens": 4, "temperature": 0, "ignore_eos": True, "user": "alice",
        "messages": [{"role": "user", "content": "Tell me of rivers"}]}


@pytest.fixture
def daemon(start, tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({"access": {"api_keys": [{"key": KEY, "tenant": "acme"}],
                                           "admin_keys": [{"key": ADMIN, "name": "ops"}]}}))
    return start("--config", path)


def ask(server, **changes):
    return server.post("/v1/chat/completions", {**CHAT, **changes},
                       {"authorization": f"Bearer {KEY}"})[0]


def top(*flags, key=None):
    env = {name: value for name, value in os.environ.items() if name != "WEIR_ADMIN_KEY"}
    if key:
        env["WEIR_ADMIN_KEY"] = key
    return subprocess.run([BUILD / "weir", "top", *flags], env=env, capture_output=True, text=True,
                          timeout=WAIT_S)


def row(text, title, name):
    """{column: cell} of the row that begins with this name in the table of this title."""
    lines = text.splitlines()
    heads = next(i for i, line in enumerate(lines) if line.startswith(title))
    line = next(line for line in lines[heads + 1:] if line.startswith(name))
    split = lambda words: re.split(r"  +", words.strip())
    return dict(zip(split(lines[heads]), split(line)))


def test_once_shows_streams_tokens_and_users(daemon):
    assert ask(daemon) == 200
    busy = threading.Event()

    def keep_busy():
        while not busy.is_set():
            ask(daemon, max_tokens=64)
    threads = [threading.Thread(target=keep_busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + WAIT_S
    while True:
        shown = top("--once", "--url", daemon.base)
        assert shown.returncode == 0 and shown.stderr == "" and "\033" not in shown.stdout
        engine = row(shown.stdout, "MODEL", MODEL_ID)
        if engine["OUTPUT/s"] not in ("0", "-"):
            break
        assert time.monotonic() < deadline, shown.stdout
    busy.set()
    for thread in threads:
        thread.join()
    assert re.search(r"^weir \S+  http://127\S+  up \d\d:\d\d  ready  \S+ \w+  \S+ cores$",
                     shown.stdout, re.M)
    assert engine["KV"].endswith("%") and float(engine["BATCH"]) >= 1
    assert "alice" not in shown.stdout and "acme" in shown.stdout
    assert row(shown.stdout, "THIS MONTH", MODEL_ID)["USERS"] == "1"
    assert row(shown.stdout, "TENANT", "acme")["GENERATED"] not in ("0", "-")
    # with a key, the organisation too
    shown = top("--once", "--url", daemon.base, key=ADMIN)
    assert shown.returncode == 0 and re.search(r"^organisation ", shown.stdout, re.M)


def read_until(terminal, pattern, seen=""):
    deadline = time.monotonic() + WAIT_S
    while not re.search(pattern, seen, re.S):
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536).decode()
    return seen


def test_a_terminal_is_drawn_resized_and_given_back(daemon):
    terminal, other = pty.openpty()
    before = termios.tcgetattr(other)
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 160, 0, 0))
    process = subprocess.Popen([BUILD / "weir", "top", "--interval", "1", "--url", daemon.base],
                               stdin=other, stdout=other, stderr=subprocess.PIPE,
                               env={**os.environ, "TERM": "xterm"})
    seen = read_until(terminal, r"\x1b\[\?1049h.*TTFT p95.*THIS MONTH.*\x1b\[J")
    assert "\x1b[1mMODEL" in seen
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 50, 0, 0))
    process.send_signal(signal.SIGWINCH)
    seen = read_until(terminal, r"STREAMS  QUEUE\x1b|\.\.\.\x1b\[K")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    read_until(terminal, r"\x1b\[\?25h\x1b\[\?1049l", seen)
    assert termios.tcgetattr(other) == before
    os.close(other)
    os.close(terminal)
    assert process.stderr.read() == b""


def test_the_last_figures_stay_when_the_daemon_is_gone(daemon):
    process = subprocess.Popen([BUILD / "weir", "top", "--interval", "1", "--url", daemon.base],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("weir ")
    daemon.stop()
    while "OLD FIGURES" not in (line := process.stdout.readline()):
        assert line and "\033" not in line
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_what_goes_wrong_is_said_and_has_a_status(daemon):
    for flags, status, words in (
            (["--nothing"], 64, "--nothing"),
            (["--interval", "0"], 64, "--interval"),
            (["--url", daemon.base + "/"], 64, "--url"),
            (["--url", "http://example.com"], 64, "https"),
            (["--key-file", "/no/such"], 66, "/no/such"),
            (["--once", "--url", "http://127.0.0.1:1"], 69, "is weir serve running there")):
        shown = top(*flags)
        assert (shown.returncode, shown.stdout) == (status, "") and words in shown.stderr
    shown = top("--once", "--url", daemon.base, key="sk-none-0123456789")
    assert shown.returncode == 77 and "access.admin_keys" in shown.stderr
    assert top("--help").stdout.startswith("weir top -- ")
