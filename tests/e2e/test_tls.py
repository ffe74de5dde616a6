# SPDX-License-Identifier: Apache-2.0
"""TLS as real clients meet it: openssl, curl, Python's ssl."""
import json
import re
import ssl
import subprocess
import time

import pytest

from conftest import BUILD, MODEL
from tls_files import Made, connect, get, metric, openssl, shown, trusting


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
