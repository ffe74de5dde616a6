# SPDX-License-Identifier: Apache-2.0
"""Ids that requests bring with them, and the search for them in what must not hold them.

A search is only as good as its spellings, so an id is looked for as itself and as it may have been
written down: base64 at all three offsets, hexadecimal, percent and JSON escapes, other encodings,
and the plain digests that a dictionary undoes. `search_folder` and `search_redis` are for other
tests, too."""
import base64
import contextlib
import hashlib
import hmac
import html
import json
import sqlite3
import subprocess
import time
import urllib.parse

# Long enough that none of their spellings comes about by chance.
USERS = {
    "user": "ada.lovelace+user@example.com",
    "user in a stream": "grace.hopper+stream@example.com",
    "user of letters beyond ASCII": "zoë.größe+ünïcode@example.org",
    "user in a completion": "edsger/dijkstra=completion?&x",
    "safety_identifier": "safety|barbara.liskov|0017",
    "metadata.user_id": "metadata user frances.allen 42",
    "header": "header-user-radia.perlman",
    "second header": "header-user-mary.kenneth.keller",
    "sub of a token": "auth0|5f7c8ec7c33c6c004bbafe82",
    "sub of a token that does not hold": "auth0|66aa8ec7c33c6c004bbadead",
    "gateway": "gateway-user-karen.sparck.jones",
    "user in malformed JSON": "malformed.lynn.conway@example.com",
    "user of a wrong type": "wrong.type.sophie.wilson@example.com",
    "user that is too long": "too.long.annie.easley@example.com",
    "user with a control character": "control.joan.clarke@example.com",
    "user of an unknown model": "unknown.model.hedy.lamarr@example.com",
    "user of a refused key": "refused.key.betty.holberton@example.com",
    "user who hung up": "hung.up.jean.bartik@example.com",
    "user of half a body": "half.a.body.kay.mcnulty@example.com",
    "user over HTTP/2": "http2.margaret.hamilton@example.com",
    "user while draining": "draining.evelyn.boyd@example.com",
    "user who comes before a crash": "crash.dorothy.vaughan@example.com",
}
ELSEWHERE = {
    "query of a path": "query.katherine.johnson@example.com",
    "path": "path.mary.jackson@example.com",
    "model": "model.thelma.estrin@example.com",
    "value of a parameter": "value.adele.goldberg@example.com",
    "name of a parameter": "parameter.susan.kare@example.com",
    "name of a header": "x-user-shafi-goldwasser-0001",
    "method": "METHOD-JEANNETTE-WING",
    "content-type": "application/carol.shaw.planted",
    "request line that is none": "request.line.alan.turing@example.com",
    "x-request-id": "request.id.anita.borg@example.com",
    "user-agent": "agent.roberta.williams@example.com",
    "forwarded": "203.0.113.201",
    "prompt": "my name is Mrs. Plantagenet-Featherstonehaugh",
    "client address": "127.0.0.77",
}
SECRETS = {
    "api key": "sk-planted-7e1c0a9b55d24f7f",
    "api key that is unknown": "sk-planted-unknown-11aa22bb33cc",
    "gateway secret": "planted gateway secret of 32 bytes and more",
    "HMAC secret of tokens": "planted token secret of 32 bytes or more",
    "webhook's token": "planted-webhook-token-xyzzy",
}
ALL = {**USERS, **ELSEWHERE, **SECRETS}


def _base64_windows(raw):
    """What base64 of any text that holds `raw` has in it: one window an offset."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw).rstrip(b"=")
        # The first characters mix with what stands before, the last with what comes behind.
        yield coded[(0, 2, 3)[before]:len(coded) - 1]


def spellings(text):
    """{bytes: what they are} of one id."""
    raw = text.encode()
    found = {raw: "itself", raw.lower(): "lower case", raw.upper(): "upper case",
             text.encode("utf-16-le"): "UTF-16", text.encode("latin-1"): "Latin-1",
             raw.hex().encode(): "hexadecimal", raw.hex().upper().encode(): "hexadecimal",
             urllib.parse.quote(text, safe="").encode(): "percent",
             urllib.parse.quote(text, safe="").lower().encode(): "percent",
             urllib.parse.quote_plus(text).encode(): "form",
             b"".join(b"%%%02X" % byte for byte in raw): "percent, all of it",
             json.dumps(text)[1:-1].encode(): "JSON",
             html.escape(text).encode(): "HTML",
             repr(raw)[2:-1].encode(): "escaped bytes"}
    for window in _base64_windows(raw):
        found[window] = "base64"
        found[window.translate(bytes.maketrans(b"+/", b"-_"))] = "base64url"
    for name in ("md5", "sha1", "sha256"):
        digest = hashlib.new(name, raw).digest()
        found[digest] = f"plain {name}"
        found[digest.hex().encode()] = found[digest.hex().upper().encode()] = f"plain {name}"
    return found


NEEDLES = [(kind, name, needle) for kind, text in ALL.items()
           for needle, name in spellings(text).items()]


def search(content, where):
    """[(where, kind, spelling)] of all that is planted in `content`, which is bytes or text."""
    content = content if isinstance(content, bytes) else content.encode()
    return [(where, kind, name) for kind, name, needle in NEEDLES if needle in content]


def _values(path):
    """All values of an SQLite file; on its pages a long one lies in pieces."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        for (table,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            for row in file.execute(f'SELECT * FROM "{table}"'):
                yield from (value if isinstance(value, bytes) else str(value).encode()
                            for value in row)


def search_folder(folder):
    """Names and bytes of all files below (a database's pages, its journal and WAL too), and the
    values in its databases."""
    found, count = [], 0
    for path in sorted(folder.rglob("*")):
        found += search(str(path.relative_to(folder)), f"name of {path.name}")
        if not path.is_file():
            continue
        count += 1
        content = path.read_bytes()
        found += search(content, path.name)
        if content.startswith(b"SQLite format 3\0"):
            found += search(b"\n".join(_values(path)), f"values of {path.name}")
    assert count > 0, f"{folder} has no files"
    return found


def search_redis(where, scratch):
    """All that a Redis would write down, uncompressed. where: for redis-cli, as ["-p", 6379]."""
    snapshot = scratch / "planted.rdb"
    for words in (["config", "set", "rdbcompression", "no"], ["--rdb", snapshot]):
        subprocess.run(["redis-cli", *map(str, [*where, *words])], check=True, timeout=60,
                       capture_output=True)
    content = snapshot.read_bytes()
    assert content.startswith(b"REDIS")
    return search(content, "Redis")


# -- What proves a user, made by other means than the daemon's --

def _base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(sub, secret):
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in (
        {"alg": "HS256", "typ": "JWT"}, {"sub": sub, "exp": int(time.time()) + 3600}))
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64url(mac)}"


def key_set(secret):
    return json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": _base64url(secret.encode())}]})


def gateway_header(user, secret):
    signed = f"v1;t={int(time.time())};id={_base64url(user.encode())}"
    return f"{signed};sig={hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()}"
