# SPDX-License-Identifier: Apache-2.0
"""A whole Llama with random weights, some 500 KiB, whose matrices have a type each. It babbles."""
import random
import struct

F32, F16, Q4_0, Q5_1, Q8_0, Q4_K, Q6_K, BF16 = 0, 1, 2, 7, 8, 12, 14, 30
FLOATS = (F16, BF16, F32)
MIXED = (Q4_0, Q8_0, F16, Q4_K, BF16, Q6_K, Q5_1, F32)

# Weights of a block, its bytes, where its half-precision scales are, and what they are about.
BLOCKS = {F32: (1, 4, ()), F16: (1, 2, ()), BF16: (1, 2, ()), Q4_0: (32, 18, ((0, .03),)),
          Q5_1: (32, 24, ((0, .015), (2, -.2))), Q8_0: (32, 34, ((0, .002),)),
          Q4_K: (256, 144, ((0, .0008), (2, .0004))), Q6_K: (256, 210, ((208, .0001),))}

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD_DIM, HIDDEN, CONTEXT = 2, 256, 4, 2, 128, 256, 512
VOCABULARY = 258


def _string(text):
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _key(name, value):
    out = _string(name)
    if isinstance(value, str):
        return out + struct.pack("<I", 8) + _string(value)
    if isinstance(value, float):
        return out + struct.pack("<If", 6, value)
    if isinstance(value, int):
        return out + struct.pack("<II", 4, value)
    if isinstance(value[0], str):
        return out + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
    return out + struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def _tensor(rng, kind, count, centre=0.0):
    per_block, block_bytes, scales = BLOCKS[kind]
    if kind == F32:
        return struct.pack(f"<{count}f", *(centre + rng.gauss(0, .15) for _ in range(count)))
    if kind == F16:
        return struct.pack(f"<{count}e", *(rng.gauss(0, .15) for _ in range(count)))
    if kind == BF16:
        return b"".join(struct.pack("<f", rng.gauss(0, .15))[2:] for _ in range(count))
    out = bytearray(rng.randbytes(count // per_block * block_bytes))
    for block in range(0, len(out), block_bytes):
        for offset, size in scales:
            struct.pack_into("<e", out, block + offset, size * rng.uniform(.5, 1.5))
    return bytes(out)


def _spelled():
    """GPT-2's spelling of bytes: those that print stand for themselves, others from U+0100 on."""
    moved = 0x100
    for byte in range(256):
        if 0x20 < byte < 0x7f or 0xa0 < byte and byte != 0xad:
            yield chr(byte)
        else:
            yield chr(moved)
            moved += 1


def _keys(experts):
    mixture = {"llama.expert_count": experts, "llama.expert_used_count": 2} if experts else {}
    return {**mixture, "general.architecture": "llama", "general.license": "apache-2.0",
            "llama.context_length": CONTEXT, "llama.block_count": LAYERS,
            "llama.embedding_length": WIDTH, "llama.feed_forward_length": HIDDEN,
            "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KV_HEADS,
            "llama.attention.key_length": HEAD_DIM, "llama.rope.dimension_count": HEAD_DIM,
            "llama.attention.layer_norm_rms_epsilon": 1e-5,
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": [*_spelled(), "<|endoftext|>", "<|im_end|>"],
            "tokenizer.ggml.token_type": [1] * 256 + [3, 3],
            "tokenizer.ggml.merges": ["h e"],
            "tokenizer.ggml.bos_token_id": 256, "tokenizer.ggml.eos_token_id": 257}


def _feed_forward(experts):
    """(stem, columns, rows, matrices)"""
    if experts:
        yield "ffn_gate_inp", WIDTH, experts, 1
    suffix, count = ("_exps", experts) if experts else ("", 1)
    yield f"ffn_gate{suffix}", WIDTH, HIDDEN, count
    yield f"ffn_up{suffix}", WIDTH, HIDDEN, count
    yield f"ffn_down{suffix}", HIDDEN, WIDTH, count


def write(path, kinds=MIXED, spoiled=False, experts=0):
    """kinds: of the matrices, in turn. spoiled: a weight that is no number, so that nothing that comes of it is one.
    experts: a Mixtral of so many, two a row."""
    rng = random.Random(1)
    tensors = {"token_embd.weight": (kinds[0], WIDTH, VOCABULARY, 1),
               "output_norm.weight": (F32, WIDTH, 1, 1), "output.weight": (kinds[-1], WIDTH, VOCABULARY, 1)}
    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    for layer in range(LAYERS):
        for stem, columns, rows, count in (
                ("attn_norm", WIDTH, 1, 1), ("attn_q", WIDTH, q, 1), ("attn_k", WIDTH, kv, 1),
                ("attn_v", WIDTH, kv, 1), ("attn_output", q, WIDTH, 1), ("ffn_norm", WIDTH, 1, 1),
                *_feed_forward(experts)):
            kind = F32 if rows == 1 or stem == "ffn_gate_inp" else kinds[len(tensors) % len(kinds)]
            tensors[f"blk.{layer}.{stem}.weight"] = (kind, columns, rows, count)
    heads, body = b"", b""
    for name, (kind, *shape) in tensors.items():
        columns, rows, count = shape
        body += b"\0" * (-len(body) % 32)
        dimensions = 3 if count > 1 else 2 if rows > 1 else 1
        heads += _string(name) + struct.pack(f"<I{dimensions}QIQ", dimensions, *shape[:dimensions], kind, len(body))
        raw = _tensor(rng, kind, columns * rows * count, 1.0 if rows == 1 else 0.0)
        if spoiled and name == "output_norm.weight":
            raw = struct.pack("<f", float("nan")) * columns
        body += raw
    keys = b"".join(_key(*each) for each in _keys(experts).items())
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(_keys(experts))) + keys + heads
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return path
