/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/worker.h"
#include "tests/unit/server/stage.h"

struct stage stage;

static bool step_fails(const char *what, struct error *err)
{
    if (++stage.steps != stage.fail_at)
        return false;
    error_set(err, ERROR_IO, "%s failed", what);
    return true;
}

static void ended(char what)
{
    size_t used = strlen(stage.order);
    assert_true(used + 1 < sizeof stage.order);
    stage.order[used] = what;
}

int listener_bind(const char *address, uint16_t port, uint16_t *ret_port, struct error *err)
{
    (void)address;
    if (step_fails("bind", err))
        return -1;
    *ret_port = port == 0 ? 4711 : port;
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

struct listener {
    int fd;
};

struct listener *listener_new(const struct listener_config *config, struct error *err)
{
    if (step_fails("listener", err)) {
        close(config->doors[0].fd);
        return NULL;
    }
    struct listener *listener = malloc(sizeof *listener);
    listener->fd = config->doors[0].fd;
    stage.listeners++;
    return listener;
}

void listener_set_limits(struct listener *listener, const struct listener_limits *limits)
{
    (void)listener;
    stage.connections_max = limits->connections_max;
}

void listener_set_tls(struct listener *listener, struct tls_set *set)
{
    (void)listener;
    assert_non_null(set);
}

void listener_set_trust(struct listener *listener, const struct listener_trust *trust)
{
    (void)listener;
    (void)trust;
}

void listener_drain(struct listener *listener)
{
    (void)listener;
    atomic_fetch_add(&stage.drains, 1);
}

void listener_cut(struct listener *listener)
{
    assert_true(atomic_load(&stage.drains) > 0);
    (void)listener;
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    assert_true(stage.cut ||
                stage.engines_stopped == 0); /* the cancels need somebody to hear them */
    close(listener->fd);
    free(listener);
    stage.listeners--;
    ended('l');
}

void listener_stats(const struct listener *listener, struct listener_stats *ret)
{
    (void)listener;
    *ret = (struct listener_stats){.connections = atomic_load(&stage.exchanges)};
}

struct api {
    char unused;
};

struct api *api_new(struct server *server, uint32_t worker, struct error *err)
{
    for (uint32_t i = 0; i < server->model_count; i++)
        assert_true(server_model(server, i) == NULL || server->models[i].engine != NULL);
    assert_true(worker < server->worker_count);
    if (step_fails("api", err))
        return NULL;
    stage.apis++;
    return calloc(1, sizeof(struct api));
}

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    assert_int_equal(stage.listeners, 0);
    free(api);
    stage.apis--;
    ended('a');
}

const struct exchange_handler *api_handler(const struct api *api)
{
    (void)api;
    static const struct exchange_handler none;
    return &none;
}

void api_wake(struct api *api)
{
    (void)api;
    if (atomic_exchange(&stage.hang, false)) {
        atomic_store(&stage.hanging, true);
        while (atomic_load(&stage.hanging))
            sched_yield();
    }
    atomic_fetch_add(&stage.wakes, 1);
}

void api_tick(struct api *api)
{
    (void)api;
}

void api_set_live(struct api *api, struct live *live)
{
    (void)api;
    assert_non_null(live);
}

uint32_t api_open_generations(const struct api *api)
{
    (void)api;
    return atomic_load(&stage.generations);
}

static void close_backend(struct backend *backend)
{
    assert_true(stage.models < stage.backends); /* its model went before it */
    free(backend);
    stage.backends--;
}

static bool gpu_room(struct backend *backend, struct device_room *ret)
{
    (void)backend;
    *ret = stage.gpu;
    return true;
}

struct backend *backend_open(const struct backend_config *config, struct error *err)
{
    static const struct backend_ops cpu = {.name = "double", .close = close_backend};
    static const struct backend_ops gpu = {
        .name = "gpu-double", .memory_room = gpu_room, .close = close_backend};
    if (step_fails("backend", err))
        return NULL;
    const bool wants_gpu = strcmp(config->device, "cpu") != 0;
    if (wants_gpu && stage.gpu.total_bytes == 0) {
        struct error *why = strcmp(config->device, "auto") == 0 ? config->no_gpu : err;
        error_set(why, ERROR_NOT_FOUND, "no GPU on this stage");
        if (why == err)
            return NULL;
    }
    struct backend *backend = malloc(sizeof *backend);
    backend->ops = wants_gpu && stage.gpu.total_bytes > 0 ? &gpu : &cpu;
    stage.backends++;
    return backend;
}

void backend_close(struct backend *backend)
{
    if (backend != NULL)
        backend->ops->close(backend);
}

struct model {
    struct model_shape shape;
};

struct model *model_load_unless(const char *path, struct backend *backend, const _Atomic bool *stop,
                                struct error *err)
{
    (void)path;
    (void)backend;
    if (step_fails("model", err))
        return NULL;
    for (; atomic_load(&stage.load_hangs); sched_yield()) {
        atomic_store(&stage.loading, true);
        if (!atomic_load(&stage.load_deaf) && atomic_load(stop)) {
            error_set(err, ERROR_CLOSED, "given up");
            return NULL;
        }
    }
    struct model *model = malloc(sizeof *model);
    model->shape = (struct model_shape){.context = 2048, .kv_block_bytes = 4096};
    stage.models++;
    return model;
}

int model_read_needs(const char *path, const struct backend *backend, struct model_needs *ret,
                     struct error *err)
{
    (void)path;
    (void)backend;
    if (step_fails("needs", err))
        return ERROR_IO;
    *ret = (struct model_needs){.shape = {.context = 2048, .kv_block_bytes = 4096},
                                .weight_bytes = stage.gpu_weight_bytes};
    return 0;
}

int model_step_bytes(const struct model_needs *needs, const struct model_limits *limits,
                     const struct backend *backend, uint64_t *ret, struct error *err)
{
    (void)needs;
    (void)backend;
    (void)err;
    *ret = limits->rows_max;
    return 0;
}

void model_free(struct model *model)
{
    if (model == NULL)
        return;
    assert_true(stage.cut || stage.apis == 0);
    free(model);
    stage.models--;
    ended('m');
}

const struct model_shape *model_shape(const struct model *model)
{
    return &model->shape;
}

const struct gguf *model_file(const struct model *model)
{
    return (const struct gguf *)model;
}

const struct chat_template *model_chat_template(const struct model *model)
{
    return (const struct chat_template *)model;
}

const char *model_template_error(const struct model *model)
{
    (void)model;
    return "";
}

const char *model_architecture(const struct model *model)
{
    (void)model;
    return "double";
}

size_t model_weight_bytes(const struct model *model)
{
    (void)model;
    return 0;
}

size_t gguf_file_bytes(const struct gguf *gguf)
{
    (void)gguf;
    return 1000;
}

struct gguf {
    char unused;
};

struct gguf *gguf_open(const char *path, struct error *err)
{
    (void)path;
    if (step_fails("header", err))
        return NULL;
    stage.files++;
    return calloc(1, sizeof(struct gguf));
}

void gguf_close(struct gguf *gguf)
{
    if (gguf == NULL)
        return;
    free(gguf);
    stage.files--;
}

/* A file that says nothing of itself. */
bool gguf_get_u64(const struct gguf *gguf, const char *key, uint64_t *ret)
{
    (void)gguf;
    (void)key;
    (void)ret;
    return false;
}

bool gguf_get_string(const struct gguf *gguf, const char *key, struct gguf_string *ret)
{
    (void)gguf;
    (void)key;
    (void)ret;
    return false;
}

bool gguf_get_array(const struct gguf *gguf, const char *key, struct gguf_array *ret)
{
    (void)gguf;
    (void)key;
    (void)ret;
    return false;
}

bool gguf_array_next_string(const struct gguf_array *array, uint64_t *cursor,
                            struct gguf_string *ret)
{
    (void)array;
    (void)cursor;
    (void)ret;
    return false;
}

bool gguf_copy_string(const struct gguf *gguf, const char *key, char *ret, size_t ret_bytes)
{
    (void)gguf;
    (void)key;
    (void)ret;
    (void)ret_bytes;
    return false;
}

struct engine {
    char unused;
};

struct model_limits engine_limits(const struct engine_config *config, uint32_t blocks)
{
    return (struct model_limits){.blocks = blocks, .rows_max = config->max_step_tokens};
}

struct engine *engine_start(const struct engine_config *config, struct error *err)
{
    if (step_fails("engine", err))
        return NULL;
    stage.engine = *config;
    stage.engines++;
    return calloc(1, sizeof(struct engine));
}

void engine_stop(struct engine *engine)
{
    assert_non_null(engine);
    stage.engines_stopped++;
    ended('s');
    for (uint32_t i = 0; i < stage.engine.workers; i++)
        stage.engine.wake(stage.engine.wake_argument, i); /* last events, to whoever is left */
}

bool engine_stop_until(struct engine *engine, int64_t end_unix_us)
{
    assert_true(end_unix_us > 0);
    if (!stage.stuck)
        engine_stop(engine);
    return !stage.stuck;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    free(engine);
    stage.engines--;
    ended('e');
}

void engine_stats(const struct engine *engine, struct engine_stats *ret)
{
    (void)engine;
    *ret = stage.stats;
}

uint64_t engine_wait_us(const struct engine *engine, int32_t priority)
{
    (void)engine;
    (void)priority;
    return 0;
}

const struct error *engine_failure(const struct engine *engine)
{
    (void)engine;
    return stage.failure.code == 0 ? NULL : &stage.failure;
}

uint32_t engine_context(const struct engine *engine)
{
    (void)engine;
    return 2048;
}

/* -- The fixture -- */

void stage_path(const struct fixture *fixture, const char *name, char ret[128])
{
    (void)snprintf(ret, 128, "%s/%s", fixture->folder, name);
}

void stage_write_file(const struct fixture *fixture, const char *name, const char *text)
{
    char path[128];
    stage_path(fixture, name, path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Two licences of our own: one asks nothing, one is for research alone. */
static void write_licenses(const struct fixture *fixture)
{
    char path[128], text[1024];
    static const char *const conditions[][2] = {
        {"free-1", "{id: end, kind: termination, clause: '1', summary: It may end.}"},
        {"research-1", "{id: research-only, kind: purpose, clause: '2', summary: Research only., "
                       "purpose: research}"}};
    stage_path(fixture, "licenses", path);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "licenses/%s.yaml", conditions[i][0]);
        (void)snprintf(text, sizeof text,
                       "id: %s\nname: %s\nfamily: test\ncategory: proprietary\ngrade: P\n"
                       "verified: true\nsources: [a test]\nsummary: A licence of a test.\n"
                       "conditions:\n  - %s\n",
                       conditions[i][0], conditions[i][0], conditions[i][1]);
        stage_write_file(fixture, path, text);
    }
}

/* license_a, license_b: of the two models. */
void stage_write_config(const struct fixture *fixture, const char *license_a, const char *license_b,
                        const char *declaration)
{
    char yaml[2048];
    (void)snprintf(yaml, sizeof yaml,
                   "server: {port: 0, workers: %u, stall_timeout: 2s}\n"
                   "users: {state: %s/state}\n"
                   "licenses: {folder: %s/licenses}\n"
                   "models:\n  - {id: a, path: %s/m.gguf, license: %s}\n"
                   "  - {id: b, path: %s/m.gguf, license: %s}\n"
                   "operator: {%s}\n",
                   WORKERS, fixture->folder, fixture->folder, fixture->folder, license_a,
                   fixture->folder, license_b, declaration);
    stage_write_file(fixture, "weir.yaml", yaml);
}

void stage_read_config(struct fixture *fixture)
{
    char path[128];
    struct error err = {0};
    config_free(fixture->config);
    fixture->config = NULL;
    stage_path(fixture, "weir.yaml", path);
    assert_int_equal(config_read(path, &fixture->config, &err), 0);
}

int stage_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    memset(&stage, 0, sizeof stage);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/weir-server-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    stage_write_file(fixture, "m.gguf", "");
    write_licenses(fixture);
    stage_write_config(fixture, "free-1", "free-1", "");
    stage_read_config(fixture);
    fixture->log_fd = memfd_create("log", MFD_CLOEXEC);
    fixture->log = log_new(fixture->log_fd, LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
    *state = fixture;
    return 0;
}

/* Counters and their journal have names of their own making. */
static void empty_folder(const char *path)
{
    DIR *entries = opendir(path);
    if (entries == NULL)
        return; /* the server did not come that far */
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(entries), entry->d_name, 0), 0);
    (void)closedir(entries);
}

int stage_teardown(void **state)
{
    static const char *const files[] = {"licenses/free-1.yaml",
                                        "licenses/research-1.yaml",
                                        "licenses/unreadable.yaml",
                                        "m.gguf",
                                        "n.gguf",
                                        "weir.yaml"};
    struct fixture *fixture = *state;
    char path[128];
    config_free(fixture->config);
    log_free(fixture->log);
    close(fixture->log_fd);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        stage_path(fixture, files[i], path);
        (void)unlink(path);
    }
    stage_path(fixture, "state", path);
    empty_folder(path);
    (void)rmdir(path);
    stage_path(fixture, "licenses", path);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

struct server *stage_start(struct fixture *fixture)
{
    struct error err = {0};
    struct server *server = server_start(fixture->config, fixture->log, &err);
    assert_string_equal(err.text, "");
    assert_non_null(server);
    return server;
}

uint32_t stage_logged(const struct fixture *fixture, const char *part)
{
    static char text[65536];
    ssize_t count = pread(fixture->log_fd, text, sizeof text - 1, 0);
    assert_true(count >= 0);
    text[count] = '\0';
    uint32_t found = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        found++;
    return found;
}

void stage_expect_nothing_left(void)
{
    assert_int_equal(stage.listeners, 0);
    assert_int_equal(stage.apis, 0);
    assert_int_equal(stage.engines, 0);
    assert_int_equal(stage.models, 0);
    assert_int_equal(stage.backends, 0);
    assert_int_equal(stage.files, 0);
}
