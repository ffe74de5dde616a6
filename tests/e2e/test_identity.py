# SPDX-License-Identifier: Apache-2.0
"""Ids that are made up, shared or crafted, and keys that change: a live daemon tells, and goes on."""
import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import itertools
import json
import os
import signal
import sqlite3
import struct
import threading
import time

import pytest

from conftest import MODEL, MODEL_ID

CALL = {"prompt": "a", "max_tokens": 1}
CLIENTS = 4
MASK = (1 << 64) - 1
KEYS = {"sk-good-0123456789": "good-tenant", "sk-spray-0123456789": "spray-tenant",
        "sk-share-0123456789": "share-tenant"}
GOOD, SPRAY, SHARE = KEYS


def configure(home, keys=(), **users):
    lines = ["models:", f"  - {{id: '{MODEL_ID}', path: '{MODEL}'}}", "users:",
             f"  state: {home}/state"]
    lines += [f"  {name}: {value}" for name, value in users.items()]
    if keys:
        lines += ["access:", "  api_keys:"]
        lines += [f"    - {{key: {key}, tenant: {tenant}}}" for key, tenant in keys.items()]
    path = home / "weir.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def ask_all(server, users, key=None, token=None):
    """A request for each user, over a few connections that stay open."""
    users = list(users)
    headers = {"content-type": "application/json"}
    if key or token:
        headers["authorization"] = f"Bearer {key or token}"

    def ask_some(part):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        for user in part:
            body = CALL if user is None else {**CALL, "user": user}
            connection.request("POST", "/v1/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask_some, (users[i::CLIENTS] for i in range(CLIENTS))))


def month(server, bound):
    return server.metric("weir_mau", model=MODEL_ID, window="month", bound=bound)


def verified(server):
    return server.metric("weir_monthly_active_users_by_class", model=MODEL_ID,
                         **{"class": "verified"})


def findings(home):
    with sqlite3.connect(f"file:{home}/state/ledger.db?mode=ro", uri=True) as ledger:
        return [(subject.split(" ")[2], json.loads(body)) for subject, body in ledger.execute(
            "SELECT subject, body FROM ledger WHERE kind = 'identity' ORDER BY sequence")]


def assert_nowhere(server, home, words):
    """In no log line, series or file of the state folder."""
    metrics = server.get("/metrics")[1]
    files = {path: path.read_bytes() for path in (home / "state").rglob("*") if path.is_file()}
    assert files
    for word in words:
        assert word not in metrics
        assert not [line for line in server.lines if word in line]
        assert not [path for path, content in files.items() if word.encode() in content]


# -- Spraying and sharing --

def test_spraying_raises_its_flag_and_then_moves_no_lower_bound(start, tmp_path):
    server = start("--config", configure(tmp_path, KEYS, trust_asserted="true"), "--workers", 1,
                   model=False)
    ask_all(server, [f"grace-{i}" for i in range(20)], GOOD)
    ask_all(server, [f"planted-{i}-{os.urandom(8).hex()}" for i in range(1100)], SPRAY)
    server.wait_metric(1, "weir_identity_suspect_keys", finding="sprayed")
    told = server.wait_for(r"event=identity_suspect .*sprayed by key [0-9a-f]{8} .*spray-tenant", 60)
    before, best, upper = month(server, "lower"), month(server, "best"), month(server, "upper")
    assert before < 20 + 1100
    ask_all(server, [f"planted-again-{i}" for i in range(200)], SPRAY)
    assert month(server, "lower") == before
    assert month(server, "best") == best + 200  # a new tenant's people look like that, too
    assert month(server, "upper") == upper + 200
    ask_all(server, ["hopper"], GOOD)
    assert month(server, "lower") == before + 1
    ask_all(server, ["planted-for-all"] * 110, SHARE)
    server.wait_metric(1, "weir_identity_suspect_keys", finding="shared")
    server.wait_for(r"event=identity_suspect .*shared by key [0-9a-f]{8} .*share-tenant", 60)
    assert told
    assert_nowhere(server, tmp_path, ["planted", *KEYS])
    server.stop()
    kinds = {kind: body for kind, body in findings(tmp_path)}
    assert kinds["sprayed"]["tenant"] == "spray-tenant"
    assert kinds["shared"]["share"] > 0.9


def test_spraying_where_nobody_is_trusted_is_never_in_the_lower_bound(start, tmp_path):
    server = start("--config", configure(tmp_path, KEYS), "--workers", 1, model=False)
    for part in range(3):
        ask_all(server, [f"planted-{part}-{i}" for i in range(400)], SPRAY)
        assert month(server, "lower") == 0
    server.wait_metric(1, "weir_identity_suspect_keys", finding="sprayed")
    assert month(server, "lower") == 0


# -- Ids made for a sketch without a key --

def siphash(text):
    """SipHash-2-4 under the key of zeros."""
    v = [0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573]

    def turn(x, count):
        return (x << count | x >> 64 - count) & MASK

    def rounds(count):
        a, b, c, d = v
        for _ in range(count):
            a, c = (a + b) & MASK, (c + d) & MASK
            b, d = turn(b, 13) ^ a, turn(d, 16) ^ c
            a = turn(a, 32)
            c, a = (c + b) & MASK, (a + d) & MASK
            b, d = turn(b, 17) ^ c, turn(d, 21) ^ a
            c = turn(c, 32)
        v[:] = a, b, c, d

    whole = text + bytes(7 - len(text) % 8) + bytes([len(text) & 255])
    for (word,) in struct.iter_unpack("<Q", whole):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xff
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def murmur(text, seed=0xadc83b19):
    """MurmurHash64A under the seed of Redis' PFADD."""
    m = 0xc6a4a7935bd1e995
    h = seed ^ len(text) * m & MASK
    cut = len(text) & ~7
    for (word,) in struct.iter_unpack("<Q", text[:cut]):
        word = word * m & MASK
        h = (h ^ (word ^ word >> 47) * m & MASK) * m & MASK
    if text[cut:]:
        h = (h ^ int.from_bytes(text[cut:], "little")) * m & MASK
    h = (h ^ h >> 47) * m & MASK
    return h ^ h >> 47


def crafted(unkeyed, count):
    """Ids that, under a hash that everybody knows, meet in one register of 64 with the least rank:
    a sketch of them stays where the first one left it."""
    found = (f"crafted-{i}" for i in itertools.count()
             if unkeyed(f"crafted-{i}".encode()) >> 57 == 1)
    return list(itertools.islice(found, count))


def test_the_hashes_of_this_test_are_those_that_they_are_called():
    assert murmur(b"hello", 0) == 0x1e68d17c457bf117
    assert siphash(b"") == 0x1e924b9d737700d7


@pytest.mark.parametrize("unkeyed", [siphash, murmur])
def test_crafted_ids_count_as_any_others(start, tmp_path, unkeyed):
    ids = crafted(unkeyed, 60)
    registers = {unkeyed(name.encode()) >> 58 for name in ids}
    assert len(registers) == 1  # so an unkeyed sketch would hold one user
    server = start("--config", configure(tmp_path, KEYS), model=False)
    ask_all(server, ids, GOOD)
    assert month(server, "best") == len(ids)
    ask_all(server, [f"plain-{i}" for i in range(len(ids))], GOOD)
    assert month(server, "best") == 2 * len(ids)
    assert_nowhere(server, tmp_path, ["crafted", "plain-"])


# -- Keys that change while we serve --

def base64url(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def write_keys(home, secret):
    """As those do who rotate keys: a new file, moved over the old one."""
    path = home / "new.json"
    path.write_text(json.dumps({"keys": [{"kty": "oct", "k": base64url(secret), "alg": "HS256"}]}))
    path.chmod(0o600)
    path.rename(home / "keys.json")


def token(secret, user):
    head = base64url(b'{"alg":"HS256","typ":"JWT"}')
    claims = base64url(json.dumps({"sub": user, "exp": int(time.time()) + 3600}).encode())
    signed = f"{head}.{claims}"
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


@pytest.mark.parametrize("asked", [True, False], ids=["by a signal", "by itself"])
def test_rotated_keys_are_taken_up_under_load(start, tmp_path, asked):
    old, new = os.urandom(32), os.urandom(32)
    write_keys(tmp_path, old)
    server = start("--config", configure(tmp_path, jwt_keys=tmp_path / "keys.json"), model=False)
    ending = threading.Event()

    def go_on():
        while not ending.is_set():
            ask_all(server, [None], token=token(old, "ada"))

    load = threading.Thread(target=go_on)
    load.start()
    try:
        ask_all(server, [None], token=token(old, "grace"))
        server.wait_metric(2, "weir_monthly_active_users_by_class", **{"class": "verified"})
        write_keys(tmp_path, new)
        if asked:
            server.process.send_signal(signal.SIGHUP)
        server.wait_for("event=identity_rules_read", 60)
        ask_all(server, [None], token=token(old, "mallory"))
        assert verified(server) == 2
        ask_all(server, [None], token=token(new, "hopper"))
        assert verified(server) == 3
        (tmp_path / "keys.json").write_text("{")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("event=identity_rules_refused .*keys.json.*the old ones stay", 60)
        ask_all(server, [None], token=token(new, "liskov"))
        assert verified(server) == 4
    finally:
        ending.set()
        load.join()
