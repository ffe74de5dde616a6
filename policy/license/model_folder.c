/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/model_folder.h"

#include "policy/license/model_name.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROMISE_PLAIN  1u
#define PROMISE_MODEL  2u
#define READ_STEP      16384u
#define REVISION_BYTES 64u /* of refs/main in a hub's cache */

/* -- What a name promises -- */

static bool is_letter(char c)
{
    return isalpha((unsigned char)c) != 0;
}

/* Where "license" or "licence" begins as a word of the name; "licensed" is none. */
static const char *find_license(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        if (strncasecmp(at, "license", 7) != 0 && strncasecmp(at, "licence", 7) != 0)
            continue;
        if (tolower((unsigned char)at[7]) != 'd' && tolower((unsigned char)at[7]) != 'e')
            return at;
    }
    return strncasecmp(name, "copying", 7) == 0 ? name : NULL;
}

static bool ends_in(const char *name, const char *const *endings, size_t count)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < count; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return true;
    return false;
}

/* What a text may be, PDFs among it: one that we cannot read has to be told. */
static bool is_prose(const char *name)
{
    static const char *const endings[] = {"txt", "text", "md",  "markdown", "rst", "html",
                                          "htm", "pdf",  "rtf", "doc",      "docx"};
    return strchr(name, '.') == NULL || ends_in(name, endings, sizeof endings / sizeof endings[0]);
}

/* What is surely no text, though its name begins with "license". */
static bool is_machine_made(const char *name)
{
    static const char *const endings[] = {"py",  "json",  "yaml", "yml", "gguf", "safetensors",
                                          "bin", "jsonl", "csv",  "js",  "c",    "h",
                                          "sh",  "sig",   "png",  "svg", "jpg",  "gif"};
    return ends_in(name, endings, sizeof endings / sizeof endings[0]);
}

/* "LICENSE-CODE", "code_license": of the code or of data alone. The words must stand beside each
 * other, for models have "code" in their names too. */
static bool binds_other_parts(const char *name, const char *license)
{
    static const char *const parts[] = {"code", "source", "data"};
    const char *after = license + 7;
    if (strcasestr(name, "third") != NULL || strcasestr(name, "3rd") != NULL)
        return true;
    if (tolower((unsigned char)*after) == 's')
        after++;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t count = strlen(parts[i]);
        if (*after != '\0' && !is_letter(*after) && strncasecmp(after + 1, parts[i], count) == 0)
            return true;
        if (license == name + count + 1 && strncasecmp(name, parts[i], count) == 0 &&
            !is_letter(name[count]))
            return true;
    }
    return false;
}

static bool is_use_policy(const char *name)
{
    static const char *const begins[] = {"use_policy",     "use-policy",     "usage_policy",
                                         "usage-policy",   "acceptable_use", "acceptable-use",
                                         "prohibited_use", "prohibited-use"};
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (strncasecmp(name, begins[i], strlen(begins[i])) == 0)
            return is_prose(name);
    return false;
}

static bool is_license(const char *name, uint32_t *ret_promise)
{
    const char *license = find_license(name);
    if (license == NULL || (license == name ? is_machine_made(name) : !is_prose(name)))
        return false;
    bool of_model = strcasestr(name, "model") != NULL || strcasestr(name, "weight") != NULL;
    if (!of_model && binds_other_parts(name, license))
        return false;
    *ret_promise = of_model ? PROMISE_MODEL : PROMISE_PLAIN;
    return true;
}

/* -- The listing -- */

/* Equal promise: by name, so that the answer does not hang on the disk. */
static bool goes_before(const struct model_folder_text *a, const struct model_folder_text *b)
{
    if (a->promise != b->promise)
        return a->promise > b->promise;
    return strcmp(a->name, b->name) < 0;
}

static void add_text(struct model_folder *folder, const struct model_folder_text *text)
{
    uint32_t at = folder->text_count;
    while (at > 0 && goes_before(text, &folder->texts[at - 1]))
        at--;
    if (folder->text_count == MODEL_FOLDER_TEXTS_MAX)
        folder->left_out++;
    else
        folder->text_count++;
    if (at == MODEL_FOLDER_TEXTS_MAX)
        return;
    memmove(&folder->texts[at + 1], &folder->texts[at],
            (folder->text_count - 1 - at) * sizeof *text);
    folder->texts[at] = *text;
}

/* Which models a folder holds, as far as a projector needs to know whose it is. */
struct weights_seen {
    char own[MODEL_NAME_BYTES];   /* of the file asked for, "" for a folder */
    char first[MODEL_NAME_BYTES]; /* of the first weights in the listing */
    bool several;
    bool projector, own_projector;
};

static void see_weights(struct weights_seen *seen, const char *name)
{
    char stem[MODEL_NAME_BYTES];
    model_name_of_file(name, stem);
    if (strcasestr(name, "mmproj") != NULL) {
        seen->projector = true;
        if (seen->own[0] != '\0' && strcasestr(name, seen->own) != NULL)
            seen->own_projector = true;
        return;
    }
    if (seen->first[0] == '\0')
        memcpy(seen->first, stem, sizeof stem);
    else if (strcasecmp(seen->first, stem) != 0)
        seen->several = true;
}

static void copy_name(char ret[MODEL_FOLDER_NAME_BYTES], const char *name)
{
    (void)snprintf(ret, MODEL_FOLDER_NAME_BYTES, "%s", name);
}

static void see_entry(struct model_folder *folder, struct weights_seen *seen, const char *name)
{
    struct model_folder_text text = {.promise = 0};
    size_t count = strlen(name);
    if (name[0] == '.' || count >= MODEL_FOLDER_NAME_BYTES)
        return;
    if (count > 5 && strcasecmp(name + count - 5, ".gguf") == 0) {
        see_weights(seen, name);
    } else if (strcasecmp(name, "README.md") == 0) {
        if (strcmp(folder->card, "README.md") != 0)
            copy_name(folder->card, name);
    } else if (strcmp(name, "config.json") == 0) {
        copy_name(folder->config, name);
    } else if (is_use_policy(name) || is_license(name, &text.promise)) {
        text.use_policy = text.promise == 0;
        copy_name(text.name, name);
        add_text(folder, &text);
    }
}

static int list(struct model_folder *folder, const char *file, struct error *err)
{
    struct weights_seen seen = {.own = ""};
    int again = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = again < 0 ? NULL : fdopendir(again);
    if (entries == NULL) {
        int result = error_set_errno(err, errno, "%s", folder->path);
        if (again >= 0)
            (void)close(again);
        return result;
    }
    if (file != NULL)
        model_name_of_file(file, seen.own);
    uint32_t count = 0;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (++count > MODEL_FOLDER_ENTRIES_MAX) {
            folder->cut = true;
            break;
        }
        see_entry(folder, &seen, entry->d_name);
    }
    (void)closedir(entries);
    /* Among many models' files only a projector that bears the name is this one's. */
    folder->has_projector = seen.own_projector || (seen.projector && !seen.several);
    return 0;
}

/* -- Opening -- */

/* The path of what a descriptor holds, without links; NULL where /proc does not tell. */
static char *path_of_fd(int fd)
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return realpath(link, NULL);
}

/* Takes fd and path over, on failure too. */
static int open_listed(struct model_folder *folder, int fd, char *path, const char *file,
                       struct error *err)
{
    struct stat status;
    int result = 0;
    if (path == NULL) {
        (void)close(fd);
        return error_no_memory(err);
    }
    folder->fd = fd;
    folder->path = path;
    folder->real = path_of_fd(fd);
    if (folder->real == NULL)
        result = error_set_errno(err, errno, "%s", path);
    else if (fstat(fd, &status) != 0)
        result = error_set_errno(err, errno, "%s", path);
    if (result == 0) {
        folder->device = status.st_dev;
        folder->inode = status.st_ino;
        result = list(folder, file, err);
    }
    if (result != 0)
        model_folder_close(folder);
    return result;
}

static char *folder_part(const char *path, const char *file)
{
    if (file == path)
        return strdup(".");
    size_t count = (size_t)(file - path);
    while (count > 1 && path[count - 1] == '/')
        count--;
    return strndup(path, count);
}

int model_folder_open(struct model_folder *folder, const char *path, struct error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK;
    *folder = (struct model_folder){.fd = -1};
    int fd = open(path, flags);
    if (fd >= 0)
        return open_listed(folder, fd, strdup(path), NULL, err);
    if (errno != ENOTDIR && errno != ENOENT)
        return error_set_errno(err, errno, "%s", path);
    const char *file = model_name_bare(path);
    char *part = folder_part(path, file);
    if (part == NULL)
        return error_no_memory(err);
    fd = open(part, flags);
    if (fd < 0) {
        int result = error_set_errno(err, errno, "%s", part);
        free(part);
        return result;
    }
    return open_listed(folder, fd, part, file, err);
}

int model_folder_open_text(struct model_folder *folder, const char *path, struct error *err)
{
    const char *name = model_name_bare(path);
    int result = model_folder_open(folder, path, err);
    if (result != 0)
        return result;
    folder->text_count = folder->left_out = 0;
    folder->card[0] = folder->config[0] = '\0';
    folder->has_projector = false;
    if (strncasecmp(name, "readme", 6) == 0) {
        copy_name(folder->card, name);
        return 0;
    }
    folder->texts[0] =
        (struct model_folder_text){.use_policy = is_use_policy(name), .promise = PROMISE_MODEL};
    copy_name(folder->texts[0].name, name);
    folder->text_count = 1;
    return 0;
}

void model_folder_close(struct model_folder *folder)
{
    if (folder->path != NULL && folder->fd >= 0)
        (void)close(folder->fd);
    free(folder->path);
    free(folder->real);
    *folder = (struct model_folder){.fd = -1};
}

/* In a hub's cache: HUB/models--ORG--NAME/snapshots/REVISION, and refs/main names the revision. */
static int open_in_cache(const struct model_folder *from, const char *model)
{
    char path[MODEL_NAME_BYTES + 128], revision[REVISION_BYTES + 1];
    const char *slash = strchr(model, '/');
    if (slash == NULL)
        return -1;
    int used = snprintf(path, MODEL_NAME_BYTES + 32, "../../../models--%.*s--%s",
                        (int)(slash - model), model, slash + 1);
    (void)snprintf(path + used, sizeof path - (size_t)used, "/refs/main");
    int fd = openat(from->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    ssize_t count = read(fd, revision, REVISION_BYTES);
    (void)close(fd);
    size_t length = 0;
    while (length < (size_t)(count < 0 ? 0 : count) && isxdigit((unsigned char)revision[length]))
        length++;
    if (length == 0)
        return -1;
    (void)snprintf(path + used, sizeof path - (size_t)used, "/snapshots/%.*s", (int)length,
                   revision);
    return openat(from->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int model_folder_open_near(struct model_folder *folder, const struct model_folder *from,
                           const char *model, struct error *err)
{
    static const char *const places[] = {"", "../", "../../"};
    *folder = (struct model_folder){.fd = -1};
    if (!model_name_is_path(model) || strlen(model) >= MODEL_NAME_BYTES)
        return error_set(err, ERROR_NOT_FOUND, "no name of a folder");
    int fd = -1;
    /* As "name" below and beside, as "org/name" below, beside and above. */
    const char *bare = model_name_bare(model);
    for (uint32_t i = 0; fd < 0 && i < 5; i++) {
        char path[MODEL_NAME_BYTES + 16];
        if (i >= 2 && bare == model)
            break;
        (void)snprintf(path, sizeof path, "%s%s", places[i < 2 ? i : i - 2], i < 2 ? bare : model);
        fd = openat(from->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    }
    if (fd < 0)
        fd = open_in_cache(from, model);
    if (fd < 0)
        return error_set(err, ERROR_NOT_FOUND, "no folder nearby");
    return open_listed(folder, fd, path_of_fd(fd), NULL, err);
}

/* -- Reading -- */

static bool lies_in(const char *path, const char *folder, size_t count, const char *below)
{
    size_t below_count = strlen(below);
    return strncmp(path, folder, count) == 0 && strncmp(path + count, below, below_count) == 0;
}

/* A folder may come from anybody, and a link in it may lead to a key or a password. */
static bool link_stays(const struct model_folder *folder, int fd)
{
    static const char snapshots[] = "/snapshots/";
    char *target = path_of_fd(fd);
    if (target == NULL)
        return false;
    bool stays = lies_in(target, folder->real, strlen(folder->real), "/");
    const char *last = strrchr(folder->real, '/');
    const size_t count = sizeof snapshots - 1;
    if (!stays && last != NULL && (size_t)(last + 1 - folder->real) > count &&
        memcmp(last + 1 - count, snapshots, count) == 0)
        stays = lies_in(target, folder->real, (size_t)(last + 1 - folder->real) - count, "/blobs/");
    free(target);
    return stays;
}

static int open_file(const struct model_folder *folder, const char *name, int *ret_fd,
                     struct error *err)
{
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    struct stat status;
    bool is_link = false;
    int fd = openat(folder->fd, name, flags | O_NOFOLLOW);
    if (fd < 0 && errno == ELOOP) {
        is_link = true;
        fd = openat(folder->fd, name, flags);
    }
    if (fd < 0)
        return error_set(err, ERROR_IO, "it cannot be opened: %s", strerror(errno));
    const char *fault = NULL;
    if (fstat(fd, &status) != 0)
        fault = strerror(errno);
    else if (S_ISDIR(status.st_mode))
        fault = "it is a folder";
    else if (!S_ISREG(status.st_mode))
        fault = "it is no plain file";
    else if (is_link && !link_stays(folder, fd))
        fault = "it is a link that leads out of the model's folder";
    if (fault == NULL) {
        *ret_fd = fd;
        return 0;
    }
    (void)close(fd);
    return error_set(err, ERROR_IO, "%s", fault);
}

int model_folder_read(const struct model_folder *folder, const char *name, size_t bytes_max,
                      struct text *ret, struct error *err)
{
    int fd = -1;
    int result = open_file(folder, name, &fd, err);
    if (result != 0)
        return result;
    for (size_t taken = 0; taken < bytes_max && result == 0;) {
        size_t step = bytes_max - taken < READ_STEP ? bytes_max - taken : READ_STEP;
        if (!text_reserve(ret, step)) {
            result = error_no_memory(err);
            break;
        }
        ssize_t count = read(fd, ret->bytes + ret->count, step);
        if (count < 0 && errno != EINTR)
            result = error_set(err, ERROR_IO, "it cannot be read: %s", strerror(errno));
        if (count == 0)
            break;
        if (count > 0) {
            ret->count += (size_t)count;
            ret->bytes[ret->count] = '\0';
            taken += (size_t)count;
        }
    }
    (void)close(fd);
    return result;
}
