# SPDX-License-Identifier: Apache-2.0
"""Each way to hurt others over HTTP/2 is noticed, counted under its name, and ended; whoever keeps
to reasons is not. A test here fails when its guard is taken away (daemon/http/h2_guard.c)."""
import socket
import threading
import time

import hyperframe.frame
import pytest

from attacks import ATTACKS, LIST, fall_on
from conftest import MODEL
from h2raw import (
    CANCEL, ENHANCE_YOUR_CALM, GET, INITIAL_WINDOW_SIZE, Wire, headers, opened, ping, reset,
    settings, window_update)

PIECES_MOST = 3000


def abuse(server, kind):
    return server.metric("weir_http_abuse_total", kind=kind)


@pytest.mark.parametrize("kind, attack", ATTACKS, ids=[attack.__name__ for _, attack in ATTACKS])
def test_attack_is_told_to_calm_down(server, kind, attack):
    before = abuse(server, kind)
    wire = fall_on(server.port, attack, PIECES_MOST)
    said = [got for got in wire.frames if isinstance(got, hyperframe.frame.GoAwayFrame)]
    assert [got.error_code for got in said] == [ENHANCE_YOUR_CALM], wire.frames[-5:]
    wire.close()
    assert abuse(server, kind) == before + 1
    server.assert_nothing_leaked()


@pytest.fixture(scope="module")
def strict(_needs, tmp_path_factory):
    """A daemon with short limits."""
    from conftest import Server
    file = tmp_path_factory.mktemp("strict") / "weir.yaml"
    file.write_text(f"models:\n  - path: {MODEL}\nserver:\n  limits:\n    header_timeout: 1s\n"
                    "    body_timeout: 1s\n    write_timeout: 1s\n    control_frames: 10000000\n"
                    "    resets: 20\n")
    server = Server("--config", file, model=False)
    yield server
    server.assert_nothing_leaked()
    server.stop()


def reset_of(wire, stream=1):
    got = wire.until(lambda got: isinstance(got, hyperframe.frame.RstStreamFrame)
                     and got.stream_id == stream)
    assert got is not None, wire.frames
    return got.error_code


def test_window_that_stays_shut_ends_the_stream_alone(strict):
    before = abuse(strict, "stalled_window")
    wire = Wire(strict.port, opening=settings((INITIAL_WINDOW_SIZE, 0)))
    wire.send(headers(LIST))
    assert reset_of(wire) == CANCEL
    wire.send(headers(LIST, 3) + window_update(60000, 3))
    got = wire.until(lambda got: got.stream_id == 3 and "END_STREAM" in got.flags)
    assert got is not None
    wire.close()
    assert abuse(strict, "stalled_window") == before + 1


def test_window_that_opens_by_the_byte_ends_the_stream_too(strict):
    """A byte in every fifth of the time limit is no progress."""
    wire = Wire(strict.port, opening=settings((INITIAL_WINDOW_SIZE, 1)))
    wire.send(headers(LIST))
    dripping = threading.Event()

    def drip():
        while not dripping.wait(0.2):
            wire.send(window_update(1, 1))

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        assert reset_of(wire) == CANCEL
    finally:
        dripping.set()
        thread.join()
        wire.close()
    taken = sum(len(got.data) for got in wire.frames
                if isinstance(got, hyperframe.frame.DataFrame))
    assert 0 < taken < 200


def test_asking_on_and_reading_nothing_ends_it(strict):
    before = abuse(strict, "unread")
    wire = Wire(strict.port, receive_buffer=4096)
    many = ping() * 3000
    deadline = time.monotonic() + 120
    with pytest.raises(OSError):
        while time.monotonic() < deadline:
            wire.socket.sendall(many)
    wire.close()
    assert abuse(strict, "unread") == before + 1


def test_setting_of_resets_counts(strict):
    wire = Wire(strict.port)
    wire.send(b"".join(opened(1 + 2 * n) + reset(1 + 2 * n) for n in range(20)) + ping())
    assert wire.until(lambda got: isinstance(got, hyperframe.frame.PingFrame)) is not None
    wire.send(opened(101) + reset(101))
    got = wire.until(lambda got: isinstance(got, hyperframe.frame.GoAwayFrame))
    assert got is not None and got.error_code == ENHANCE_YOUR_CALM
    wire.close()


@pytest.mark.parametrize("opening, drop", [
    (b"GET /health HTTP/1.1\r\nhost: weir\r\n", b"x: y\r\n"),
    (b"POST /v1/completions HTTP/1.1\r\nhost: weir\r\n"
     b"content-type: application/json\r\ncontent-length: 5000\r\n\r\n", b" "),
    (b"POST /v1/completions HTTP/1.1\r\nhost: weir\r\n"
     b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
     b"1\r\nx\r\n"),
], ids=["head", "body", "chunks"])
def test_request_in_drops_meets_its_time_limit(strict, opening, drop):
    before = abuse(strict, "slow_request")
    with socket.create_connection(("127.0.0.1", strict.port), timeout=60) as client:
        client.sendall(opening)
        client.settimeout(0.1)
        answer, deadline = b"", time.monotonic() + 60
        while b"\r\n\r\n" not in answer:
            assert time.monotonic() < deadline
            try:
                client.sendall(drop)
                answer += client.recv(4096)
            except TimeoutError:
                pass
        assert answer.startswith(b"HTTP/1.1 408") and b"connection: close" in answer
        client.settimeout(60)
        while client.recv(4096):
            pass
    assert abuse(strict, "slow_request") == before + 1


def test_header_block_in_drops_meets_its_time_limit(strict):
    wire = Wire(strict.port)
    wire.send(headers(GET[:5], flags=1))
    assert wire.until(lambda _: False) is None
    wire.close()


def may_come(server, source):
    """Whether a connection from there is served."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60,
                                      source_address=(source, 0)) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
            return client.recv(64).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


@pytest.mark.parametrize("pause_s", [2, 0])
def test_who_was_sent_away_waits_before_he_comes_again(start, tmp_path, pause_s):
    """And nobody else does. Others go on on connections that they have."""
    file = tmp_path / "weir.yaml"
    file.write_text(f"models:\n  - path: {MODEL}\nserver:\n  limits:\n    resets: 20\n"
                    f"    abuse_pause: {pause_s}s\n")
    server = start("--config", file, model=False)
    beside = Wire(server.port, source="127.66.0.1")
    begun = time.monotonic()
    fall_on(server.port, dict(ATTACKS)["reset"], PIECES_MOST, source="127.66.0.1").close()
    told = time.monotonic()
    came = may_come(server, "127.66.0.1")
    assert came or pause_s > 0
    assert not came or time.monotonic() - begun > pause_s
    assert may_come(server, "127.66.0.2")
    beside.send(headers(LIST))
    assert beside.until(lambda got: "END_STREAM" in got.flags) is not None
    while not came:
        assert time.monotonic() - told < 60
        time.sleep(0.1)
        came = may_come(server, "127.66.0.1")
    assert time.monotonic() - begun > pause_s
    assert (server.metric("weir_limited_total", limit="abuse") > 0) == (pause_s > 0)
    beside.close()
    server.assert_nothing_leaked()


def test_clients_with_reasons_are_left_alone(server):
    """Below the limits on one connection, for longer than any window holds."""
    kinds = {kind for kind, _ in ATTACKS}
    before = {kind: abuse(server, kind) for kind in kinds}
    wire = Wire(server.port)
    for number in range(200):
        stream = 1 + 4 * number
        wire.send(headers(LIST, stream) + window_update(65535, stream) + window_update(1000)
                  + opened(stream + 2) + reset(stream + 2) + ping())
        got = wire.until(lambda got, stream=stream: got.stream_id == stream
                         and "END_STREAM" in got.flags)
        assert got is not None, wire.frames[-5:]
    wire.close()
    assert {kind: abuse(server, kind) for kind in kinds} == before
