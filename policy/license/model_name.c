/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/model_name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SUFFIXES_MAX 6 /* "-i1-UD-Q4_K_XL-imat-GGUF" and then one */

/* "Q4_K_M", "IQ2_XXS", "TQ1_0": letters that end in q, a digit, then what a name of bits has. */
static bool is_quant_code(const char *word, size_t count)
{
    size_t at = count > 0 && strchr("iItT", word[0]) != NULL ? 1 : 0;
    if (count < at + 2 || tolower((unsigned char)word[at]) != 'q' ||
        !isdigit((unsigned char)word[at + 1]))
        return false;
    for (size_t i = at + 1; i < count; i++)
        if (!isalnum((unsigned char)word[i]) && word[i] != '_')
            return false;
    return true;
}

static bool is_quant_word(const char *word, size_t count)
{
    static const char *const words[] = {"f16",  "bf16",  "fp16",  "f32",       "fp32", "fp8",
                                        "fp4",  "mxfp4", "nvfp4", "mxfp4_moe", "int8", "int4",
                                        "gguf", "ggml",  "imat",  "imatrix",   "i1",   "ud",
                                        "awq",  "gptq",  "quant", "quantized", "4bit", "8bit"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == count && strncasecmp(words[i], word, count) == 0)
            return true;
    return is_quant_code(word, count);
}

static size_t without_ending(const char *name, size_t count)
{
    return count > 5 && strncasecmp(name + count - 5, ".gguf", 5) == 0 ? count - 5 : count;
}

/* "-00001-of-00003" */
static size_t without_shard(const char *name, size_t count)
{
    static const char shape[] = "-#####-of-#####";
    const size_t length = sizeof shape - 1;
    if (count <= length)
        return count;
    const char *tail = name + count - length;
    for (size_t i = 0; i < length; i++)
        if (shape[i] == '#' ? !isdigit((unsigned char)tail[i])
                            : tolower((unsigned char)tail[i]) != shape[i])
            return count;
    return count - length;
}

static size_t without_quantisation(const char *name, size_t count)
{
    for (int round = 0; round < SUFFIXES_MAX; round++) {
        size_t at = count;
        while (at > 0 && name[at - 1] != '-' && name[at - 1] != '.' && name[at - 1] != '/')
            at--;
        if (at < 2 || name[at - 1] == '/' || !is_quant_word(name + at, count - at))
            return count;
        count = at - 1;
    }
    return count;
}

static void copy(char ret[MODEL_NAME_BYTES], const char *name, size_t count)
{
    if (count >= MODEL_NAME_BYTES)
        count = MODEL_NAME_BYTES - 1;
    memcpy(ret, name, count);
    ret[count] = '\0';
}

const char *model_name_bare(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash == NULL ? name : slash + 1;
}

void model_name_of_file(const char *file, char ret[MODEL_NAME_BYTES])
{
    const char *name = model_name_bare(file);
    size_t count = without_ending(name, strlen(name));
    copy(ret, name, without_quantisation(name, without_shard(name, count)));
}

void model_name_plain(const char *name, char ret[MODEL_NAME_BYTES])
{
    size_t count = strnlen(name, MODEL_NAME_BYTES - 1);
    copy(ret, name, without_quantisation(name, without_ending(name, count)));
    for (char *c = ret; *c != '\0'; c++)
        if (isspace((unsigned char)*c))
            *c = '-';
}

bool model_name_of_url(const char *url, char ret[MODEL_NAME_BYTES])
{
    const char *host = strstr(url, "://");
    const char *path = host == NULL ? NULL : strchr(host + 3, '/');
    if (path == NULL)
        return false;
    path++;
    size_t organisation = strcspn(path, "/?#");
    if (organisation == 0 || path[organisation] != '/')
        return false;
    size_t name = strcspn(path + organisation + 1, "/?#");
    if (name == 0 || organisation + 1 + name >= MODEL_NAME_BYTES)
        return false;
    copy(ret, path, organisation + 1 + name);
    return true;
}

bool model_name_is_path(const char *name)
{
    int parts = 1;
    bool begins = true; /* a part does */
    for (const char *c = name; *c != '\0'; c++) {
        if (begins && (*c == '/' || *c == '.'))
            return false;
        if ((unsigned char)*c < 0x20 || *c == '\\')
            return false;
        begins = *c == '/';
        parts += begins;
    }
    return !begins && parts <= 2;
}
