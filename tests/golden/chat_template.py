#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes chat_template.json: what Python's Jinja2 makes of templates and chats.

    python3 chat_template.py > chat_template.json                     the cases of this file
    python3 chat_template.py FILE.jinja... > cases.json               those templates, all chats

Needs jinja2 (3.1). The environment is the one that the transformers library gives to chat
templates. A case is {name, template, input, output} or {name, template, input, error}.
"""
import copy
import datetime
import json
import sys

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chat_template_cases import CHATS, DATA, FAMILIES, REFUSED, SMALL

NOW_UNIX = 1785000000  # 2026-07-25 17:20:00 UTC


class Generation(Extension):
    """{% generation %} marks what the model wrote; for the text it is a scope like any other."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def strftime_now(pattern):
    return datetime.datetime.fromtimestamp(NOW_UNIX, datetime.timezone.utc).strftime(pattern)


def make_environment():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = tojson
    environment.filters["from_json"] = json.loads
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment


def render(template, chat):
    variables = {"tools": None, "documents": None, "add_generation_prompt": False,
                 "bos_token": "<s>", "eos_token": "</s>", "messages": []}
    variables.update({key: value for key, value in chat.items() if key != "extra"})
    variables.update(chat.get("extra", {}))
    return make_environment().from_string(template).render(**variables)


def make_result(template, chat):
    try:
        return {"output": render(template, copy.deepcopy(chat))}  # some filters change lists
    except TemplateError as error:
        return {"error": str(error)}
    except Exception as error:  # whatever Python raises, the interpreter must refuse too
        return {"error": f"{type(error).__name__}: {error}"}


def make_case(name, template, inputs):
    if any(text in template for text in REFUSED):
        results = {title: {"error": "outside the subset"} for title in inputs}
    else:
        results = {title: make_result(template, chat) for title, chat in inputs.items()}
    return {"name": name, "template": template, "results": results}


def main():
    inputs = dict(CHATS)
    if len(sys.argv) > 1:
        cases = [make_case(path.rsplit("/", 1)[-1], open(path, encoding="utf-8").read(), CHATS)
                 for path in sys.argv[1:]]
    else:
        inputs["data"] = DATA
        cases = [make_case(str(index), template, {"data": DATA})
                 for index, template in enumerate(SMALL)]
        cases += [make_case(name, template, CHATS) for name, template in FAMILIES.items()]
    json.dump({"inputs": inputs, "cases": cases}, sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    main()
