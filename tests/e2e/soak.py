#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hours of everything at once: answers whole and streamed, clients that go away at any moment,
mistakes, and now and then an attack. What must not happen is growth.

    soak.py --minutes 60 [--clients 12] [--seed 1] [--csv FILE]        (make soak MINUTES=60)

Once in a while all clients pause. In that quiet no KV block may be referenced, no request be open,
and no descriptor be there that was not there in the first quiet. Resident memory is read in each
quiet, and its slope is the median of the slopes between all pairs of them after the warm-up, which
takes a third of the time: more than --growth percent an hour fails, as long as it is more than
MARGIN_BYTES over the run, which is what a short one cannot tell from noise. Users are the same
thousand throughout: who is counted for the first time takes memory, and shall."""
import argparse
import csv
import http.client
import itertools
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

import attacks
from conftest import Server
from h2client import Connection

WORDS = "river dam flow stone bank rain weir gate lock mill reed pool ford spring".split()
USERS = 1000
MARGIN_BYTES = 512 << 10
WARM_SHARE = 1 / 3
QUIET_S = 120    # that everything may take to come to rest
ANSWER_S = 600


def log(message):
    print(message, file=sys.stderr, flush=True)


class Client:
    """Does one thing after the other, at random, until told to end."""

    def __init__(self, server, number, seed, traffic):
        self.server, self.traffic = server, traffic
        self.dice = random.Random(f"{seed}-{number}")
        self.done = {}
        self.faults = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.h2 = None

    def prompt(self):
        return " ".join(self.dice.choices(WORDS, k=self.dice.choice([2, 10, 60, 200])))

    def body(self, **more):
        return {"prompt": self.prompt(), "max_tokens": self.dice.choice([1, 4, 16, 32]),
                "ignore_eos": True, "temperature": self.dice.choice([0, 0.8]),
                "user": f"user-{self.dice.randrange(USERS)}", **more}

    def ask(self, method, path, body=None, headers=None):
        """An exchange over HTTP/1.1, on a connection of its own."""
        client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=ANSWER_S)
        content = json.dumps(body) if isinstance(body, dict) else body
        client.request(method, path, content, {"content-type": "application/json",
                                               **(headers or {})})
        return client, client.getresponse()

    def expect(self, status, method, path, body=None, headers=None):
        client, answer = self.ask(method, path, body, headers)
        answer.read()
        client.close()
        assert answer.status == status, f"{method} {path}: {answer.status}, not {status}"

    # -- what it does --

    def whole(self):
        self.expect(200, "POST", "/v1/completions", self.body(n=self.dice.choice([1, 1, 3])))

    def chat(self):
        self.expect(200, "POST", "/v1/chat/completions", {
            "messages": [{"role": "user", "content": self.prompt()}], "max_tokens": 8})

    def streamed(self):
        client, answer = self.ask("POST", "/v1/completions", self.body(stream=True))
        assert answer.read().endswith(b"data: [DONE]\n\n")
        client.close()

    def connection(self):
        if self.h2 is None or self.dice.random() < 0.05:
            if self.h2 is not None:
                self.h2.close()
            self.h2 = Connection(self.server.port)
        return self.h2

    def streamed_by_many(self):
        connection = self.connection()
        streams = [connection.post("/v1/completions", self.body(stream=True))[1]
                   for _ in range(self.dice.randrange(1, 6))]
        for stream in streams:
            assert stream.ended.wait(ANSWER_S) and stream.whole(), stream.status

    def reset(self):
        connection = self.connection()
        number, stream = connection.post("/v1/completions",
                                         self.body(stream=True, max_tokens=2000))
        if self.dice.random() < 0.7:
            stream.first_data.wait(ANSWER_S)
        time.sleep(self.dice.random() * 0.2)
        connection.reset(number)

    def vanish(self):
        connection = Connection(self.server.port)
        for _ in range(self.dice.randrange(1, 4)):
            connection.post("/v1/completions", self.body(stream=True, max_tokens=2000))
        time.sleep(self.dice.random())
        connection.drop()

    def hang_up(self):
        client, answer = self.ask("POST", "/v1/completions", self.body(stream=True,
                                                                       max_tokens=2000))
        answer.read(self.dice.randrange(1, 2000))
        client.close()

    def half_a_request(self):
        client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=ANSWER_S)
        client.putrequest("POST", "/v1/completions")
        client.putheader("content-length", "5000")
        client.putheader("content-type", "application/json")
        client.endheaders(b"{" * self.dice.randrange(5000))
        client.close()

    def mistake(self):
        status, method, path, body = self.dice.choice([
            (400, "POST", "/v1/completions", "{"), (404, "GET", "/nowhere", None),
            (405, "POST", "/v1/models", "{}"), (400, "POST", "/v1/completions", {"prompt": 7}),
            (404, "POST", "/v1/completions", {"model": "none", "prompt": "x"}),
            (400, "POST", "/v1/completions", {"prompt": "word " * 9000})])
        self.expect(status, method, path, body)

    def look(self):
        self.expect(200, "GET", self.dice.choice(["/health", "/v1/models", "/metrics"]))

    def attack(self):
        _, attack = self.dice.choice(attacks.ATTACKS)
        attacks.fall_on(self.server.port, attack, 3000).close()

    def run(self):
        acts = {self.whole: 6, self.chat: 3, self.streamed: 6, self.streamed_by_many: 6,
                self.reset: 4, self.vanish: 3, self.hang_up: 4, self.half_a_request: 2,
                self.mistake: 4, self.look: 3, self.attack: 1}
        while self.traffic.enter():
            act = self.dice.choices(list(acts), acts.values())[0]
            try:
                act()
                self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
            except Exception as error:  # whatever it is, it is to be told, and the soak goes on
                self.faults.append(f"{act.__name__}: {error!r}"[:300])
                if self.h2 is not None:
                    self.h2.close()
                self.h2 = None
            finally:
                self.traffic.leave()


class Traffic:
    """Lets clients begin, or not; and knows when none is at it."""

    def __init__(self):
        self._change = threading.Condition()
        self._open, self._ended, self._busy = True, False, 0

    def enter(self):
        with self._change:
            self._change.wait_for(lambda: self._open or self._ended)
            self._busy += not self._ended
            return not self._ended

    def leave(self):
        with self._change:
            self._busy -= 1
            self._change.notify_all()

    def pause(self):
        with self._change:
            self._open = False
            self._change.wait_for(lambda: self._busy == 0)

    def go_on(self, ended=False):
        with self._change:
            self._open, self._ended = True, ended
            self._change.notify_all()


def rest(server, clients):
    """What is there when nothing is asked: waits for it, within QUIET_S."""
    for client in clients:
        if client.h2 is not None:
            client.h2.close()
            client.h2 = None
    server.assert_nothing_leaked()
    server.wait_metric(1, "weir_connections", QUIET_S)
    server.wait_metric(1, "weir_open_requests", QUIET_S)
    time.sleep(2)  # what is freed later, and by whom
    return {"rss": server.metric("process_resident_memory_bytes"),
            "descriptors": server.metric("process_open_fds")}


def slope_an_hour(samples):
    """Theil and Sen's: bytes an hour."""
    slopes = [(b["rss"] - a["rss"]) / (b["at"] - a["at"]) * 3600
              for a, b in itertools.combinations(samples, 2)]
    return statistics.median(slopes)


def soak(args, server):
    traffic = Traffic()
    clients = [Client(server, number, args.seed, traffic) for number in range(args.clients)]
    begun = time.monotonic()
    length = args.minutes * 60
    period = max(15, min(120, length / 24))
    samples, faults = [], []
    for client in clients:
        client.thread.start()
    while time.monotonic() - begun < length:
        time.sleep(period)
        traffic.pause()
        samples.append({"at": time.monotonic() - begun, **rest(server, clients)})
        log(f"{samples[-1]['at'] / 60:6.1f} min  {samples[-1]['rss'] / 2**20:8.2f} MiB  "
            f"{samples[-1]['descriptors']:.0f} descriptors  "
            f"{sum(sum(client.done.values()) for client in clients)} acts, "
            f"{sum(len(client.faults) for client in clients)} faults")
        traffic.go_on()
        if samples[-1]["descriptors"] > samples[0]["descriptors"]:
            faults.append(f"descriptors: {samples[-1]['descriptors']}")
    traffic.go_on(ended=True)
    for client in clients:
        client.thread.join(ANSWER_S)
    faults += [fault for client in clients for fault in client.faults]
    return samples, faults, clients


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--growth", type=float, default=1, help="percent an hour")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", type=pathlib.Path)
    args = parser.parse_args()
    os.environ.setdefault("XDG_STATE_HOME", tempfile.mkdtemp())
    # Little memory for KV blocks, so that all of it has been touched when the warm-up ends.
    server = Server("--max-sequences", 16, "--kv-memory", "128MiB")
    try:
        samples, faults, clients = soak(args, server)
    finally:
        server.stop()
    if args.csv:
        with open(args.csv, "w", newline="", encoding="utf-8") as out:
            table = csv.DictWriter(out, ["at", "rss", "descriptors"])
            table.writeheader()
            table.writerows(samples)
    acts = sorted({name for client in clients for name in client.done})
    print(", ".join(f"{sum(client.done.get(name, 0) for client in clients)} {name}"
                    for name in acts))
    warm = [sample for sample in samples if sample["at"] > samples[-1]["at"] * WARM_SHARE]
    slope = slope_an_hour(warm) if len(warm) > 1 else 0
    hours = (warm[-1]["at"] - warm[0]["at"]) / 3600
    percent = slope / warm[0]["rss"] * 100
    print(f"{warm[0]['rss'] / 2**20:.2f} -> {warm[-1]['rss'] / 2**20:.2f} MiB in "
          f"{hours * 60:.0f} minutes: {percent:+.2f}% an hour; "
          f"{samples[0]['descriptors']:.0f} -> {samples[-1]['descriptors']:.0f} descriptors")
    for fault in faults[:20]:
        print("fault:", fault)
    grew = percent > args.growth and slope * hours > MARGIN_BYTES
    sys.exit(1 if faults or grew else 0)


if __name__ == "__main__":
    main()
