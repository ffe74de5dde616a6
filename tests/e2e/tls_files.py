# SPDX-License-Identifier: Apache-2.0
"""Certificates and keys as files, made by openssl, and clients that look at what they are shown."""
import os
import re
import socket
import ssl
import subprocess


def openssl(*arguments, text=None, timeout=120):
    """(exit status, everything printed)."""
    result = subprocess.run(["openssl", *map(str, arguments)], input=text or "",
                            capture_output=True, text=True, timeout=timeout)
    return result.returncode, result.stdout + result.stderr


def replace(path, text):
    """At once, as tools that renew certificates do."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.chmod(0o600)
    os.replace(fresh, path)


class Made:
    """A certificate and its key: `cert` and `key` are paths, in a folder of the test's own."""

    def __init__(self, folder, name, *, subject=None, names=(), issuer=None, authority=False,
                 days=30):
        self.name = name
        self.cert, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                   "-nodes", "-days", days, "-subj", subject or f"/CN={name}", "-keyout", self.key,
                   "-out", self.cert]
        if names:
            command += ["-addext", "subjectAltName=" + ",".join(names)]
        if issuer:
            command += ["-CA", issuer.cert, "-CAkey", issuer.key]
        if not authority:
            command += ["-addext", "basicConstraints=critical,CA:FALSE"]
        status, said = openssl(*command)
        assert status == 0, said

    def write_over(self, other):
        """Its files become the other's, the certificate first."""
        replace(other.cert, self.cert.read_text())
        replace(other.key, self.key.read_text())

    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.cert.read_text().split("-----END CERTIFICATE-----")[0]
                                        + "-----END CERTIFICATE-----")


def trusting(*certificates, client=None, alpn=("h2", "http/1.1")):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if certificates else ssl.CERT_NONE
    for each in certificates:
        context.load_verify_locations(each.cert)
    if client:
        context.load_cert_chain(client.cert, client.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def connect(server, context, name=None):
    wire = socket.create_connection(("127.0.0.1", server.port), timeout=120)
    try:
        return context.wrap_socket(wire, server_hostname=name)
    except BaseException:
        wire.close()
        raise


def shown(server, name=None):
    """The certificate that a client who asks for this name is shown, as DER."""
    with connect(server, trusting(), name) as wire:
        return wire.getpeercert(binary_form=True)


def metric(server, context, name, **labels):
    """As Server.metric, over TLS."""
    total = 0.0
    for line in get(server, context, "/metrics")[1].splitlines():
        match = re.match(r"([\w:]+)(?:\{(.*)\})? (\S+)$", line)
        if match and match.group(1) == name and all(
                f'{key}="{value}"' in (match.group(2) or "") for key, value in labels.items()):
            total += float(match.group(3))
    return total


def talk(wire, request):
    wire.sendall(request)
    answer = b""
    while chunk := wire.recv(65536):
        answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def get(server, context, path):
    context.set_alpn_protocols(["http/1.1"])
    with connect(server, context) as wire:
        return talk(wire, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
                    .encode())
