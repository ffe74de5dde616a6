#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two small random Llamas and what they must say, computed in float64 from the papers' formulas.

    forward.py FOLDER      writes forward-f16.gguf, forward-mixed.gguf and forward-*.txt there

Needs numpy and gguf (the format's own package, which dequantises). forward-f16 has tied F16
matrices and rope_freqs: nothing in it is approximated but by rounding. forward-mixed has another
type for every matrix, biases, and a head of its own: its products go through 8-bit activations.
K and V are rounded to half, as the cache holds them. A .txt line: position, then the logits.
"""
import sys
import numpy as np
from gguf import GGMLQuantizationType as Q, GGUFWriter, GGML_QUANT_SIZES
from gguf.quants import dequantize

VOCABULARY = 64  # "A" to "}", one merge, two control tokens

# Where a block keeps its half-precision scales; the other bytes may be anything.
HALVES = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0],
          Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
SIZES = {Q.Q4_0: [.03], Q.Q4_1: [.03, -.2], Q.Q5_0: [.015], Q.Q5_1: [.015, -.2], Q.Q8_0: [.002],
         Q.Q4_K: [.0008, .0004], Q.Q5_K: [.0004, .0002], Q.Q6_K: [.0001]}


def random_tensor(rng, rows, columns, kind, size):
    """(bytes as the writer wants them, float64 values)"""
    if kind in (Q.F32, Q.F16):
        raw = (rng.standard_normal((rows, columns)) * .15 * size).astype(
            np.float32 if kind == Q.F32 else np.float16)
        return raw, raw.astype(np.float64)
    if kind == Q.BF16:
        values = (rng.standard_normal((rows, columns)) * .15 * size).astype(np.float32)
        raw = (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        raw = raw.reshape(rows, columns * 2)
        return raw, dequantize(raw, kind).astype(np.float64)
    weights, block_bytes = GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (rows, columns // weights, block_bytes), dtype=np.uint8)
    for offset, scale in zip(HALVES[kind], SIZES[kind]):
        halves = np.full((rows, columns // weights), scale * size) * rng.uniform(.5, 1.5)
        raw[:, :, offset:offset + 2] = halves.astype(np.float16)[..., None].view(np.uint8)
    raw = raw.reshape(rows, -1)
    return raw, dequantize(raw, kind).astype(np.float64)


class Model:
    def __init__(self, name, shape, kinds, tied, biases, rope_factors, seed):
        self.name, self.tied, self.rng = name, tied, np.random.default_rng(seed)
        self.layers, self.width, self.heads, self.kv_heads, self.dim, self.hidden = shape
        self.kinds, self.tensors, self.raw = kinds, {}, {}
        self.add("token_embd.weight", VOCABULARY, self.width)
        self.add("output_norm.weight", 1, self.width, Q.F32, 1.0)
        if not tied:
            self.add("output.weight", VOCABULARY, self.width)
        q, kv, w, h = self.heads * self.dim, self.kv_heads * self.dim, self.width, self.hidden
        for i in range(self.layers):
            self.add(f"blk.{i}.attn_norm.weight", 1, w, Q.F32, 1.0)
            self.add(f"blk.{i}.ffn_norm.weight", 1, w, Q.F32, 1.0)
            for stem, rows, columns in (("attn_q", q, w), ("attn_k", kv, w), ("attn_v", kv, w),
                                        ("attn_output", w, q), ("ffn_gate", h, w),
                                        ("ffn_up", h, w), ("ffn_down", w, h)):
                self.add(f"blk.{i}.{stem}.weight", rows, columns)
                if biases and stem in ("attn_q", "attn_k", "attn_v"):
                    self.add(f"blk.{i}.{stem}.bias", 1, rows, Q.F32)
        if rope_factors:
            self.raw["rope_freqs.weight"] = (
                np.linspace(1, 8, self.dim // 2).astype(np.float32), Q.F32)
        self.frequencies = 10000.0 ** (-2.0 * np.arange(self.dim // 2) / self.dim)
        if rope_factors:
            self.frequencies = self.frequencies / self.raw["rope_freqs.weight"][0]

    def add(self, name, rows, columns, kind=None, centre=0.0):
        if kind is None:
            kind = self.kinds[len(self.raw) % len(self.kinds)]
        if columns % GGML_QUANT_SIZES[kind][0] != 0:
            kind = Q.Q8_0
        # Mild scores: a softmax that picks one key of many turns any rounding into another pick.
        size = .3 if "attn_q" in name or "attn_k" in name else 1.0
        raw, values = random_tensor(self.rng, rows, columns, kind, size)
        if rows == 1:
            raw = (raw + np.float32(centre))[0]
            values = raw.astype(np.float64)
        self.raw[name], self.tensors[name] = (raw, kind), values

    def write(self, folder):
        out = GGUFWriter(f"{folder}/forward-{self.name}.gguf", "llama")
        out.add_context_length(256)
        out.add_block_count(self.layers)
        out.add_embedding_length(self.width)
        out.add_feed_forward_length(self.hidden)
        out.add_head_count(self.heads)
        out.add_head_count_kv(self.kv_heads)
        out.add_key_length(self.dim)
        out.add_value_length(self.dim)
        out.add_rope_dimension_count(self.dim)
        out.add_layer_norm_rms_eps(1e-5)
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre("smollm")
        out.add_token_list([chr(c) for c in range(0x41, 0x7e)] +
                           ["he", "<|endoftext|>", "<|im_end|>"])
        out.add_token_types([1] * (VOCABULARY - 2) + [3, 3])
        out.add_token_merges(["h e"])
        out.add_bos_token_id(VOCABULARY - 2)
        out.add_eos_token_id(VOCABULARY - 1)
        for name, (raw, kind) in self.raw.items():
            out.add_tensor(name, raw, raw_dtype=kind)
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * self.tensors[name]

    def rope(self, x):
        angles = np.arange(len(x))[:, None, None] * self.frequencies
        a, b, out = x[..., 0::2], x[..., 1::2], np.empty_like(x)
        out[..., 0::2] = a * np.cos(angles) - b * np.sin(angles)
        out[..., 1::2] = b * np.cos(angles) + a * np.sin(angles)
        return out

    def linear(self, x, layer, stem):
        bias = self.tensors.get(f"blk.{layer}.{stem}.bias", 0.0)
        return x @ self.tensors[f"blk.{layer}.{stem}.weight"].T + bias

    def attention(self, x, i):
        n, half = len(x), np.float16
        q = self.rope(self.linear(x, i, "attn_q").reshape(n, self.heads, self.dim))
        k = self.rope(self.linear(x, i, "attn_k").reshape(n, self.kv_heads, self.dim))
        v = self.linear(x, i, "attn_v").reshape(n, self.kv_heads, self.dim)
        k, v = k.astype(half).astype(np.float64), v.astype(half).astype(np.float64)
        group = self.heads // self.kv_heads
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(self.dim)
        scores[:, np.triu_indices(n, 1)[0], np.triu_indices(n, 1)[1]] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("hij,jhd->ihd", weights, v).reshape(n, -1)

    def forward(self, tokens):
        x = self.tensors["token_embd.weight"][tokens]
        for i in range(self.layers):
            attended = self.attention(self.norm(x, f"blk.{i}.attn_norm.weight"), i)
            x = x + self.linear(attended, i, "attn_output")
            normed = self.norm(x, f"blk.{i}.ffn_norm.weight")
            gate = self.linear(normed, i, "ffn_gate")
            up = self.linear(normed, i, "ffn_up")
            x = x + self.linear(gate / (1 + np.exp(-gate)) * up, i, "ffn_down")
        head = self.tensors["token_embd.weight" if self.tied else "output.weight"]
        return self.norm(x, "output_norm.weight") @ head.T


def main(folder):
    tokens = [(i * i * 31 + 7 * i + 3) % VOCABULARY for i in range(90)]
    for model in (
            Model("f16", (2, 32, 4, 2, 8, 48), [Q.F16], True, False, True, 1),
            Model("mixed", (2, 256, 4, 2, 8, 32),
                  [Q.Q4_0, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.Q5_0, Q.Q4_1, Q.BF16, Q.Q5_1, Q.Q8_0],
                  False, True, False, 2)):
        model.write(folder)
        logits = model.forward(tokens)
        with open(f"{folder}/forward-{model.name}.txt", "w") as out:
            for position in (0, 1, 17, 63, 89):
                print(position, *(f"{x:.5f}" for x in logits[position]), file=out)


main(sys.argv[1])
