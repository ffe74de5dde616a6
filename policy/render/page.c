/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/render/page.h"

#include "policy/render/plain.h"

struct page page_of(struct text *out, uint32_t columns)
{
    struct page page = {.out = out, .columns = columns};
    if (columns == 0)
        page.columns = PAGE_COLUMNS_DEFAULT;
    else if (columns < PAGE_COLUMNS_MIN)
        page.columns = PAGE_COLUMNS_MIN;
    else if (columns > PAGE_COLUMNS_MAX)
        page.columns = PAGE_COLUMNS_MAX;
    return page;
}

void page_field(const struct page *page, const char *label, const char *value, uint32_t indent)
{
    uint32_t count = plain_width(label);
    if (value == NULL || value[0] == '\0')
        return;
    text_append_string(page->out, label);
    plain_blanks(page->out, count < indent ? indent - count : 1);
    plain_wrap(page->out, value,
               (struct plain_lines){.at = indent, .indent = indent, .columns = page->columns});
}

/* What a part lacks, the page lacks. */
static void release(const struct page *page, struct text *part)
{
    page->out->failed = page->out->failed || part->failed;
    text_destroy(part);
}

void page_built(const struct page *page, const char *label, struct text *value, uint32_t indent)
{
    page_field(page, label, text_string(value), indent);
    release(page, value);
}

void page_rest(const struct page *page, struct text *value, uint32_t at, uint32_t indent)
{
    plain_wrap(page->out, text_string(value),
               (struct plain_lines){.at = at, .indent = indent, .columns = page->columns});
    release(page, value);
}
