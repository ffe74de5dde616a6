# SPDX-License-Identifier: Apache-2.0
"""Worked cases: a model, what the operator declares, and what weir must answer.

Each is one row of a table that a lawyer can read. The catalogue is the one that is shipped; models
are named or labelled, since licence texts are not kept here. Months are made relative to today
where a condition asks for a current figure.
"""
import datetime
import json

import pytest

from license_models import card, check, condition, verdicts


def month(ago):
    """The calendar month `ago` months before this one, UTC, as "2026-10"."""
    today = datetime.datetime.now(datetime.timezone.utc)
    index = today.year * 12 + today.month - 1 - ago
    return f"{index // 12}-{index % 12 + 1:02}"


LAST = month(1)


def users(count, when=LAST):
    return [{"month": when, "users": count, "signer": "cfo@example.org"}]


def revenue(value, period="month", when=LAST, currency="USD"):
    return [{"period": period, "value": value, "currency": currency, "ended": when}]


BERLIN = {"domicile": "DE", "principal_place_of_business": "DE"}
OSLO = {"domicile": "NO", "principal_place_of_business": "NO"}
TOKYO = {"domicile": "JP", "principal_place_of_business": "JP", "deployment_regions": ["JP"],
         "user_regions": ["JP"]}
BUSINESS = {"production": True, "commercial": True, "business_types": ["none"],
            "distributes_weights": False}

# (name, model as for `weir check`, operator, exit status, {condition: verdict})
CASES = [
    ("Llama 4 Scout for a company in Germany",
     "meta-llama/Llama-4-Scout-17B-16E-Instruct", {**BUSINESS, **BERLIN},
     2, {"llama4/eu-multimodal": "breach"}),
    ("Llama 4 Scout for a company in Norway, which is not in the EU",
     "meta-llama/Llama-4-Scout-17B-16E-Instruct",
     {**BUSINESS, **OSLO, "organisation_mau": users(1_200_000, "2025-03")},
     1, {"llama4/eu-multimodal": "met", "llama4/mau-700m": "watch",
         "llama4/built-with": "obligation"}),
    ("Llama 4, only the domicile declared",
     "meta-llama/Llama-4-Maverick-17B-128E", {"domicile": "FR"},
     2, {"llama4/eu-multimodal": "breach"}),
    ("Llama 4, nothing declared: nothing that depends on it is met",
     "meta-llama/Llama-4-Scout-17B-16E", {},
     3, {"llama4/eu-multimodal": "review", "llama4/mau-700m": "review"}),
    ("Llama 3.2 1B in Germany: text only, no bar",
     "meta-llama/Llama-3.2-1B-Instruct",
     {**BUSINESS, **BERLIN, "organisation_mau": users(90_000, "2024-08")},
     1, {"llama3.2/eu-multimodal": "met", "llama3.2/mau-700m": "watch"}),
    ("Llama 3.2 11B Vision in Germany",
     "meta-llama/Llama-3.2-11B-Vision-Instruct", {**BUSINESS, **BERLIN},
     2, {"llama3.2/eu-multimodal": "breach"}),
    ("Llama 3.3 70B in Germany: the bar bites on no published model",
     "meta-llama/Llama-3.3-70B-Instruct",
     {**BUSINESS, **BERLIN, "organisation_mau": users(90_000, "2024-11")},
     1, {"llama3.3/eu-multimodal": "met"}),
    ("Llama 3.1 at exactly 700,000,000 in its test month: not over",
     "meta-llama/Llama-3.1-8B-Instruct",
     {**BUSINESS, **OSLO, "organisation_mau": users(700_000_000, "2024-06")},
     1, {"llama3.1/mau-700m": "watch"}),
    ("Llama 3.1 one user above that",
     "meta-llama/Llama-3.1-8B-Instruct",
     {**BUSINESS, **OSLO, "organisation_mau": users(700_000_001, "2024-06")},
     2, {"llama3.1/mau-700m": "breach"}),
    ("Llama 3.1, the question answered instead of a figure",
     "meta-llama/Llama-3.1-8B-Instruct",
     {**BUSINESS, **OSLO, "answers": [{"metric": "mau", "above": 700_000_000, "month": "2024-06",
                                       "exceeded": False, "signer": "gc@example.org"}]},
     1, {"llama3.1/mau-700m": "watch"}),
    ("Llama 3.1, another month declared than the one that decides",
     "meta-llama/Llama-3.1-8B-Instruct",
     {**BUSINESS, **OSLO, "organisation_mau": users(1_000_000)},
     3, {"llama3.1/mau-700m": "review"}),
    ("Llama 3.1, small then and 800M now: cautious reading",
     "meta-llama/Llama-3.1-8B-Instruct",
     {**BUSINESS, **OSLO, "organisation_mau": users(1_000_000, "2024-06") + users(800_000_000)},
     3, {"llama3.1/mau-700m": "review"}),
    ("Llama 3.1, small then and 800M now: by the letter",
     "meta-llama/Llama-3.1-8B-Instruct",
     {**BUSINESS, **OSLO, "interpretation": "literal",
      "organisation_mau": users(1_000_000, "2024-06") + users(800_000_000)},
     1, {"llama3.1/mau-700m": "met"}),
    ("Llama 2 may not train other models, and has no name to show",
     "meta-llama/Llama-2-7b-chat-hf",
     {**BUSINESS, **BERLIN, "organisation_mau": users(10_000, "2023-06")},
     1, {"llama2/mau-700m": "watch", "llama2/outputs": "obligation"}),
    ("Llama, control of the operator changes",
     "meta-llama/Llama-3.1-8B-Instruct",
     {**BUSINESS, **OSLO, "change_of_control": True,
      "organisation_mau": users(10_000, "2024-06")},
     3, {"llama3.1/transfer": "review"}),
    ("Kimi K2.5 at 120M users of the product: the name is due",
     "moonshotai/Kimi-K2.5", {**BUSINESS, **OSLO, "product_mau": users(120_000_000)},
     1, {"kimi-k2.5/ui-name": "obligation"}),
    ("Kimi K2.5 at US$25M a month with 1M users: due too",
     "moonshotai/Kimi-K2.5",
     {**BUSINESS, **OSLO, "product_mau": users(1_000_000), "product_revenue": revenue(25_000_000)},
     1, {"kimi-k2.5/ui-name": "obligation"}),
    ("Kimi K2.5, small by both measures",
     "moonshotai/Kimi-K2.5",
     {**BUSINESS, **OSLO, "product_mau": users(1_000_000), "product_revenue": revenue(400_000)},
     0, {"kimi-k2.5/ui-name": "watch"}),
    ("Kimi K2.5, users declared but not the revenue",
     "moonshotai/Kimi-K2.5", {**BUSINESS, **OSLO, "product_mau": users(1_000_000)},
     3, {"kimi-k2.5/ui-name": "review"}),
    ("Kimi K3 for a model-as-a-service business with US$25M over 12 months",
     "moonshotai/Kimi-K3",
     {**BUSINESS, **OSLO, "business_types": ["model_as_a_service"],
      "revenue": revenue(25_000_000, "trailing_12_months"), "product_mau": users(5_000),
      "product_revenue": revenue(2_000_000)},
     2, {"kimi-k3/maas-revenue-20m": "breach"}),
    ("Kimi K3, the same revenue in another business",
     "moonshotai/Kimi-K3",
     {**BUSINESS, **OSLO, "revenue": revenue(25_000_000, "trailing_12_months"),
      "product_mau": users(5_000), "product_revenue": revenue(2_000_000)},
     1, {"kimi-k3/maas-revenue-20m": "met", "kimi-k3/ui-name": "watch"}),
    ("MiniMax M2.1: the name is due at any size",
     "MiniMaxAI/MiniMax-M2.1", {**BUSINESS, **OSLO},
     1, {"minimax-m2.1/ui-name": "obligation"}),
    ("MiniMax M2 at US$31M of recurring revenue",
     "MiniMaxAI/MiniMax-M2",
     {**BUSINESS, **OSLO, "product_mau": users(1_000), "product_revenue": revenue(31_000_000, "arr")},
     1, {"minimax-m2/ui-name": "obligation"}),
    ("Devstral 2 at US$21M last month",
     "mistralai/Devstral-2-123B-Instruct-2512",
     {**BUSINESS, **OSLO, "revenue": revenue(21_000_000)},
     2, {"mistral-modified-mit/revenue-20m": "breach"}),
    ("Devstral 2 at exactly US$20M: not over",
     "mistralai/Devstral-2-123B-Instruct-2512",
     {**BUSINESS, **OSLO, "revenue": revenue(20_000_000)},
     0, {"mistral-modified-mit/revenue-20m": "watch"}),
    ("Mistral Large 2 under MRL in production",
     "mistralai/Mistral-Large-Instruct-2411", {**BUSINESS, **OSLO},
     2, {"mrl-0.1/research-only": "breach"}),
    ("the same for research",
     "mistralai/Mistral-Large-Instruct-2411",
     {**OSLO, "production": False, "commercial": False, "distributes_weights": False},
     1, {"mrl-0.1/research-only": "met", "mrl-0.1/outputs": "obligation"}),
    ("the same in production, under a contract",
     "mistralai/Mistral-Large-Instruct-2411",
     {**BUSINESS, **OSLO, "acknowledge": [{"condition": "mrl-0.1/research-only",
                                           "reference": "contract 4711"}]},
     1, {"mrl-0.1/research-only": "watch"}),
    ("Codestral 22B in production",
     "mistralai/Codestral-22B-v0.1", {**BUSINESS, **OSLO},
     2, {"mnpl-0.1/non-production": "breach"}),
    ("Hunyuan with users in Korea",
     "tencent/Hunyuan-A13B-Instruct",
     {**BUSINESS, **TOKYO, "user_regions": ["JP", "KR"],
      "organisation_mau": users(50_000, "2025-05")},
     2, {"tencent-hunyuan-a13b/territory": "breach"}),
    ("Hunyuan in Japan alone",
     "tencent/Hunyuan-A13B-Instruct",
     {**BUSINESS, **TOKYO, "organisation_mau": users(50_000, "2025-05")},
     1, {"tencent-hunyuan-a13b/territory": "met"}),
    ("HyperCLOVA X SEED for a competitor of NAVER",
     "naver-hyperclovax/HyperCLOVAX-SEED-Text-Instruct-1.5B",
     {**BUSINESS, **TOKYO, "business_types": ["competes_with_publisher"],
      "organisation_mau": users(50_000, "2025-03")},
     2, {"hyperclovax-seed/competes": "breach"}),
    ("bilibili IndexTTS2 at 1.1bn yuan last year",
     "bilibili-index-2025-09-09",
     {**BUSINESS, **TOKYO, "organisation_mau": users(1_000_000),
      "revenue": revenue(1_100_000_000, "year", currency="CNY")},
     2, {"bilibili-index-2025-09-09/size": "breach"}),
    ("Baichuan 2 at exactly one million users a day: the grant asks for less",
     "baichuan-2", {**BUSINESS, **TOKYO, "organisation_dau": users(1_000_000)},
     2, {"baichuan-2/dau-1m": "breach"}),
    ("Stability above US$1M a year",
     "stabilityai-ai-community", {**BUSINESS, **OSLO, "revenue": revenue(1_500_000, "year")},
     2, {"stabilityai-ai-community/revenue-1m": "breach"}),
    ("LFM at exactly US$10M a year: its definition says at least",
     "lfm-1.0", {**BUSINESS, **OSLO, "nonprofit": False, "revenue": revenue(10_000_000, "year")},
     2, {"lfm-1.0/revenue-10m": "breach"}),
    ("Command R for a business",
     "cc-by-nc-4.0", {**BUSINESS, **OSLO}, 2, {"CC-BY-NC-4.0/non-commercial": "breach"}),
    ("DeepSeek V3's own licence binds users of a service",
     "deepseek-ai/DeepSeek-V3", {**BUSINESS, **OSLO},
     1, {"deepseek-model-1.0/flow-down": "obligation"}),
    ("SmolLM2: nothing to do but notices",
     "HuggingFaceTB/SmolLM2-135M-Instruct", {**BUSINESS, **BERLIN},
     0, {"Apache-2.0/notice": "met"}),
    ("SmolLM2, weights passed on: the notices",
     "HuggingFaceTB/SmolLM2-135M-Instruct", {**BUSINESS, **BERLIN, "distributes_weights": True},
     1, {"Apache-2.0/notice": "obligation"}),
]


@pytest.mark.parametrize("name,model,operator,status,expected", CASES, ids=[c[0] for c in CASES])
def test_case(name, model, operator, status, expected, tmp_path):
    code, answer = check(model, operator=operator, scratch=tmp_path)
    found = verdicts(answer)
    assert {key: found.get(key) for key in expected} == expected, json.dumps(answer, indent=1)
    assert code == status, json.dumps(answer, indent=1)
    for each in answer["conditions"]:
        assert each["clause"] or each["kind"] in ("recognition", "lineage"), each
        assert each["reason"], each
        if each["verdict"] in ("breach", "review", "obligation"):
            assert each["remedy"], each


@pytest.mark.parametrize("model,text", [
    ("moonshotai/Kimi-K2-Instruct", "Kimi K2"), ("moonshotai/Kimi-K2.5", "Kimi K2.5"),
    ("moonshotai/Kimi-K2.6", "Kimi K2.6"), ("moonshotai/Kimi-K2.7-Code", "Kimi K2.7 Code"),
])
def test_each_checkpoint_has_its_own_name_to_show(model, text, tmp_path):
    _, answer = check(model, operator={**BUSINESS, **OSLO, "product_mau": users(150_000_000)},
                      scratch=tmp_path)
    due = [each for each in answer["conditions"] if each["id"].endswith("/ui-name")]
    assert [each["text"] for each in due] == [text]


def test_an_acknowledgement_carries_its_reference(tmp_path):
    operator = {**BUSINESS, **OSLO, "acknowledge": [
        {"condition": "mrl-0.1/research-only", "reference": "contract 4711"}]}
    _, answer = check("mrl-0.1", operator=operator, scratch=tmp_path)
    research = condition(answer, "mrl-0.1/research-only")
    assert research["acknowledged"] == "contract 4711"
    assert research["literal"] == research["conservative"] == "breach"


def test_both_readings_are_given(tmp_path):
    operator = {**BUSINESS, **OSLO,
                "organisation_mau": users(1_000_000, "2024-06") + users(800_000_000)}
    _, answer = check("llama3.1", operator=operator, scratch=tmp_path)
    line = condition(answer, "llama3.1/mau-700m")
    assert (line["literal"], line["conservative"]) == ("met", "review")
    assert answer["literal"] == "obligation" and answer["conservative"] == "review"


def test_a_distilled_llama_stays_under_llama_terms(tmp_path):
    folder = card(tmp_path / "DeepSeek-R1-Distill-Llama-8B", license="mit")
    _, answer = check(folder, operator={**BUSINESS, **OSLO,
                                        "organisation_mau": users(5_000, "2024-06")},
                      scratch=tmp_path)
    assert {each["id"] for each in answer["licenses"]} == {"MIT", "llama3.1"}
    assert verdicts(answer)["llama3.1/built-with"] == "obligation"
    assert any("llama3.1" in each and "MIT" in each for each in answer["disagreements"])


def test_a_name_that_four_licences_share_is_for_review(tmp_path):
    folder = card(tmp_path / "some-model", license="other", license_name="modified-mit")
    code, answer = check(folder, operator={**BUSINESS, **OSLO}, scratch=tmp_path)
    assert code == 3 and answer["verdict"] == "review"
    assert any(each["kind"] == "recognition" and "modified-mit" in each["reason"]
               for each in answer["conditions"])


def test_a_research_model_labelled_otherwise_keeps_its_terms(tmp_path):
    folder = card(tmp_path / "Hammer2.0-3b", license="cc-by-4.0",
                  base_model="Qwen/Qwen2.5-3B-Instruct")
    code, answer = check(folder, operator={**BUSINESS, **OSLO}, scratch=tmp_path)
    assert code == 2 and answer["disagreements"]
    assert verdicts(answer)["qwen-research/research-only"] == "breach"
