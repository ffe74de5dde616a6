# SPDX-License-Identifier: Apache-2.0
"""What RFC 9113 and RFC 7541 ask of a server, case by case: bytes go in, an outcome is seen.

An outcome is one of
    ends(codes)     a GOAWAY with one of these codes, then the close
    resets(codes)   an RST_STREAM with one of these codes; nobody saw a request, the rest goes on
    answers(status) the stream is answered, and the rest goes on
    lives()         nothing but a PING's answer: what was sent is taken or passed over
The cases are those that h2spec asks (its section numbers where RFC 9113 has no such section any
more) and some of our own.

Decided by libnghttp2 otherwise than h2spec has it, with the outcome that is asserted here:
    5.1    frames on a stream that is closed: h2spec wants STREAM_CLOSED. They are passed over,
           HEADERS decoded for HPACK's sake: RFC 9113 has "MAY treat" there, and nothing kept of
           closed streams is what keeps them free of cost.
    5.1.1  a stream id below the last: passed over likewise, for a stream that was never opened
           cannot be told from one that was closed long ago. It is never served.
    5.1.2  one stream too many is refused, but not a PROTOCOL_ERROR: it may be tried again.
    5.3.1  a stream that depends on itself: RFC 9113 has no dependencies any more, and we say
           NO_RFC7540_PRIORITIES. Within HEADERS it still ends the connection, as RFC 7540 had it;
           in PRIORITY it is not read.
    5.4.2  errors of a stream that end the connection, which section 5.4.2 allows for all of them:
           PRIORITY of a wrong size, a WINDOW_UPDATE of 0.
    6.9.2  SETTINGS that push an open stream's window past 2^31 - 1 reset that stream: RFC 9113
           wants the end of the connection. Nothing is sent on it either way.
"""
import collections
import struct

import hpack.huffman
import hpack.huffman_constants
import hyperframe.frame
import pytest

from h2raw import (
    ACK, ANY, AUTHORITY, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS,
    END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GET, GOAWAY, HEADERS,
    HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE, METHOD, NONE, NO_ERROR, PADDED, PATH, PING, POST, PREFACE,
    PRIORITIZED, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, REQUEST, RST_STREAM,
    SCHEME, SETTINGS, STREAM_CLOSED, WINDOW_MOST, WINDOW_UPDATE, Wire, block, data, frame,
    goaway, headers, integer, literal, opened, ping, priority, reset, settings, string,
    window_update)

FRAME_BYTES = 16384  # what we take, unless told
PROBE = b"\xa5probe\x5a\xa5"

Case = collections.namedtuple("Case", "section name send outcome preface")
CASES = []


def case(section, name, send, outcome, preface=True):
    """send: bytes, or a function of the wire."""
    CASES.append(Case(section, name, send, outcome, preface))


# -- Outcomes ----------------------------------------------------------------------------------


def is_goaway(got):
    return isinstance(got, hyperframe.frame.GoAwayFrame)


def of_stream(wire, kind, stream):
    return [got for got in wire.frames if isinstance(got, kind) and got.stream_id == stream]


def ends(*codes, seen=()):
    """seen: statuses that may have gone out before."""
    def check(wire):
        got = wire.until(is_goaway)
        assert got is not None, f"closed without a word; {wire.frames}"
        assert got.error_code in codes, got
        assert wire.until(lambda _: False) is None  # the close follows
        statuses = [got.status for got in wire.frames
                    if isinstance(got, hyperframe.frame.HeadersFrame)]
        assert set(statuses) <= set(seen), wire.frames
    return check


def still_lives(wire):
    wire.send(ping(PROBE))
    got = wire.until(lambda got: is_goaway(got) or isinstance(got, hyperframe.frame.PingFrame)
                     and "ACK" in got.flags and got.opaque_data == PROBE)
    assert got is not None and not is_goaway(got), wire.frames


def lives(count=None):
    """count: answers to our own PINGs that must have come."""
    def check(wire):
        still_lives(wire)
        assert not [got for got in wire.frames if is_goaway(got)]
        if count is not None:
            assert len(of_stream(wire, hyperframe.frame.PingFrame, 0)) == count + 1
    return check


def resets(*codes, stream=1, seen=()):
    def check(wire):
        got = wire.until(lambda got: is_goaway(got) or got.stream_id == stream
                         and isinstance(got, hyperframe.frame.RstStreamFrame))
        assert got is not None and not is_goaway(got), wire.frames
        assert got.error_code in codes, got
        answered = of_stream(wire, hyperframe.frame.HeadersFrame, stream)
        assert {got.status for got in answered} <= set(seen), answered
        still_lives(wire)
    return check


def answers(status=200, stream=1, body=None):
    def check(wire):
        ended = (hyperframe.frame.HeadersFrame, hyperframe.frame.DataFrame,
                 hyperframe.frame.RstStreamFrame)
        got = wire.until(lambda got: is_goaway(got) or got.stream_id == stream
                         and isinstance(got, ended) and ("END_STREAM" in got.flags or isinstance(
                             got, hyperframe.frame.RstStreamFrame)))
        assert got is not None and "END_STREAM" in got.flags, wire.frames
        [head] = of_stream(wire, hyperframe.frame.HeadersFrame, stream)
        assert head.status == status
        if body is not None:
            sizes = [len(got.data) for got in of_stream(wire, hyperframe.frame.DataFrame, stream)]
            body(sizes)
        still_lives(wire)
    return check


def passed_over(stream, seen=()):
    """No answer beyond what was there before."""
    def check(wire):
        still_lives(wire)
        answered = of_stream(wire, hyperframe.frame.HeadersFrame, stream)
        assert [got.status for got in answered] == list(seen), wire.frames
    return check


# -- RFC 9113, section 3.4: the preface --------------------------------------------------------

case("3.4", "our SETTINGS come first", b"", lambda wire: first_is_settings(wire))
case("3.4", "a request right behind the preface", headers(), answers())
case("3.4", "the preface in single bytes",
     lambda wire: [wire.send(bytes([byte])) for byte in PREFACE + settings()] and headers(),
     answers(), preface=False)
case("3.4", "a preface that goes wrong", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
     lambda wire: closed_or_refused(wire), preface=False)
case("3.4", "the preface, then PING instead of SETTINGS", PREFACE + ping(),
     lambda wire: ends(PROTOCOL_ERROR)(wire), preface=False)
case("3.4", "the preface, then HEADERS instead of SETTINGS", PREFACE + headers(),
     ends(PROTOCOL_ERROR), preface=False)
case("3.4", "SETTINGS with ACK in place of the first", PREFACE + frame(SETTINGS, ACK),
     ends(PROTOCOL_ERROR), preface=False)


def first_is_settings(wire):
    got = wire.next()
    assert isinstance(got, hyperframe.frame.SettingsFrame) and "ACK" not in got.flags
    assert got.settings[MAX_CONCURRENT_STREAMS] > 0
    lives()(wire)


def closed_or_refused(wire):
    """It is HTTP/1.1 as far as anyone can tell: 505 in clear text, and the close."""
    received = b""
    while more := wire.socket.recv(65536):
        received += more
    assert received.startswith(b"HTTP/1.1 505") or received == b"", received


# -- 4.1, 4.2: frames and their sizes ----------------------------------------------------------

case("4.1", "a frame of a type that nobody knows", frame(0xbb, 0xff, 0, b"what") + headers(),
     answers())
case("4.1", "... on a stream", headers(flags=END_HEADERS, fields=ANY) + frame(0xbb, 0, 1, b"what")
     + data(), answers(405))
case("4.1", "flags that PING does not have", frame(PING, 0x16, 0, b"12345678"), lives(1))
case("4.1", "flags that HEADERS do not have", headers(flags=END_STREAM | END_HEADERS | 0xc2),
     answers())
case("4.1", "the reserved bit of a stream id, in PING", frame(PING, 0, 1 << 31, b"12345678"),
     lives(1))
case("4.1", "... in HEADERS", headers(stream=1 | 1 << 31), answers())
case("4.1", "... in DATA", opened(fields=ANY) + data(b"x", 1 | 1 << 31), answers(405))
case("4.2", "DATA of 2^14 bytes", opened(fields=ANY) + data(b" " * FRAME_BYTES), answers(405))
case("4.2", "DATA of more than 2^14 bytes", opened() + data(b" " * (FRAME_BYTES + 1)),
     ends(FRAME_SIZE_ERROR))
case("4.2", "HEADERS of more than 2^14 bytes", headers(GET + literal("x", "y" * FRAME_BYTES)),
     ends(FRAME_SIZE_ERROR))
case("4.2", "SETTINGS of more than 2^14 bytes",
     settings(*[(INITIAL_WINDOW_SIZE, 65535)] * (FRAME_BYTES // 6 + 1)), ends(FRAME_SIZE_ERROR))
case("4.2", "a length of 2^24 - 1", opened() + frame(DATA, 0, 1, b"x", length=2**24 - 1),
     ends(FRAME_SIZE_ERROR))

# -- 4.3: header blocks ------------------------------------------------------------------------

case("4.3", "a header block that HPACK cannot read", headers(b"\x00\x88\xff\xff\xff"),
     ends(COMPRESSION_ERROR))
case("4.3", "a field cut off by the block's end", headers(GET[:-2]), ends(COMPRESSION_ERROR))
case("4.3", "a broken block in trailers", opened() + headers(b"\x80"), ends(COMPRESSION_ERROR))
case("4.3", "PRIORITY within a header block", headers(flags=END_STREAM) + priority(),
     ends(PROTOCOL_ERROR))
case("4.3", "DATA within a header block", headers(flags=NONE) + data(), ends(PROTOCOL_ERROR))
case("4.3", "HEADERS of another stream within one", headers(flags=END_STREAM) + headers(stream=3),
     ends(PROTOCOL_ERROR))
case("4.3", "an empty header block", headers(b""), resets(PROTOCOL_ERROR))

# -- 5.1: the states of a stream ---------------------------------------------------------------

def continuation(fields=GET, stream=1, flags=END_HEADERS):
    return frame(CONTINUATION, flags, stream, fields)


def after(*steps):
    """Sends each in turn, waiting for stream 1 to be answered or reset after the first."""
    def send(wire):
        wire.send(steps[0])
        wire.until(lambda got: got.stream_id == 1 and (
            "END_STREAM" in got.flags or isinstance(got, hyperframe.frame.RstStreamFrame)))
        return b"".join(steps[1:])
    return send


case("5.1", "idle: DATA", data(b"x"), ends(PROTOCOL_ERROR))
case("5.1", "idle: RST_STREAM", reset(), ends(PROTOCOL_ERROR))
case("5.1", "idle: WINDOW_UPDATE", window_update(100, 1), ends(PROTOCOL_ERROR))
case("5.1", "idle: CONTINUATION", continuation(), ends(PROTOCOL_ERROR))
case("5.1", "idle: PRIORITY, then a request there", priority() + headers(), answers())
case("5.1", "idle, of the server: DATA", data(b"x", 2), ends(PROTOCOL_ERROR))
case("5.1", "idle, of the server: WINDOW_UPDATE", window_update(1, 2), ends(PROTOCOL_ERROR))
case("5.1", "half-closed: DATA", headers() + data(b"x"), ends(STREAM_CLOSED))
case("5.1", "half-closed: HEADERS", headers() + headers(), ends(STREAM_CLOSED))
case("5.1", "half-closed: CONTINUATION", headers() + continuation(), ends(PROTOCOL_ERROR))
case("5.1", "half-closed: WINDOW_UPDATE", headers() + window_update(100, 1), answers())
case("5.1", "half-closed: PRIORITY", headers() + priority(), answers())
case("5.1", "half-closed: RST_STREAM", headers() + reset() + headers(stream=3), answers(stream=3))
case("5.1", "closed by RST_STREAM: DATA", opened() + reset() + data(b"x"), lives())
case("5.1", "closed by RST_STREAM: HEADERS", opened() + reset() + headers(), passed_over(1))
case("5.1", "closed by RST_STREAM: CONTINUATION", opened() + reset() + continuation(),
     ends(PROTOCOL_ERROR))
case("5.1", "closed by RST_STREAM: RST_STREAM", opened() + reset() + reset(), lives())
case("5.1", "closed by RST_STREAM: PRIORITY", opened() + reset() + priority(), lives())
case("5.1", "closed by RST_STREAM: WINDOW_UPDATE", opened() + reset() + window_update(9, 1),
     lives())
case("5.1", "closed: DATA", after(headers(), data(b"x")), lives())
case("5.1", "closed: HEADERS", after(headers(), headers()), passed_over(1, seen=(200,)))
case("5.1", "closed: CONTINUATION", after(headers(), continuation()),
     ends(PROTOCOL_ERROR, seen=(200,)))
case("5.1", "closed: PRIORITY", after(headers(), priority()), lives())
case("5.1", "closed: WINDOW_UPDATE", after(headers(), window_update(1, 1)), lives())
case("5.1", "closed: RST_STREAM", after(headers(), reset()), lives())

# -- 5.1.1, 5.1.2: identifiers, concurrency ----------------------------------------------------

case("5.1.1", "an even stream id", headers(stream=2), ends(PROTOCOL_ERROR))
case("5.1.1", "a stream id smaller than the last", headers(stream=5) + headers(stream=3),
     passed_over(3))
case("5.1.1", "ids that skip", headers(stream=1) + headers(stream=9), answers(stream=9))
case("5.1.1", "the largest id", headers(stream=2**31 - 1), answers(stream=2**31 - 1))
case("5.1.2", "one stream more than may be open",
     b"".join(opened(1 + 2 * i) for i in range(129)),
     resets(REFUSED_STREAM, stream=257))

# -- 5.3.1, 5.4, 5.5 ---------------------------------------------------------------------------


def depending(on, stream=1):
    return frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, stream,
                 struct.pack(">IB", on, 200) + GET)


case("5.3.1", "HEADERS whose stream depends on itself", depending(1), ends(PROTOCOL_ERROR))
case("5.3.1", "PRIORITY whose stream depends on itself", opened(fields=ANY) + priority(1) + data(),
     answers(405))
case("5.3.1", "HEADERS that depend on another stream", depending(0x80000007), answers())
case("5.4.1", "after an error of the connection it is closed", ping(b"short"),
     ends(FRAME_SIZE_ERROR))
case("5.4.1", "nothing behind an error is served", data(b"x", 9) + headers(stream=11),
     ends(PROTOCOL_ERROR))
case("5.4.2", "a reset stream leaves its neighbours alone", opened(1) + opened(3, ANY)
     + headers(block(METHOD), 1) + data(b"", 3), answers(405, stream=3))
case("5.4.2", "RST_STREAM is not answered by RST_STREAM", opened() + reset(),
     lambda wire: (still_lives(wire), no_reset(wire)))
case("5.5", "an extension's frame is passed over", frame(0x16, 0, 0, b"x" * 8), lives())
case("5.5", "... but not within a header block", headers(flags=END_STREAM)
     + frame(0x16, 0, 0, b"x" * 8), ends(PROTOCOL_ERROR))


def no_reset(wire):
    assert not of_stream(wire, hyperframe.frame.RstStreamFrame, 1)


# -- 6.1, 6.2: DATA, HEADERS -------------------------------------------------------------------


def padded(kind, payload, padding, stream=1, flags=END_STREAM, pad_byte=b"\0"):
    return frame(kind, flags | PADDED, stream, bytes([padding]) + payload + pad_byte * padding)


case("6.1", "DATA in several frames", opened(fields=ANY) + data(b"a", flags=NONE)
     + data(b"b", flags=NONE) + data(b"c"), answers(405))
case("6.1", "DATA that is empty ends a stream", opened(fields=ANY) + data(), answers(405))
case("6.1", "padded DATA", opened(fields=ANY) + padded(DATA, b"abc", 5), answers(405))
case("6.1", "DATA of padding alone", opened(fields=ANY) + padded(DATA, b"", 255), answers(405))
case("6.1", "DATA on stream 0", data(b"x", 0), ends(PROTOCOL_ERROR))
case("6.1", "padding longer than DATA", opened() + frame(DATA, END_STREAM | PADDED, 1, b"\x06test"),
     ends(PROTOCOL_ERROR))
case("6.1", "padding as long as DATA", opened() + frame(DATA, END_STREAM | PADDED, 1, b"\x05test!"
                                                        [:5]), ends(PROTOCOL_ERROR))
case("6.1", "padded DATA without a pad length", opened() + frame(DATA, END_STREAM | PADDED, 1),
     ends(FRAME_SIZE_ERROR, PROTOCOL_ERROR))
case("6.2", "padded HEADERS", padded(HEADERS, GET, 9, flags=END_STREAM | END_HEADERS), answers())
case("6.2", "padded HEADERS with a priority", frame(
    HEADERS, END_STREAM | END_HEADERS | PADDED | PRIORITIZED, 1,
    b"\x02" + struct.pack(">IB", 0, 9) + GET + b"\0\0"), answers())
case("6.2", "HEADERS on stream 0", headers(stream=0), ends(PROTOCOL_ERROR))
case("6.2", "padding longer than HEADERS", frame(
    HEADERS, END_STREAM | END_HEADERS | PADDED, 1, bytes([len(GET) + 1]) + GET),
     ends(PROTOCOL_ERROR))
case("6.2", "HEADERS too short for their priority", frame(
    HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, b"\0\0\0"), ends(FRAME_SIZE_ERROR))
case("6.2", "padded HEADERS without a pad length", frame(
    HEADERS, END_STREAM | END_HEADERS | PADDED, 1), ends(FRAME_SIZE_ERROR, PROTOCOL_ERROR))

# -- 6.3, 6.4: PRIORITY, RST_STREAM ------------------------------------------------------------

case("6.3", "PRIORITY", priority(0, 1) + priority(1, 3) + headers(stream=5), answers(stream=5))
case("6.3", "PRIORITY on stream 0", priority(0, 0), ends(PROTOCOL_ERROR))
case("6.3", "PRIORITY of 4 bytes", opened() + frame(PRIORITY, 0, 1, b"\x80\0\0\1"),
     ends(FRAME_SIZE_ERROR))
case("6.3", "PRIORITY of 6 bytes", opened() + frame(PRIORITY, 0, 1, b"\0\0\0\0\0\0"),
     ends(FRAME_SIZE_ERROR))
case("6.4", "RST_STREAM on stream 0", reset(0), ends(PROTOCOL_ERROR))
case("6.4", "RST_STREAM of 3 bytes", opened() + frame(RST_STREAM, 0, 1, b"\0\0\0"),
     ends(FRAME_SIZE_ERROR))
case("6.4", "RST_STREAM of 5 bytes", opened() + frame(RST_STREAM, 0, 1, b"\0\0\0\0\0"),
     ends(FRAME_SIZE_ERROR))

# -- 6.5: SETTINGS -----------------------------------------------------------------------------


def acknowledged(count):
    """Of our SETTINGS: the ones of the preface, and those of the case."""
    def check(wire):
        still_lives(wire)
        acks = [got for got in of_stream(wire, hyperframe.frame.SettingsFrame, 0)
                if "ACK" in got.flags]
        assert len(acks) == count
    return check


case("6.5", "SETTINGS are acknowledged", settings((INITIAL_WINDOW_SIZE, 70000)), acknowledged(2))
case("6.5", "empty SETTINGS are acknowledged", settings() + settings(), acknowledged(3))
case("6.5", "SETTINGS with ACK and a payload", frame(SETTINGS, ACK, 0, b"\0\1\0\0\0\0"),
     ends(FRAME_SIZE_ERROR))
case("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, b"\0\3\0\0\0\x64"), ends(PROTOCOL_ERROR))
case("6.5", "SETTINGS of 3 bytes", frame(SETTINGS, 0, 0, b"\0\3\0"), ends(FRAME_SIZE_ERROR))
case("6.5.2", "ENABLE_PUSH of 2", settings((ENABLE_PUSH, 2)), ends(PROTOCOL_ERROR))
case("6.5.2", "ENABLE_PUSH of 0 and 1", settings((ENABLE_PUSH, 0)) + settings((ENABLE_PUSH, 1)),
     lives())
case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", settings((INITIAL_WINDOW_SIZE, 2**31)),
     ends(FLOW_CONTROL_ERROR))
case("6.5.2", "MAX_FRAME_SIZE of 2^14 - 1", settings((MAX_FRAME_SIZE, FRAME_BYTES - 1)),
     ends(PROTOCOL_ERROR))
case("6.5.2", "MAX_FRAME_SIZE of 2^24", settings((MAX_FRAME_SIZE, 2**24)), ends(PROTOCOL_ERROR))
case("6.5.2", "MAX_FRAME_SIZE of 2^24 - 1", settings((MAX_FRAME_SIZE, 2**24 - 1)) + headers(),
     answers())
case("6.5.2", "SETTINGS of more entries than anyone has", settings(*[(MAX_FRAME_SIZE, 16384)] * 33),
     ends(ENHANCE_YOUR_CALM))
case("6.5.2", "a setting that nobody knows", settings((0xff, 1)) + headers(), answers())
case("6.5.2", "HEADER_TABLE_SIZE of 0", settings((HEADER_TABLE_SIZE, 0)) + headers(), answers())
case("6.5.2", "HEADER_TABLE_SIZE of 2^32 - 1", settings((HEADER_TABLE_SIZE, 2**32 - 1))
     + headers(), answers())
case("6.5.2", "MAX_HEADER_LIST_SIZE of 0", settings((MAX_HEADER_LIST_SIZE, 0)) + headers(),
     answers())
case("6.5.3", "a setting given twice: the last one counts",
     settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)) + headers(),
     lambda wire: first_data_is(1, wire))
case("6.5.3", "an ACK that nobody asked for", frame(SETTINGS, ACK) * 3, ends(PROTOCOL_ERROR))

# -- 6.6, 6.7, 6.8: PUSH_PROMISE, PING, GOAWAY -------------------------------------------------

case("6.6", "PUSH_PROMISE of a client", opened() + frame(
    PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + GET), ends(PROTOCOL_ERROR))
case("6.6", "PUSH_PROMISE on stream 0", frame(PUSH_PROMISE, END_HEADERS, 0, struct.pack(">I", 2)
                                              + GET), ends(PROTOCOL_ERROR))
case("6.7", "PING is answered with its bytes", ping(), lambda wire: ping_answered(wire))
case("6.7", "PINGs are answered in order", ping(b"aaaaaaaa") + ping(b"bbbbbbbb"), lives(2))
case("6.7", "an ACK that nobody asked for", ping(b"invented", ACK), lives(0))
case("6.7", "PING on a stream", ping(stream=1), ends(PROTOCOL_ERROR))
case("6.7", "PING of 6 bytes", frame(PING, 0, 0, b"\0" * 6), ends(FRAME_SIZE_ERROR))
case("6.7", "PING of 9 bytes", frame(PING, 0, 0, b"\0" * 9), ends(FRAME_SIZE_ERROR))
case("6.8", "GOAWAY on a stream", goaway(stream=1), ends(PROTOCOL_ERROR))
case("6.8", "GOAWAY of 4 bytes", frame(GOAWAY, 0, 0, b"\0" * 4), ends(FRAME_SIZE_ERROR))
case("6.8", "an open stream is served behind a GOAWAY", opened(fields=ANY) + goaway(text=b"bye")
     + data(), lambda wire: answered_then_closed(405, wire))
case("6.8", "a last stream id that grows", goaway(3) + goaway(5), ends(PROTOCOL_ERROR, NO_ERROR))


def ping_answered(wire):
    got = wire.until(lambda got: isinstance(got, hyperframe.frame.PingFrame))
    assert got is not None and got.opaque_data == b"12345678" and "ACK" in got.flags
    still_lives(wire)


def answered_then_closed(status, wire):
    assert wire.until(lambda _: False) is None
    [head] = of_stream(wire, hyperframe.frame.HeadersFrame, 1)
    assert head.status == status


# -- 6.9: WINDOW_UPDATE and windows ------------------------------------------------------------


def sizes_of_data(wire):
    return [len(got.data) for got in of_stream(wire, hyperframe.frame.DataFrame, 1)]


def first_data_is(size, wire):
    """That many bytes, then nothing until the window opens; the whole answer once it does."""
    got = wire.until(lambda got: isinstance(got, hyperframe.frame.DataFrame))
    assert got is not None and len(got.data) == size
    still_lives(wire)
    assert sizes_of_data(wire) == [size]
    wire.send(window_update(65535, 1))
    answers()(wire)


def window_of_nothing(wire):
    """No DATA while the window is shut, then all of it."""
    wire.until(lambda got: isinstance(got, hyperframe.frame.HeadersFrame))
    still_lives(wire)
    assert sizes_of_data(wire) == []
    [head] = of_stream(wire, hyperframe.frame.HeadersFrame, 1)
    assert head.status == 200
    wire.send(window_update(65535, 1))
    answers()(wire)


def negative_window(wire):
    """A byte is sent, then the window is 0 - 1: an update of 1 opens nothing, one more does."""
    wire.send(settings((INITIAL_WINDOW_SIZE, 1)) + headers())
    wire.until(lambda got: isinstance(got, hyperframe.frame.DataFrame))
    wire.send(settings((INITIAL_WINDOW_SIZE, 0)) + window_update(1, 1))
    still_lives(wire)
    assert sizes_of_data(wire) == [1]
    return window_update(1, 1)


case("6.9", "WINDOW_UPDATE of 0 on the connection", window_update(0), ends(PROTOCOL_ERROR))
case("6.9", "WINDOW_UPDATE of 0 on a stream", opened() + window_update(0, 1),
     ends(PROTOCOL_ERROR))
case("6.9", "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"),
     ends(FRAME_SIZE_ERROR))
case("6.9", "WINDOW_UPDATE of 5 bytes on a stream", opened() + frame(
    WINDOW_UPDATE, 0, 1, b"\0\0\0\1\0"), ends(FRAME_SIZE_ERROR))
case("6.9", "the reserved bit of an increment", opened(fields=ANY) + frame(
    WINDOW_UPDATE, 0, 1, struct.pack(">I", 1 << 31 | 5)) + data(), answers(405))
case("6.9.1", "a window of one byte", settings((INITIAL_WINDOW_SIZE, 1)) + headers(),
     lambda wire: first_data_is(1, wire))
case("6.9.1", "increments beyond 2^31 - 1 on the connection",
     window_update(WINDOW_MOST) + window_update(WINDOW_MOST), ends(FLOW_CONTROL_ERROR))
case("6.9.1", "increments beyond 2^31 - 1 on a stream",
     opened() + window_update(WINDOW_MOST, 1) + window_update(WINDOW_MOST, 1),
     resets(FLOW_CONTROL_ERROR))
case("6.9.1", "a request body past the stream's window",
     lambda wire: b"".join([opened()] + [data(b" " * FRAME_BYTES, flags=NONE)] * 300),
     lambda wire: lives()(wire))
case("6.9.2", "the initial window changes behind the request",
     settings((INITIAL_WINDOW_SIZE, 0)) + headers() + settings((INITIAL_WINDOW_SIZE, 1)),
     lambda wire: first_data_is(1, wire))
case("6.9.2", "a window of nothing", settings((INITIAL_WINDOW_SIZE, 0)) + headers(),
     window_of_nothing)
case("6.9.2", "a window below nothing", negative_window,
     lambda wire: sizes_become([1, 1], wire))
case("6.9.2", "a change that takes an open stream's window past 2^31 - 1",
     opened() + window_update(WINDOW_MOST - 65535, 1) + settings((INITIAL_WINDOW_SIZE, 65536)),
     resets(FLOW_CONTROL_ERROR))


def sizes_become(sizes, wire):
    while sizes_of_data(wire) != sizes:
        assert wire.next() is not None, wire.frames
    still_lives(wire)


# -- 6.10: CONTINUATION ------------------------------------------------------------------------

CUT = len(GET) // 2

case("6.10", "a block in three frames, cut within a field", headers(GET[:9], flags=END_STREAM)
     + continuation(GET[9:CUT], flags=NONE) + continuation(GET[CUT:]), answers())
case("6.10", "an empty CONTINUATION", headers(flags=END_STREAM) + continuation(b""), answers())
case("6.10", "anything else behind a CONTINUATION", headers(GET[:9], flags=END_STREAM)
     + continuation(GET[9:CUT], flags=NONE) + data(), ends(PROTOCOL_ERROR))
case("6.10", "CONTINUATION on stream 0", headers(flags=END_STREAM) + continuation(b"", 0),
     ends(PROTOCOL_ERROR))
case("6.10", "CONTINUATION of another stream", headers(flags=END_STREAM) + continuation(b"", 3),
     ends(PROTOCOL_ERROR))
case("6.10", "CONTINUATION behind a whole block", opened() + continuation(), ends(PROTOCOL_ERROR))
case("6.10", "CONTINUATION behind the last CONTINUATION", headers(GET[:9], flags=NONE)
     + continuation(GET[9:]) + continuation(b""), ends(PROTOCOL_ERROR))
case("6.10", "CONTINUATION behind DATA", opened() + data(flags=NONE) + continuation(b""),
     ends(PROTOCOL_ERROR))

# -- 7: error codes ----------------------------------------------------------------------------

case("7", "GOAWAY with a code that nobody knows", goaway(0, 0xfe), lambda wire: closes(wire))
case("7", "RST_STREAM with a code that nobody knows", opened() + reset(1, 0xfe), lives())


def closes(wire):
    """No stream is open: there is nothing to stay for."""
    assert wire.until(lambda _: False) is None


# -- 8.1, 8.2, 8.3: requests -------------------------------------------------------------------


def request(*more, instead=None, without=None):
    """The usual request; `instead` and `without` are pseudo-headers of it."""
    fields = [field for field in REQUEST if field[0] not in ((instead or ("",))[0], without)]
    return block(*([instead] if instead else []), *fields, *more)


case("8.1", "GET", headers(), answers())
case("8.1", "HEAD has no body", headers(request(instead=(":method", "HEAD"))),
     answers(body=lambda sizes: none_of(sizes)))
case("8.1", "POST with a body", opened(fields=ANY) + data(b"{}"), answers(405))
case("8.1", "POST with trailers", opened(fields=ANY) + data(b"{}", flags=NONE)
     + headers(block(("x-sum", "1"))), answers(405))
case("8.1", "trailers right behind the head", opened(fields=ANY) + headers(block(("x-sum", "1"))),
     answers(405))
case("8.1", "second HEADERS without END_STREAM", opened() + headers(block(("x", "1")),
                                                                   flags=END_HEADERS),
     resets(PROTOCOL_ERROR))
case("8.1", "DATA behind trailers", opened() + headers(block(("x", "1"))) + data(b"x"),
     ends(STREAM_CLOSED, seen=(400,)))
case("8.1.1", "a content-length that DATA does not reach", opened(fields=POST + literal(
    "content-length", "1")) + data(), resets(PROTOCOL_ERROR))
case("8.1.1", "a content-length that DATA goes past", opened(fields=POST + literal(
    "content-length", "1")) + data(b"test"), resets(PROTOCOL_ERROR))
case("8.1.1", "... that the sum of DATA goes past", opened(fields=POST + literal(
    "content-length", "1")) + data(b"a", flags=NONE) + data(b"b"), resets(PROTOCOL_ERROR))
case("8.1.1", "a content-length without a body", headers(request(("content-length", "4"))),
     resets(PROTOCOL_ERROR))
case("8.1.1", "a content-length that trailers end too early", opened(fields=POST + literal(
    "content-length", "9")) + data(b"a", flags=NONE) + headers(block(("x", "1"))),
     resets(PROTOCOL_ERROR))
for value in ("-1", "+1", "1,1", "0x1", "1 ", "", "99999999999999999999"):
    case("8.1.1", f"content-length {value!r}", headers(request(("content-length", value))),
         resets(PROTOCOL_ERROR))
case("8.1.1", "two content-lengths", opened(fields=POST + block(
    ("content-length", "1"), ("content-length", "1"))) + data(b"x"), resets(PROTOCOL_ERROR))
case("8.2.1", "a name in upper case", headers(request(("X-Test", "ok"))), resets(PROTOCOL_ERROR))
for name in (b"a b", b"a:b", b"", b"a\x7f", b"a\x00", b"caf\xc3\xa9", b"a\r\nb"):
    case("8.2.1", f"the name {name!r}", headers(request((name, b"ok"))), resets(PROTOCOL_ERROR))
for value in (b"a\x00b", b"a\rb", b"a\nb", b" a", b"a\t"):
    case("8.2.1", f"the value {value!r}", headers(request((b"x", value))), resets(PROTOCOL_ERROR))
for name in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"):
    case("8.2.2", name, headers(request((name, "chunked"))), resets(PROTOCOL_ERROR))
case("8.2.2", "te: gzip", headers(request(("te", "trailers, deflate"))), resets(PROTOCOL_ERROR))
case("8.2.2", "te: trailers", headers(request(("te", "trailers"))), answers())
case("8.2.3", "cookies in crumbs", headers(request(("cookie", "a=b"), ("cookie", "c=d"))),
     answers())
case("8.3", "a pseudo-header that nobody knows", headers(request((":test", "ok"))),
     resets(PROTOCOL_ERROR))
case("8.3", "a pseudo-header of answers", headers(request((":status", "200"))),
     resets(PROTOCOL_ERROR))
case("8.3", "a pseudo-header in trailers", opened() + headers(block(METHOD)),
     resets(PROTOCOL_ERROR))
case("8.3", "a pseudo-header behind the others", headers(
    block(METHOD, SCHEME, AUTHORITY, ("x", "1"), PATH)), resets(PROTOCOL_ERROR))
for name in (":method", ":scheme", ":path"):
    case("8.3.1", f"no {name}", headers(request(without=name)), resets(PROTOCOL_ERROR))
for field in REQUEST:
    case("8.3.1", f"{field[0]} twice", headers(block(field) + GET), resets(PROTOCOL_ERROR))
case("8.3.1", "an empty :path", headers(request(instead=(":path", ""))), resets(PROTOCOL_ERROR))
case("8.3.1", "a :path without its slash", headers(request(instead=(":path", "health"))),
     resets(PROTOCOL_ERROR))
case("8.3.1", "an empty :method", headers(request(instead=(":method", ""))),
     resets(PROTOCOL_ERROR))
case("8.3.1", "an empty :scheme", headers(request(instead=(":scheme", ""))),
     resets(PROTOCOL_ERROR))
case("8.3.1", "a :method that is no token", headers(request(instead=(":method", "GE T"))),
     resets(PROTOCOL_ERROR))
case("8.3.1", "an :authority with a user", headers(request(instead=(":authority", "a@b c"))),
     resets(PROTOCOL_ERROR))
case("8.3.1", "no :authority, but host", headers(request(("host", "weir"), without=":authority")),
     answers())
case("8.3.1", "neither :authority nor host", headers(request(without=":authority")),
     resets(PROTOCOL_ERROR))
case("8.3.1", "* for OPTIONS", headers(block((":method", "OPTIONS"), SCHEME, (":path", "*"),
                                             AUTHORITY)), answers(404))
case("8.3.1", "* for GET", headers(request(instead=(":path", "*"))), resets(PROTOCOL_ERROR))
case("8.5", "CONNECT", headers(block((":method", "CONNECT"), AUTHORITY), flags=END_HEADERS),
     lambda wire: connect_refused(wire))
case("8.5", "CONNECT with :path", headers(block((":method", "CONNECT"), SCHEME, PATH, AUTHORITY)),
     resets(PROTOCOL_ERROR))
case("8.5", "CONNECT without :authority", headers(block((":method", "CONNECT"))),
     resets(PROTOCOL_ERROR))


def none_of(sizes):
    assert sum(sizes) == 0


def connect_refused(wire):
    """Answered without a tunnel, and the stream is over."""
    got = wire.until(lambda got: isinstance(got, hyperframe.frame.HeadersFrame))
    assert got is not None and got.status >= 400
    still_lives(wire)


# -- RFC 7541 ----------------------------------------------------------------------------------


def indexed(index):
    return integer(index, 7, 0x80)


def literal_indexed(name, value):
    """Goes into the dynamic table; name: a string, or an index."""
    if isinstance(name, int):
        return integer(name, 6, 0x40) + string(value)
    return b"\x40" + string(name) + string(value)


def huffman(bits):
    """A string as Huffman's code has it, of bytes given."""
    return bytes([0x80 | len(bits)]) + bits


CODER = hpack.huffman.HuffmanEncoder(hpack.huffman_constants.REQUEST_CODES,
                                     hpack.huffman_constants.REQUEST_CODES_LENGTH)
STATIC = indexed(2) + indexed(6) + literal(":path", "/health")  # GET, http
HOST = b"\x01" + string(b"weir")                                # :authority, by its index
PLAIN = STATIC + HOST
STATIC_COUNT = 61
TABLE_BYTES = 4096


def table_size(size):
    return integer(size, 5, 0x20)


def is_hpack(section, name, fields, outcome):
    case(f"RFC 7541, {section}", name, fields if callable(fields) else headers(fields), outcome)


BROKEN = ends(COMPRESSION_ERROR)
is_hpack("2.3.1", "the static table", PLAIN + indexed(16), answers())
is_hpack("2.3.2", "the dynamic table, over requests", lambda wire: (
    headers(PLAIN + literal_indexed(b"x", b"y")) + headers(PLAIN + indexed(STATIC_COUNT + 1),
                                                           stream=3)), answers(stream=3))
is_hpack("2.3.2", "an entry pushed out by a larger one", lambda wire: (
    headers(PLAIN + literal_indexed(b"x", b"y") + literal_indexed(b"z", b"v" * 4060))
    + headers(PLAIN + indexed(STATIC_COUNT + 2), stream=3)), ends(COMPRESSION_ERROR, seen=(200,)))
is_hpack("2.3.2", "an entry larger than the table empties it",
         PLAIN + literal_indexed(b"x", b"v" * TABLE_BYTES), answers())
is_hpack("2.3.3", "an index past both tables", PLAIN + indexed(70), BROKEN)
is_hpack("2.3.3", "a name's index past both tables", PLAIN + integer(70, 4) + string(b"v"), BROKEN)
is_hpack("2.3.3", "the first index behind the static table, of an empty one",
         PLAIN + indexed(STATIC_COUNT + 1), BROKEN)
is_hpack("4.2", "a size update at the end of a block", PLAIN + table_size(1), BROKEN)
is_hpack("4.2", "a size update within a block", STATIC + table_size(1) + HOST, BROKEN)
is_hpack("4.2", "a size update at the front", table_size(100) + PLAIN, answers())
is_hpack("4.2", "two size updates at the front", table_size(0) + table_size(TABLE_BYTES) + PLAIN,
         answers())
is_hpack("4.3", "a size of 0 empties the table", lambda wire: (
    headers(PLAIN + literal_indexed(b"x", b"y"))
    + headers(table_size(0) + PLAIN + indexed(STATIC_COUNT + 1), stream=3)),
         ends(COMPRESSION_ERROR, seen=(200,)))
is_hpack("5.1", "an integer longer than it needs to be",
         STATIC + b"\x01\x7f\x85\x80\x80\x00" + b"w" * 132, answers())
is_hpack("5.1", "an index that overflows", PLAIN + b"\xff" + b"\xff" * 9 + b"\x7f", BROKEN)
is_hpack("5.1", "an index that never ends", PLAIN + b"\xff" + b"\x80" * 40, BROKEN)
is_hpack("5.2", "a string's length past the block", PLAIN + b"\x00\x01x\x7f\x81\x01y", BROKEN)
is_hpack("5.2", "a string's length that overflows",
         PLAIN + b"\x00\x01x\x7f" + b"\xff" * 9 + b"\x7f", BROKEN)
is_hpack("5.2", "Huffman's code", PLAIN + b"\x00" + huffman(CODER.encode(b"x-name"))
         + huffman(CODER.encode(b"value")), answers())
is_hpack("5.2", "Huffman's code of nothing", PLAIN + b"\x00\x01x" + huffman(b""), answers())
is_hpack("5.2", "padding of 8 bits", PLAIN + b"\x00\x01x" + huffman(b"\x1f\xff"), BROKEN)
is_hpack("5.2", "padding of zeros", PLAIN + b"\x00\x01x" + huffman(b"\x18"), BROKEN)
is_hpack("5.2", "EOS within a string", PLAIN + b"\x00\x01x" + huffman(b"\x1f\xff\xff\xff\xff"),
         BROKEN)
is_hpack("6.1", "index 0", PLAIN + indexed(0), BROKEN)
is_hpack("6.2.1", "literals that go into the table", STATIC + literal_indexed(1, b"weir")
         + literal_indexed(b"x", b"y"), answers())
is_hpack("6.2.2", "literals that do not", STATIC + HOST + literal("x", "y"), answers())
is_hpack("6.2.3", "literals that never may", STATIC + b"\x11" + string(b"weir")
         + b"\x10" + string(b"x") + string(b"y"), answers())
is_hpack("6.3", "a size past what we allow", table_size(TABLE_BYTES + 1) + PLAIN, BROKEN)
is_hpack("6.3", "a size that overflows", b"\x3f" + b"\xff" * 9 + b"\x7f" + PLAIN, BROKEN)


@pytest.mark.parametrize("one", CASES, ids=[f"{one.section} {one.name}" for one in CASES])
def test_case(server, one):
    wire = Wire(server.port, preface=one.preface)
    try:
        wire.send(one.send(wire) if callable(one.send) else one.send)
        one.outcome(wire)
    finally:
        wire.close()


def test_nothing_of_it_stays(server):
    server.assert_nothing_leaked()
    server.wait_metric(1, "weir_open_requests")  # that which asks
