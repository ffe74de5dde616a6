/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "policy/license/model_card.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_string(const char *string)
{
    for (; string != NULL && *string != '\0'; string++)
        if ((unsigned char)*string < 0x20)
            __builtin_trap();
}

/* Any bytes give a card or an error that says something; a failure leaves nothing behind. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const struct model_card empty;
    struct model_card card;
    struct error err = {0};
    if (model_card_init(&card, (const char *)bytes, count, &err) != 0) {
        if (err.code >= 0 || err.text[0] == '\0' || memcmp(&card, &empty, sizeof card) != 0)
            __builtin_trap();
        return 0;
    }
    if (card.license_count > MODEL_CARD_LIST_MAX || card.base_model_count > MODEL_CARD_LIST_MAX)
        __builtin_trap();
    for (uint32_t i = 0; i < card.license_count; i++)
        check_string(card.licenses[i]);
    for (uint32_t i = 0; i < card.base_model_count; i++)
        check_string(card.base_models[i]);
    check_string(card.license_name);
    check_string(card.license_link);
    check_string(card.base_model_relation);
    check_string(card.pipeline_tag);
    model_card_destroy(&card);
    return 0;
}
