# SPDX-License-Identifier: Apache-2.0
"""Everything at once: connections that idle, clients that attack in every way we know, and clients
with reasons, who must not notice.

How many, and for how long, is set by WEIR_ATTACK_IDLE, _CLIENTS, _GOOD, _SECONDS and _ROUNDS. The
attackers run at the lowest priority, as their work is not the daemon's and this machine is small;
their sockets are as fast as ever. What a request takes is compared within a run: calm and attack
follow each other, several times where it needs be, and the best round counts, for whatever else
runs here makes a round worse, never better."""
import http.client
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time

import pytest

from attacks import ATTACKS
from conftest import MODEL, ROOT, SANITIZED
from h2raw import PREFACE, settings

PROCESSES = 4
THINK_S = 0.05
CONNECTION_BYTES = 64 * 1024  # that one may add to the daemon's memory, and ...
MARGIN_BYTES = 32 << 20       # ... what the busiest moment may, for all
RATIO_MOST = 2
ASK = json.dumps({"prompt": "One", "max_tokens": 8, "temperature": 0}).encode()


def knob(name, usual):
    return int(os.environ.get(f"WEIR_ATTACK_{name}", usual))


class Good:
    """A client with reasons: asks, thinks, asks again, on one connection."""

    def __init__(self, port, number):
        self.source = (f"127.0.{50 + number // 200}.{1 + number % 200}", 0)
        self.port, self.number = port, number
        self.took, self.wrong, self.texts = [], [], set()

    def run(self, until):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120,
                                            source_address=self.source)
        while time.monotonic() < until:
            begun = time.monotonic()
            try:
                client.request("POST", "/v1/completions", ASK,
                               {"content-type": "application/json"})
                answer = client.getresponse()
                text = json.load(answer)["choices"][0]["text"]
                self.texts.add(text)
            except (OSError, http.client.HTTPException, KeyError) as error:
                self.wrong.append(repr(error))
                client.close()
            self.took.append(time.monotonic() - begun)
            time.sleep(THINK_S)
        client.close()


def be_good(port, count, seconds):
    """What each request took, in order of that. All are answered, and alike."""
    clients = [Good(port, number) for number in range(count)]
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [wrong for client in clients for wrong in client.wrong] == []
    assert len(set().union(*(client.texts for client in clients))) == 1
    return sorted(time for client in clients for time in client.took)


class Attack:
    """All attacks, by processes of their own, for as long as the block lasts."""

    def __init__(self, port, clients):
        self._command = [sys.executable, ROOT / "tests/e2e/attacks.py", str(port)]
        self._shares = [clients // PROCESSES + (n < clients % PROCESSES) for n in range(PROCESSES)]
        self.connections = 0

    def __enter__(self):
        self._running = [subprocess.Popen(
            ["nice", "-n", "19", *self._command, str(share)], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE) for share in self._shares]
        return self

    def __exit__(self, *_):
        for process in self._running:
            process.stdin.close()
        for process in self._running:
            self.connections += int(process.stdout.read() or 0)
            assert process.wait(60) == 0


def percentile(took, share):
    return took[min(len(took) - 1, int(share * len(took)))]


def sink_idle(port, count):
    """Connections that say hello and stay; a third say nothing, and are closed for that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 4096)), hard))
    idle = []
    for number in range(count):
        source = (f"127.0.{100 + number // 200}.{1 + number % 200}", 0)
        idle.append(socket.create_connection(("127.0.0.1", port), source_address=source))
        if number % 3 == 0:
            idle[-1].sendall(PREFACE + settings())
        elif number % 3 == 1:
            idle[-1].sendall(b"GET /health HTTP/1.1\r\nhost: weir\r\n\r\n")
    return idle


def wait_for_all(server, before):
    """Every attack has met its guard; on a busy machine the attackers need their time."""
    deadline = time.monotonic() + 240
    for kind, count in before.items():
        while server.metric("weir_http_abuse_total", kind=kind) <= count:
            assert time.monotonic() < deadline, f"{kind} is not counted"
            time.sleep(0.1)


def withstand(start, folder, idle_count, attackers, good, seconds, rounds):
    file = folder / "weir.yaml"
    file.write_text(f"models:\n  - path: {MODEL}\nserver:\n  limits:\n    idle_timeout: 1h\n")
    server = start("--config", file, model=False)
    be_good(server.port, good, 2)
    small = server.metric("process_resident_memory_bytes")
    before = {kind: server.metric("weir_http_abuse_total", kind=kind) for kind, _ in ATTACKS}
    idle = sink_idle(server.port, idle_count)
    ratios, largest = [], 0
    for _ in range(rounds):
        calm = be_good(server.port, good, seconds)
        cpu = server.metric("process_cpu_seconds_total")
        with Attack(server.port, attackers) as attack:
            time.sleep(1)  # all are there
            hurt = be_good(server.port, good, seconds)
            largest = max(largest, server.metric("process_resident_memory_bytes"))
            wait_for_all(server, before)
        ratios.append(percentile(hurt, 0.99) / percentile(calm, 0.99))
        print(f"{len(calm)} and {len(hurt)} requests, p50 "
              f"{statistics.median(calm) * 1e3:.2f} -> {statistics.median(hurt) * 1e3:.2f} ms, p99 "
              f"{percentile(calm, .99) * 1e3:.2f} -> {percentile(hurt, .99) * 1e3:.2f} ms: "
              f"{ratios[-1]:.2f}; {attack.connections} attacks, "
              f"{server.metric('process_cpu_seconds_total') - cpu:.1f} s of CPU, "
              f"{small / 2**20:.0f} -> {largest / 2**20:.0f} MiB")
        if ratios[-1] <= RATIO_MOST:
            break
    bound = small + MARGIN_BYTES + CONNECTION_BYTES * (idle_count + attackers + good)
    for number, connection in enumerate(idle):
        connection.setblocking(False)
        if number % 3 != 2:
            with pytest.raises(BlockingIOError):
                while connection.recv(65536):  # what it had asked for, but not the end
                    pass
        connection.close()
    server.assert_nothing_leaked()
    server.wait_metric(1, "weir_connections")
    if not SANITIZED:
        assert largest < bound
        assert min(ratios) <= RATIO_MOST, ratios


def test_good_clients_do_not_notice(start, tmp_path):
    """Small enough for every run."""
    withstand(start, tmp_path, knob("IDLE", 300), knob("CLIENTS", 40), knob("GOOD", 20),
              knob("SECONDS", 4), knob("ROUNDS", 4))


@pytest.mark.slow
def test_good_clients_do_not_notice_200_attackers(start, tmp_path):
    withstand(start, tmp_path, knob("IDLE", 2000), knob("CLIENTS", 200), knob("GOOD", 100),
              knob("SECONDS", 10), knob("ROUNDS", 4))
