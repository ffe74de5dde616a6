# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP/1.1 that two readers could end in different places: one answer, the close, and
what hides behind them is never served. And requests that come in drops."""
import re
import select
import socket
import time

import pytest

HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: weir\r\n\r\n"  # answered with 404, if at all
HOST = b"host: weir\r\n"
POST = b"POST /v1/completions HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
LENGTH = b"content-length: %d\r\n" % len(HIDDEN)
MANY = 100       # headers that are taken
SLOW_CLIENTS = 200


def posting(*fields, body=b""):
    return POST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def getting(*fields):
    return GET + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


REFUSED = [
    # where the body ends: the hidden request is the body to one reader, the next request to another
    ("length and chunks",
     posting(LENGTH[:-2], b"transfer-encoding: chunked", body=b"0\r\n\r\n"), 400),
    ("chunks and length",
     posting(b"transfer-encoding: chunked", LENGTH[:-2], body=b"0\r\n\r\n"), 400),
    ("two lengths", posting(LENGTH[:-2], b"content-length: 0"), 400),
    ("two lengths, the first of nothing", posting(b"content-length: 0", LENGTH[:-2]), 400),
    ("a list of lengths", posting(b"content-length: 0, 40"), 400),
    ("a list of equal lengths", posting(b"content-length: 5, 5"), 400),
    ("a signed length", posting(b"content-length: +5"), 400),
    ("a negative length", posting(b"content-length: -1"), 400),
    ("a length in hex", posting(b"content-length: 0x10"), 400),
    ("a length with a space", posting(b"content-length: 1 0"), 400),
    ("a length with an underscore", posting(b"content-length: 1_0"), 400),
    ("an empty length", posting(b"content-length:"), 400),
    ("a length beyond 64 bits", posting(b"content-length: 18446744073709551621"), 400),
    ("a length beyond our limit", posting(b"content-length: 99999999999"), 413),
    ("chunked, identity", posting(b"transfer-encoding: chunked, identity"), 501),
    ("identity", posting(b"transfer-encoding: identity"), 501),
    ("identity, chunked", posting(b"transfer-encoding: identity, chunked"), 501),
    ("gzip, chunked", posting(b"transfer-encoding: gzip, chunked"), 501),
    ("chunked, chunked", posting(b"transfer-encoding: chunked, chunked"), 501),
    ("chunked, twice", posting(b"transfer-encoding: chunked", b"transfer-encoding: chunked"), 400),
    ("chunked, then cow", posting(b"transfer-encoding: chunked", b"transfer-encoding: cow"), 400),
    ("xchunked", posting(b"transfer-encoding: xchunked"), 501),
    ("chunkedx", posting(b"transfer-encoding: chunkedx"), 501),
    ("chunked in quotes", posting(b'transfer-encoding: "chunked"'), 501),
    ("chunked;q=1", posting(b"transfer-encoding: chunked;q=1"), 501),
    (",chunked", posting(b"transfer-encoding: ,chunked"), 501),
    ("chunked and a vertical tab", posting(b"transfer-encoding: \x0bchunked"), 400),
    ("no coding", posting(b"transfer-encoding:"), 501),
    ("a space before the colon", posting(b"transfer-encoding : chunked"), 400),
    ("a tab before the colon", posting(b"content-length\t: 5"), 400),
    ("a name that begins with a space", posting(b" transfer-encoding: chunked"), 400),
    ("a byte above ASCII in a name", posting(b"transfer-encoding\xa0: chunked"), 400),
    ("chunked over HTTP/1.0", b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    # lines
    ("a fold", getting(b"x: a", b" b"), 400),
    ("a fold into a length", posting(b"x: a", b"\tcontent-length: 5"), 400),
    ("a fold of the first line", b"GET /health HTTP/1.1\r\n x: y\r\n" + HOST + b"\r\n", 400),
    ("a bare LF", b"GET /health HTTP/1.1\nhost: weir\n\n", 400),
    ("a bare LF within", GET + b"x: y\ncontent-length: 5\r\n\r\n", 400),
    ("a bare LF at the end", GET + b"\n", 400),
    ("a bare CR", GET + b"x: y\rcontent-length: 5\r\n\r\n", 400),
    ("CR CR LF", GET + b"x: y\r\r\n\r\n", 400),
    ("NUL in a value", getting(b"x: a\0b"), 400),
    ("NUL in a name", getting(b"x\0: a"), 400),
    ("NUL in the target", b"GET /hea\0lth HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("DEL in a value", getting(b"x: a\x7fb"), 400),
    ("a line without a colon", getting(b"nothing"), 400),
    ("an empty name", getting(b": nothing"), 400),
    # the request line
    ("HTTP/0.9", b"GET /health\r\n\r\n", 400),
    ("HTTP/1.2", b"GET /health HTTP/1.2\r\n" + HOST + b"\r\n", 505),
    ("HTTP/2.0 in HTTP/1's words", b"GET /health HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    ("http/1.1", b"GET /health http/1.1\r\n" + HOST + b"\r\n", 400),
    ("HTTP/1.10", b"GET /health HTTP/1.10\r\n" + HOST + b"\r\n", 400),
    ("two spaces", b"GET  /health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a space in the target", b"GET /health HTTP/1.1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a tab in the line", b"GET\t/health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a space in front", b" GET /health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a fragment", b"GET /health#x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a method that is no token", b"G@T /health HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a long method", b"G" * 100 + b" / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a long target", b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    ("a target without end", b"GET /" + b"x" * 70000, 414),
    ("a long header", getting(b"x: " + b"y" * 40000), 431),
    ("headers without end", GET + b"x: y\r\n" * 12000, 431),
    ("many headers", getting(*[b"x: y"] * MANY), 431),
    # whom it is for
    ("no Host", b"GET /health HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", getting(b"host: weir"), 400),
    ("two Hosts that differ", getting(b"host: other"), 400),
    ("a Host with a path", b"GET /health HTTP/1.1\r\nhost: weir/x\r\n\r\n", 400),
    ("a Host with a user", b"GET /health HTTP/1.1\r\nhost: a@weir\r\n\r\n", 400),
    ("a Host of two", b"GET /health HTTP/1.1\r\nhost: a, b\r\n\r\n", 400),
    # chunks
    ("a chunk's size in 17 digits", CHUNKED + b"00000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    ("a chunk's size past 64 bits", CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    ("a chunk of 2^64 - 1 bytes", CHUNKED + b"ffffffffffffffff\r\nhello", 413),
    ("a chunk beyond our limit", CHUNKED + b"10000000\r\nhello", 413),
    ("a chunk's size with 0x", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    ("a signed chunk", CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", 400),
    ("a negative chunk", CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", 400),
    ("no size", CHUNKED + b"\r\nhello\r\n0\r\n\r\n", 400),
    ("a space before the size", CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", 400),
    ("a space behind the size", CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", 400),
    ("a size's line that ends in LF", CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
    ("a size's line that ends in CR", CHUNKED + b"5\rhello\r\n0\r\n\r\n", 400),
    ("a bare LF in an extension", CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    ("NUL in an extension", CHUNKED + b"5;a\0\r\nhello\r\n0\r\n\r\n", 400),
    ("an extension without end", CHUNKED + b"5;" + b"a" * 5000, 400),
    ("more bytes than the size", CHUNKED + b"4\r\nhello\r\n0\r\n\r\n", 400),
    ("no CRLF behind the bytes", CHUNKED + b"5\r\nhello0\r\n\r\n", 400),
    ("LF behind the bytes", CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400),
    ("a trailer that is no field", CHUNKED + b"0\r\n bad\r\n\r\n", 400),
    ("a bare LF in the trailers", CHUNKED + b"0\r\nx: y\n\r\n\r\n", 400),
    ("trailers without end", CHUNKED + b"0\r\n" + b"x: y\r\n" * 3000, 400),
    # what is asked of the connection
    ("an expectation that nobody knows", posting(b"expect: the-moon", b"content-length: 5"), 417),
]

BODY = b'{"messages": 5}'
TAKEN = [
    ("a length, the hidden request behind the body",
     posting(b"content-length: %d" % len(BODY), body=BODY), [400]),
    ("two lengths that are equal",
     posting(*[b"content-length: %d" % len(BODY)] * 2, body=BODY), [400]),
    ("chunks", CHUNKED + b"f\r\n" + BODY + b"\r\n0\r\n\r\n", [400]),
    ("chunks in capitals", POST + b"Transfer-Encoding:\tChunked \r\n\r\nF\r\n" + BODY
     + b"\r\n0\r\n\r\n", [400]),
    ("zeros in front of a size",
     CHUNKED + b"000000000000000f\r\n" + BODY + b"\r\n0\r\n\r\n", [400]),
    ("extensions and trailers", CHUNKED + b'f;a=b;c="d"\r\n' + BODY + b"\r\n0;e\r\nx: y\r\n"
     b"content-length: 5\r\ntransfer-encoding: gzip\r\n\r\n", [400]),
    ("a body of GET is a body", getting(LENGTH[:-2]) + HIDDEN, [200]),
    ("the absolute form", b"GET http://other/health HTTP/1.1\r\n" + HOST + b"\r\n", [200]),
    ("an empty line in front", b"\r\n" + getting(), [200]),
    ("an upgrade that is not taken", getting(b"connection: upgrade, http2-settings",
                                             b"upgrade: h2c", b"http2-settings: AAMAAABk"), [200]),
    ("HEAD", b"HEAD /health HTTP/1.1\r\n" + HOST + b"\r\n", [200]),
    ("as many headers as may be", getting(*[b"x: y"] * (MANY - 1)), [200]),
]


def talk(port, sent):
    """All that comes until the close. What is sent may meet a close half-way."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        try:
            client.sendall(sent)
        except OSError:
            pass
        received = b""
        try:
            while more := client.recv(65536):
                received += more
        except ConnectionResetError:
            pass
        return received


def statuses(received):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


@pytest.mark.parametrize("sent, status", [case[1:] for case in REFUSED],
                         ids=[case[0] for case in REFUSED])
def test_refused_once_and_closed(server, sent, status):
    received = talk(server.port, sent + HIDDEN * 2)
    assert statuses(received) == [status], received
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head and b'"error"' in body


@pytest.mark.parametrize("sent, expected", [case[1:] for case in TAKEN],
                         ids=[case[0] for case in TAKEN])
def test_taken_and_the_next_request_is_the_next(server, sent, expected):
    last = b"GET /hidden HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n"
    received = talk(server.port, sent + last)
    assert statuses(received) == expected + [404], received


def test_preface_of_http_2_is_no_request(server):
    received = talk(server.port, getting() + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN)
    assert statuses(received) == [200, 505]


def test_early_answer_to_an_expectation_ends_the_connection(server):
    """Whether the body comes after all is anyone's guess: what follows is taken for nothing."""
    received = talk(server.port, b"POST /nowhere HTTP/1.1\r\n" + HOST + LENGTH
                    + b"expect: 100-continue\r\n\r\n" + HIDDEN)
    assert statuses(received) == [404]


def test_answer_of_one_is_not_mixed_with_anothers(server):
    """Pipelined behind a body that is refused while it comes: nothing is served."""
    received = talk(server.port, CHUNKED + b"5\r\nhello\r\nBAD\r\n" + HIDDEN * 100)
    assert statuses(received) == [400]


def test_ambiguity_is_counted(server):
    before = server.metric("weir_http_abuse_total", kind="ambiguous")
    talk(server.port, REFUSED[0][1])
    talk(server.port, CHUNKED + b"-5\r\n")
    assert server.metric("weir_http_abuse_total", kind="ambiguous") == before + 2


def test_drops_of_many_clients_disturb_nobody(start, tmp_path):
    """Hundreds of heads and bodies that come by the byte: each meets its limit, and meanwhile
    others are served as if they were alone."""
    from conftest import MODEL
    file = tmp_path / "weir.yaml"
    file.write_text(f"models:\n  - path: {MODEL}\nserver:\n  limits:\n    header_timeout: 3s\n"
                    "    body_timeout: 3s\n")
    server = start("--config", file, model=False)
    slow = {}
    for number in range(SLOW_CLIENTS):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall([GET, CHUNKED, posting(b"content-length: 100000")][number % 3])
        client.setblocking(False)
        slow[client] = b""
    deadline = time.monotonic() + 120
    ended = served = 0
    while ended < SLOW_CLIENTS:
        assert time.monotonic() < deadline
        for client in slow:
            try:
                client.send(b"1\r\nx\r\n" if client is not None else b"")
            except OSError:
                pass
        assert server.get("/health")[0] == 200
        served += 1
        readable, _, _ = select.select([client for client in slow if client.fileno() >= 0], [], [],
                                       0.05)
        for client in readable:
            try:
                received = client.recv(65536)
            except ConnectionResetError:
                received = b""
            slow[client] += received
            if not received:
                client.close()
                ended += 1
    assert served > 10
    refused = [statuses(received) for received in slow.values()]
    assert all(got in ([408], [400]) for got in refused), refused  # 400: "1" is no header
    assert refused.count([408]) >= SLOW_CLIENTS // 2
    assert server.metric("weir_http_abuse_total", kind="slow_request") >= SLOW_CLIENTS // 2
