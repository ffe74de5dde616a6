# SPDX-License-Identifier: Apache-2.0
"""Models that are only what a licence check looks at, and what it answers."""
import json
import subprocess

from conftest import BUILD


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
