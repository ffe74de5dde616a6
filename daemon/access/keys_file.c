/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/access/keys_file.h"

#include "policy/users/private_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Others may do nothing with it; the group may read it (0640, and 0440 as systemd grants it). */
#define FORBIDDEN 037u

static int read_line(const char *line, size_t count, key_visit_fn visit, void *argument,
                     struct error *err)
{
    struct key_record record;
    if (count == 0 || line[0] == '#')
        return 0;
    int result = key_record_read(line, count, &record, err);
    return result == 0 ? visit(argument, &record, err) : result;
}

int keys_read(const char *bytes, size_t count, key_visit_fn visit, void *argument,
              struct error *err)
{
    const char *end = bytes + count;
    for (uint32_t number = 1; bytes < end; number++) {
        const char *stop = memchr(bytes, '\n', (size_t)(end - bytes));
        if (stop == NULL)
            return error_set(err, ERROR_INVALID, "line %u: has no end: is it written just now?",
                             number);
        int result = read_line(bytes, (size_t)(stop - bytes), visit, argument, err);
        if (result != 0)
            return error_wrap(err, "line %u", number);
        bytes = stop + 1;
    }
    return 0;
}

int keys_file_load(const char *path, char **ret, size_t *ret_count, struct error *err)
{
    const struct private_file_rules rules = {.bytes_max = KEYS_FILE_BYTES_MAX,
                                             .forbidden = FORBIDDEN};
    char *bytes = malloc(KEYS_FILE_BYTES_MAX); /* of which only what is read becomes memory */
    size_t count = 0;
    if (bytes == NULL)
        return error_no_memory(err);
    int result = private_file_read(path, &rules, (uint8_t *)bytes, &count, NULL, err);
    if (result != 0) {
        free(bytes);
        return result;
    }
    *ret = bytes;
    *ret_count = count;
    return 0;
}

int keys_file_path(const char *configured, char *ret, size_t ret_bytes, struct error *err)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    int count = 0;
    ret[0] = '\0';
    if (configured[0] != '\0')
        count = snprintf(ret, ret_bytes, "%s", configured);
    else if (credentials != NULL && credentials[0] == '/')
        count = snprintf(ret, ret_bytes, "%s/" KEYS_CREDENTIAL, credentials);
    if (count < 0 || (size_t)count >= ret_bytes)
        return error_set(err, ERROR_INVALID, "access.keys_file: the path is too long");
    if (configured[0] == '\0' && ret[0] != '\0' && access(ret, F_OK) != 0)
        ret[0] = '\0';
    return 0;
}
