#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes vocab-*.gguf: small vocabularies that show where a tokenizer cuts.

    tests/golden/vocabularies.py tests/golden

Merges are learnt from text that was not cut at all, so they reach across every boundary that a
pre-tokeniser draws, and a boundary in another place gives other ids. The five byte-level files
differ in tokenizer.ggml.pre alone. vocab-spm.gguf has scores, byte tokens and a space prefix.
"""
import collections
import struct
import sys

from tokenizer import texts

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
MERGES = 420


def spelled_bytes():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable}
    table.update({b: chr(0x100 + i) for i, b in enumerate(others)})
    return table


def learn(words):
    """The most frequent neighbours, again and again; ties by the order of first sight."""
    merges = []
    for _ in range(MERGES):
        pairs = collections.Counter(pair for word in words for pair in zip(word, word[1:]))
        if not pairs:
            break
        best = max(pairs, key=pairs.get)
        merges.append(best)
        for word in words:
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == best:
                    word[at:at + 2] = [best[0] + best[1]]
                at += 1
    return merges


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def key(name, value):
    head = string(name)
    if isinstance(value, bool):
        return head + struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return head + struct.pack("<II", 4, value)
    if isinstance(value, str):
        return head + struct.pack("<I", 8) + string(value)
    kind, form = {int: (5, "<i"), float: (6, "<f"), str: (8, None)}[type(value[0])]
    elements = b"".join(string(v) if form is None else struct.pack(form, v) for v in value)
    return head + struct.pack("<IIQ", 9, kind, len(value)) + elements


def write(path, keys):
    shape = {"general.architecture": "llama", "llama.context_length": 64, "llama.embedding_length": 8,
             "llama.block_count": 1, "llama.feed_forward_length": 8, "llama.attention.head_count": 1}
    keys = {**shape, **keys}
    body = b"".join(key(name, value) for name, value in keys.items())
    with open(path, "wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(keys)) + body)


def byte_level(folder):
    table = spelled_bytes()
    merges = learn([[table[b] for b in text.encode()] for text in texts() if "<|" not in text])
    special = [("<|endoftext|>", CONTROL), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL),
               ("<|im_end|><|im_end|>", CONTROL), ("<file_sep>", USER_DEFINED)]
    tokens = [name for name, _ in special] + [table[b] for b in range(256)]
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
    # a token that no merge makes: only a tokenizer that ignores merges finds it
    tokens.append("Windows")
    types = [kind for _, kind in special] + [NORMAL] * (len(tokens) - len(special))
    for pre in ("gpt2", "smollm", "llama-bpe", "qwen2", "default"):
        ends = {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True} if pre == "qwen2" else {}
        write(f"{folder}/vocab-{pre}.gguf", {
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2" if pre == "gpt2" else pre,
            "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.merges": [f"{left} {right}" for left, right in merges],
            "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, **ends})


def sentencepiece(folder):
    words = [list("\u2581" + text.replace(" ", "\u2581")) for text in texts() if "<|" not in text]
    # rare characters are left to the byte tokens
    common = [c for c, n in collections.Counter(c for word in words for c in word).items() if n > 1 and c >= " "]
    kept = [[c for c in word if c in common] for word in words]
    merges = learn(kept)
    tokens = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    tokens += [(f"<0x{b:02X}>", BYTE) for b in range(256)] + [("<|im_end|>", USER_DEFINED)]
    scores = [0.0] * len(tokens)
    pieces = list(dict.fromkeys(["".join(merge) for merge in merges] + sorted(common)))
    tokens += [(piece, NORMAL) for piece in pieces]
    scores += [-float(i) for i in range(len(pieces))]
    write(f"{folder}/vocab-spm.gguf", {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [name for name, _ in tokens],
        "tokenizer.ggml.scores": scores, "tokenizer.ggml.token_type": [kind for _, kind in tokens],
        "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2})


byte_level(sys.argv[1])
sentencepiece(sys.argv[1])
