# SPDX-License-Identifier: Apache-2.0
"""TLS as real clients meet it: openssl, curl, Python's ssl."""
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

from conftest import BUILD, MODEL
from tls_files import Made, connect, get, metric, openssl, replace, shown, talk, trusting


def configure(folder, tls, more=""):
    path = folder / "weir.yaml"
    path.write_text(f"models: [{{path: {MODEL}}}]\nserver: {{tls: {json.dumps(tls)}}}\n{more}")
    return path


def pair(made, **more):
    return {"certificate": str(made.cert), "key": str(made.key), **more}


@pytest.fixture
def site(tmp_path):
    return Made(tmp_path, "site", names=["DNS:site.example", "IP:127.0.0.1"])


@pytest.fixture
def serve(start, tmp_path):
    def serve_one(tls, *flags, more=""):
        return start("--config", configure(tmp_path, tls, more), *flags, model=False, tls=True)

    return serve_one


# -- Which certificate --

def test_a_name_picks_its_certificate(serve, tmp_path, site):
    api = Made(tmp_path, "api", names=["DNS:api.example", "DNS:*.api.example"])
    named = Made(tmp_path, "named", names=["DNS:unused.example"])
    server = serve({**pair(site), "certificates": [pair(api), pair(named, names=["other.example"])]},
                   "--workers", 2)
    for name, expected in (("site.example", site), ("api.example", api), ("v1.API.example", api),
                           ("other.example", named), ("unused.example", site),
                           ("a.b.api.example", site), ("who.example", site), (None, site)):
        assert shown(server, name) == expected.der(), name
    text = get(server, trusting(), "/metrics")[1]
    expiry = dict(re.findall(r'weir_tls_certificate_expiry_seconds\{name="(.*)"\} (\d+)', text))
    assert set(expiry) == {"site.example", "api.example", "other.example"}
    left = int(expiry["site.example"]) - time.time()
    assert 29 * 86400 < left <= 30 * 86400
    server.wait_for("event=tls_certificate name=api.example days_left=(29|30)", 1)


def test_curl_checks_the_name_it_asked_for(serve, tmp_path, site):
    api = Made(tmp_path, "api", names=["DNS:api.example"])
    server = serve({**pair(site), "certificates": [pair(api)]})
    for name, trusted, expected in (("api.example", api, 0), ("site.example", site, 0),
                                    ("who.example", site, 60)):
        got = subprocess.run(["curl", "-sS", "--cacert", trusted.cert, "--resolve",
                              f"{name}:{server.port}:127.0.0.1", f"https://{name}:{server.port}/health"],
                             capture_output=True, text=True, timeout=60)
        assert got.returncode == expected, got.stderr


def test_certificates_alone_are_enough(serve, tmp_path, site):
    """Without server.tls.certificate the first of the list is the first of all."""
    other = Made(tmp_path, "other", names=["DNS:other.example"])
    server = serve({"certificates": [pair(site), pair(other)]})
    assert shown(server, "who.example") == site.der()
    assert shown(server, "other.example") == other.der()


def test_what_expires_soon_is_said(serve, tmp_path):
    server = serve(pair(Made(tmp_path, "old", days=5)))
    server.wait_for("event=tls_certificate_expires name=old days_left=[45]", 1)


def test_what_is_wrong_is_named(tmp_path, site):
    other = Made(tmp_path, "other")
    for tls, said in (
            ({**pair(site), "key": str(other.key)}, "other.key' is not that of certificate"),
            ({**pair(site), "key": "/nowhere"}, "key '/nowhere': No such file or directory (give"),
            ({"certificate": str(site.cert)}, "certificate and key go together; one is missing"),
            ({**pair(site), "certificates": [pair(other, names=["a b"])]}, "got 'a b'"),
            ({**pair(site), "min_version": "1.1"}, "expected one of 1.2, 1.3, got '1.1'")):
        got = subprocess.run([BUILD / "weir", "--config", configure(tmp_path, tls), "--check"],
                             capture_output=True, text=True, timeout=120)
        assert got.returncode == 78 and said in got.stderr and "server.tls" in got.stderr, got.stderr


# -- How hands are shaken --

def test_versions(serve, site):
    server = serve(pair(site))
    at = f"127.0.0.1:{server.port}"
    for flag in ("-tls1", "-tls1_1"):
        status, said = openssl("s_client", "-connect", at, flag, "-cipher", "DEFAULT:@SECLEVEL=0")
        assert status != 0 and "alert protocol version" in said, said
    for flag, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        status, said = openssl("s_client", "-connect", at, flag)
        assert status == 0 and f"New, {version}" in said, said
    # No forward secrecy, or no AEAD: no.
    for cipher in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"):
        status, said = openssl("s_client", "-connect", at, "-tls1_2", "-cipher", cipher)
        assert status != 0 and "handshake failure" in said, said
    # Nobody shakes hands twice, and nothing is compressed.
    status, said = openssl("s_client", "-connect", at, "-tls1_2", text="R\n")
    assert "no renegotiation" in said and "Compression: NONE" in said, said


def test_1_3_alone_where_that_is_asked(serve, site):
    server = serve({**pair(site), "min_version": "1.3"})
    at = f"127.0.0.1:{server.port}"
    status, said = openssl("s_client", "-connect", at, "-tls1_2")
    assert status != 0 and "alert protocol version" in said, said
    assert openssl("s_client", "-connect", at)[0] == 0


def test_a_protocol_that_is_not_spoken_is_refused_by_its_alert(serve, site):
    server = serve(pair(site))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(alpn=["smtp"])
        context.minimum_version = context.maximum_version = version
        with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
            connect(server, context)
    for offered, chosen in ((["http/1.1", "h2"], "h2"), (["smtp", "http/1.1"], "http/1.1"),
                            ([], None)):
        with connect(server, trusting(alpn=offered)) as wire:
            assert wire.selected_alpn_protocol() == chosen
    context = trusting()
    assert metric(server, context, "weir_tls_handshakes_total", result="failed") == 2
    assert metric(server, context, "weir_tls_handshakes_total", result="full") >= 3


# -- Files that change --

def wait_shown(server, made, name=None):
    deadline = time.monotonic() + 120
    while shown(server, name) != made.der():
        assert time.monotonic() < deadline, "\n".join(server.lines[-5:])
        time.sleep(0.05)


def load(server, seconds, streams=8):
    return subprocess.Popen(["h2load", "-D", str(seconds), "-c", "8", "-m", str(streams), "-t", "1",
                             f"https://127.0.0.1:{server.port}/health"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def assert_all_answered(process):
    said = process.communicate(timeout=300)[0]
    counts = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, "
                       r"(\d+) failed, (\d+) errored, (\d+) timeout", said)
    assert counts, said
    _, _, done, succeeded, failed, errored, timeout = map(int, counts.groups())
    assert failed == errored == timeout == 0 and succeeded == done > 0, said


def test_renewed_files_are_taken_up_under_load(serve, tmp_path, site):
    """h2load's connections go on, others shake hands all the while: no request fails."""
    server = serve(pair(site), "--workers", 2)
    with connect(server, trusting(site, alpn=["http/1.1"])) as old:
        held = load(server, 8)
        renewed = [Made(tmp_path, f"renewed-{i}", names=["IP:127.0.0.1"]) for i in range(3)]
        contexts = trusting(site, *renewed)
        for made in renewed:
            made.write_over(site)
            deadline = time.monotonic() + 120
            while True:
                with connect(server, contexts) as wire:  # each is shown one that it knows
                    if wire.getpeercert(binary_form=True) == made.der():
                        break
                assert time.monotonic() < deadline
        assert_all_answered(held)
        status, _ = talk(old, b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert status == 200
    context = trusting()
    assert metric(server, context, "weir_tls_reloads_total", result="done") == 3
    assert metric(server, context, "weir_tls_reloads_total", result="refused") == 0
    assert metric(server, context, "weir_tls_handshakes_total", result="failed") == 0
    assert not [line for line in server.lines if "refused" in line]


def test_sighup_takes_up_certificates_and_names(serve, tmp_path, site):
    server = serve(pair(site), "--workers", 2)
    other = Made(tmp_path, "other", names=["DNS:other.example"])
    configure(tmp_path, {**pair(site), "certificates": [pair(other)]})
    held = load(server, 3)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("event=reloaded", 60)
    wait_shown(server, other, "other.example")
    assert shown(server) == site.der()
    assert_all_answered(held)
    # What does not hold changes nothing.
    configure(tmp_path, {**pair(site), "key": str(other.key)})
    server.process.send_signal(signal.SIGHUP)
    line = server.wait_for("event=reload_refused.*", 60).group(0)
    assert "server.tls: key" in line and "is not that of certificate" in line
    assert shown(server, "other.example") == other.der()
    assert metric(server, trusting(), "weir_tls_reloads_total", result="refused") == 1
    # And what cannot change is said.
    configure(tmp_path, {})
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("event=reload_needs_restart.*server.tls", 60)
    assert shown(server, "other.example") == other.der()


def test_bad_files_change_nothing_and_are_told_once(serve, tmp_path, site):
    server = serve(pair(site))
    before = site.der()
    other = Made(tmp_path, "other")
    replace(site.cert, other.cert.read_text())
    line = server.wait_for("event=tls_reload_refused.*", 120).group(0)
    assert "is not that of certificate" in line
    assert shown(server) == before
    assert metric(server, trusting(), "weir_tls_reloads_total", result="refused") == 1
    replace(site.key, other.key.read_text())
    wait_shown(server, other)
    assert len([line for line in server.lines if "tls_reload_refused" in line]) == 1


def test_a_link_that_turns_is_a_change(serve, tmp_path, site):
    """As Kubernetes renews a secret: a link to the folder of the day."""
    other = Made(tmp_path, "other")
    for name, made in (("one", site), ("two", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_text(made.cert.read_text())
        (tmp_path / name / "tls.key").write_text(made.key.read_text())
    (tmp_path / "now").symlink_to("one")
    server = serve({"certificate": str(tmp_path / "now/tls.crt"),
                    "key": str(tmp_path / "now/tls.key")})
    assert shown(server) == site.der()
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "now")
    wait_shown(server, other)


# -- Sessions that are taken up again --

def visit(server, context, session=None):
    """(whether the session was taken up, the session to come back with)."""
    wire = socket.create_connection(("127.0.0.1", server.port), timeout=120)
    with context.wrap_socket(wire, server_hostname="localhost", session=session) as wire:
        assert talk(wire, b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")[0] == 200
        return wire.session_reused, wire.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_any_worker_takes_a_session_up(serve, site, version):
    server = serve(pair(site), "--workers", 4)
    context = trusting(alpn=["http/1.1"])
    context.minimum_version = context.maximum_version = version
    reused, session = visit(server, context)
    assert not reused
    for _ in range(24):  # each goes to a worker by chance
        reused, session = visit(server, context, session)
        assert reused
    assert metric(server, trusting(), "weir_tls_handshakes_total", result="resumed") == 24


def test_openssl_resumes_and_sends_no_early_data(serve, tmp_path, site):
    server = serve(pair(site))
    at, kept = f"127.0.0.1:{server.port}", tmp_path / "session"
    ask = "GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    status, said = openssl("s_client", "-connect", at, "-quiet", "-no_ign_eof", "-ign_eof",
                           "-sess_out", kept, text=ask)
    assert kept.exists(), said
    said = openssl("s_client", "-connect", at, "-sess_in", kept, "-ign_eof", text=ask)[1]
    assert "Reused, TLSv1.3" in said and "Early data was not sent" in said, said
    said = openssl("sess_id", "-in", kept, "-noout", "-text")[1]
    assert "Max Early Data: 0" in said, said


def test_a_session_outlives_one_rotation_and_not_two(serve, site):
    """With a period of seconds: as long as the key is new, or the one before, it is taken up."""
    server = serve({**pair(site), "ticket_rotation": "5s"}, "--workers", 2)
    context = trusting(alpn=["http/1.1"])
    started = time.monotonic()
    _, first = visit(server, context)
    taken = time.monotonic()
    last_reused = None
    while True:
        asked = time.monotonic()
        reused, _ = visit(server, context, first)
        if not reused:
            break
        last_reused = asked
        assert asked - started < 60, "it is never forgotten"
        time.sleep(0.2)
    # Two changes of keys lie between: the first within 5 s of it, the second 5 s later. The main
    # thread looks once a second.
    assert last_reused is not None and time.monotonic() - started > 5
    assert last_reused - taken < 10 + 2 + (asked - last_reused)


def test_a_fleet_shares_keys_by_a_file(start, tmp_path, site):
    keys = tmp_path / "tickets"
    keys.write_bytes(os.urandom(80))
    keys.chmod(0o600)
    config = configure(tmp_path, {**pair(site), "ticket_keys_file": str(keys)})
    one, two = (start("--config", config, model=False, tls=True) for _ in range(2))
    context = trusting(alpn=["http/1.1"])
    _, session = visit(one, context)
    reused, session = visit(two, context, session)
    assert reused
    # The next key comes in front, and in time the old one goes.
    second = os.urandom(80)
    fresh = tmp_path / "fresh"
    for content, expected in ((second + keys.read_bytes(), True), (second, False)):
        fresh.write_bytes(content)
        fresh.chmod(0o600)
        before = len([line for line in two.lines if "event=tls_reloaded" in line])
        os.replace(fresh, keys)
        deadline = time.monotonic() + 60
        while len([line for line in two.lines if "event=tls_reloaded" in line]) == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        deadline = time.monotonic() + 60
        while visit(two, context, session)[0] != expected:  # workers take it up in a moment
            assert time.monotonic() < deadline
    # A file that others can read is refused; what was there goes on.
    _, session = visit(two, context)
    keys.chmod(0o644)
    os.utime(keys)
    line = two.wait_for("event=tls_reload_refused.*", 60).group(0)
    assert "ticket_keys_file" in line and "mode 644" in line
    assert visit(two, context, session)[0]
