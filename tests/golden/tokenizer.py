#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes awkward strings, and the ids that llama.cpp gives them.

    tests/golden/tokenizer.py LLAMA_TOKENIZE MODEL.gguf > tests/golden/tokenizer.txt
    for v in gpt2 smollm llama-bpe qwen2 default spm; do
        tests/golden/tokenizer.py LLAMA_TOKENIZE tests/golden/vocab-$v.gguf > tests/golden/vocab-$v.txt
    done

tokenizer.txt is for the default model, the others for the vocabularies of vocabularies.py. A line
is: the way, the text in hex ("-" when it is empty), and the ids. The ways: "special" looks for
special tokens in the text, "plain" does not, "whole" does and adds bos and eos as the file asks.
Every text is UTF-8: for other bytes llama.cpp and weir differ on purpose.
"""
import random
import subprocess
import sys
import tempfile

FIXED = [
    "", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", "\t\t", " \n", "\n ", " \n \n  x", "a", " a", "a ",
    "Hello, world!", "Hello world", " Hello world", "  Hello  world  ", "Hello\tworld\n", "hello\r\nworld\r\n",
    "it's I'm you're we've he'll she'd don't", "IT'S I'M YOU'RE WE'VE HE'LL SHE'D DON'T",
    "It'S i'M You'Re 'S 'T 're'll", "'s", "'", "''", " 's", "o'clock rock'n'roll", "\u2019s it\u2019s",
    "0", "12", "123", "1234", "12345678901234567890", "3.14159", "1,000,000", "2026-11-23T10:04:05Z", " 1 2  3",
    "a1b2c3", "x=1;y=22;z=333", "10%", "$99.95", "\u0661\u0662\u0663", "\u00bd \u2153 \u2460 \u2167", "5\u00b2 H\u2082O",
    "1\u0663\u0032\u0034\u0035", "\u0967\u0968\u0969",
    "\u00a0", "a\u00a0b", "\u00a0\u00a0 x", "\u2003em\u2003space", "\u3000ideographic\u3000", "a\u0085b", "a\u1680b",
    "a\u180eb \u180e c", "\u2028line\u2029para", "\u200bzero\u200bwidth\ufeff", "a\x0bb\x0cc", "a\x1cb\x1dc\x1e\x1f",
    "\x00", "a\x00b", "\x00\x00\x00", "\x01\x02\x7f", "\x80\x9f".encode("latin-1").decode("latin-1"),
    "caf\u00e9", "cafe\u0301", "\u0301", " \u0301\u0302", "na\u00efve co\u00f6perate", "Z\u0351\u036b\u0343\u036aa\u0302l\u0323g\u0306o\u030b",
    "\u01c4\u01c5\u01c6 \ufb01\ufb02 \u017f \u212a \u0130\u0131 \u1e9e\u00df", "'\u017f 'K'",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8", "\u4f60 \u597d",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0627\u064e\u0644\u0652\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u064e\u0651\u0629",
    "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0bae\u0bca\u0bb4\u0bbf", "\u1019\u103c\u1014\u103a\u1019\u102c", "\u12a0\u121b\u122d\u129b", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5", "\u1403\u14c4\u1483\u144e\u1450\u1466", "\U00010348\U00010330", "\U0001d400\U0001d7d8\U0001d7d9",
    "\U00020000\U0002a6d6", "\u0378\u0379 \U000e0001 \U0010ffff \ue000",
    "\U0001f600", "\U0001f600\U0001f601 \U0001f602", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea\U0001f1ef\U0001f1f5",
    "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\U0001f9d1\u200d\U0001f4bb codes", "ok\U0001f44c.",
    "!", "!!!", "?!...", "---", "-- --", "***bold***", "#!/bin/sh", "@user #tag", "a/b\\c", "(a[b]{c})", "<>&\"'`", "~^|_",
    "\u2026\u2014\u2013\u201cquoted\u201d", "\u00bfQu\u00e9? \u00a1S\u00ed!", "\u20ac5 \u00a34 \u00a53", "a\u00b7b\u2022c", "x\u2260y \u2264 z \u2211\u222b",
    "foo_bar fooBar FooBAR foo-bar", "http://example.com/a?b=c&d=e#f", "user@example.com", "C:\\Windows\\System32",
    "int main(void)\n{\n    return 0;\n}\n", "def f(x):\n\treturn x ** 2\n\n\nclass A:\n    pass\n",
    "if (a != b && c >= d || !e) { x += 1; }", "SELECT * FROM t WHERE id='1' -- x", "{\"a\": [1, 2.5e-3, null], \"b\": \"\\u00e9\"}",
    "<div class=\"x\">text</div>", "```c\nputs(\"hi\");\n```", "\\frac{1}{2}\\sum_{i=0}^{n}", "    indented\n        more\n",
    "a  b   c    d     e", "trailing   ", "   leading", "\n\n\n\n\n", " \t \t ", "a\n\n\n b", "x \n\n y", "\t\n\t\n", "a \r\n b", "\n \n \n",
    "end.\n\n\nStart", "1.\n2.\n3.", "- a\n- b\n  - c",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ababababababababababababababab",
    "9" * 70, "=" * 100, " " * 200, "\n" * 130, "\U0001f600" * 40, "\u4e00" * 60, "xX" * 90, "Na" * 33 + " Batman!",
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start", "|im_start|>", "<|im_start|", "<|im_end|><|im_end|>", " <|im_end|> ", "<|IM_END|>", "<||im_end|>", "<<|im_end|>>",
    "<|im_\u200bend|>", "a<|endoftext|>b", "<repo_name>x<file_sep>y", "<reponame><filename><gh_stars>", "<issue_start>1<issue_comment>",
    "<jupyter_start><jupyter_text>a<jupyter_code>b<jupyter_output>c<empty_output>", "</s><s><unk><pad>", "[INST] [/INST]", "<|system|>", "<0x0A>",
    "\u0120the \u010a", "\u2581Hello\u2581world", "[UNK]", "\ufffd", "\ufffd\ufffd a",
    "The quick brown fox jumps over the lazy dog. " * 4,
    "Antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
]

ALPHABETS = [
    "abc '\n", "aA1 .\t\n", "\u00e9\u0301 e'sS", "\u4f60a1 \u3002", " \t\r\n\u00a0\u2003", "012 ,.\u0663\u00b2", "'sStTrReEvVmMlLdD ",
    "<|im_startend>", "\U0001f600\u200d\ufe0f\U0001f3fd ", "(){}[];:=+-*/ \nxy1",
]


def texts():
    yield from FIXED
    chance = random.Random(20261123)
    for alphabet in ALPHABETS:
        for length in (3, 7, 17, 40):
            yield "".join(chance.choice(alphabet) for _ in range(length))


def ids(tokenize, model, text, way):
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        command = [tokenize, "-m", model, "-f", file.name, "--ids", "--no-escape", "--log-disable"]
        if way != "whole":
            command.append("--no-bos")
        if way == "plain":
            command.append("--no-parse-special")
        result = subprocess.run(command, capture_output=True, check=True)
    return result.stdout.decode().strip().strip("[]").replace(",", "")


def main():
    tokenize, model = sys.argv[1:]
    for number, text in enumerate(texts()):
        ways = ["special"]
        if "<" in text:
            ways.append("plain")
        if number % 10 == 7:
            ways.append("whole")
        for way in ways:
            tokens = ids(tokenize, model, text, way) if text else ""
            print(" ".join([way, text.encode().hex() or "-", tokens]).strip())


if __name__ == "__main__":
    main()
