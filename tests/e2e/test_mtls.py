# SPDX-License-Identifier: Apache-2.0
"""Clients that prove who they are by a certificate: let in or not, and counted as who they are."""
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest

from conftest import BUILD, MODEL, MODEL_ID
from tls_files import Made, connect, get, metric, openssl, replace, talk, trusting

ADMIN = "admin-key-0123456789"


@pytest.fixture
def site(tmp_path):
    return Made(tmp_path, "site", names=["DNS:localhost", "IP:127.0.0.1"])


@pytest.fixture
def root(tmp_path):
    return Made(tmp_path, "root", subject="/CN=Acme Root", authority=True)


def configure(folder, site, users="off", **tls):
    tls = {"certificate": str(site.cert), "key": str(site.key),
           **{name: str(value) for name, value in tls.items()}}
    path = folder / "weir.yaml"
    path.write_text(f"models: [{{path: {MODEL}}}]\nserver: {{tls: {json.dumps(tls)}}}\n"
                    f"users: {{certificate: {users}}}\n"
                    f"access: {{admin_keys: [{{key: {ADMIN}}}]}}\n")
    return path


def ask(server, context, user=None, headers=""):
    """A completion over a connection of its own; the status."""
    body = json.dumps({"prompt": "a", "max_tokens": 1, **({"user": user} if user else {})})
    context.set_alpn_protocols(["http/1.1"])
    with connect(server, context) as wire:
        return talk(wire, (f"POST /v1/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                           f"content-type: application/json\r\n{headers}"
                           f"content-length: {len(body)}\r\n\r\n{body}").encode())[0]


def by_class(server, context):
    """The month's users and requests of the model, as GET /admin/v1/usage has them."""
    context.set_alpn_protocols(["http/1.1"])
    with connect(server, context) as wire:
        status, body = talk(wire, (f"GET /admin/v1/usage HTTP/1.1\r\nhost: a\r\n"
                                   f"authorization: Bearer {ADMIN}\r\nconnection: close\r\n\r\n")
                            .encode())
    assert status == 200
    group = next(each for each in json.loads(body)["groups"]
                 if each["kind"] == "model" and each["name"] == MODEL_ID)
    window = group["windows"]["month"]
    return window["users_by_class"], window["requests"]


def refused(server, context, said):
    """No answer; in TLS 1.3 the client hears of it after it believes that hands are shaken."""
    context.set_alpn_protocols(["http/1.1"])
    with pytest.raises(ssl.SSLError, match=said):
        with connect(server, context) as wire:
            wire.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
            assert wire.recv(1) == b"", "it was answered"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_is_let_in(start, tmp_path, site, root, version):
    alice = Made(tmp_path, "alice", issuer=root)
    eve = Made(tmp_path, "eve", issuer=Made(tmp_path, "other", authority=True))

    def as_(client):
        context = trusting(site, client=client)
        context.minimum_version = context.maximum_version = version
        return context

    for auth in ("optional", "required"):
        server = start("--config", configure(tmp_path, site, client_auth=auth, client_ca=root.cert),
                       model=False, tls=True)
        assert get(server, as_(alice), "/health")[0] == 200
        if auth == "optional":
            assert get(server, as_(None), "/health")[0] == 200
        else:
            refused(server, as_(None), "(?i)certificate required|handshake failure")
        refused(server, as_(eve), "(?i)unknown ca")
        failed = 1 if auth == "optional" else 2
        assert metric(server, as_(alice), "weir_tls_handshakes_total", result="failed") == failed


def test_curl_and_openssl(start, tmp_path, site, root):
    alice = Made(tmp_path, "alice", issuer=root)
    server = start("--config", configure(tmp_path, site, client_auth="required",
                                         client_ca=root.cert), model=False, tls=True)
    command = ["curl", "-sS", "--cacert", site.cert, f"https://localhost:{server.port}/health"]
    got = subprocess.run([*command, "--cert", alice.cert, "--key", alice.key, "-w", "%{http_code}"],
                         capture_output=True, text=True, timeout=60)
    assert got.stdout.endswith("200"), got.stderr
    got = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert got.returncode != 0 and "certificate required" in got.stderr, got.stderr
    # Clients are told which authorities would do.
    said = openssl("s_client", "-connect", f"127.0.0.1:{server.port}")[1]
    assert "Acceptable client certificate CA names\nCN = Acme Root" in said, said


def test_certificates_are_users_where_that_is_set(start, tmp_path, site, root):
    people = [Made(tmp_path, f"p{i}", subject=f"/O=Acme/CN=person-{i}", issuer=root)
              for i in range(3)]
    config = configure(tmp_path, site, "subject", client_auth="optional", client_ca=root.cert)
    server = start("--config", config, "--workers", 2, model=False, tls=True)
    contexts = [trusting(site, client=each) for each in people]
    for context in contexts:
        for _ in range(2):
            assert ask(server, context, user="somebody-else") == 200
    plain = trusting(site)
    assert ask(server, plain, user="asserted") == 200
    users, requests = by_class(server, plain)
    assert users["verified"] == 3 and users["asserted"] == 1
    assert requests["verified"] == 6 and requests["asserted"] == 1
    assert metric(server, plain, "weir_monthly_active_users_by_class", model=MODEL_ID,
                  **{"class": "verified"}) == 3
    # A session that is taken up is still that person's.
    context = trusting(site, client=people[0], alpn=["http/1.1"])
    session = None
    for _ in range(2):
        wire = socket.create_connection(("127.0.0.1", server.port), timeout=120)
        with context.wrap_socket(wire, session=session) as wire:
            body = json.dumps({"prompt": "a", "max_tokens": 1})
            assert talk(wire, (f"POST /v1/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                               f"content-type: application/json\r\n"
                               f"content-length: {len(body)}\r\n\r\n{body}").encode())[0] == 200
            reused, session = wire.session_reused, wire.session
    assert reused
    users, requests = by_class(server, plain)
    assert users["verified"] == 3 and requests["verified"] == 8
    # No name is in a log, a series or a file.
    text = get(server, plain, "/metrics")[1]
    assert "person-" not in text and not [line for line in server.lines if "person-" in line]


def test_off_is_the_default(start, tmp_path, site, root):
    alice = Made(tmp_path, "alice", issuer=root)
    config = configure(tmp_path, site, client_auth="required", client_ca=root.cert)
    server = start("--config", config, model=False, tls=True)
    context = trusting(site, client=alice)
    assert ask(server, context, user="u") == 200
    users, _ = by_class(server, context)
    assert users["verified"] == 0 and users["asserted"] == 1


@pytest.mark.parametrize("kind, same, other", [
    # A SPIFFE id is the user whatever the certificate's own name is, and nothing else is.
    ("spiffe", [("a", ["URI:spiffe://acme.example/web"]), ("b", ["URI:spiffe://acme.example/web"])],
     ("c", ["URI:spiffe://acme.example/db"])),
    ("san", [("a", ["DNS:x", "email:alice@acme.example"]), ("b", ["email:alice@acme.example"])],
     ("c", ["email:carol@acme.example"])),
])
def test_renewed_certificates_are_the_same_user(start, tmp_path, site, root, kind, same, other):
    config = configure(tmp_path, site, kind, client_auth="optional", client_ca=root.cert)
    server = start("--config", config, model=False, tls=True)
    for name, names in (*same, other):
        made = Made(tmp_path, name, names=names, issuer=root)
        assert ask(server, trusting(site, client=made)) == 200
    nameless = Made(tmp_path, "nameless", issuer=root)
    assert ask(server, trusting(site, client=nameless)) == 200
    users, requests = by_class(server, trusting(site))
    assert users["verified"] == 2 and requests["verified"] == 3


def revoke(folder, root, *serials):
    """A list of revoked certificates, by openssl ca."""
    (folder / "index.txt").write_text("".join(
        f"R\t301231235959Z\t260101000000Z\t{serial}\tunknown\t/CN=x\n" for serial in serials))
    (folder / "ca.cnf").write_text(f"[ca]\ndefault_ca = one\n[one]\ndatabase = {folder}/index.txt\n"
                                   "default_md = sha256\ndefault_crl_days = 7\n")
    status, said = openssl("ca", "-config", folder / "ca.cnf", "-gencrl", "-keyfile", root.key,
                           "-cert", root.cert, "-out", folder / "crl.fresh")
    assert status == 0, said
    os.replace(folder / "crl.fresh", folder / "crl.pem")
    return folder / "crl.pem"


def test_who_is_revoked_is_out_within_seconds(start, tmp_path, site, root):
    alice, bob = Made(tmp_path, "alice", issuer=root), Made(tmp_path, "bob", issuer=root)
    config = configure(tmp_path, site, client_auth="required", client_ca=root.cert,
                       client_crl=revoke(tmp_path, root))
    server = start("--config", config, "--workers", 2, model=False, tls=True)
    contexts = {made.name: trusting(site, client=made) for made in (alice, bob)}
    # Alice has a session to come back with: it does not help her.
    contexts["alice"].set_alpn_protocols(["http/1.1"])
    with contexts["alice"].wrap_socket(socket.create_connection(("127.0.0.1", server.port))) as wire:
        assert talk(wire, b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")[0] == 200
        session = wire.session
    serial = openssl("x509", "-in", alice.cert, "-noout", "-serial")[1].strip().split("=")[1]
    revoke(tmp_path, root, serial)
    server.wait_for("event=tls_reloaded", 60)
    deadline = time.monotonic() + 60
    while True:
        try:
            with contexts["alice"].wrap_socket(
                    socket.create_connection(("127.0.0.1", server.port)), session=session) as wire:
                talk(wire, b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        except ssl.SSLError as error:
            assert "revoked" in str(error)
            break
        assert time.monotonic() < deadline
    assert get(server, contexts["bob"], "/health")[0] == 200
    # A list that is broken is refused; the one before goes on.
    replace(tmp_path / "crl.pem", "nothing")
    assert "client_crl" in server.wait_for("event=tls_reload_refused.*", 120).group(0)
    assert get(server, contexts["bob"], "/health")[0] == 200
    refused(server, trusting(site, client=alice), "(?i)revoked")


def test_authorities_change_by_sighup(start, tmp_path, site, root):
    other = Made(tmp_path, "other", subject="/CN=Other Root", authority=True)
    alice, eve = Made(tmp_path, "alice", issuer=root), Made(tmp_path, "eve", issuer=other)
    server = start("--config", configure(tmp_path, site, client_auth="required",
                                         client_ca=root.cert), model=False, tls=True)
    assert get(server, trusting(site, client=alice), "/health")[0] == 200
    refused(server, trusting(site, client=eve), "(?i)unknown ca")
    both = tmp_path / "both.pem"
    both.write_text(root.cert.read_text() + other.cert.read_text())
    configure(tmp_path, site, client_auth="required", client_ca=both)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("event=reloaded", 60)
    deadline = time.monotonic() + 60
    while True:
        try:
            assert get(server, trusting(site, client=eve), "/health")[0] == 200
            break
        except ssl.SSLError:
            assert time.monotonic() < deadline
    assert get(server, trusting(site, client=alice), "/health")[0] == 200


def test_what_does_not_go_together_is_said(tmp_path, site, root):
    for settings, said in (
            ({"client_auth": "required"}, "client_auth needs client_ca"),
            ({"client_ca": root.cert}, "not looked at while client_auth is off"),
            ({"client_crl": root.cert}, "not looked at while client_auth is off"),
            ({"users": "spiffe"}, "users.certificate needs client_auth"),
            ({"client_auth": "maybe"}, "expected one of off, optional, required"),
            ({"client_auth": "optional", "client_ca": site.key}, "none in it (give a PEM file"),
            ({"client_auth": "optional", "client_ca": root.cert, "client_crl": root.cert},
             "client_crl")):
        got = subprocess.run([BUILD / "weir", "--config", configure(tmp_path, site, **settings),
                              "--check"], capture_output=True, text=True, timeout=120)
        assert got.returncode == 78 and said in got.stderr, got.stderr
