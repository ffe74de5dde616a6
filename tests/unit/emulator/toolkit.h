/* SPDX-License-Identifier: Apache-2.0 */
/* toolkit.h -- what CUDA's own headers compute on the host, where there are any. */
#ifndef WEIR_TESTS_EMULATOR_TOOLKIT_H
#define WEIR_TESTS_EMULATOR_TOOLKIT_H

#include <stdint.h>

struct format16 {
    float (*read)(uint16_t bits);
    uint16_t (*write)(float value);
    uint16_t (*write_double)(double value);
    uint16_t (*write_int)(int value);
    uint16_t (*add)(uint16_t a, uint16_t b);
    uint16_t (*subtract)(uint16_t a, uint16_t b);
    uint16_t (*multiply)(uint16_t a, uint16_t b);
    uint16_t (*most)(uint16_t a, uint16_t b);
    uint16_t (*least)(uint16_t a, uint16_t b);
};

struct formats {
    struct format16 f16, bf16;
    float (*read_e4m3)(uint8_t bits);
    uint8_t (*write_e4m3)(float value);
};

/* NULL where there is no toolkit. */
const struct formats *toolkit_formats(void);
/* The emulator's. */
const struct formats *emulated_formats(void);

#endif
