/* SPDX-License-Identifier: Apache-2.0 */
/* page.h -- labels in a column of their own, wrapped paragraphs beside them. Internal to render/.
 * Any thread. */
#ifndef WEIR_POLICY_RENDER_PAGE_H
#define WEIR_POLICY_RENDER_PAGE_H

#include "base/text.h"

#include <stdint.h>

#define PAGE_COLUMNS_DEFAULT 80u
#define PAGE_COLUMNS_MIN     40u
#define PAGE_COLUMNS_MAX     120u /* longer lines are hard to read */

struct page {
    struct text *out;
    uint32_t columns;
};

/* columns: of the terminal, 0 for the default; taken to what is readable. */
struct page page_of(struct text *out, uint32_t columns);
/* `value` at column `indent`, after its label; nothing for "" and NULL. */
void page_field(const struct page *page, const char *label, const char *value, uint32_t indent);
/* The same for a text that was put together for it, which is destroyed. */
void page_built(const struct page *page, const char *label, struct text *value, uint32_t indent);
/* A paragraph from column `at` of the line that stands; `value` is destroyed. */
void page_rest(const struct page *page, struct text *value, uint32_t at, uint32_t indent);

#endif
