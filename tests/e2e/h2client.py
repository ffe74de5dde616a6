# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 client that can misbehave: many streams on one connection, resets, sudden ends."""
import json
import socket
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings


# The package takes any GOAWAY for the end of the connection; by RFC 9113, section 6.8 the streams
# that are open go on, and a server that drains counts on it.
_OPEN = h2.connection.ConnectionState.CLIENT_OPEN
_GOAWAY = h2.connection.ConnectionInputs.RECV_GOAWAY
h2.connection.H2ConnectionStateMachine._transitions[(_OPEN, _GOAWAY)] = (None, _OPEN)


class Stream:
    def __init__(self):
        self.status = None
        self.body = bytearray()
        self.ended = threading.Event()
        self.first_data = threading.Event()
        self.reset = False

    def text(self):
        """The text of an answer streamed by /v1/completions."""
        parts = []
        for line in self.body.decode().split("\n\n"):
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    parts.append(choice["text"])
        return "".join(parts)

    def whole(self):
        return self.body.endswith(b"data: [DONE]\n\n")


class Connection:
    """One connection in clear text with prior knowledge; a thread of its own reads it."""

    def __init__(self, port, window=None, source="127.0.0.1"):
        self._socket = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
        self._lock = threading.Lock()
        self._streams = {}
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()
        if window is None:
            self._h2.increment_flow_control_window(1 << 24)
        else:
            self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self._socket.sendall(self._h2.data_to_send())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def post(self, path, body):
        """Starts a request; returns (stream id, stream)."""
        payload = json.dumps(body).encode()
        with self._lock:
            number = self._h2.get_next_available_stream_id()
            stream = self._streams[number] = Stream()
            self._h2.send_headers(number, [
                (":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "x"),
                ("content-type", "application/json"), ("content-length", str(len(payload)))])
            self._h2.send_data(number, payload, end_stream=True)
            self._socket.sendall(self._h2.data_to_send())
        return number, stream

    def begin(self, path, length):
        """A request of which no body comes yet; as post()."""
        with self._lock:
            number = self._h2.get_next_available_stream_id()
            stream = self._streams[number] = Stream()
            self._h2.send_headers(number, [
                (":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "x"),
                ("content-type", "application/json"), ("content-length", str(length))])
            self._socket.sendall(self._h2.data_to_send())
        return number, stream

    def reset(self, number):
        """RST_STREAM(CANCEL), if the stream still lives."""
        with self._lock:
            try:
                self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
                self._socket.sendall(self._h2.data_to_send())
            except h2.exceptions.ProtocolError:
                pass

    def drop(self):
        """The client vanishes: a TCP reset, no goodbye."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def close(self):
        with self._lock:
            self._h2.close_connection()
            try:
                self._socket.sendall(self._h2.data_to_send())
            except OSError:
                pass
        self._socket.close()

    def _read(self):
        while True:
            try:
                received = self._socket.recv(65536)
            except OSError:
                received = b""
            if not received:
                break
            with self._lock:
                try:
                    for event in self._h2.receive_data(received):
                        self._take(event)
                    self._socket.sendall(self._h2.data_to_send())
                except (OSError, h2.exceptions.ProtocolError):
                    break  # closed by us; what was under way is of no interest
        for stream in self._streams.values():
            stream.ended.set()

    def _take(self, event):
        stream = self._streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            stream.first_data.set()
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = True
            stream.ended.set()
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended.set()
