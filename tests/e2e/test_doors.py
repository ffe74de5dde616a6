# SPDX-License-Identifier: Apache-2.0
"""The doors: what load balancers say of a client, sockets of every kind, and who may come in where."""
import http.client
import os
import re
import shlex
import shutil
import socket
import ssl
import stat
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import BUILD, MODEL, ROOT

TOOLS = ROOT / "build/tools/usr"

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def config_file(folder, text):
    path = folder / "weir.yaml"
    path.write_text(text)
    return path


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def read_all(sock):
    """What comes until the server closes; a reset counts as the end."""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
    except ConnectionResetError:
        pass
    return got


def ask(sock, path="/health", headers=""):
    """The answer's status line and body over a socket that is closed after it."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n{headers}connection: close\r\n\r\n".encode())
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.status, answer.read().decode()


def proxied_metric(port, name):
    with connect(port) as sock:
        sock.sendall(SIGNATURE + b"\x20\x00\x00\x00")  # LOCAL: for ourselves
        _, text = ask(sock, "/metrics")
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith(name) and line[len(name)] in " {")


def test_proxy_protocol_is_required_where_it_is_on(start, tmp_path):
    server = start("--config", config_file(
        tmp_path, "server:\n  proxy_protocol: on\n  limits:\n    header_timeout: 500ms\n"))
    v4 = struct.pack("!4s4sHH", socket.inet_aton("192.0.2.7"), socket.inet_aton("127.0.0.1"), 5, 443)
    headers = [b"PROXY TCP4 192.0.2.7 127.0.0.1 5 443\r\n", b"PROXY UNKNOWN\r\n",
               SIGNATURE + b"\x20\x00\x00\x00", SIGNATURE + b"\x21\x11\x00\x0c" + v4]
    for header in headers:
        with connect(server.port) as sock:
            sock.sendall(header)
            assert ask(sock)[0] == 200
    bad = [b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n", b"PROXY TCP9 a b 1 2\r\n",
           SIGNATURE + b"\x21\x11\x00\x0b" + v4, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    for header in bad:
        with connect(server.port) as sock:
            sock.sendall(header)
            assert read_all(sock) == b""
    assert proxied_metric(server.port, "weir_proxy_protocol_errors_total") == len(bad)
    with connect(server.port) as sock:  # and who says nothing more is not waited for
        sock.sendall(b"PROXY TCP4 ")
        assert read_all(sock) == b""
    assert proxied_metric(server.port, "weir_connection_timeouts_total") == 1
    assert proxied_metric(server.port, "weir_proxy_protocol_errors_total") == len(bad)


def test_a_proxy_header_goes_before_tls(start, certificate, tmp_path):
    server = start("--config", config_file(tmp_path, "server:\n  proxy_protocol: on\n"),
                   "--tls-certificate", certificate[0], "--tls-key", certificate[1])
    context = ssl.create_default_context(cafile=certificate[0])
    with connect(server.port) as sock:
        sock.sendall(b"PROXY TCP6 2001:db8::7 ::1 5 443\r\n")
        with context.wrap_socket(sock, server_hostname="localhost") as wrapped:
            assert ask(wrapped)[0] == 200


def test_a_failed_handshake_ends_with_its_alert(start, certificate):
    """An alert says what went wrong; a reset would not."""
    server = start("--tls-certificate", certificate[0], "--tls-key", certificate[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["smtp"])
    for _ in range(20):
        with connect(server.port) as sock:
            try:
                context.wrap_socket(sock)
                raise AssertionError("the handshake should fail")
            except ssl.SSLError as error:
                assert "alert no application protocol" in str(error)


def asked_by(server, *headers):
    """A completion's status with these header lines, duplicates and all."""
    body = b'{"prompt": "a", "max_tokens": 1}'
    with connect(server.port) as sock:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        sock.sendall(f"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json"
                     f"\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, answer.read().decode()


def addresses(server):
    """How many users are known by no more than an address or key."""
    return server.metric("weir_monthly_active_users_by_class", **{"class": "weak"})


def test_x_forwarded_for_is_believed_of_trusted_proxies_alone(start, tmp_path):
    trusting = start("--config", config_file(
        tmp_path, "server:\n  trusted_proxies: [127.0.0.1]\n"))
    strict = start()
    for number in range(5):
        header = ("x-forwarded-for", f"198.51.100.1, 203.0.113.{number}")
        assert asked_by(trusting, header)[0] == 200
        assert asked_by(strict, header)[0] == 200
    assert asked_by(trusting, ("x-forwarded-for", "203.0.113.0"), ("x-forwarded-for", "127.0.0.1"),
                    )[0] == 200  # lines are one list, and this one of 203.0.113.0 again
    assert trusting.metric("weir_forwarded_errors_total") == 0
    assert asked_by(trusting, ("x-forwarded-for", "nobody"))[0] == 200  # our own address
    assert asked_by(trusting, ("x-forwarded-for", "203.0.113.7"),
                    ("forwarded", "for=203.0.113.8"))[0] == 200  # and again
    assert trusting.metric("weir_forwarded_errors_total") == 2
    assert asked_by(strict, ("x-forwarded-for", "nobody"))[0] == 200
    assert strict.metric("weir_forwarded_errors_total") == 0
    assert addresses(trusting) == 6
    assert addresses(strict) == 1


def test_a_header_that_contradicts_itself_is_refused(start, tmp_path):
    server = start("--config", config_file(
        tmp_path, "access:\n  api_keys:\n    - key: sk-0123456789\n    - key: sk-9876543210\n"))
    key = ("authorization", "Bearer sk-0123456789")
    assert asked_by(server, key)[0] == 200
    assert asked_by(server, key, key)[0] == 200
    assert asked_by(server, key, ("x-user-id", "alice"))[0] == 200
    for headers in ([key, ("authorization", "Bearer sk-9876543210")],
                    [("authorization", "Bearer nonsense"), key],
                    [key, ("x-user-id", "mallory"), ("x-user-id", "alice")]):
        status, body = asked_by(server, *headers)
        assert status == 400 and "ambiguous_header" in body


def unix_connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect(str(path))
    return sock


def port_of(server, number):
    """The port of a listener, by its place in the log."""
    seen = [match.group(1) for line in server.lines
            if (match := re.search(r"event=listening at=127\.0\.0\.1:(\d+)", line))]
    return int(seen[number])


def test_listeners_of_every_kind_share_the_workers(start, certificate, tmp_path):
    path = tmp_path / "weir.sock"
    server = start("--workers", "2", "--tls-certificate", certificate[0], "--tls-key",
                   certificate[1], "--config", config_file(tmp_path, f"""
server:
  listeners:
    - {{port: 0, tls: no}}
    - {{port: 0, tls: no, proxy_protocol: on}}
    - {{unix: {path}, mode: 0600}}
"""), tls=True)
    context = ssl.create_default_context(cafile=certificate[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for _ in range(8):  # so that both workers have had some
        with connect(server.port) as sock:
            with context.wrap_socket(sock, server_hostname="localhost") as wrapped:
                assert ask(wrapped)[0] == 200
        with connect(port_of(server, 1)) as sock:
            assert ask(sock)[0] == 200
        with connect(port_of(server, 2)) as sock:
            sock.sendall(b"PROXY UNKNOWN\r\n")
            assert ask(sock)[0] == 200
        with unix_connect(path) as sock:
            assert ask(sock)[0] == 200
    # Many at once on the one queue of the unix socket: all are answered, and by both workers.
    socks = [unix_connect(path) for _ in range(200)]
    for sock in socks:
        assert ask(sock)[0] == 200
        sock.close()
    listing = subprocess.run(
        ["curl", "-s", "--http2-prior-knowledge", "--unix-socket", path, "http://a/v1/models"],
        capture_output=True, text=True, check=True, timeout=60)
    assert '"object":"list"' in listing.stdout
    server.stop()
    assert not path.exists()


def test_a_dead_socket_is_replaced_and_a_living_one_an_error(start, tmp_path):
    path = tmp_path / "weir.sock"
    config = config_file(tmp_path, f"server:\n  listeners:\n    - unix: {path}\n")
    first = start("--config", config)
    with pytest.raises(AssertionError, match="is in use: stop its owner"):
        start("--config", config)
    with unix_connect(path) as sock:
        assert ask(sock)[0] == 200
    first.process.kill()
    first.process.wait()
    start.forget(first)
    assert path.exists()
    start("--config", config)
    with unix_connect(path) as sock:
        assert ask(sock)[0] == 200


def test_the_printed_curl_command_works_over_a_unix_socket(start, tmp_path):
    path = tmp_path / "it's weir.sock"
    config = config_file(tmp_path, f'server:\n  listen: ""\n  listeners:\n    - unix: "{path}"\n')
    process = subprocess.Popen([BUILD / "weir", "serve", "--model", MODEL, "--config", config],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        text = process.stdout.readline()
        assert f"ready at unix:{path}" in text
        while not text.rstrip().endswith("'") or "curl" not in text:
            text += process.stdout.readline()
        answer = subprocess.run(["sh", "-c", text[text.index("curl "):]], capture_output=True,
                                text=True, timeout=600)
        assert "choices" in answer.stdout, answer.stderr
    finally:
        process.terminate()
        assert process.wait(60) == 0


class Systemd:
    """What systemd does for a socket: opens it, hands it to one process after the other."""

    def __init__(self, sockets):
        self.sockets = sockets  # name and listening socket, in order

    def start(self, *flags):
        def take_descriptors():
            for number, (_, sock) in enumerate(self.sockets):
                os.dup2(sock.fileno(), 100 + number)
            for number in range(len(self.sockets)):
                os.dup2(100 + number, 3 + number)
                os.close(100 + number)

        names = ":".join(name for name, _ in self.sockets)
        command = " ".join(shlex.quote(str(word)) for word in
                           [BUILD / "weir", "serve", "--model", MODEL, *flags])
        return subprocess.Popen(
            ["sh", "-c", f"LISTEN_PID=$$ LISTEN_FDS={len(self.sockets)} LISTEN_FDNAMES={names} "
             f"exec {command}"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, close_fds=False,
            preexec_fn=take_descriptors,
            env={**os.environ, "XDG_STATE_HOME": tempfile.mkdtemp(dir=os.environ["XDG_STATE_HOME"])})


@pytest.fixture
def systemd_sockets(tmp_path):
    tcp = socket.create_server(("127.0.0.1", 0), backlog=128)
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(tmp_path / "inherited.sock"))
    local.listen(128)
    yield [("weir", tcp), ("local", local)]
    tcp.close()
    local.close()


ACTIVATED = """
server:
  listen: ""
  workers: 2
  listeners:
    - activation: weir
    - activation: local
"""


def wait_ready(process):
    for line in process.stderr:
        if "event=ready" in line:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return
    raise AssertionError("it did not start")


def test_a_socket_of_systemds_outlives_a_restart(systemd_sockets, tmp_path):
    """Who asks while one process drains and the next one starts waits, and is answered."""
    config = config_file(tmp_path, ACTIVATED)
    systemd = Systemd(systemd_sockets)
    port = systemd_sockets[0][1].getsockname()[1]
    failures, answers, stop = [], [], threading.Event()

    def keep_asking():
        while not stop.is_set():
            try:
                with connect(port) as sock:
                    answers.append(ask(sock)[0])
                with unix_connect(tmp_path / "inherited.sock") as sock:
                    answers.append(ask(sock)[0])
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)

    process = systemd.start("--config", config)
    wait_ready(process)
    clients = [threading.Thread(target=keep_asking) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for _ in range(2):
            while len(answers) % 7:  # some, before
                time.sleep(0.01)
            process.terminate()
            assert process.wait(120) == 0
            before = len(answers)
            process = systemd.start("--config", config)
            wait_ready(process)
            while len(answers) < before + 50:
                assert process.poll() is None
                time.sleep(0.01)
    finally:
        stop.set()
        for client in clients:
            client.join()
        process.terminate()
        assert process.wait(120) == 0
    assert not failures and set(answers) == {200}
    assert (tmp_path / "inherited.sock").exists()  # systemd's, not ours to remove


def test_sockets_of_systemds_must_be_named(systemd_sockets, tmp_path):
    config = config_file(tmp_path, "server:\n  listen: ''\n  listeners:\n    - activation: weir\n")
    process = Systemd(systemd_sockets).start("--config", config)
    log = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "systemd passes the socket 'local'" in log and "- activation: local" in log
    config = config_file(tmp_path, "server:\n  listeners:\n    - activation: other\n")
    process = Systemd(systemd_sockets).start("--config", config)
    log = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "systemd passed no socket 'other'" in log


def status_at(port, path, headers=""):
    with connect(port) as sock:
        return ask(sock, path, headers)[0]


def test_an_admin_listener_takes_metrics_and_admin_from_the_public_ones(start, tmp_path):
    key = "authorization: Bearer sk-admin-0123456789\r\n"
    keys = "access:\n  admin_keys: [{key: sk-admin-0123456789}]\n"
    alone = start("--config", config_file(tmp_path, keys))  # as it was: all at one
    assert status_at(alone.port, "/metrics") == 200
    assert status_at(alone.port, "/admin/v1/usage", key) == 200
    server = start("--config", config_file(
        tmp_path, keys + "server:\n  listeners:\n    - {port: 0, admin: yes}\n"))
    admin = port_of(server, 1)
    for path, at_public, at_admin in [("/metrics", 404, 200), ("/admin/v1/usage", 404, 200),
                                      ("/v1/models", 200, 404), ("/health", 200, 200),
                                      ("/ready", 200, 200), ("/version", 200, 200)]:
        assert status_at(server.port, path, key) == at_public, path
        assert status_at(admin, path, key) == at_admin, path
    assert status_at(admin, "/admin/v1/usage") == 401  # the key is asked for all the same
    usage = subprocess.run([BUILD / "weir", "usage", "--json", "--url", f"http://127.0.0.1:{admin}"],
                           env={**os.environ, "WEIR_ADMIN_KEY": "sk-admin-0123456789"},
                           capture_output=True, text=True, timeout=60)
    assert usage.returncode == 0, usage.stderr
    body = b'{"prompt": "a", "max_tokens": 1}'
    for port, expected in ((server.port, 200), (admin, 404)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        assert connection.getresponse().status == expected
        connection.close()


class HAProxy:
    """A real one in front of a port, with a line of its own for the server and the defaults."""

    def __init__(self, folder, port, server_words, defaults="", unix=None):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        settings = folder / "haproxy.cfg"
        settings.write_text(
            "global\n    maxconn 64\ndefaults\n    mode http\n    timeout connect 5s\n"
            f"    timeout client 60s\n    timeout server 60s\n    {defaults}\n"
            f"listen weir\n    bind 127.0.0.1:{self.port}\n    option httpchk\n"
            "    http-check send meth GET uri /ready ver HTTP/1.1 hdr host weir\n"  # h2 asks for it
            f"    server weir {unix or f'127.0.0.1:{port}'} check inter 100ms {server_words}\n")
        libraries = ":".join(str(path) for path in (TOOLS / "lib").glob("*-linux-gnu"))
        self.process = subprocess.Popen(
            [shutil.which("haproxy") or TOOLS / "sbin/haproxy", "-db", "-f", settings],
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.wait(time.monotonic() + 60)
        except BaseException:
            self.end()
            raise

    def wait(self, deadline):
        """Until it listens, and its health check has passed."""
        while True:
            try:
                if status_at(self.port, "/health") == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)

    def end(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.mark.parametrize("words", [
    "send-proxy check-send-proxy",
    "send-proxy-v2 check-send-proxy",
    "send-proxy-v2 check-send-proxy proxy-v2-options crc32c,unique-id",
    "send-proxy-v2 check-send-proxy proto h2",
])
def test_haproxy_speaks_the_proxy_protocol_to_weir(start, tmp_path, words):
    server = start("--config", config_file(
        tmp_path, "server:\n  proxy_protocol: on\n  trusted_proxies: [127.0.0.1]\n"))
    balancer = HAProxy(tmp_path, server.port, words, "unique-id-format %rt")
    try:
        for _ in range(5):
            assert status_at(balancer.port, "/v1/models") == 200
    finally:
        balancer.end()
    assert proxied_metric(server.port, "weir_proxy_protocol_errors_total") == 0


def test_haproxy_says_by_a_header_whose_request_it_is(start, tmp_path):
    """Clients of three addresses, one of which writes a header of its own."""
    path = tmp_path / "weir.sock"
    server = start("--config", config_file(
        tmp_path, f"server:\n  trusted_proxies: [unix]\n  trusted_header: x-forwarded-for\n"
        f"  listeners:\n    - unix: {path}\n"))
    balancer = HAProxy(tmp_path, 0, "", "option forwardfor", unix=f"unix@{path}")
    body = b'{"prompt": "a", "max_tokens": 1}'
    try:
        for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.2"):
            connection = http.client.HTTPConnection("127.0.0.1", balancer.port, timeout=60,
                                                    source_address=(address, 0))
            connection.request("POST", "/v1/completions", body, {
                "content-type": "application/json", "x-forwarded-for": "203.0.113.9",
                "forwarded": "for=203.0.113.10"})
            assert connection.getresponse().status == 200
            connection.close()
    finally:
        balancer.end()
    assert server.metric("weir_forwarded_errors_total") == 0
    assert addresses(server) == 3
