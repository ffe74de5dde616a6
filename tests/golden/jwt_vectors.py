#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a JWKS document with a key of each kind, tokens that they signed, and seeds for fuzzing
(needs the package cryptography). The private halves are thrown away.

    jwt_vectors.py          from the root of the source: jwt-keys.json, jwt-tokens.txt, seeds
"""
import base64
import hashlib
import hmac
import json
import pathlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

CLAIMS = {"iss": "https://id.example", "sub": "alice", "aud": ["weir", "other"],
          "iat": 1796083200, "nbf": 1796083200, "exp": 4102444800}
SECRET = bytes(range(32))
GOLDEN, SEEDS = pathlib.Path("tests/golden"), pathlib.Path("tests/fuzz/corpus")


def spell(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, count=None):
    return spell(value.to_bytes(count or (value.bit_length() + 7) // 8, "big"))


def token(header, claims, sign):
    signed = ".".join(spell(json.dumps(part, separators=(",", ":")).encode())
                      for part in (header, claims))
    return signed + "." + spell(sign(signed.encode()))


def make():
    of_rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    of_ec = ec.generate_private_key(ec.SECP256R1())
    of_ed = ed25519.Ed25519PrivateKey.generate()

    def sign_ec(data):
        r, s = utils.decode_dss_signature(of_ec.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    public_rsa, public_ec = of_rsa.public_key().public_numbers(), of_ec.public_key().public_numbers()
    keys = [
        {"kty": "oct", "kid": "hs", "alg": "HS256", "k": spell(SECRET)},
        {"kty": "RSA", "kid": "rs", "use": "sig", "n": number(public_rsa.n),
         "e": number(public_rsa.e)},
        {"kty": "EC", "kid": "es", "crv": "P-256", "x": number(public_ec.x, 32),
         "y": number(public_ec.y, 32)},
        {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "key_ops": ["verify"],
         "x": spell(of_ed.public_key().public_bytes_raw())},
    ]
    signers = {"HS256": ("hs", lambda data: hmac.new(SECRET, data, hashlib.sha256).digest()),
               "RS256": ("rs", lambda data: of_rsa.sign(data, padding.PKCS1v15(),
                                                        hashes.SHA256())),
               "ES256": ("es", sign_ec), "EdDSA": ("ed", of_ed.sign)}
    tokens = {name: token({"alg": name, "typ": "JWT", "kid": kid}, CLAIMS, sign)
              for name, (kid, sign) in signers.items()}
    return keys, tokens


def seed(target, name, data):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode())


def main():
    keys, tokens = make()
    document = json.dumps({"keys": keys}, indent=1) + "\n"
    (GOLDEN / "jwt-keys.json").write_text(document)
    (GOLDEN / "jwt-tokens.txt").write_text("".join(f"{text}\n" for text in tokens.values()))
    seed("jwks", "all", document)
    for key in keys:
        seed("jwks", key["kid"], json.dumps({"keys": [key]}))
    for name, text in tokens.items():
        seed("jwt", name.lower(), "T" + text)
    seed("jwt", "signed", "S" + '{"alg":"HS256","kid":"hs"}\n' + json.dumps(CLAIMS))


if __name__ == "__main__":
    main()
