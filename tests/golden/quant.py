#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes quant/NAME.bin: one row of weights as a file holds it, then what the gguf package
dequantises it to (float32, little-endian). Needs numpy and gguf: python3 tests/golden/quant.py

Where the package can quantise, the row is quantised normal noise; for the K formats it is random
block bytes with sane halves for scales. The C test reads both and compares bit for bit."""
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType, quants

COLUMNS = 768
# Where the halves of a superblock lie, by format: the bytes random data must not make NaN.
HALVES = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}


def random_blocks(name, random):
    kind = GGMLQuantizationType[name]
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (COLUMNS // weights, size), dtype=np.uint8)
    for offset in HALVES[name]:
        scales = random.normal(0, 0.01, len(blocks)).astype("<f2")
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(1, -1)


def main():
    random = np.random.default_rng(20261101)
    folder = pathlib.Path(__file__).parent / "quant"
    folder.mkdir(exist_ok=True)
    for name in "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K".split():
        kind = GGMLQuantizationType[name]
        if name in HALVES:
            row = random_blocks(name, random)
        else:
            noise = random.standard_normal((1, COLUMNS)).astype(np.float32)
            row = quants.quantize(noise, kind)
        values = quants.dequantize(row, kind).astype("<f4")
        assert values.size == COLUMNS and np.isfinite(values).all()
        (folder / f"{name}.bin").write_bytes(row.tobytes() + values.tobytes())


if __name__ == "__main__":
    main()
