#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a reference for perplexity_check from a llama.cpp source tree and its (static) build tree:
#     perplexity.sh LLAMA_SOURCE LLAMA_BUILD MODEL.gguf OUT.reference
# The pair here is of SmolLM2-135M-Instruct: .q4_1.reference of the file in Q4_1, .q4_1_f32.reference
# of what llama-quantize --allow-requantize MODEL F32.gguf F32 makes of it.
set -eu
here=$(dirname "$0") source=$1 build=$2 model=$3 out=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O2 -std=gnu11 -I"$source/include" -I"$source/ggml/include" \
    -c "$here/perplexity_reference.c" -o "$work/reference.o"
c++ "$work/reference.o" "$build/src/libllama.a" \
    -Wl,--start-group $(find "$build/ggml" -name '*.a') -Wl,--end-group \
    -fopenmp -lpthread -ldl -lm -o "$work/reference"
"$work/reference" "$model" "$here/perplexity.text" >"$out"
