/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/modality.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#define CONFIG_CLASSES_MAX 16u

static bool is_one_of(const char *bytes, size_t count, const char *const *words, size_t word_count)
{
    for (size_t i = 0; i < word_count; i++)
        if (strlen(words[i]) == count && strncasecmp(words[i], bytes, count) == 0)
            return true;
    return false;
}

enum modality modality_of_both(enum modality a, enum modality b)
{
    if (a == MODALITY_MULTIMODAL || b == MODALITY_MULTIMODAL)
        return MODALITY_MULTIMODAL;
    return a == MODALITY_TEXT || b == MODALITY_TEXT ? MODALITY_TEXT : MODALITY_UNKNOWN;
}

enum modality modality_of_architecture(const char *architecture)
{
    static const char *const multimodal[] = {"llama4",  "mllama",     "qwen2vl", "qwen2_vl",
                                             "qwen3vl", "qwen3vlmoe", "cogvlm",  "chameleon",
                                             "clip",    "llava",      "pixtral", "gemma3n"};
    return is_one_of(architecture, strlen(architecture), multimodal,
                     sizeof multimodal / sizeof multimodal[0])
               ? MODALITY_MULTIMODAL
               : MODALITY_UNKNOWN;
}

enum modality modality_of_tags(const char *tags)
{
    static const char *const multimodal[] = {"image-text-to-text",
                                             "image-to-text",
                                             "video-text-to-text",
                                             "audio-text-to-text",
                                             "any-to-any",
                                             "visual-question-answering",
                                             "document-question-answering",
                                             "image-text-to-image",
                                             "text-to-image",
                                             "text-to-video",
                                             "image-to-image",
                                             "image-to-video",
                                             "text-to-speech",
                                             "text-to-audio",
                                             "automatic-speech-recognition",
                                             "multimodal",
                                             "vision",
                                             "vision-language",
                                             "vlm",
                                             "visual-document-retrieval"};
    static const char *const text[] = {"text-generation", "text2text-generation",
                                       "conversational-text", "text-to-text"};
    enum modality modality = MODALITY_UNKNOWN;
    for (;;) {
        size_t count = strcspn(tags, ",");
        const char *tag = tags;
        size_t length = count;
        for (; length > 0 && *tag == ' '; length--)
            tag++;
        while (length > 0 && tag[length - 1] == ' ')
            length--;
        if (is_one_of(tag, length, multimodal, sizeof multimodal / sizeof multimodal[0]))
            return MODALITY_MULTIMODAL;
        if (is_one_of(tag, length, text, sizeof text / sizeof text[0]))
            modality = MODALITY_TEXT;
        if (tags[count] == '\0')
            return modality;
        tags += count + 1;
    }
}

/* Classes of transformers: those that have eyes or ears in their name, and those that surely have
 * none. */
static enum modality modality_of_class(const char *name)
{
    static const char *const marks[] = {"Llama4",   "Mllama",    "Llava",   "VLFor",     "VLMoe",
                                        "VLChat",   "VL_",       "Vision",  "Pixtral",   "Omni",
                                        "Audio",    "Chameleon", "Idefics", "Paligemma", "InternVL",
                                        "MiniCPMV", "4MM"};
    static const char *const text[] = {
        "LlamaForCausalLM",  "MistralForCausalLM",  "MixtralForCausalLM",  "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",  "Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM", "GemmaForCausalLM",
        "Gemma2ForCausalLM", "Gemma3ForCausalLM",   "Phi3ForCausalLM",     "GptOssForCausalLM",
        "Olmo2ForCausalLM",  "GPTNeoXForCausalLM"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (strcasestr(name, marks[i]) != NULL)
            return MODALITY_MULTIMODAL;
    return is_one_of(name, strlen(name), text, sizeof text / sizeof text[0]) ? MODALITY_TEXT
                                                                             : MODALITY_UNKNOWN;
}

enum modality modality_of_config(const char *json, size_t count)
{
    static const char *const parts[] = {
        "vision_config",     "audio_config",        "visual",
        "vision_tower",      "mm_vision_tower",     "image_token_id",
        "image_token_index", "vision_feature_layer"};
    json_t *config = json_loadb(json, count, 0, NULL);
    enum modality modality = MODALITY_UNKNOWN;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const json_t *part = json_object_get(config, parts[i]);
        if (part != NULL && !json_is_null(part))
            modality = MODALITY_MULTIMODAL;
    }
    const json_t *type = json_object_get(config, "model_type");
    if (json_is_string(type))
        modality = modality_of_both(modality, modality_of_architecture(json_string_value(type)));
    const json_t *classes = json_object_get(config, "architectures");
    for (size_t i = 0; i < json_array_size(classes) && i < CONFIG_CLASSES_MAX; i++) {
        const json_t *name = json_array_get(classes, i);
        if (json_is_string(name))
            modality = modality_of_both(modality, modality_of_class(json_string_value(name)));
    }
    json_decref(config);
    return modality;
}
