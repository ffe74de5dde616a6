# SPDX-License-Identifier: Apache-2.0
"""The doors: what load balancers say of a client, sockets of every kind, and who may come in where."""
import http.client
import socket
import ssl
import struct

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
