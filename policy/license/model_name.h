/* SPDX-License-Identifier: Apache-2.0 */
/* model_name.h -- names of models as files, folders, hubs and people spell them. Pure. */
#ifndef WEIR_POLICY_LICENSE_MODEL_NAME_H
#define WEIR_POLICY_LICENSE_MODEL_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define MODEL_NAME_BYTES 256u /* with its NUL; longer names are cut */

/* "Llama-3.2-1B-Instruct" of "/m/Llama-3.2-1B-Instruct-Q4_K_M-00001-of-00002.gguf": without
 * folders, ending, the number of a shard, and what only tells a quantisation. */
void model_name_of_file(const char *file, char ret[MODEL_NAME_BYTES]);

/* The same for a name: "org/Llama-3.2-1B-GGUF" is "org/Llama-3.2-1B", blanks are hyphens. */
void model_name_plain(const char *name, char ret[MODEL_NAME_BYTES]);

/* "org/name" of "https://huggingface.co/org/name/tree/main". False, ret untouched, where a link
 * does not end so. */
bool model_name_of_url(const char *url, char ret[MODEL_NAME_BYTES]);

/* After the last '/'. */
const char *model_name_bare(const char *name);

/* "name" or "org/name" of parts that name a file each: no "..", nothing hidden, no NUL's tricks. */
bool model_name_is_path(const char *name);

#endif
