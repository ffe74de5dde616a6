#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the rules that a compiler does not: sizes, include direction, banned calls.

    house.py FILE...    prints one line a breach and exits 1 if there was any
"""
import re
import sys

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
HEADER_LINES_MAX = 200
PARAMETERS_MAX = 6
COLUMNS_MAX = 100

# A file may include its own floor and those to the right of it here.
BELOW = {
    "daemon": {"batching", "models", "kernels", "policy", "base"},
    "batching": {"models", "kernels", "base"},
    "models": {"kernels", "base"},
    "kernels": {"base"},
    "policy": {"base"},
    "base": set(),
}
BANNED = ("strcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "atoi", "atol", "atoll",
          "atof", "alloca", "rand", "srand", "localtime", "gmtime", "asctime", "ctime", "tmpnam",
          "mktemp", "system", "popen", "exit", "abort")
# Words of work that is not finished; spelled apart so that this file passes its own check.
UNFINISHED = ("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK")
# Of CUDA, what port.cuh alone may say: there is no other place where a GPU and tests/emulator differ.
PORT = "kernels/cuda/port.cuh"
PORT_ONLY = (("inline assembly", re.compile(r"\basm\b")), ("<<<", re.compile("<<<")),
             ("plain __shared__", re.compile(r"\b__shared__\b")),
             ("WEIR_EMULATED_CUDA", re.compile(r"^\s*#.*\bWEIR_EMULATED_CUDA\b")))
ALLOWED = {"tests": {"exit", "abort", "system"}}

SIGNATURE = re.compile(r"^[A-Za-z_][^;={}]*\)$", re.S)


def strip(source):
    """The source with comments and literals blanked, line breaks kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, source, flags=re.S)


def parameters(signature):
    """How many parameters the outermost last parenthesis holds."""
    depth, start = 0, None
    for at in range(len(signature) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(signature[at], 0)
        if depth == 0:
            start = at
            break
    inside = signature[start + 1:-1].strip()
    if inside in ("", "void"):
        return 0
    depth = commas = 0
    for c in inside:
        depth += {"(": 1, ")": -1}.get(c, 0)
        commas += c == "," and depth == 0
    return commas + 1


def functions(lines):
    """(name, first line, line count, parameter count) of every function defined in the file: the
    brace of a body stands alone in column one, which clang-format sees to."""
    for number, line in enumerate(lines):
        if line != "{":
            continue
        first = number - 1
        while first > 0 and lines[first - 1].strip() and not lines[first - 1].startswith(("}", "#")):
            first -= 1
        signature = "\n".join(lines[first:number]).strip()
        if not SIGNATURE.match(signature):
            continue
        last = lines.index("}", number)
        name = re.search(r"(\w+)\s*\(", signature)
        yield name.group(1) if name else "?", first + 1, last - first + 1, parameters(signature)


def check_includes(path, text):
    floor = path.split("/")[0]
    if floor not in BELOW:
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if match:
            other = match.group(1).split("/")[0]
            if other != floor and other not in BELOW[floor]:
                yield number, f"{floor}/ may not include {match.group(1)}: it is not below"


def check_port(path, code):
    if not path.startswith(("kernels/cuda/", "tests/unit/cuda/")) or path == PORT:
        return
    for number, line in enumerate(code.splitlines(), 1):
        for what, pattern in PORT_ONLY:
            if pattern.search(line):
                yield number, f"{what} belongs into {PORT}"


def check(path):
    text = open(path, encoding="utf-8").read()
    lines = text.splitlines()
    code = strip(text)
    limit = HEADER_LINES_MAX if path.endswith(".h") else FILE_LINES_MAX
    if len(lines) > limit:
        yield 1, f"{len(lines)} lines, at most {limit}: it asks for a room of its own"
    if not lines or lines[0] != "/* SPDX-License-Identifier: Apache-2.0 */":
        yield 1, "the first line is not the SPDX line"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield number, f"{len(line)} columns, at most {COLUMNS_MAX}"
        for word in UNFINISHED:
            if re.search(rf"\b{word}\b", line):
                yield number, f"'{word}': finish it, or file an issue"
    banned = set(BANNED) - ALLOWED.get(path.split("/")[0], set())
    for number, line in enumerate(code.splitlines(), 1):
        for match in re.finditer(r"(?<![\w.>])(\w+)\s*\(", line):
            if match.group(1) in banned:
                yield number, f"{match.group(1)}() is banned"
    for name, number, count, parameter_count in functions(code.splitlines()):
        if count > FUNCTION_LINES_MAX:
            yield number, f"{name}() has {count} lines, at most {FUNCTION_LINES_MAX}"
        # A callback's shape is its library's.
        if parameter_count > PARAMETERS_MAX and not name.startswith("on_"):
            yield number, f"{name}() takes {parameter_count} parameters, at most {PARAMETERS_MAX}"
    yield from check_includes(path, text)
    yield from check_port(path, code)


def main():
    breaches = 0
    for path in sys.argv[1:]:
        for number, message in check(path):
            print(f"{path}:{number}: {message}")
            breaches += 1
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
