#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small random models and what they must say, computed in float64 from the papers' formulas.

    forward.py FOLDER      writes forward-*.gguf and forward-*.txt there

Needs numpy and gguf (the format's own package, which dequantises). forward-f16 has tied F16
matrices and rope_freqs: nothing in it is approximated but by rounding. forward-mixed has another
type for every matrix, biases, and a head of its own: its products go through 8-bit activations.
The others have F16 matrices: a Mixtral; a Qwen2-MoE, whose rows pass an expert of all
besides their own; a Qwen3-MoE, and their dense kin.
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


def silu(x):
    return x / (1 + np.exp(-x))


class Model:
    """A Llama; families that differ say so below it."""
    architecture, neox, head_norms = "llama", False, False

    def __init__(self, name, shape, kinds, tied, biases, rope_factors, seed):
        self.name, self.tied, self.rng = name, tied, np.random.default_rng(seed)
        self.layers, self.width, self.heads, self.kv_heads, self.dim, self.hidden = shape
        self.kinds, self.tensors, self.raw = kinds, {}, {}
        self.add("token_embd.weight", VOCABULARY, self.width)
        self.add("output_norm.weight", 1, self.width, Q.F32, 1.0)
        if not tied:
            self.add("output.weight", VOCABULARY, self.width)
        q, kv, w = self.heads * self.dim, self.kv_heads * self.dim, self.width
        for i in range(self.layers):
            self.add(f"blk.{i}.attn_norm.weight", 1, w, Q.F32, 1.0)
            self.add(f"blk.{i}.ffn_norm.weight", 1, w, Q.F32, 1.0)
            for stem, rows, columns in (("attn_q", q, w), ("attn_k", kv, w), ("attn_v", kv, w),
                                        ("attn_output", w, q), *self.dense_matrices()):
                self.add(f"blk.{i}.{stem}.weight", rows, columns)
                if biases and stem in ("attn_q", "attn_k", "attn_v"):
                    self.add(f"blk.{i}.{stem}.bias", 1, rows, Q.F32)
            if self.head_norms:
                self.add(f"blk.{i}.attn_q_norm.weight", 1, self.dim, Q.F32, 1.0)
                self.add(f"blk.{i}.attn_k_norm.weight", 1, self.dim, Q.F32, 1.0)
            self.add_experts(i)
        if rope_factors:
            self.raw["rope_freqs.weight"] = (
                np.linspace(1, 8, self.dim // 2).astype(np.float32), Q.F32)
        self.frequencies = 10000.0 ** (-2.0 * np.arange(self.dim // 2) / self.dim)
        if rope_factors:
            self.frequencies = self.frequencies / self.raw["rope_freqs.weight"][0]

    def dense_matrices(self):
        return (("ffn_gate", self.hidden, self.width), ("ffn_up", self.hidden, self.width),
                ("ffn_down", self.width, self.hidden))

    def add_experts(self, i):
        pass

    def add_keys(self, out):
        pass

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
        out = GGUFWriter(f"{folder}/forward-{self.name}.gguf", self.architecture)
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
        self.add_keys(out)
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
        half, out = self.dim // 2, np.empty_like(x)
        first, second = (np.s_[..., :half], np.s_[..., half:]) if self.neox else \
            (np.s_[..., 0::2], np.s_[..., 1::2])
        a, b = x[first], x[second]
        out[first] = a * np.cos(angles) - b * np.sin(angles)
        out[second] = b * np.cos(angles) + a * np.sin(angles)
        return out

    def heads_of(self, x, i, stem, heads):
        x = self.linear(x, i, stem).reshape(len(x), heads, self.dim)
        return self.norm(x, f"blk.{i}.{stem}_norm.weight") if self.head_norms else x

    def linear(self, x, layer, stem):
        bias = self.tensors.get(f"blk.{layer}.{stem}.bias", 0.0)
        return x @ self.tensors[f"blk.{layer}.{stem}.weight"].T + bias

    def attention(self, x, i):
        n, half = len(x), np.float16
        q = self.rope(self.heads_of(x, i, "attn_q", self.heads))
        k = self.rope(self.heads_of(x, i, "attn_k", self.kv_heads))
        v = self.linear(x, i, "attn_v").reshape(n, self.kv_heads, self.dim)
        k, v = k.astype(half).astype(np.float64), v.astype(half).astype(np.float64)
        group = self.heads // self.kv_heads
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(self.dim)
        scores[:, np.triu_indices(n, 1)[0], np.triu_indices(n, 1)[1]] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("hij,jhd->ihd", weights, v).reshape(n, -1)

    def feed_forward(self, x, i, suffix=""):
        gate = silu(self.linear(x, i, f"ffn_gate{suffix}"))
        return self.linear(gate * self.linear(x, i, f"ffn_up{suffix}"), i, f"ffn_down{suffix}")

    def forward(self, tokens):
        x = self.tensors["token_embd.weight"][tokens]
        for i in range(self.layers):
            attended = self.attention(self.norm(x, f"blk.{i}.attn_norm.weight"), i)
            x = x + self.linear(attended, i, "attn_output")
            normed = self.norm(x, f"blk.{i}.ffn_norm.weight")
            x = x + self.feed_forward(normed, i)
        head = self.tensors["token_embd.weight" if self.tied else "output.weight"]
        return self.norm(x, "output_norm.weight") @ head.T


class Mixture(Model):
    """Mixtral: each row goes to the `chosen` experts of the highest scores, whose softmax among
    themselves weighs what they say."""
    experts, chosen, expert_hidden, shared_hidden, renormalise = 5, 2, 24, 0, True

    def dense_matrices(self):
        return ()

    def add_experts(self, i):
        w, h, shared = self.width, self.expert_hidden, self.shared_hidden
        self.add(f"blk.{i}.ffn_gate_inp.weight", self.experts, w, Q.F32)
        for stem, rows, columns in (("gate", h, w), ("up", h, w), ("down", w, h)):
            name = f"blk.{i}.ffn_{stem}_exps.weight"
            self.add(name, self.experts * rows, columns)
            raw, kind = self.raw[name]
            self.raw[name] = raw.reshape(self.experts, rows, -1), kind
            self.tensors[name] = self.tensors[name].reshape(self.experts, rows, columns)
        if shared:
            self.add(f"blk.{i}.ffn_gate_inp_shexp.weight", 1, w, Q.F32)
            self.add(f"blk.{i}.ffn_gate_shexp.weight", shared, w)
            self.add(f"blk.{i}.ffn_up_shexp.weight", shared, w)
            self.add(f"blk.{i}.ffn_down_shexp.weight", w, shared)

    def add_keys(self, out):
        out.add_expert_count(self.experts)
        out.add_expert_used_count(self.chosen)

    def feed_forward(self, x, i):
        scores, out = self.linear(x, i, "ffn_gate_inp"), np.zeros_like(x)
        gate, up, down = (self.tensors[f"blk.{i}.ffn_{stem}_exps.weight"]
                          for stem in ("gate", "up", "down"))
        for row, score in enumerate(scores):
            chosen = np.argsort(-score)[:self.chosen]
            weights = np.exp(score) / np.exp(score[chosen] if self.renormalise else score).sum()
            for e in chosen:
                said = down[e] @ (silu(gate[e] @ x[row]) * (up[e] @ x[row]))
                out[row] += weights[e] * said
        if self.shared_hidden:
            score = x @ self.tensors[f"blk.{i}.ffn_gate_inp_shexp.weight"]
            out += super().feed_forward(x, i, "_shexp") / (1 + np.exp(-score))[:, None]
        return out


class Mixtral(Mixture):
    expert_hidden = 48  # its feed_forward_length


class Qwen2(Model):
    architecture, neox = "qwen2", True


class Qwen3(Model):
    architecture, neox, head_norms = "qwen3", True, True


class Qwen2Moe(Mixture):
    """And one expert for all rows, as much as a score of its own says. Its width is the file's
    feed_forward_length, of which an expert has its share."""
    architecture, neox, shared_hidden, renormalise = "qwen2moe", True, 48, False


class Qwen3Moe(Mixture):
    architecture, neox, head_norms, chosen = "qwen3moe", True, True, 3

    def add_keys(self, out):
        super().add_keys(out)
        out.add_expert_feed_forward_length(self.expert_hidden)


def main(folder):
    tokens = [(i * i * 31 + 7 * i + 3) % VOCABULARY for i in range(90)]
    for model in (
            Model("f16", (2, 32, 4, 2, 8, 48), [Q.F16], True, False, True, 1),
            Model("mixed", (2, 256, 4, 2, 8, 32),
                  [Q.Q4_0, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.Q5_0, Q.Q4_1, Q.BF16, Q.Q5_1, Q.Q8_0],
                  False, True, False, 2),
            Mixtral("mixtral", (2, 32, 4, 2, 8, 48), [Q.F16], False, False, False, 3),
            Qwen2("qwen2", (2, 32, 4, 2, 8, 48), [Q.F16], True, True, False, 4),
            Qwen2Moe("qwen2moe", (2, 32, 4, 2, 8, 48), [Q.F16], False, True, False, 5),
            Qwen3("qwen3", (2, 32, 4, 2, 16, 48), [Q.F16], True, False, False, 6),
            Qwen3Moe("qwen3moe", (2, 32, 4, 2, 16, 40), [Q.F16], False, False, False, 7)):
        model.write(folder)
        logits = model.forward(tokens)
        with open(f"{folder}/forward-{model.name}.txt", "w") as out:
            for position in (0, 1, 17, 63, 89):
                print(position, *(f"{x:.5f}" for x in logits[position]), file=out)


main(sys.argv[1])
