/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h -- a server over doubles of the network, the application, the engine and the model.
 *
 * Every double that can fail is a step; a run fails one of them, and what was made must be gone
 * after it, in the right order. Policy, workers and their loops are the real ones. */
#ifndef WEIR_TESTS_UNIT_SERVER_STAGE_H
#define WEIR_TESTS_UNIT_SERVER_STAGE_H

#include "base/log.h"
#include "batching/engine.h"
#include "daemon/config.h"
#include "daemon/server.h"

#include <stdatomic.h>
#include <stdint.h>

#define WORKERS 3u
#define MODELS  2u

/* What the doubles did. The one piece of state that they share: there is no other way in. */
extern struct stage {
    uint32_t steps, fail_at; /* the step that fails, from 1; 0: none */
    int listeners, apis, backends, models, engines, files;
    uint32_t engines_stopped;
    _Atomic bool hang, hanging; /* the next api_wake() is to; one does until this is cleared */
    bool stuck;                 /* no engine's step ends */
    /* model_load() is to wait until told otherwise, or asked to give up; it waits; it cannot */
    _Atomic bool load_hangs, loading, load_deaf;
    bool cut; /* engines may stop, and models go, while listeners live */
    _Atomic uint32_t wakes, drains, exchanges;
    _Atomic uint32_t generations;
    _Atomic uint32_t connections_max; /* as a worker was told last */
    struct engine_stats stats;
    struct engine_config engine;
    struct error failure;      /* of all engines' devices */
    struct device_room gpu;    /* of a GPU; total_bytes 0: there is none */
    uint64_t gpu_weight_bytes; /* that a model takes of it */
    char order[256];           /* a letter for each end: l(istener) s(top) a(pi) e(ngine) m(odel) */
} stage;

struct fixture {
    char folder[64];
    struct config *config;
    struct log *log;
    int log_fd;
};

/* Two models, "a" and "b", under a licence of our own that asks nothing: "free-1". Another,
 * "research-1", is for research alone. All lies in a folder of the test's own. */
int stage_setup(void **state);
int stage_teardown(void **state);
#define STAGE_TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

void stage_path(const struct fixture *fixture, const char *name, char ret[128]);
void stage_write_file(const struct fixture *fixture, const char *name, const char *text);
/* weir.yaml: the models' licences, and what stands under operator. */
void stage_write_config(const struct fixture *fixture, const char *license_a, const char *license_b,
                        const char *declaration);
void stage_read_config(struct fixture *fixture);

struct server *stage_start(struct fixture *fixture);
/* How often the log says so. */
uint32_t stage_logged(const struct fixture *fixture, const char *part);
void stage_expect_nothing_left(void);

#endif
