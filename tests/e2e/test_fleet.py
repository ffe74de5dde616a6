# SPDX-License-Identifier: Apache-2.0
"""Three daemons behind HAProxy count together through a real Redis that dies and forgets all."""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest
from conftest import BUILD, MODEL_ID, ROOT, SANITIZED

# A forward pass takes seconds where TSan watches it.
USERS = 300 if BUILD.name == "tsan" else 2_000 if SANITIZED else 20_000
SENDERS = 48
TOOLS = ROOT / "build/tools/usr"
CONVERGED_S = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, condition, timeout_s=CONVERGED_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


class Redis:
    """Without a disk: killed and begun again, it holds nothing. Debian's redis-tools has the
    server's program under the name of redis-check-rdb, and no service."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weir-redis-", dir="/tmp")
        self.socket = f"{self.folder}/socket"
        self.begin()

    def begin(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "",
             "--appendonly", "no", "--dir", self.folder],
            executable=shutil.which("redis-server") or "/usr/bin/redis-check-rdb",
            stdout=subprocess.DEVNULL)
        wait_until("Redis answers", lambda: self.ask("PING") == b"PONG\n")

    def ask(self, *command):
        return subprocess.run(["redis-cli", "-s", self.socket, *command], capture_output=True,
                              check=False).stdout

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def everything(self):
        """All keys, and all values as they are kept."""
        keys = self.ask("--raw", "KEYS", "*").split()
        return b"\n".join(keys) + b"".join(self.ask("--raw", "DUMP", key) for key in keys) + \
            b"".join(self.ask("--raw", *kind, key, *rest) for key in keys for kind, rest in (
                (("GET",), ()), (("HGETALL",), ()), (("SMEMBERS",), ()),
                (("XRANGE",), ("-", "+"))))

    def end(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)


class Balancer:
    """HAProxy, each request to the next daemon."""

    def __init__(self, folder, ports):
        self.port = free_port()
        settings = pathlib.Path(folder) / "haproxy.cfg"
        servers = "\n".join(f"    server r{port} 127.0.0.1:{port} check inter 200ms fall 1 rise 1"
                            for port in ports)
        settings.write_text(
            "global\n    maxconn 256\ndefaults\n    mode http\n    timeout connect 2s\n"
            "    timeout client 60s\n    timeout server 60s\n    retries 0\n"
            f"listen weir\n    bind 127.0.0.1:{self.port}\n    balance roundrobin\n"
            f"    option httpchk GET /ready\n    http-reuse always\n{servers}\n")
        libraries = ":".join(str(path) for path in (TOOLS / "lib").glob("*-linux-gnu"))
        self.process = subprocess.Popen(
            [shutil.which("haproxy") or TOOLS / "sbin/haproxy", "-db", "-f", settings],
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        self.process.terminate()
        self.process.wait(30)


def read_answer(stream):
    """The status of an HTTP/1.1 answer with a length, read whole; None when the line was cut."""
    head = stream.readline()
    if not head:
        return None
    status, length, closes = int(head.split()[1]), 0, False
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        closes = closes or (name.lower() == b"connection" and b"close" in value.lower())
    stream.read(length)
    return None if closes and status == 503 else status


def send_users(port, users):
    """A request of each, the smallest that is counted; again where no daemon answered."""
    body = b'{"prompt":"a","max_tokens":1}'
    connection = stream = None
    for user in users:
        request = (b"POST /v1/completions HTTP/1.1\r\nhost: weir\r\ncontent-type: application/json"
                   b"\r\nx-user-id: %s\r\ncontent-length: %d\r\n\r\n%s" %
                   (user.encode(), len(body), body))
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, "no daemon answers"
            try:
                if connection is None:
                    connection = socket.create_connection(("127.0.0.1", port), 60)
                    stream = connection.makefile("rb")
                connection.sendall(request)
                status = read_answer(stream)
            except OSError:
                status = None
            if status == 200:
                break
            assert status in (None, 429, 502, 503, 504), status
            if connection is not None:
                connection.close()
            connection = None
            time.sleep(0.02)
    if connection is not None:
        connection.close()


def send_all(port, users):
    failures = []

    def send(part):
        try:
            send_users(port, part)
        except BaseException as error:  # told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=send, args=(users[i::SENDERS],)) for i in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


class Fleet:
    """Daemons with a state folder each, and what they share."""

    def __init__(self, start, folder, redis, count):
        self.start, self.folder, self.redis = start, folder, redis
        key = folder / "users.key"
        key.write_bytes(os.urandom(32))
        key.chmod(0o600)
        self.settings = folder / "weir.yaml"
        self.settings.write_text(
            f"users: {{key_file: {key}, trust_asserted: true}}\n"
            f"fleet: {{redis: {redis.socket}, sync: 300ms}}\n")
        self.ports = [free_port() for _ in range(count)]
        self.daemons = [self.begin(index) for index in range(count)]

    def begin(self, index):
        return self.start(
            "--config", self.settings, "--port", self.ports[index], "--threads", 1, "--workers", 1,
            "--kv-memory", "32MiB", "--context", 64,
            env={"XDG_STATE_HOME": str(self.folder / f"state-{index}")})

    def users(self):
        return [daemon.metric("weir_mau", model=MODEL_ID, window="month", bound="best")
                for daemon in self.daemons]

    def wait_users(self, count):
        deadline = time.monotonic() + CONVERGED_S
        while (users := self.users()) != [count] * len(self.daemons):
            assert time.monotonic() < deadline, (
                f"{users}, not {count} each\n" + self.daemons[0].get("/metrics")[1] +
                "\n".join(line for daemon in self.daemons for line in daemon.lines))
            time.sleep(0.05)


@pytest.fixture
def redis():
    server = Redis()
    yield server
    server.end()


def no_raw_ids(texts, users):
    for user in random.Random(3).sample(users, 50):
        for name, text in texts:
            assert user.encode() not in text, f"{user} is in {name}"


def test_three_daemons_know_the_union_whatever_dies(start, redis, tmp_path):
    users = [f"person-{number:05}@example.com" for number in range(USERS)]
    sights = users + users  # each comes twice, mostly to two daemons
    random.Random(1).shuffle(sights)
    third = len(sights) // 3
    fleet = Fleet(start, tmp_path, redis, 3)
    balancer = Balancer(tmp_path, fleet.ports)
    try:
        began = time.monotonic()
        send_all(balancer.port, sights[:third])
        fleet.wait_users(len(set(sights[:third])))

        # Redis dies, is back with nothing, and all goes on.
        redis.kill()
        send_all(balancer.port, sights[third:third + third // 2])
        redis.begin()
        send_all(balancer.port, sights[third + third // 2:2 * third])
        fleet.wait_users(len(set(sights[:2 * third])))

        # A daemon dies among requests and comes back with the folder that it had.
        half = sights[2 * third:2 * third + third // 2]
        sender = threading.Thread(target=send_all, args=(balancer.port, half))
        sender.start()
        victim = fleet.daemons[1]
        before = victim.metric("weir_fleet_published_total")
        wait_until("it is in the midst",
                   lambda: victim.metric("weir_fleet_published_total") > before or
                   not sender.is_alive())
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait(30)
        sender.join()
        victim.stop(expected=-signal.SIGKILL)
        fleet.start.forget(victim)
        fleet.daemons[1] = fleet.begin(1)
        send_all(balancer.port, sights[2 * third + third // 2:])
        fleet.wait_users(USERS)
        print(f"{len(sights)} requests of {USERS} users: {time.monotonic() - began:.1f} s")

        # The union is each one's figure; their sum is three times too much.
        assert max(fleet.users()) == USERS
        assert sum(fleet.users()) == 3 * USERS
        for daemon in fleet.daemons:
            daemon.wait_metric(3, "weir_fleet_replicas")
            daemon.wait_metric(3, "weir_fleet_replicas_current")
            daemon.wait_metric(1, "weir_fleet_complete")
            assert daemon.metric("weir_mau_stale_seconds") <= 5
            assert daemon.metric("weir_fleet_refused_total") == 0
            assert abs(daemon.metric("weir_clock_offset_seconds")) < 1
        fleet.daemons[0].wait_for(r"the store was emptied", 10)

        texts = [("Redis", redis.everything())]
        texts += [(path.name, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()]
        texts += [("a log", "\n".join(daemon.lines).encode()) for daemon in fleet.daemons]
        assert len(texts[0][1]) > 1000
        no_raw_ids(texts, users)
    finally:
        balancer.end()


def test_who_leaves_is_not_missed(start, redis, tmp_path):
    fleet = Fleet(start, tmp_path, redis, 2)
    for daemon in fleet.daemons:
        daemon.wait_metric(2, "weir_fleet_replicas")
    assert fleet.daemons[1].post("/v1/completions", {"prompt": "a", "max_tokens": 1},
                                 {"x-user-id": "the last one"})[0] == 200
    fleet.daemons[1].stop()  # tells what it has counted, though its time had not come
    fleet.daemons[0].wait_metric(1, "weir_fleet_replicas")
    fleet.daemons[0].wait_metric(1, "weir_mau", model=MODEL_ID, window="month", bound="best")
    fleet.daemons[0].wait_metric(1, "weir_fleet_complete")


def test_a_key_that_nobody_else_has_is_refused(redis, tmp_path):
    from conftest import BUILD, MODEL
    settings = tmp_path / "weir.yaml"
    settings.write_text(f"fleet: {{redis: {redis.socket}}}\n")
    result = subprocess.run(
        [BUILD / "weir", "serve", "--config", settings, "--model", MODEL, "--port", "0"],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}, capture_output=True,
        text=True, timeout=120)
    assert result.returncode != 0
    assert "users.key_file" in result.stderr and "fleet.redis" in result.stderr
