/* SPDX-License-Identifier: Apache-2.0 */
/* double_recognition.c -- recognitions of these tests are made by hand: freeing one is counted. */
#include "tests/unit/gate/gate_fixture.h"

void recognition_free(struct recognition *recognition)
{
    if (recognition != NULL)
        recognition_frees++;
}

unsigned recognition_frees;
