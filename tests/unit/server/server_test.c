/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a server over doubles of the network, the application, the engine and the model.
 * Every double that can fail is a step; a run fails one of them, and what was made must be gone
 * after it, in the right order. Policy, workers and their loops are the real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemon/server.h"
#include "daemon/worker.h"

#define WORKERS 3u
#define MODELS  2u

/* What the doubles did. The one piece of state that they share: there is no other way in. */
static struct stage {
    uint32_t steps, fail_at; /* the step that fails, from 1; 0: none */
    int listeners, apis, backends, models, engines;
    uint32_t engines_stopped;
    _Atomic uint32_t wakes, drains, exchanges;
    _Atomic uint32_t generations;
    struct engine_stats stats;
    struct engine_config engine;
    char order[256]; /* a letter for each end: l(istener) s(top) a(pi) e(ngine) m(odel) */
} stage;

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

SSL_CTX *listener_tls_context(const char *certificate_file, const char *key_file, struct error *err)
{
    (void)certificate_file;
    (void)key_file;
    (void)step_fails("tls", err);
    return NULL;
}

struct listener {
    int fd;
};

struct listener *listener_new(const struct listener_config *config, struct error *err)
{
    if (step_fails("listener", err))
        return NULL;
    struct listener *listener = malloc(sizeof *listener);
    listener->fd = config->fd;
    stage.listeners++;
    return listener;
}

void listener_drain(struct listener *listener)
{
    (void)listener;
    atomic_fetch_add(&stage.drains, 1);
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    assert_int_equal(stage.engines_stopped, 0); /* the cancels need somebody to hear them */
    close(listener->fd);
    free(listener);
    stage.listeners--;
    ended('l');
}

void listener_stats(const struct listener *listener, struct listener_stats *ret)
{
    (void)listener;
    *ret = (struct listener_stats){.exchanges = atomic_load(&stage.exchanges)};
}

struct api {
    char unused;
};

struct api *api_new(struct server *server, uint32_t worker, struct error *err)
{
    for (uint32_t i = 0; i < server->model_count; i++)
        assert_non_null(server->models[i].engine); /* apis read the engines at once */
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
    atomic_fetch_add(&stage.wakes, 1);
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

struct backend *backend_open(const struct backend_config *config, struct error *err)
{
    static const struct backend_ops ops = {.name = "double", .close = close_backend};
    (void)config;
    if (step_fails("backend", err))
        return NULL;
    struct backend *backend = malloc(sizeof *backend);
    backend->ops = &ops;
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

struct model *model_load(const char *path, struct backend *backend, struct error *err)
{
    (void)path;
    (void)backend;
    if (step_fails("model", err))
        return NULL;
    struct model *model = malloc(sizeof *model);
    model->shape = (struct model_shape){.context = 2048, .kv_block_bytes = 4096};
    stage.models++;
    return model;
}

void model_free(struct model *model)
{
    if (model == NULL)
        return;
    assert_int_equal(stage.apis, 0);
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

bool gguf_get_u64(const struct gguf *gguf, const char *key, uint64_t *ret)
{
    (void)gguf;
    *ret = 2;
    return strcmp(key, "general.base_model.count") == 0;
}

bool gguf_get_string(const struct gguf *gguf, const char *key, struct gguf_string *ret)
{
    (void)gguf;
    *ret = (struct gguf_string){"other", 5};
    return strcmp(key, "general.license") == 0;
}

bool gguf_get_array(const struct gguf *gguf, const char *key, struct gguf_array *ret)
{
    (void)gguf;
    *ret = (struct gguf_array){.kind = GGUF_ARRAY_STRINGS, .count = 2};
    return strcmp(key, "general.license.name") == 0;
}

bool gguf_array_next_string(const struct gguf_array *array, uint64_t *cursor,
                            struct gguf_string *ret)
{
    static const struct gguf_string names[] = {{"mit", 3}, {"gemma", 5}};
    if (*cursor == array->count)
        return false;
    *ret = names[(*cursor)++];
    return true;
}

bool gguf_copy_string(const struct gguf *gguf, const char *key, char *ret, size_t ret_bytes)
{
    (void)gguf;
    (void)snprintf(ret, ret_bytes, "%s", key);
    return true;
}

struct engine {
    char unused;
};

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

uint32_t engine_context(const struct engine *engine)
{
    (void)engine;
    return 2048;
}

/* -- The tests -- */

struct fixture {
    char folder[64], file[96];
    struct config *config;
    struct log *log;
    int log_fd;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char yaml[1024];
    struct error err = {0};
    memset(&stage, 0, sizeof stage);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/weir-server-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->file, sizeof fixture->file, "%s/m.gguf", fixture->folder);
    close(open(fixture->file, O_CREAT | O_WRONLY, 0600));
    (void)snprintf(yaml, sizeof yaml,
                   "server: {port: 0, workers: %u, stall_timeout: 2s}\n"
                   "users: {state: %s/state}\n"
                   "models:\n  - {id: a, path: %s}\n  - {id: b, path: %s}\n",
                   WORKERS, fixture->folder, fixture->file, fixture->file);
    assert_int_equal(config_parse_yaml("t", yaml, strlen(yaml), &fixture->config, &err), 0);
    fixture->log_fd = memfd_create("log", MFD_CLOEXEC);
    fixture->log = log_new(fixture->log_fd, LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    config_free(fixture->config);
    log_free(fixture->log);
    close(fixture->log_fd);
    (void)snprintf(path, sizeof path, "%s/state/users.key", fixture->folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/state", fixture->folder);
    (void)rmdir(path);
    (void)unlink(fixture->file);
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

static struct server *start(struct fixture *fixture)
{
    struct error err = {0};
    struct server *server = server_start(fixture->config, fixture->log, &err);
    assert_string_equal(err.text, "");
    assert_non_null(server);
    return server;
}

static uint32_t logged(const struct fixture *fixture, const char *part)
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

static void expect_nothing_left(void)
{
    assert_int_equal(stage.listeners, 0);
    assert_int_equal(stage.apis, 0);
    assert_int_equal(stage.engines, 0);
    assert_int_equal(stage.models, 0);
    assert_int_equal(stage.backends, 0);
}

static void stop_takes_down_from_the_top(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start(fixture);
    assert_true(atomic_load(&server->ready));
    assert_int_equal(server->port, 4711);
    assert_int_equal(logged(fixture, "event=model_loaded"), MODELS);
    assert_int_equal(logged(fixture, "level=warn event=model_license"), 0);
    assert_int_equal(logged(fixture, "license=\"MIT AND gemma\""), 2 * MODELS);
    server_stop(server);
    expect_nothing_left();
    assert_string_equal(stage.order, "lllssaaaemem");
}

static void failure_of_any_step_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t fail_at = 1;; fail_at++) {
        memset(&stage, 0, sizeof stage);
        stage.fail_at = fail_at;
        struct error err = {0};
        struct server *server = server_start(fixture->config, fixture->log, &err);
        if (server != NULL) {
            server_stop(server);
            assert_int_equal(fail_at, WORKERS + 3 * MODELS + 2 * WORKERS + 1);
            break;
        }
        assert_non_null(strstr(err.text, "failed"));
        expect_nothing_left();
    }
    expect_nothing_left();
}

static void missing_model_file_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    assert_int_equal(unlink(fixture->file), 0);
    assert_null(server_start(fixture->config, fixture->log, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "model 'a'"));
    assert_non_null(strstr(err.text, fixture->file));
    expect_nothing_left();
}

static void port_of_another_listener_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t count = sizeof address;
    const int one = 1;
    struct error err = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &count), 0);
    fixture->config->port = ntohs(address.sin_port);
    assert_null(server_start(fixture->config, fixture->log, &err));
    assert_int_equal(err.code, ERROR_BUSY);
    assert_non_null(strstr(err.text, "in use"));
    assert_int_equal(stage.steps, 0); /* before anything was made */
    close(fd);
    server_stop(start(fixture)); /* free again */
}

static void drain_waits_for_the_last_exchange(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start(fixture);
    int signals = 0;
    atomic_store(&stage.exchanges, 1);
    server_drain(server);
    assert_false(atomic_load(&server->ready));
    assert_false(server_wait_idle(server, 30, &signals));
    atomic_store(&stage.exchanges, 0);
    atomic_store(&stage.generations, 1);
    assert_false(server_wait_idle(server, 30, &signals));
    atomic_store(&stage.generations, 0);
    assert_true(server_wait_idle(server, 60000, &signals));
    assert_int_equal(atomic_load(&stage.drains), WORKERS);
    server_stop(server);
    expect_nothing_left();
}

static volatile int signals_seen;

static void on_alarm(int number)
{
    (void)number;
    signals_seen++;
}

static void second_signal_ends_the_wait(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start(fixture);
    const struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    atomic_store(&stage.exchanges, 1);
    server_drain(server);
    signals_seen = 1;
    (void)signal(SIGALRM, on_alarm);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_false(server_wait_idle(server, 3600000, &signals_seen));
    assert_int_equal(signals_seen, 2);
    server_stop(server);
}

static void engine_wakes_reach_the_api(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start(fixture);
    stage.engine.wake(stage.engine.wake_argument, 1);
    while (atomic_load(&stage.wakes) == 0)
        sched_yield();
    server_stop(server);
}

static void stall_is_logged_once_and_so_is_its_end(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start(fixture);
    stage.stats = (struct engine_stats){.busy = true, .last_progress_us = 1000000};
    server_watch(server, 2900000);
    assert_int_equal(logged(fixture, "event=stall"), 0);
    server_watch(server, 3100000);
    server_watch(server, 9000000);
    assert_int_equal(logged(fixture, "event=stall "), MODELS);
    stage.stats.last_progress_us = 9100000;
    server_watch(server, 9200000);
    server_watch(server, 9300000);
    assert_int_equal(logged(fixture, "event=stall_over"), MODELS);
    stage.stats = (struct engine_stats){.busy = false, .last_progress_us = 1};
    server_watch(server, 90000000); /* an idle engine does not stall */
    assert_int_equal(logged(fixture, "event=stall "), MODELS);
    server_stop(server);
}

static void model_is_found_by_id(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start(fixture);
    assert_ptr_equal(server_find_model(server, "b"), &server->models[1]);
    assert_null(server_find_model(server, "c"));
    assert_null(server_find_model(server, "")); /* which of two? */
    server->model_count = 1;
    assert_ptr_equal(server_find_model(server, ""), &server->models[0]);
    server->model_count = MODELS;
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stop_takes_down_from_the_top, setup, teardown),
        cmocka_unit_test_setup_teardown(failure_of_any_step_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_model_file_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(port_of_another_listener_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(drain_waits_for_the_last_exchange, setup, teardown),
        cmocka_unit_test_setup_teardown(second_signal_ends_the_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(engine_wakes_reach_the_api, setup, teardown),
        cmocka_unit_test_setup_teardown(stall_is_logged_once_and_so_is_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(model_is_found_by_id, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
