# SPDX-License-Identifier: Apache-2.0
"""Attacks on an HTTP/2 server, each a generator of bytes to send until the connection is gone, with
the kind that weir_http_abuse_total has for it."""
import itertools
import json

import socket
import struct

from h2raw import (
    AUTHORITY, CONTINUATION, END_HEADERS, END_STREAM, GET, INITIAL_WINDOW_SIZE, NONE, SCHEME,
    WINDOW_MOST, Wire, block, data, frame, headers, integer, literal, opened, ping, priority,
    reset, settings, string, window_update)

WORK = json.dumps({"prompt": "Once upon a time", "max_tokens": 64, "ignore_eos": True}).encode()
ASK = block((":method", "POST"), SCHEME, (":path", "/v1/completions"), AUTHORITY,
            ("content-type", "application/json"), ("content-length", str(len(WORK))))
LIST = block((":method", "GET"), SCHEME, (":path", "/v1/models"), AUTHORITY)
BURST = 64      # frames in one piece
STREAMS = 100   # at once


def odd():
    return itertools.count(1, 2)


def pieces(frames):
    while True:
        yield b"".join(itertools.islice(frames, BURST))


def asked(stream):
    return opened(stream, ASK) + data(WORK, stream)


def rapid_reset():
    """CVE-2023-44487: work is asked for and called off before it is done."""
    return pieces(asked(stream) + reset(stream) for stream in odd())


def made_to_reset():
    """CVE-2025-8671: the server is made to call the work off itself, by a window past its end ..."""
    return pieces(asked(stream) + window_update(WINDOW_MOST, stream) for stream in odd())


def made_to_reset_by_heads():
    """... by a second head that does not end the stream ..."""
    return pieces(opened(stream) + headers(block(("x", "y")), stream, END_HEADERS)
                  for stream in odd())


def made_to_reset_by_lengths():
    """... or by a body longer than it was to be."""
    return pieces(opened(stream, ASK) + data(WORK + b" ", stream) for stream in odd())


def continuation():
    """CVE-2024-27316: a header block that does not end."""
    yield headers(GET, flags=END_STREAM)
    yield from pieces(frame(CONTINUATION, NONE, 1, literal("x", "y")) for _ in itertools.count())


def header_bomb():
    """An entry that fills HPACK's dynamic table, then its index, one byte each, again and again."""
    entry = b"\x40" + string(b"x") + string(b"v" * 4000)
    for stream in odd():
        yield headers(GET + entry + integer(62, 7, 0x80) * 8000, stream)


def settings_flood():
    return pieces(settings((INITIAL_WINDOW_SIZE, 60000 + n % 2)) for n in itertools.count())


def ping_flood():
    return pieces(ping() for _ in itertools.count())


def priority_flood():
    return pieces(priority(0, 1 + 2 * (n % 500)) for n in itertools.count())


def window_update_flood():
    return pieces(window_update(1) for _ in itertools.count())


def empty_data():
    """On a stream that is answered soon, and then on one that is closed."""
    yield opened()
    yield from pieces(data(b"", flags=NONE) for _ in itertools.count())


def unknown_frames():
    return pieces(frame(0xbb, 0, 0, b"?") for _ in itertools.count())


def tiny_windows():
    """Answers of some hundred bytes each, a byte at a time."""
    yield settings((INITIAL_WINDOW_SIZE, 1))
    streams = [1 + 2 * n for n in range(STREAMS)]
    for stream in streams:
        yield headers(LIST, stream)
    while True:
        yield b"".join(window_update(1, stream) for stream in streams)


ATTACKS = [
    ("reset", rapid_reset), ("provoked_reset", made_to_reset),
    ("provoked_reset", made_to_reset_by_heads), ("provoked_reset", made_to_reset_by_lengths),
    ("continuation", continuation), ("header_bomb", header_bomb), ("settings", settings_flood),
    ("ping", ping_flood), ("priority", priority_flood), ("window_update", window_update_flood),
    ("empty_frame", empty_data), ("unknown_frame", unknown_frames), ("tiny_window", tiny_windows),
]


def fall_on(port, attack, frames_most):
    """Attacks on one connection until it is closed; returns the wire. An AssertionError when it
    still stands after so many pieces."""
    wire = Wire(port)
    for piece in itertools.islice(attack(), frames_most):
        wire.send(piece)
        while wire.next(0.001) is not None:
            pass
        if wire.closed:
            return wire
    raise AssertionError(f"it still stands; {wire.frames[-5:]}")
