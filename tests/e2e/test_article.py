# SPDX-License-Identifier: Apache-2.0
"""What is said of these licences, what their texts say, and what weir answers.

A widely read article on open-weights licences is where this began. Each row states its claim and
the text's own words in ours; the function below the table holds weir to the text.
"""
import pytest

from license_models import check, condition, verdicts
from test_worked_cases import BERLIN, BUSINESS, OSLO, revenue, users

SMALL = {**BUSINESS, **OSLO, "organisation_mau": (
    users(10_000) + users(10_000, "2024-06") + users(10_000, "2025-03"))}

CLAIMS = {
    "llama-700m": (
        "A product that crosses 700M monthly users needs a licence of Meta's.",
        "Section 2 asks once, at the version's release date, about the month before, and counts all "
        "products of the licensee and its affiliates; later growth does not trigger that version.",
        "Literal: decided by the test month. Conservative: watched as a running line as well."),
    "llama-4-eu": (
        "Llama 4 is not available to companies domiciled in the EU.",
        "The use policy, not the licence, withholds multimodal models from individuals domiciled in, "
        "and companies with principal place of business in, the EU; end users are not affected.",
        "Breach for Berlin, none for Oslo, and none for text-only Llama 3.2 in Berlin."),
    "poison-pill": (
        "A clause makes a company that uses Llama unsellable.",
        "There is none: the grant is not transferable and affiliates count at the release date.",
        "No breach; a declared change of control is for review."),
    "mistral-large-3": (
        "Mistral Large 3 is under the Mistral Research License.",
        "Its model card says Apache-2.0; MRL holds for Large 2 (2407, 2411).",
        "Apache-2.0 for Large 3, MRL for Large 2."),
    "mrl-production": (
        "MRL: research is free, production is not.",
        "Section 3.2 limits models, derivatives and outputs to research.",
        "Breach in production, met in research, outputs an obligation either way."),
    "rail-publish": (
        "RAIL is viral copyleft that forces the publishing of weights.",
        "It has no duty to publish; what passes on is the list of use restrictions. Copyleft on "
        "weights is what CC-BY-SA and AGPL have.",
        "A flow-down obligation and no copyleft condition for RAIL; copyleft for CC-BY-SA and AGPL."),
    "kimi-100m": (
        "Kimi K2.5 asks for its name on screen above 100M monthly users.",
        "Also above US$20M of monthly revenue, for each product that uses it.",
        "Due by either limb."),
    "deepseek-v3.2": (
        "DeepSeek V3.2 is under the DeepSeek licence.",
        "Its repository has MIT; the DeepSeek licence holds for V3.",
        "MIT for V3.2, the DeepSeek licence for V3."),
    "qwen-3.5": (
        "Qwen 3.5 is Apache-2.0 or Qwen.",
        "All its open weights are Apache-2.0; older ones have three licences by size.",
        "Apache-2.0 for 3.5; qwen, qwen-research and Apache-2.0 among 2.5."),
    "osaid": (
        "OLMo and Pythia are open source by OSAID (which it dates to 2026).",
        "They are Apache-2.0; the definition is of 2024-10-28.",
        "Apache-2.0 meets its terms; Llama's does not."),
    "ai-act": (
        "European users of Llama or MRL lose the AI Act's open-source exemption.",
        "The exemption is the model provider's (Art. 53(2)); thresholds and non-commercial terms lose "
        "it (Guidelines C(2025) 5045, para. 83), attribution alone may not (para. 80).",
        "no for Llama and MRL, uncertain for Kimi K2.5, yes for Apache, with whose it is."),
    "only-apache": (
        "Apache-2.0 is the only licence without limits on field, size or copyleft.",
        "MIT, BSD, OpenMDW, CC-BY and CC0 have none either; the patent grant is the difference.",
        "All permissive; patent yes for Apache and OpenMDW, no for MIT, BSD and CC."),
}


def ids(model, operator, scratch):
    return check(model, operator=operator, scratch=scratch)[1]


def kinds(answer, kind):
    return [each for each in answer["conditions"] if each["kind"] == kind]


def hold_llama_700m(scratch):
    grown = {**SMALL, "organisation_mau": users(10_000, "2024-06") + users(900_000_000)}
    line = condition(ids("llama3.1", grown, scratch), "llama3.1/mau-700m")
    assert line["literal"] == "met" and line["conservative"] == "review"
    assert "2024-06" in line["reason"]


def hold_llama_4_eu(scratch):
    bar = "llama4/eu-multimodal"
    scout = "meta-llama/Llama-4-Scout-17B-16E"
    berlin = {**BUSINESS, **BERLIN}
    assert verdicts(ids(scout, berlin, scratch))[bar] == "breach"
    assert verdicts(ids(scout, SMALL, scratch))[bar] == "met"
    assert verdicts(ids("meta-llama/Llama-3.2-1B", berlin, scratch))["llama3.2/eu-multimodal"] == "met"


def hold_poison_pill(scratch):
    assert verdicts(ids("llama3.1", SMALL, scratch))["llama3.1/transfer"] == "watch"
    sold = {**SMALL, "change_of_control": True}
    assert verdicts(ids("llama3.1", sold, scratch))["llama3.1/transfer"] == "review"
    assert "breach" not in verdicts(ids("llama3.1", sold, scratch)).values()


def hold_mistral_large_3(scratch):
    large_3 = ids("mistralai/Mistral-Large-3-675B-Instruct-2512", SMALL, scratch)
    assert large_3["license"]["id"] == "Apache-2.0"
    for large_2 in ("Mistral-Large-Instruct-2407", "Mistral-Large-Instruct-2411"):
        assert ids(f"mistralai/{large_2}", SMALL, scratch)["license"]["id"] == "mrl-0.1"


def hold_mrl_production(scratch):
    research = {**SMALL, "production": False, "commercial": False}
    assert verdicts(ids("mrl-0.1", SMALL, scratch))["mrl-0.1/research-only"] == "breach"
    allowed = verdicts(ids("mrl-0.1", research, scratch))
    assert allowed["mrl-0.1/research-only"] == "met"
    assert allowed["mrl-0.1/outputs"] == "obligation"


def hold_rail_publish(scratch):
    for rail in ("creativeml-openrail-m", "bigscience-openrail-m", "bigcode-openrail-m",
                 "bigscience-bloom-rail-1.0"):
        answer = ids(rail, SMALL, scratch)
        assert not kinds(answer, "copyleft"), rail
        assert [each["verdict"] for each in kinds(answer, "flow_down")] == ["obligation"], rail
    for copyleft in ("CC-BY-SA-4.0", "AGPL-3.0-only"):
        assert kinds(ids(copyleft, SMALL, scratch), "copyleft"), copyleft


def hold_kimi_100m(scratch):
    many = {**SMALL, "product_mau": users(100_000_001), "product_revenue": revenue(1)}
    rich = {**SMALL, "product_mau": users(1), "product_revenue": revenue(20_000_001)}
    neither = {**SMALL, "product_mau": users(100_000_000), "product_revenue": revenue(20_000_000)}
    for operator, verdict in ((many, "obligation"), (rich, "obligation"), (neither, "watch")):
        assert verdicts(ids("kimi-k2.5", operator, scratch))["kimi-k2.5/ui-name"] == verdict


def hold_deepseek_v3_2(scratch):
    assert ids("deepseek-ai/DeepSeek-V3.2", SMALL, scratch)["license"]["id"] == "MIT"
    assert ids("deepseek-ai/DeepSeek-V3", SMALL, scratch)["license"]["id"] == "deepseek-model-1.0"


def hold_qwen_3_5(scratch):
    for model, license_id in (("Qwen/Qwen3.5-27B", "Apache-2.0"), ("Qwen/Qwen2.5-72B", "qwen"),
                              ("Qwen/Qwen2.5-3B", "qwen-research"), ("Qwen/Qwen2.5-7B", "Apache-2.0"),
                              ("Qwen/Qwen-7B", "tongyi-qianwen")):
        assert ids(model, SMALL, scratch)["license"]["id"] == license_id, model


def hold_osaid(scratch):
    for model in ("allenai/OLMo-7B", "EleutherAI/pythia-1.4b"):
        assert ids(model, SMALL, scratch)["osaid"]["answer"] == "yes", model
    assert ids("llama3.1", SMALL, scratch)["osaid"]["answer"] == "no"


def hold_ai_act(scratch):
    for license_id, exemption in (("llama3.1", "no"), ("mrl-0.1", "no"), ("kimi-k2.5", "uncertain"),
                                  ("Apache-2.0", "yes")):
        answer = ids(license_id, SMALL, scratch)["ai_act"]
        assert answer["exemption"] == exemption, license_id
        assert "provider" in answer["reason"], license_id


def hold_only_apache(scratch):
    for license_id, patent in (("Apache-2.0", "yes"), ("OpenMDW-1.1", "yes"), ("MIT", "no"),
                               ("BSD-3-Clause", "no"), ("CC-BY-4.0", "no"), ("CC0-1.0", "no")):
        first = ids(license_id, SMALL, scratch)["licenses"][0]
        assert first["category"] == "permissive" and first["grants"]["patent"] == patent, license_id


@pytest.mark.parametrize("claim", CLAIMS)
def test_claim(claim, tmp_path):
    globals()["hold_" + claim.replace("-", "_").replace(".", "_")](tmp_path)
