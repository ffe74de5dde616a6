/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define HEAD(id, category)                                                                         \
    "id: " id "\nname: " id "\nfamily: test\ncategory: " category                                  \
    "\ngrade: P\nverified: true\nsources: [\"a test\"]\nsummary: A licence of a test.\n"           \
    "conditions:\n"
#define LONG                                                                                       \
    "a summary that goes on, for whoever wrote this clause was paid by the word, and the word by " \
    "the letter, so that nobody who read it to its end could say how it had begun"

static const char free_1[] =
    HEAD("free-1", "permissive") "  - {id: notice, kind: notice, clause: \"1\", summary: Keep it., "
                                 "trigger: distribution}\n";
static const char research_1[] =
    HEAD("research-1", "non_commercial") "  - {id: research-only, kind: purpose, clause: \"2.1\", "
                                         "summary: Research only., purpose: research}\n";
static const char many_1[] =
    HEAD("many-1", "non_commercial") "  - {id: first, kind: purpose, clause: \"§1\", purpose: "
                                     "research, summary: \"" LONG "\", remedy: \"" LONG "\"}\n"
                                     "  - {id: second, kind: purpose, clause: \"§2\", purpose: "
                                     "research, summary: \"" LONG "\"}\n"
                                     "  - {id: third, kind: purpose, clause: \"§3\", purpose: "
                                     "research, summary: \"" LONG "\"}\n"
                                     "  - {id: fourth, kind: purpose, clause: \"§4\", purpose: "
                                     "research, summary: \"" LONG "\"}\n";

struct catalogue *licenses_of(const struct license_source *sources, uint32_t count)
{
    char folder[SCRATCH_PATH_BYTES];
    struct error err = {0};
    scratch_make(folder);
    for (uint32_t i = 0; i < count; i++)
        scratch_write(folder, sources[i].file, sources[i].yaml, strlen(sources[i].yaml));
    const char *const folders[] = {folder};
    struct catalogue *catalogue = catalogue_load(folders, 1, &err);
    assert_string_equal(err.text, "");
    assert_non_null(catalogue);
    scratch_remove(folder);
    return catalogue;
}

struct catalogue *few_licenses(void)
{
    static const struct license_source sources[] = {
        {"free-1.yaml", free_1}, {"research-1.yaml", research_1}, {"many-1.yaml", many_1}};
    return licenses_of(sources, 3);
}
