# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by the frame: what no well-behaved library would send, built from bytes, and what came
back read by hyperframe. Header blocks are written by hand and never touch the dynamic table, but
for cases that are about it."""
import itertools
import socket
import struct
import time

import hpack
import hyperframe.frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
NONE, END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0, 1, 1, 4, 8, 0x20
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
 FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR,
 ENHANCE_YOUR_CALM) = range(12)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, \
    MAX_HEADER_LIST_SIZE = range(1, 7)
WINDOW_MOST = 2**31 - 1
PATIENCE_S = 60


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """`length` lies about the payload where it is given; `stream` may have the reserved bit."""
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A field without indexing, both strings as they are (RFC 7541, section 6.2.2)."""
    name, value = (text if isinstance(text, bytes) else text.encode() for text in (name, value))
    return b"\x00" + string(name) + string(value)


def integer(value, bits, first=0):
    """RFC 7541, section 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out = bytearray([first | most])
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def string(text):
    return integer(len(text), 7) + text


def block(*fields):
    return b"".join(literal(name, value) for name, value in fields)


METHOD, SCHEME, PATH, AUTHORITY = ((":method", "GET"), (":scheme", "http"), (":path", "/health"),
                                   (":authority", "weir"))
REQUEST = (METHOD, SCHEME, PATH, AUTHORITY)
GET = block(*REQUEST)
POST = block((":method", "POST"), SCHEME, (":path", "/v1/completions"), AUTHORITY)
ANY = block((":method", "POST"), SCHEME, PATH, AUTHORITY)


def headers(fields=GET, stream=1, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, fields)


def opened(stream=1, fields=POST):
    """A request whose body is still to come."""
    return headers(fields, stream, END_HEADERS)


def data(payload=b"", stream=1, flags=END_STREAM):
    return frame(DATA, flags, stream, payload)


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def window_update(increment, stream=0):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream=1, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def priority(depends_on=0, stream=1, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", depends_on, weight))


def goaway(last=0, code=NO_ERROR, stream=0, text=b""):
    return frame(GOAWAY, 0, stream, struct.pack(">II", last, code) + text)


def ping(payload=b"12345678", flags=0, stream=0):
    return frame(PING, flags, stream, payload)


numbers = itertools.count()


def own_source():
    """An address of this machine that nobody else had lately: what one is sent away for, another
    does not wait for."""
    number = next(numbers)
    return f"127.77.{number // 250 % 250}.{1 + number % 250}"


class Wire:
    """A connection to a daemon, from the preface on; from an address of its own, or `source`."""

    def __init__(self, port, preface=True, opening=settings(), receive_buffer=None, source=None):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.bind((source or own_source(), 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.frames = []  # all that came
        self.closed = False
        self._bytes = b""
        self._decoder = hpack.Decoder()
        if preface:
            self.send(PREFACE + opening)

    def send(self, payload):
        """What the other side has closed already is no error here: reading shows it."""
        try:
            self.socket.sendall(payload)
        except OSError:
            pass

    def next(self, timeout_s=PATIENCE_S):
        """The next frame, or None once the connection is closed (or the time is up)."""
        deadline = time.monotonic() + timeout_s
        while not self.closed:
            if len(self._bytes) >= 9:
                head, length = hyperframe.frame.Frame.parse_frame_header(
                    memoryview(self._bytes[:9]))
                if len(self._bytes) >= 9 + length:
                    head.parse_body(memoryview(self._bytes[9:9 + length]))
                    self._bytes = self._bytes[9 + length:]
                    if isinstance(head, hyperframe.frame.HeadersFrame):
                        head.fields = dict(self._decoder.decode(head.data))
                        head.status = int(head.fields[":status"])
                    self.frames.append(head)
                    return head
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                received = self.socket.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                received = b""
            self._bytes += received
            self.closed = not received
        return None

    def until(self, wanted):
        """Reads on to the first frame that `wanted` takes; None when the connection ends before."""
        while True:
            got = self.next()
            if got is None:
                assert self.closed, f"nothing more came; {self.frames}"
                return None
            if wanted(got):
                return got

    def close(self):
        self.socket.close()
