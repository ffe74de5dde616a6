/* SPDX-License-Identifier: Apache-2.0 */
/* toolkit.cpp -- compiled with the toolkit's headers before the emulator's, where there are any
 * (kernels/cuda/cuda.mk). */
#ifdef WEIR_CUDA_TOOLKIT

#include "formats.hpp"

const struct formats *toolkit_formats(void)
{
    static const struct formats formats = all_formats();
    return &formats;
}

#else

#include "toolkit.h"

const struct formats *toolkit_formats(void)
{
    return nullptr;
}

#endif
