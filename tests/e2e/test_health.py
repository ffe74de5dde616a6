# SPDX-License-Identifier: Apache-2.0
"""weir health: what a container's health check runs."""
import re
import signal
import socket
import subprocess
import threading

from conftest import BUILD


def health(*arguments):
    return subprocess.run([BUILD / "weir", "health", *arguments], capture_output=True, text=True,
                          check=False, timeout=300)


def test_a_daemon_that_serves_is_well_and_ready(server):
    assert health("--url", server.base).returncode == 0
    assert health(f"--url={server.base}", "--ready", "--timeout", "60").returncode == 0


def test_a_daemon_with_a_certificate_of_another_name_is_well(start, certificate):
    cert, key = certificate
    daemon = start("--tls-certificate", cert, "--tls-key", key, tls=True)
    assert health("--url", f"https://127.0.0.1:{daemon.port}", "--ready").returncode == 0


def test_a_daemon_that_drains_is_well_but_not_ready(start):
    daemon = start()
    with socket.create_connection(("127.0.0.1", daemon.port)) as held:
        body = b'{"prompt":"a","max_tokens":'
        held.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json"
                     b"\r\ncontent-length: 30\r\n\r\n" + body)
        with socket.create_connection(("127.0.0.1", daemon.port)) as asked:
            asked.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")  # it is accepted by now
            assert asked.recv(4096).startswith(b"HTTP/1.1 200")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for("draining", 60)
        answer = health("--url", daemon.base, "--ready")
        assert answer.returncode == 1
    daemon.process.wait(120)


def test_what_is_wrong_is_said(tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        answer = health("--url", f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert answer.returncode == 1 and "/health: " in answer.stderr
    answer = health("--unix-socket", tmp_path / "nobody")
    assert answer.returncode == 1 and answer.stderr


def test_an_answer_that_is_not_200_is_shown_but_not_obeyed():
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()

        def answer_once():
            connection, _ = stranger.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 503 No\r\nconnection: close\r\n\r\nit \x1b[31mhangs")

        thread = threading.Thread(target=answer_once)
        thread.start()
        answer = health("--url", f"http://127.0.0.1:{stranger.getsockname()[1]}")
        thread.join()
    assert answer.returncode == 1
    assert "status 503: it  [31mhangs" in answer.stderr and "\x1b" not in answer.stderr


def test_a_silent_daemon_is_not_waited_for():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        answer = health("--url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "1")
    assert answer.returncode == 1 and re.search("(?i)time", answer.stderr)


def test_wrong_command_lines_are_refused():
    for wrong in (["--timeout", "0"], ["--timeout", "x"], ["--url", ""], ["--url", "http://a/"],
                  ["more"]):
        assert health(*wrong).returncode == 64, wrong
    assert "--unix-socket" in health("--help").stdout
