# SPDX-License-Identifier: Apache-2.0
"""Models that are only what a licence check looks at: a GGUF header with keys, a card, a text."""
import json
import struct
import subprocess

from conftest import BUILD

GGUF_UINT32, GGUF_STRING, GGUF_ARRAY = 4, 8, 9


def _string(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf(path, **keys):
    """A GGUF v3 file without tensors; `general_license="mit"` is the key general.license."""
    body = b""
    for name, value in keys.items():
        body += _string(name.replace("__", "\0").replace("_", ".").replace("\0", "_"))
        if isinstance(value, int):
            body += struct.pack("<II", GGUF_UINT32, value)
        elif isinstance(value, list):
            body += struct.pack("<IIQ", GGUF_ARRAY, GGUF_STRING, len(value))
            body += b"".join(_string(item) for item in value)
        else:
            body += struct.pack("<I", GGUF_STRING) + _string(value)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + body)
    return path


def card(folder, **front):
    """A model's folder with a README.md of that front matter (JSON is YAML)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{json.dumps(front, indent=1)}\n---\n# A model\n")
    return folder


def check(target, *flags, operator=None, scratch=None):
    """(exit status, parsed --json) of `weir check`; operator: the section, as a dict."""
    command = [str(BUILD / "weir"), "check", str(target), "--json", *map(str, flags)]
    if operator is not None:
        config = scratch / "weir.yaml"
        config.write_text(json.dumps({"operator": operator}))
        command += ["--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(("{", "[")), f"{command}: {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def verdicts(answer):
    """{condition id: verdict}"""
    return {condition["id"]: condition["verdict"] for condition in answer["conditions"]}


def condition(answer, name):
    found = [each for each in answer["conditions"] if each["id"] == name]
    assert len(found) == 1, f"{name} is not among {sorted(verdicts(answer))}"
    return found[0]
