# SPDX-License-Identifier: Apache-2.0
"""A real daemon for real clients: each server is a process of its own on a port of its own."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("WEIR_BUILD", "build")
MODEL = os.environ.get("WEIR_TEST_MODEL", "")
MODEL_ID = pathlib.Path(MODEL).name.removesuffix(".gguf")
SANITIZED = BUILD.name in ("asan", "tsan")
START_TIMEOUT_S = 120


class Server:
    """weir, started with flags; `base` is its URL. What it logs is kept, for a test to read."""

    def __init__(self, *flags, tls=False, model=True, env=None):
        command = [str(BUILD / "weir"), "serve", "--port", "0"]
        env = env or {"XDG_STATE_HOME": tempfile.mkdtemp(dir=os.environ["XDG_STATE_HOME"])}
        if model:
            command += ["--model", MODEL]
        command += [str(flag) for flag in flags]
        self.lines = []
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, env={**os.environ, **env})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        ready = self.wait_for(r'event(?:=|":")ready\b.*\bport(?:=|":)(\d+)', START_TIMEOUT_S)
        self.port = int(ready.group(1))
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern, timeout_s):
        """The first log line that matches, waiting for it."""
        deadline = time.monotonic() + timeout_s
        seen = 0
        while True:
            while seen < len(self.lines):
                match = re.search(pattern, self.lines[seen])
                seen += 1
                if match:
                    return match
            ended = self.process.poll() is not None and not self._reader.is_alive()
            if ended and seen == len(self.lines) or time.monotonic() > deadline:
                raise AssertionError(f"no log line matches {pattern!r}:\n" + "\n".join(self.lines))
            time.sleep(0.01)

    def post(self, path, body, headers=None):
        """(status, headers, parsed body), whatever the status."""
        request = urllib.request.Request(
            self.base + path, json.dumps(body).encode() if not isinstance(body, bytes) else body,
            {"content-type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, answer.headers, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.load(error)

    def get(self, path):
        try:
            with urllib.request.urlopen(self.base + path, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            match = re.match(r"([\w:]+)(?:\{(.*)\})? (\S+)$", line)
            if match and match.group(1) == name and all(
                    f'{key}="{value}"' in (match.group(2) or "") for key, value in labels.items()):
                total += float(match.group(3))
        return total

    def wait_metric(self, expected, name, timeout_s=60, **labels):
        deadline = time.monotonic() + timeout_s
        while (value := self.metric(name, **labels)) != expected:
            assert time.monotonic() < deadline, f"{name}{labels} is {value}, not {expected}"
            time.sleep(0.02)

    def assert_nothing_leaked(self):
        """No sequence is left and every KV block is free or cached."""
        self.wait_metric(0, "vllm:num_requests_running")
        self.wait_metric(0, "vllm:num_requests_waiting")
        self.wait_metric(0, "weir_kv_blocks", state="referenced")

    def stop(self, expected=0):
        """SIGTERM, and the exit status that must follow. A sanitizer's finding fails here."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(10)
        assert status == expected, f"exit status {status}:\n" + "\n".join(self.lines[-60:])


@pytest.fixture(scope="session", autouse=True)
def _needs(tmp_path_factory):
    if not (BUILD / "weir").exists() or not MODEL:
        sys.exit("run these tests by `make e2e`: it builds weir and names the model")
    os.environ["PATH"] = f"{ROOT / 'build/tools/usr/bin'}:{os.environ['PATH']}"
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")


@pytest.fixture(scope="session")
def server(_needs):
    """One daemon that most tests share."""
    instance = Server("--log-level", "info")
    yield instance
    instance.assert_nothing_leaked()
    instance.stop()


@pytest.fixture
def start(_needs):
    """Starts daemons of a test's own and stops them after it."""
    started = []

    def start_one(*flags, **options):
        started.append(Server(*flags, **options))
        return started[-1]

    start_one.forget = started.remove  # of one that a test has ended in its own way
    yield start_one
    for instance in started:
        instance.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost: (certificate, key)."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")
