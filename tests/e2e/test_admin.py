# SPDX-License-Identifier: Apache-2.0
"""The admin door on a real daemon: users who never reach a model, usage as numbers and as a table.

Every question is asked of a daemon of its own, whose state nobody else has touched.
"""
import base64
import fcntl
import hashlib
import hmac
import http.server
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
import urllib.request

import jsonschema
import pytest
from conftest import BUILD, MODEL, ROOT

ADMIN = "an-admin-key-0123456789"
KEY = {"authorization": "Bearer " + ADMIN}
CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
ROOT_KEY = bytes(range(32))
SCHEMA = json.loads((ROOT / "config/schema/usage.schema.json").read_text())


@pytest.fixture
def config(tmp_path):
    """Writes weir.yaml: a model of product chat, under a licence whose line is at 20 users of it."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "acme-1.yaml").write_text(
        "id: acme-1\nname: Acme Model Terms\nfamily: acme\ncategory: threshold\ngrade: P\n"
        "verified: true\nsources: [a contract]\nsummary: Ours.\nconditions:\n"
        "  - id: size\n    kind: threshold\n    clause: '4'\n    summary: Ask above twenty.\n"
        "    any_of: [{metric: mau, op: '>', value: 20, window: month}]\n"
        "    test: continuing\n    entity: licensee\n    scope: product_using_model\n"
        "    consequence: separate_license\n")
    key = tmp_path / "root.key"
    key.write_bytes(ROOT_KEY)
    key.chmod(0o600)

    def write(**more):
        path = tmp_path / "weir.yaml"
        path.write_text(json.dumps({
            "users": {"state": str(tmp_path / "state"), "key_file": str(key)},
            "access": {"admin_keys": [{"key": ADMIN, "name": "ops"}]},
            "licenses": {"folder": str(own)},
            "models": [{"id": "m", "path": MODEL, "license": "acme-1", "product": "chat"}],
            **more}))
        return path
    return write


def serve(start, path):
    return start("--config", path, model=False)


def feed(server, headers=KEY, **body):
    status, _, answer = server.post("/admin/v1/users", body, headers)
    return status, answer


def usage(server, query=""):
    request = urllib.request.Request(server.base + "/admin/v1/usage" + query, headers=KEY)
    with urllib.request.urlopen(request, timeout=60) as answer:
        document = json.load(answer)
    jsonschema.validate(document, SCHEMA)
    return document


def best(document, kind, name=""):
    for group in document["groups"]:
        if (group["kind"], group["name"]) == (kind, name):
            return group["windows"]["month"]["best"]["users"]
    return None


def hkdf(key, purpose, count):
    """RFC 5869 with SHA-256 and no salt, as policy/users/README.md writes it down."""
    secret = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(secret, purpose.encode() + b"\x01", hashlib.sha256).digest()[:count]


def year_key(year, purpose, count):
    return hkdf(hkdf(ROOT_KEY, "weir epochs 1", 32), f"weir mau 1 {year} {purpose}", count)


def siphash(key, data):
    """SipHash-2-4, 64 bits, from its paper's pseudocode."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
         k1 ^ 0x7465646279746573]

    def rotate(x, bits):
        return (x << bits | x >> (64 - bits)) & mask

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[2] = (v[2] + v[3]) & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[1]) & mask
            v[0] = (v[0] + v[3]) & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    tail = data[len(data) // 8 * 8:]
    words = [int.from_bytes(data[i:i + 8], "little") for i in range(0, len(data) // 8 * 8, 8)]
    words.append(int.from_bytes(tail.ljust(7, b"\0"), "little") | (len(data) & 0xff) << 56)
    for word in words:
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xff
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def user_hash(year, user, tenant="", issuer=""):
    return siphash(year_key(year, "users", 16), b"\0".join(
        part.encode() for part in (tenant, "user", issuer, user)))


def sketch(hashes, p=18):
    body = b"".join(struct.pack("<Q", h) for h in sorted(hashes))
    return base64.b64encode(struct.pack("<4sBBHQ", b"WSK1", 1, p, 0, len(hashes)) + body).decode()


def test_logins_and_model_traffic_are_the_same_people(start, config):
    server = serve(start, config())
    for user in ("alice", "bob"):
        assert server.post("/v1/chat/completions", {**CHAT, "user": user})[0] == 200
    status, answer = feed(server, product="chat", users=["alice", " carol ", "anonymous", ""])
    assert status == 200
    assert answer == {"object": "users.accepted", "product": "chat", "day": answer["day"],
                      "class": "asserted", "accepted": 2, "ignored": 2}
    assert feed(server, product="chat", users=["alice", "carol"])[1]["accepted"] == 2  # no oracle
    seen = usage(server)
    assert best(seen, "organisation") == 3 and best(seen, "product", "chat") == 3
    assert best(seen, "model", "m") == 2  # who never asked it is none of its users
    assert best(seen, "family", "acme") == 2
    assert best(seen, "model", "") is None
    feed(server, product="shop", users=["dave", "alice"])
    seen = usage(server)
    assert best(seen, "organisation") == 4 and best(seen, "product", "shop") == 2
    assert feed(server, model="m", users=["erin"])[1]["product"] == "chat"
    seen = usage(server)
    assert best(seen, "model", "m") == 3 and best(seen, "organisation") == 5
    requests = seen["groups"][0]["windows"]["month"]["requests"]
    assert sum(requests.values()) == 2  # a login is no request


def test_a_tenants_people_are_fed_under_its_name(start, config):
    keys = [{"key": "sk-acme-0123", "tenant": "acme"}]
    server = serve(start, config(access={"api_keys": keys, "admin_keys": [{"key": ADMIN}]}))
    assert server.post("/v1/chat/completions", {**CHAT, "user": "alice"},
                       {"authorization": "Bearer sk-acme-0123"})[0] == 200
    feed(server, product="chat", users=["alice"], tenant="acme")
    assert best(usage(server), "organisation") == 1
    feed(server, product="chat", users=["alice"])  # another tenant's alice is another person
    assert best(usage(server), "organisation") == 2


def test_hashes_and_sketches_of_the_same_key_join(start, config):
    server = serve(start, config())
    keys = usage(server)["keys"]  # two in December
    for key in keys:
        own = int.from_bytes(year_key(key["year"], "key id", 8), "little")
        assert key["id"] == f"{own:016x}"
    feed(server, product="chat", users=["alice"])
    for key in keys:
        hashes = [f"{user_hash(key['year'], user):016x}" for user in ("alice", "bob")]
        assert feed(server, product="chat", hashes=hashes, key_id=key["id"])[0] == 200
    assert best(usage(server), "organisation") == 2
    for key in keys:
        half = {user_hash(key["year"], f"user-{i}") for i in range(20000)}
        assert feed(server, product="chat", sketch=sketch(half), key_id=key["id"])[0] == 200
    assert best(usage(server), "organisation") == 20002
    for key in keys:  # past the exact set
        many = {user_hash(key["year"], f"user-{i}") for i in range(10000, 30000)}
        assert feed(server, product="chat", sketch=sketch(many), key_id=key["id"])[0] == 200
    assert abs(best(usage(server), "organisation") / 30002 - 1) < 0.005
    status, answer = feed(server, product="chat", hashes=hashes, key_id="00c0ffee00c0ffee")
    assert status == 409 and answer["error"]["param"] == "key_id"


def registers(p, value):
    return base64.b64encode(struct.pack("<4sBBHQ", b"WSK1", 2, p, 0, 0) +
                            bytes([value]) * (1 << p)).decode()


def test_a_sketch_is_judged_before_it_is_joined(start, config):
    server = serve(start, config())
    keys = [key["id"] for key in usage(server)["keys"]]  # two, as a year ends
    key_id = keys[-1]
    for text, status, what in ((registers(16, 4 * 20 + 3), 400, "registers"),
                               (registers(18, 5), 400, "no hash leaves"),
                               (registers(18, 255), 400, "more people than there are"),
                               (registers(18, 4 * 24 + 3), 400, "cannot be undone"),
                               (registers(18, 4 * 22 + 3)[:-8], 400, "bytes"),
                               ("====", 400, "base64"), ("", 400, "not the bytes"), ("*", 400, "base64")):
        got, answer = feed(server, product="chat", sketch=text, key_id=key_id)
        assert got == status and what in answer["error"]["message"], answer
        assert answer["error"]["param"] == "sketch"
    assert best(usage(server), "organisation") == 0
    assert best(usage(server), "product", "chat") == 0
    big = registers(18, 4 * 24 + 3)
    _, answer = feed(server, product="chat", sketch=big, key_id=key_id)
    meant = float(re.search(r"stands for (\d+) users", answer["error"]["message"]).group(1))
    assert meant > 1e7
    status, _ = feed(server, product="chat", sketch=big, key_id=key_id, sketch_users=meant / 2)
    assert status == 400
    for key in keys:
        assert feed(server, product="chat", sketch=big, key_id=key, sketch_users=meant)[0] == 200
    assert abs(best(usage(server), "organisation") / meant - 1) < 1e-6


def test_accepted_users_outlive_a_killed_daemon(start, config):
    path = config()
    server = serve(start, path)
    for i in range(5):
        users = [f"u{i}-{j}" for j in range(3000)]
        assert feed(server, product="chat", users=users)[1]["accepted"] == 3000
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.stop(expected=-signal.SIGKILL)
    server.stop = lambda: None
    again = serve(start, path)
    assert best(usage(again), "product", "chat") == 15000


def test_days_that_are_over_are_amended_and_others_refused(start, config):
    server = serve(start, config())
    now = time.time()
    day = [time.strftime("%Y-%m-%d", time.gmtime(now + 86400 * d)) for d in (-40, 1, 3, -200)]
    for given, status in zip(day, (200, 200, 400, 400)):
        got, answer = feed(server, product="chat", users=["old-" + given], day=given)
        assert got == status, answer
        if status == 400:
            assert answer["error"]["param"] == "day"
    month = usage(server, "?month=" + day[0][:7])
    assert best(month, "product", "chat") == 1
    assert month["groups"][0]["windows"]["month"]["amended"] == 1
    assert list(month["groups"][0]["windows"]) == ["month"]


def test_the_door_is_shut_to_everybody_else(start, config):
    server = serve(start, config())
    for headers in ({}, {"authorization": "Bearer wrong-key-0123456789"}):
        assert feed(server, headers, product="chat", users=["a"])[0] == 401
    assert server.get("/admin/v1/usage")[0] == 401
    closed = serve(start, config(access={}, users={"state": "auto"}))
    assert feed(closed, product="chat", users=["a"])[0] == 404
    assert closed.get("/admin/v1/usage")[0] == 404


def test_bad_bodies_are_told_where_they_are_wrong(start, config):
    server = serve(start, config())
    for body, param in (({"product": "c", "users": ["a", 1]}, "users[1]"),
                        ({"product": "c", "users": ["x" * 513]}, "users[0]"),
                        ({"product": "c", "users": ["a"] * 10001}, "users"),
                        ({"product": "c", "users": ["a"], "whom": 1}, "whom"),
                        ({"users": ["a"]}, "product"),
                        ({"product": "c", "class": "none", "users": ["a"]}, "class")):
        status, answer = feed(server, **body)
        assert status == 400 and answer["error"]["param"] == param, answer
    assert server.post("/admin/v1/users", b"{", KEY)[0] == 400
    status, answer = feed(server, model="ghost", users=["a"])
    assert status == 404 and answer["error"]["param"] == "model"
    assert best(usage(server), "organisation") == 0


def test_no_id_is_kept_anywhere(start, config, tmp_path):
    server = serve(start, config())
    planted = "zzplantedzz"
    feed(server, product="chat", users=[planted + "@example.com"])
    feed(server, product="chat", users=[planted, planted * 60])  # refused as a whole
    server.stop()
    assert not any(planted in line for line in server.lines)
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or planted.encode() not in file.read_bytes(), file


def test_users_outside_bound_the_line_from_both_sides(start, config, tmp_path):
    month = time.strftime("%Y-%m", time.gmtime())
    server = serve(start, config(operator={"outside_mau": [
        {"month": month, "users": 12, "product": "chat", "signer": "CFO"}]}))
    feed(server, product="chat", users=[f"u{i}" for i in range(5)], **{"class": "verified"})
    line, = usage(server)["lines"]
    assert (line["kind"], line["name"], line["threshold"]) == ("product", "chat", 20)
    assert (line["lower"], line["upper"]) == (12, 17)
    assert abs(line["headroom_ratio"] - 0.15) < 1e-9
    server.stop()
    report = [BUILD / "weir", "report", "--month", month, "--state", tmp_path / "state"]
    told = json.loads(subprocess.run([*report, "--json"], capture_output=True, check=True).stdout)
    jsonschema.validate(told, json.loads((ROOT / "config/schema/report.schema.json").read_text()))
    outside, = told["outside"]
    assert (outside["product"], outside["users"], outside["signer"]) == ("chat", 12, "CFO")
    for form, words in (("--html", "Declared users outside"), ("--csv", '"outside","product","chat"'),
                        ("--month", "12 declared of chat")):
        shown = subprocess.run([*report, *([form] if form != "--month" else [])],
                               capture_output=True, text=True, check=True).stdout
        assert words in shown, shown


# -- weir usage --

def command(server, *flags, key=ADMIN, **options):
    env = {name: value for name, value in os.environ.items() if name != "WEIR_ADMIN_KEY"}
    if key:
        env["WEIR_ADMIN_KEY"] = key
    url = () if server is None else ("--url", server.base)
    return subprocess.run([BUILD / "weir", "usage", *url, *flags], env=env, capture_output=True,
                          text=True, timeout=120, **options)


def test_the_table_and_the_json_say_the_same(start, config):
    server = serve(start, config())
    feed(server, product="chat", users=[f"u{i}" for i in range(15)])
    table = command(server)
    assert table.returncode == 0, table.stderr
    assert "\033" not in table.stdout
    heads = table.stdout.splitlines()[1].split()
    assert heads == ["WHO", "LOWER", "BEST", "UPPER", "THRESHOLD", "HEADROOM", "CROSSING",
                     "COVERAGE"]
    assert re.search(r"^product +chat +0 +15 +15 +20 +25\.0%", table.stdout, re.M)
    assert re.search(r"^organisation +0 +15 +15 +- ", table.stdout, re.M)
    document = json.loads(command(server, "--json").stdout)
    jsonschema.validate(document, SCHEMA)
    assert best(document, "product", "chat") == 15
    assert command(server, "--month", "2020-01").returncode == 0


def test_what_is_wrong_is_told_with_a_status(start, config, tmp_path):
    server = serve(start, config())
    none = command(None, "--url", "http://127.0.0.1:1")
    assert none.returncode == 69 and "weir report" in none.stderr
    assert command(server, key=None).returncode == 77
    wrong = command(server, key="wrong-key-0123456789")
    assert wrong.returncode == 77 and "admin_keys" in wrong.stderr
    assert command(server, "--key-file", tmp_path / "nowhere", key=None).returncode == 66
    held = tmp_path / "key"
    held.write_text(ADMIN + "\n")
    held.chmod(0o644)
    assert command(server, "--key-file", held, key=None).returncode == 77  # others may read it
    held.chmod(0o600)
    assert command(server, "--key-file", held, key=None).returncode == 0
    for flags in (["--nonsense"], ["--watch=0"], ["--month", "soon"], ["--json", "--watch"],
                  ["--url", "http://example.com"], ["--url", "ftp://x"]):
        assert command(server, *flags).returncode == 64, flags


def test_who_is_no_weir_is_told(start):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_):
            pass

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    got = command(None, "--url", f"http://127.0.0.1:{other.server_port}")
    other.shutdown()
    other.server_close()
    assert got.returncode == 76 and "no weir" in got.stderr


def test_tls_needs_an_authority(start, config, certificate):
    cert, key = certificate
    server = start("--config", config(), "--tls-certificate", cert, "--tls-key", key, model=False,
                   tls=True)
    url = f"https://localhost:{server.port}"
    got = command(None, "--url", url)
    assert got.returncode == 69 and "--cacert" in got.stderr
    got = command(None, "--url", url, "--cacert", cert)
    assert got.returncode == 0, got.stderr


def read_until(terminal, pattern, seen=""):
    deadline = time.monotonic() + 60
    while not re.search(pattern, seen, re.S):
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536).decode()
    return seen


def test_watch_draws_again_and_gives_the_terminal_back(start, config):
    server = serve(start, config())
    terminal, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
    process = subprocess.Popen(
        [BUILD / "weir", "usage", "--watch=1", "--url", server.base], stdin=other, stdout=other,
        stderr=subprocess.PIPE, env={**os.environ, "WEIR_ADMIN_KEY": ADMIN, "TERM": "xterm"})
    os.close(other)
    seen = read_until(terminal, r"\x1b\[\?1049h.*product +chat +0 +0 +0")
    feed(server, product="chat", users=["alice"])
    seen = read_until(terminal, r"product +chat +0 +1 +1", seen)  # drawn again
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
    process.send_signal(signal.SIGWINCH)
    seen = read_until(terminal, r"product +chat +0 +1 +1 +20\x1b", seen)  # cut to the new width
    assert all(len(re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line)) <= 100
               for line in seen.split("\r\n"))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    seen = read_until(terminal, r"\x1b\[\?1049l$", seen)
    os.close(terminal)
    assert process.stderr.read() == b""


def test_watch_keeps_the_last_figures_when_the_daemon_is_gone(start, config):
    server = serve(start, config())
    process = subprocess.Popen(
        [BUILD / "weir", "usage", "--watch=1", "--url", server.base], stdout=subprocess.PIPE,
        text=True, env={**os.environ, "WEIR_ADMIN_KEY": ADMIN})
    assert "month" in process.stdout.readline()
    server.stop()
    while "OLD FIGURES" not in (line := process.stdout.readline()):
        assert line
    assert "\033" not in line
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
