# SPDX-License-Identifier: Apache-2.0
"""From start to stop: draining, a second signal, JSON logs, the ready line's curl."""
import json
import os
import signal
import subprocess
import threading

from conftest import BUILD, MODEL

LONG = {"prompt": "Once upon a time", "max_tokens": 120, "ignore_eos": True, "stream": True}


def stream_by_curl(server, body):
    """A client that has its first tokens and waits for the rest."""
    client = subprocess.Popen(
        ["curl", "-sN", "--http2-prior-knowledge", "-d", json.dumps(body), "-H",
         "content-type: application/json", server.base + "/v1/completions"],
        stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline().startswith("data: {")
    return client


def test_sigterm_lets_the_running_finish(start):
    server = start()
    client = stream_by_curl(server, LONG)
    server.process.send_signal(signal.SIGTERM)
    assert client.communicate(timeout=300)[0].endswith("data: [DONE]\n\n")
    assert client.returncode == 0
    assert server.process.wait(60) == 0


def test_a_second_sigterm_stops_at_once(start):
    server = start()
    client = stream_by_curl(server, {**LONG, "max_tokens": 8000})
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("event=drain", 30)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    assert not client.communicate(timeout=60)[0].endswith("data: [DONE]\n\n")


def test_the_printed_curl_command_works_when_pasted(tmp_path):
    process = subprocess.Popen([BUILD / "weir", "serve", "--model", MODEL, "--port", "0"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env={**os.environ, "XDG_STATE_HOME": str(tmp_path)})
    stuck = threading.Timer(120, process.kill)
    stuck.start()
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.rstrip().endswith("'") and any("curl" in earlier for earlier in lines):
                break
        text = "".join(lines)
        command = text[text.index("curl "):]
        answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
        assert answer.returncode == 0, answer.stderr
        assert "choices" in answer.stdout
    finally:
        stuck.cancel()
        process.terminate()
        process.stdout.close()
        assert process.wait(60) == 0


def test_logs_are_json_when_asked(tmp_path):
    process = subprocess.Popen([BUILD / "weir", "serve", "--model", MODEL, "--port", "0",
                                "--log-format", "json"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "XDG_STATE_HOME": str(tmp_path)})
    try:
        for line in process.stderr:
            if json.loads(line)["event"] == "ready":
                break
    finally:
        process.terminate()
        for line in process.stderr:
            json.loads(line)
        assert process.wait(60) == 0


def test_help_and_version_speak():
    for flag in ("--help", "--version"):
        result = subprocess.run([BUILD / "weir", flag], capture_output=True, text=True, timeout=10)
        assert result.returncode == 0 and "weir" in result.stdout
    result = subprocess.run([BUILD / "weir", "serve", "--no-such-flag"], capture_output=True,
                            text=True, timeout=10)
    assert result.returncode == 64 and "--no-such-flag" in result.stderr
