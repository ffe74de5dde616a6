# SPDX-License-Identifier: Apache-2.0
"""kill -9 while clients count: whoever saw the first byte of an answer is in the figures after it.

WEIR_CRASHES is how often; the usual few keep the tests quick. What a power cut leaves is the unit
tests' (tests/unit/policy/crash_test.c); here the files are damaged by hand, on a real daemon.
"""
import http.client
import json
import os
import pathlib
import random
import signal
import struct
import threading
import time

import pytest
from conftest import SANITIZED, Server

CRASHES = int(os.environ.get("WEIR_CRASHES", "5"))
CRASHES_A_LIFE = 5  # on the same files
CLIENTS = 4
ANSWERS_MAX = 12 if SANITIZED else 80  # in one life
USERS = 60
MIDNIGHT_S, CLOCK_SKEW_S = 60, 5  # a test takes as long; around it users count in both days
FRAME_BYTES, FRAME_HEAD, RECORD_BYTES, HASH = 4096, 32, 24, 1
FIGURE = {"window": "rolling_30", "bound": "best"}  # no month's turn between two of its values


class Client(threading.Thread):
    """Asks as one new user after the other, until nobody answers any more."""

    def __init__(self, port, name):
        super().__init__()
        self.port, self.name_of_users = port, name
        self.sent, self.acknowledged = [], []
        self.refused = None

    def run(self):
        try:
            while self.refused is None:
                self.ask(f"{self.name_of_users}-{len(self.sent)}")
        except (OSError, http.client.HTTPException):
            pass  # it was killed

    def ask(self, user):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            self.sent.append(user)
            connection.request("POST", "/v1/completions", json.dumps(
                {"prompt": "a", "max_tokens": 3, "stream": len(self.sent) % 2 == 0, "user": user}),
                {"content-type": "application/json"})
            answer = connection.getresponse()
            if answer.status == 200:
                self.acknowledged.append(user)
            else:
                self.refused = answer.status
            answer.read()
        finally:
            connection.close()


def wait_out_midnight():
    """A test knows one day's files."""
    left = 86400 - time.time() % 86400
    if left < MIDNIGHT_S or left > 86400 - CLOCK_SKEW_S:
        time.sleep(left % 86400 + CLOCK_SKEW_S if left < MIDNIGHT_S else CLOCK_SKEW_S)


class Home:
    """A state folder and the daemon on it, which may die."""

    def __init__(self, folder):
        self.folder, self.server = folder, None

    def start(self):
        wait_out_midnight()
        self.server = Server("--workers", 2, env={"XDG_STATE_HOME": str(self.folder)})
        return self.server

    def kill(self):
        self.server.process.send_signal(signal.SIGKILL)
        assert self.server.process.wait(60) == -signal.SIGKILL

    def users(self):
        """To be asked once a start: answers are kept for a while."""
        return self.server.metric("weir_mau", **FIGURE)

    def journal(self):
        found = list(self.folder.glob("weir/journal-*.log"))
        assert len(found) == 1, found
        return found[0]

    def counters(self):
        """Today's: two from 30 November to 31 December, one under each year's key."""
        found = list(self.folder.glob("weir/day-*.wcn"))
        assert len(found) in (1, 2), found
        return found

    def moved_aside(self):
        return list(self.folder.glob("weir/day-*.damaged-*"))

    def ask(self, users):
        for user in users:
            assert self.server.post("/v1/completions", {"prompt": "a", "max_tokens": 1,
                                                        "user": user})[0] == 200


@pytest.fixture
def home(_needs, tmp_path):
    homes = []

    def make(name="home"):
        folder = tmp_path / name
        folder.mkdir()
        homes.append(Home(folder))
        return homes[-1]

    yield make
    for one in homes:
        if one.server and one.server.process.poll() is None:
            one.server.process.kill()
            one.server.process.wait(60)


def crash(home, moments, name):
    """One life under load; who was sent and who was acknowledged in it."""
    clients = [Client(home.server.port, f"{name}-{i}") for i in range(CLIENTS)]
    for client in clients:
        client.start()
    wanted, deadline = moments.randrange(ANSWERS_MAX), time.monotonic() + 120
    while sum(len(client.acknowledged) for client in clients) < wanted:
        assert time.monotonic() < deadline, "no load"
        time.sleep(moments.uniform(0, 0.02))  # so that it dies anywhere between two answers
    home.kill()
    for client in clients:
        client.join(120)
        assert not client.is_alive()
    assert all(client.refused is None for client in clients)
    return ([user for client in clients for user in client.sent],
            [user for client in clients for user in client.acknowledged])


def test_whoever_was_answered_is_counted_after_a_kill(home):
    moments = random.Random(20260101)
    total = 0
    for life in range(0, CRASHES, CRASHES_A_LIFE):
        one = home(f"life-{life}")
        sent, acknowledged = [], []
        one.start()
        for number in range(life, min(life + CRASHES_A_LIFE, CRASHES)):
            more = crash(one, moments, f"u{number}")
            sent += more[0]
            acknowledged += more[1]
            one.start()
            assert len(acknowledged) <= one.users() <= len(sent), f"crash {number}"
        before = one.users()
        one.ask(acknowledged)  # all of them are known: nobody is counted anew
        one.server.stop()
        one.start()
        assert one.users() == before
        assert not any("damaged" in line for line in one.server.lines)
        one.server.stop()
        total += len(acknowledged)
    assert total > CRASHES  # there was a load
    print(f"{CRASHES} crashes, {total} users acknowledged")


# -- Damage --

def frames(journal):
    """What each frame of a journal has: (counter, user) pairs, a user's under every key."""
    data = journal.read_bytes()
    found = []
    for at in range(0, len(data), FRAME_BYTES):
        count, = struct.unpack_from("<I", data, at + 24)
        records = [struct.unpack_from("<QQI", data, at + FRAME_HEAD + i)
                   for i in range(0, count, RECORD_BYTES)]
        assert data[at:at + 4] == b"WJ01" and all(kind == HASH for _, _, kind in records)
        found.append({(counter, value) for counter, value, _ in records})
    return found


def users_of(some):
    """How many users these frames give back to each of the counters, which is the same."""
    pairs = set().union(*some)
    counts = {sum(1 for counter, _ in pairs if counter == one) for one, _ in pairs}
    assert len(counts) == 1, counts
    return counts.pop()


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def cut(path, count):
    os.truncate(path, count)


def are_whole(known):
    """All users are in the journal, and no frame has one under one of the keys alone."""
    pairs = set().union(*known)
    counters = {counter for counter, _ in pairs}
    each = [[sum(1 for counter, _ in some if counter == one) for one in counters]
            for some in (pairs, *known)]
    return each[0][0] == USERS and len(known) > 10 and all(len(set(one)) == 1 for one in each)


@pytest.fixture
def counted(home):
    """A home of USERS users whose daemon was killed.

    A checkpoint that comes meanwhile, as on a slow machine it may, has users on disk without the
    journal, and a commit may come between a user's two keys: then another one."""
    for attempt in range(5):
        one = home(f"home-{attempt}")
        one.start()
        one.ask(f"user-{i}" for i in range(USERS))
        one.kill()
        if are_whole(frames(one.journal())):
            return one
    raise AssertionError("no journal has all of its users")


def goes_on(home, users, note=None):
    """It starts, says what it found, and counts on from there; the next start finds nothing."""
    server = home.start()
    assert home.users() == users
    assert note is None or server.wait_for(note, 30)
    home.ask(f"later-{i}" for i in range(5))
    home.kill()
    again = home.start()
    assert home.users() == users + 5
    assert not any("event=users" in line for line in again.lines)


def test_a_torn_journal_is_cut_and_counters_know_the_rest(counted):
    journal = counted.journal()
    cut(journal, journal.stat().st_size - 1000)
    goes_on(counted, USERS, "journal: a torn end of 3096 bytes was cut off")


def test_a_flipped_bit_in_a_journal_is_told_and_counters_know_the_rest(counted):
    flip(counted.journal(), 5 * FRAME_BYTES + FRAME_HEAD + 9)
    goes_on(counted, USERS, "journal: 1 frames are damaged")


def test_a_torn_journal_alone_gives_back_its_last_good_frame(counted):
    journal = counted.journal()
    kept = users_of(frames(journal)[:7])
    for counter in counted.counters():
        counter.unlink()
    cut(journal, 7 * FRAME_BYTES + 100)
    goes_on(counted, kept, "journal: a torn end of 100 bytes was cut off")


def test_a_flipped_bit_in_a_journal_alone_costs_its_frame(counted):
    journal = counted.journal()
    known = frames(journal)
    kept = users_of(known[:5] + known[6:])
    assert kept < USERS
    for counter in counted.counters():
        counter.unlink()
    flip(journal, 5 * FRAME_BYTES + FRAME_HEAD + 9)
    goes_on(counted, kept, "journal: 1 frames are damaged")


@pytest.mark.parametrize("damage", [
    lambda path: flip(path, 1),  # the magic
    lambda path: flip(path, 9),  # the key's number
    lambda path: flip(path, 24),  # the day
    lambda path: cut(path, 3000),  # within the header's page
    lambda path: cut(path, 100_000),  # within the list
], ids=["magic", "key", "day", "short-header", "short-list"])
def test_a_damaged_counter_is_moved_aside_and_made_again(counted, damage):
    counters = counted.counters()
    for counter in counters:
        damage(counter)
    goes_on(counted, USERS, r"\.wcn: .*moved aside")
    assert len(counted.moved_aside()) == len(counters)


def test_an_emptied_counter_is_as_one_just_made_and_the_journal_fills_it(counted):
    for counter in counted.counters():
        cut(counter, 0)
    goes_on(counted, USERS)


def test_a_bit_that_flips_after_a_clean_end_is_seen(home):
    one = home()
    one.start()
    one.ask(f"user-{i}" for i in range(USERS))
    one.server.stop()
    counters = one.counters()
    for counter in counters:
        flip(counter, 4096 + 8 * 3 + 1)
    goes_on(one, USERS, r"\.wcn: .*moved aside")
    assert len(one.moved_aside()) == len(counters)
