/* SPDX-License-Identifier: Apache-2.0 */
/* emulator_control.h -- what a test asks of the emulator beyond CUDA. */
#ifndef WEIR_EMULATOR_CONTROL_H
#define WEIR_EMULATOR_CONTROL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the environment anew, revives a lost device, and counts kernels and allocations from
 * nothing. No work may be under way. */
void emulator_reload(void);
/* Since the start or the last reload. */
unsigned emulator_kernels(void);
/* Device memory in use, of all devices. */
size_t emulator_device_bytes(void);

#ifdef __cplusplus
}
#endif

#endif
