/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/check_targets.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const char gguf_ending[] = ".gguf";

void check_targets_init(struct check_targets *targets, const struct config *config)
{
    *targets = (struct check_targets){.config = config};
    text_init(&targets->troubles);
}

void check_targets_destroy(struct check_targets *targets)
{
    for (uint32_t i = 0; i < targets->count; i++) {
        free(targets->items[i].id);
        free(targets->items[i].path);
    }
    free(targets->items);
    text_destroy(&targets->troubles);
    *targets = (struct check_targets){.count = 0};
}

/* -- Names of files -- */

static bool ends_in(const char *name, const char *ending)
{
    size_t count = strlen(name), ending_count = strlen(ending);
    return count > ending_count && strcasecmp(name + count - ending_count, ending) == 0;
}

/* "-00002-of-00005.gguf": a part that is not the first. */
static bool is_later_part(const char *name)
{
    static const char shape[] = "-00000-of-00000.gguf"; /* 0: any digit */
    size_t count = strlen(name), shape_count = sizeof shape - 1;
    if (count < shape_count)
        return false;
    const char *at = name + count - shape_count;
    for (size_t i = 0; i < shape_count; i++)
        if (shape[i] == '0' ? !isdigit((unsigned char)at[i])
                            : tolower((unsigned char)at[i]) != shape[i])
            return false;
    return strncmp(at + 1, "00001", 5) != 0;
}

static bool tells_of_weights(const char *name)
{
    return ends_in(name, ".safetensors") || ends_in(name, ".pth") ||
           strcasecmp(name, "config.json") == 0 || strcasecmp(name, "params.json") == 0 ||
           strncasecmp(name, "pytorch_model", 13) == 0;
}

static bool tells_of_licence(const char *name)
{
    return strcasestr(name, "license") != NULL || strcasestr(name, "licence") != NULL ||
           strncasecmp(name, "readme", 6) == 0 || strncasecmp(name, "copying", 7) == 0 ||
           strncasecmp(name, "use_policy", 10) == 0;
}

/* -- Adding -- */

/* The id and the choice of licence that the configuration has for a file, by what file it is. */
static const struct config_model *configured(const struct check_targets *targets, const char *path)
{
    struct stat wanted, status;
    if (targets->config == NULL || stat(path, &wanted) != 0)
        return NULL;
    for (uint32_t i = 0; i < targets->config->model_count; i++) {
        const struct config_model *model = &targets->config->models[i];
        if (stat(model->path, &status) == 0 && status.st_dev == wanted.st_dev &&
            status.st_ino == wanted.st_ino)
            return model;
    }
    return NULL;
}

/* model: what the configuration says of it; NULL for nothing. */
static int add(struct check_targets *targets, enum check_kind kind, const char *id,
               const char *path, const struct config_model *model, struct error *err)
{
    if (targets->count == CHECK_TARGETS_MAX)
        return error_set(err, ERROR_BUSY, "more than %u models: check a part of them",
                         CHECK_TARGETS_MAX);
    if (targets->count == targets->capacity) {
        uint32_t capacity = targets->capacity == 0 ? 16 : targets->capacity * 2;
        struct check_target *grown = realloc(targets->items, capacity * sizeof *grown);
        if (grown == NULL)
            return error_no_memory(err);
        targets->items = grown;
        targets->capacity = capacity;
    }
    struct check_target target = {
        .kind = kind,
        .id = strdup(model != NULL ? model->id : id),
        .path = strdup(path),
        .license = model != NULL && model->license != NULL ? model->license : "",
    };
    if (target.id == NULL || target.path == NULL) {
        free(target.id);
        free(target.path);
        return error_no_memory(err);
    }
    /* "org/name.gguf" is served as "org/name"; the configuration's ids stay as they are. */
    if (model == NULL && kind == CHECK_WEIGHTS && ends_in(target.id, gguf_ending))
        target.id[strlen(target.id) - (sizeof gguf_ending - 1)] = '\0';
    targets->items[targets->count++] = target;
    return 0;
}

static void trouble(struct check_targets *targets, const char *path, const char *why)
{
    text_append_format(&targets->troubles, "%s: %s\n", path, why);
}

/* -- The names in one folder -- */

struct names {
    char **items;
    uint32_t count, capacity;
};

static bool names_add(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        uint32_t capacity = names->capacity == 0 ? 16 : names->capacity * 2;
        char **grown = realloc(names->items, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        names->items = grown;
        names->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return false;
    names->items[names->count++] = copy;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_destroy(struct names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

struct listing {
    struct names ggufs, folders; /* sorted */
    bool has_weights, has_licence;
    dev_t device;
    ino_t inode;
};

static void listing_destroy(struct listing *listing)
{
    names_destroy(&listing->ggufs);
    names_destroy(&listing->folders);
}

/* Whatever is neither a file nor a folder, a pipe among them, is nothing to open. */
static bool list_entry(struct listing *listing, int folder, const char *name)
{
    struct stat status;
    if (name[0] == '.' || fstatat(folder, name, &status, 0) != 0)
        return true;
    if (S_ISDIR(status.st_mode))
        return names_add(&listing->folders, name);
    if (!S_ISREG(status.st_mode))
        return true;
    if (ends_in(name, gguf_ending))
        return names_add(&listing->ggufs, name);
    listing->has_weights = listing->has_weights || tells_of_weights(name);
    listing->has_licence = listing->has_licence || tells_of_licence(name);
    return true;
}

/* ERROR_IO for a folder that cannot be read. */
static int list(struct check_targets *targets, const char *path, struct listing *listing,
                struct error *err)
{
    struct stat status;
    int result = 0;
    DIR *folder = opendir(path);
    if (folder == NULL || fstat(dirfd(folder), &status) != 0) {
        result = error_set_errno(err, errno, "%s", path);
        if (folder != NULL)
            (void)closedir(folder);
        return result == ERROR_NO_MEMORY ? result : ERROR_IO;
    }
    listing->device = status.st_dev;
    listing->inode = status.st_ino;
    for (struct dirent *entry; result == 0 && (entry = readdir(folder)) != NULL;) {
        if (++targets->entries > CHECK_ENTRIES_MAX)
            result = error_set(err, ERROR_BUSY, "%s: more than %u files: check a part of them",
                               path, CHECK_ENTRIES_MAX);
        else if (!list_entry(listing, dirfd(folder), entry->d_name))
            result = error_no_memory(err);
    }
    (void)closedir(folder);
    if (listing->ggufs.count > 1)
        qsort(listing->ggufs.items, listing->ggufs.count, sizeof(char *), compare_names);
    if (listing->folders.count > 1)
        qsort(listing->folders.items, listing->folders.count, sizeof(char *), compare_names);
    return result;
}

/* -- The tree -- */

/* A folder on the way down; `id` is its path below the folder that was named, "" for that one. */
struct place {
    const char *path, *id;
    const struct place *above; /* NULL at the top */
    const char *top_id;        /* what the named folder itself is called */
    uint32_t depth;
    bool in_model; /* something above is a model */
    dev_t device;
    ino_t inode;
};

static bool is_on_the_way(const struct place *place, dev_t device, ino_t inode)
{
    for (; place != NULL; place = place->above)
        if (place->device == device && place->inode == inode)
            return true;
    return false;
}

static int join(char ret[PATH_MAX], const char *folder, const char *name)
{
    const char *between = folder[0] == '\0' || folder[strlen(folder) - 1] == '/' ? "" : "/";
    int count = snprintf(ret, PATH_MAX, "%s%s%s", folder, between, name);
    return count > 0 && count < PATH_MAX ? 0 : ERROR_INVALID;
}

/* Where the first part is missing, the first that is there stands for all. */
static int add_ggufs(struct check_targets *targets, const struct place *place,
                     const struct listing *listing, struct error *err)
{
    uint32_t added = 0;
    for (uint32_t i = 0; i <= listing->ggufs.count; i++) {
        char path[PATH_MAX], id[PATH_MAX];
        const char *name = listing->ggufs.items[i < listing->ggufs.count ? i : 0];
        if (i < listing->ggufs.count ? is_later_part(name) : added > 0)
            continue;
        if (join(path, place->path, name) != 0 || join(id, place->id, name) != 0) {
            trouble(targets, place->path, "a path too long to look at");
            return 0;
        }
        int result = add(targets, CHECK_WEIGHTS, id, path, configured(targets, path), err);
        if (result != 0)
            return result;
        added++;
    }
    return 0;
}

static int walk(struct check_targets *targets, struct place place, struct error *err);

static int walk_folders(struct check_targets *targets, const struct place *place,
                        const struct listing *listing, struct error *err)
{
    for (uint32_t i = 0; i < listing->folders.count; i++) {
        char path[PATH_MAX], id[PATH_MAX];
        const char *name = listing->folders.items[i];
        if (place->depth == CHECK_DEPTH_MAX) {
            trouble(targets, place->path, "too deep; what lies below is not looked at");
            return 0;
        }
        if (join(path, place->path, name) != 0 || join(id, place->id, name) != 0) {
            trouble(targets, place->path, "a path too long to look at");
            continue;
        }
        struct place below = *place;
        below.path = path;
        below.id = id;
        below.above = place;
        below.depth++;
        int result = walk(targets, below, err);
        if (result != 0)
            return result;
    }
    return 0;
}

static int walk(struct check_targets *targets, struct place place, struct error *err)
{
    struct listing listing = {.has_weights = false};
    struct error inner = {0};
    int result = list(targets, place.path, &listing, &inner);
    if (result == ERROR_IO) { /* the rest of the tree can still be told of */
        trouble(targets, place.path, "cannot be read");
        result = 0;
        goto done;
    }
    if (result != 0) {
        error_set(err, result, "%s", inner.text);
        goto done;
    }
    if (is_on_the_way(place.above, listing.device, listing.inode))
        goto done;
    place.device = listing.device;
    place.inode = listing.inode;
    const char *id = place.id[0] == '\0' ? place.top_id : place.id;
    bool is_model = listing.ggufs.count > 0 || listing.has_weights;
    if (listing.ggufs.count > 0)
        result = add_ggufs(targets, &place, &listing, err);
    else if (listing.has_weights)
        result = add(targets, CHECK_FOLDER, id, place.path, NULL, err);
    uint32_t before = targets->count;
    bool alone = !is_model && !place.in_model;
    place.in_model = place.in_model || is_model;
    if (result == 0)
        result = walk_folders(targets, &place, &listing, err);
    if (result == 0 && alone && listing.has_licence && targets->count == before)
        result = add(targets, CHECK_FOLDER, id, place.path, NULL, err);
done:
    listing_destroy(&listing);
    return result;
}

static int compare_targets(const void *a, const void *b)
{
    const struct check_target *left = a, *right = b;
    int order = strcmp(left->id, right->id);
    return order != 0 ? order : strcmp(left->path, right->path);
}

/* The last part of a path. */
static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static int add_folder(struct check_targets *targets, const char *path, struct error *err)
{
    char real[PATH_MAX];
    uint32_t before = targets->count;
    size_t troubles = targets->troubles.count;
    if (realpath(path, real) == NULL) /* "." and "x/.." have a name there */
        return error_set_errno(err, errno, "%s", path);
    const struct place top = {.path = path, .id = "", .top_id = base_of(real)};
    int result = walk(targets, top, err);
    if (result != 0)
        return result;
    if (targets->count == before && targets->troubles.count == troubles)
        return error_set(err, ERROR_NOT_FOUND, "%s: no model, card or licence text in it", path);
    if (targets->count > before)
        qsort(targets->items + before, targets->count - before, sizeof *targets->items,
              compare_targets);
    return 0;
}

/* Other weights than GGUF stand for their folder, and are called after it. */
static int add_other_weights(struct check_targets *targets, const char *path, struct error *err)
{
    char real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return error_set_errno(err, errno, "%s", path);
    *strrchr(real, '/') = '\0';
    return add(targets, CHECK_FOLDER, real[0] == '\0' ? "/" : base_of(real), path, NULL, err);
}

static int add_path(struct check_targets *targets, const char *path, const struct stat *status,
                    struct error *err)
{
    const char *name = base_of(path);
    if (S_ISDIR(status->st_mode))
        return add_folder(targets, path, err);
    if (!S_ISREG(status->st_mode))
        return error_set(err, ERROR_NOT_FOUND, "%s: neither a file nor a folder", path);
    if (ends_in(name, gguf_ending))
        return add(targets, CHECK_WEIGHTS, name, path, configured(targets, path), err);
    if (tells_of_weights(name))
        return add_other_weights(targets, path, err);
    return add(targets, CHECK_TEXT, name, path, NULL, err);
}

int check_targets_add(struct check_targets *targets, const char *argument, struct error *err)
{
    struct stat status;
    const struct config *config = targets->config;
    for (uint32_t i = 0; config != NULL && i < config->model_count; i++)
        if (strcmp(config->models[i].id, argument) == 0)
            return add(targets, CHECK_WEIGHTS, argument, config->models[i].path, &config->models[i],
                       err);
    if (stat(argument, &status) == 0)
        return add_path(targets, argument, &status, err);
    if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
        return error_set_errno(err, errno, "%s", argument);
    return add(targets, CHECK_NAME, argument, "", NULL, err);
}

int check_targets_add_configured(struct check_targets *targets, struct error *err)
{
    for (uint32_t i = 0; i < targets->config->model_count; i++) {
        const struct config_model *model = &targets->config->models[i];
        int result = add(targets, CHECK_WEIGHTS, model->id, model->path, model, err);
        if (result != 0)
            return result;
    }
    return 0;
}
