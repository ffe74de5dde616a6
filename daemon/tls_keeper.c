/* SPDX-License-Identifier: Apache-2.0 */
/* tls_keeper.c -- certificates are renewed under our feet, and nobody should notice.
 *
 * Whoever renews them replaces files, one after the other, at a time of its own. So once a second
 * we look at what stat() says of each; where that differs from what it said before we last read, we
 * read all of them anew:
 *
 *     read, and holds     on the shelf; workers take it up; who is connected goes on as before
 *     read, does not      as it was. Key and certificate may be half renewed: each second again,
 *                         silently, for TLS_KEEPER_GRACE_US; then one line in the log, and no more
 *                         until a file changes again
 *
 * Stamps are taken before the reading: what changes in between is seen as a change the next time.
 * They are enough, for tools write a new file and rename it, or turn a link, as Kubernetes does;
 * inotify would need a watch on every folder of a chain of links. */
#include "daemon/tls_keeper.h"

#include "base/file_stamp.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SOON_S    (14 * 86400) /* before it expires: weir.rules.yml has the same */
#define DAY_S     86400
#define FILES_MAX (2 * TLS_CERTIFICATES_MAX + 3)
#define AGAIN_US  60000000u /* after there was no memory, or no randomness, for new keys */

struct tls_reading {
    struct config *config; /* one reference */
    struct tls_set *set;   /* one reference */
    struct file_stamp looks[FILES_MAX];
};

struct tls_keeper {
    struct tls_reading *current;
    struct file_stamp tried[FILES_MAX]; /* as of the last reading, held or not */
    bool failing;                       /* the last one did not hold */
    bool told;                          /* and the log has said so */
    uint64_t failing_since_us;
    struct tls_tickets tickets; /* of its own */
    uint64_t rotated_us;        /* 0: not yet */
    int64_t told_day;           /* since 1970: when expiry was told of last */
    /* shared */
    struct shelf shelf; /* of struct tls_set */
    _Atomic uint64_t reloads[TLS_RELOAD_COUNT];
};

/* -- Files -- */

/* All files that config names, in a fixed order; those it does not are "". */
static void list_files(const struct config *config, const char *ret[FILES_MAX])
{
    uint32_t count = 0;
    ret[count++] = config->tls.certificate;
    ret[count++] = config->tls.key;
    for (uint32_t i = 0; i < config->tls.pair_count; i++) {
        ret[count++] = config->tls.pairs[i].certificate;
        ret[count++] = config->tls.pairs[i].key;
    }
    ret[count++] = config->tls.ticket_keys_file;
    ret[count++] = config->tls.client_ca;
    ret[count++] = config->tls.client_crl;
    while (count < FILES_MAX)
        ret[count++] = "";
}

static void look(const struct config *config, struct file_stamp ret[FILES_MAX])
{
    const char *files[FILES_MAX];
    list_files(config, files);
    for (uint32_t i = 0; i < FILES_MAX; i++)
        ret[i] = file_stamp(files[i]);
}

static bool is_same(const struct file_stamp a[FILES_MAX], const struct file_stamp b[FILES_MAX])
{
    for (uint32_t i = 0; i < FILES_MAX; i++)
        if (!file_stamp_same(&a[i], &b[i]))
            return false;
    return true;
}

static struct tls_set *read_set(const struct config *config, const struct tls_tickets *own,
                                struct error *err)
{
    struct tls_pair pairs[TLS_CERTIFICATES_MAX];
    struct tls_tickets shared = {.count = 0};
    struct tls_settings settings = {
        .pairs = pairs,
        .version_min = config->tls.version_min,
        .clients = {.auth = config->tls.client_auth,
                    .authorities = config->tls.client_ca,
                    .revoked = config->tls.client_crl,
                    .depth_max = config->tls.client_depth},
        .tickets = own,
    };
    if (config->tls.ticket_keys_file[0] != '\0') {
        if (tls_tickets_read(config->tls.ticket_keys_file, &shared, err) != 0) {
            (void)error_wrap(err, "ticket_keys_file");
            return NULL;
        }
        settings.tickets = &shared;
    }
    if (config->tls.certificate[0] != '\0')
        pairs[settings.pair_count++] =
            (struct tls_pair){.certificate = config->tls.certificate, .key = config->tls.key};
    for (uint32_t i = 0; i < config->tls.pair_count; i++)
        pairs[settings.pair_count++] = config->tls.pairs[i];
    struct tls_set *set = tls_set_new(&settings, err);
    tls_tickets_wipe(&shared);
    return set;
}

struct tls_reading *tls_reading_new(struct config *config, const struct tls_keeper *keeper,
                                    struct error *err)
{
    assert(config_has_tls(config));
    struct tls_reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    reading->config = config_ref(config);
    look(config, reading->looks);
    reading->set = read_set(config, keeper == NULL ? NULL : &keeper->tickets, err);
    if (reading->set != NULL)
        return reading;
    (void)error_wrap(err, "server.tls");
    tls_reading_free(reading);
    return NULL;
}

void tls_reading_free(struct tls_reading *reading)
{
    if (reading == NULL)
        return;
    tls_set_unref(reading->set);
    config_free(reading->config);
    free(reading);
}

/* -- The keeper -- */

struct tls_keeper *tls_keeper_new(struct config *config, struct error *err)
{
    struct tls_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    shelf_init(&keeper->shelf);
    struct tls_reading *reading = NULL;
    if (tls_tickets_rotate(&keeper->tickets, err) == 0)
        reading = tls_reading_new(config, keeper, err);
    if (reading == NULL) {
        tls_keeper_free(keeper);
        return NULL;
    }
    tls_keeper_take(keeper, reading);
    return keeper;
}

void tls_keeper_free(struct tls_keeper *keeper)
{
    if (keeper == NULL)
        return;
    shelf_destroy(&keeper->shelf);
    tls_reading_free(keeper->current);
    tls_tickets_wipe(&keeper->tickets);
    free(keeper);
}

void tls_keeper_take(struct tls_keeper *keeper, struct tls_reading *reading)
{
    tls_reading_free(keeper->current);
    keeper->current = reading;
    memcpy(keeper->tried, reading->looks, sizeof keeper->tried);
    keeper->failing = keeper->told = false;
    shelf_put(&keeper->shelf, tls_set_ref(reading->set));
}

struct shelf *tls_keeper_shelf(struct tls_keeper *keeper)
{
    return &keeper->shelf;
}

void tls_keeper_count(struct tls_keeper *keeper, enum tls_reload result)
{
    atomic_fetch_add_explicit(&keeper->reloads[result], 1, memory_order_relaxed);
}

uint64_t tls_keeper_reloads(const struct tls_keeper *keeper, enum tls_reload result)
{
    return atomic_load_explicit(&keeper->reloads[result], memory_order_relaxed);
}

/* -- Once a second -- */

static void tell(struct tls_keeper *keeper, struct log *log, int64_t now_unix, bool all)
{
    const struct tls_set *set = keeper->current->set;
    keeper->told_day = now_unix / DAY_S;
    for (uint32_t i = 0; i < tls_set_count(set); i++) {
        const struct tls_certificate *certificate = tls_set_certificate(set, i);
        int64_t left_s = certificate->not_after_unix - now_unix;
        if (left_s < SOON_S)
            log_event(
                log, LOG_LEVEL_WARN, "tls_certificate_expires",
                LOG_STRING("name", certificate->name), LOG_I64("days_left", left_s / DAY_S),
                LOG_STRING("remedy", "renew it: files that change are read again within seconds"));
        else if (all)
            log_event(log, LOG_LEVEL_INFO, "tls_certificate", LOG_STRING("name", certificate->name),
                      LOG_I64("days_left", left_s / DAY_S));
    }
}

void tls_keeper_tell(struct tls_keeper *keeper, struct log *log, int64_t now_unix)
{
    tell(keeper, log, now_unix, true);
}

static void note_failure(struct tls_keeper *keeper, struct log *log, uint64_t now_us,
                         const struct error *err)
{
    if (!keeper->failing || keeper->told) { /* the first time, or they were changed once more */
        keeper->failing = true;
        keeper->told = false;
        keeper->failing_since_us = now_us;
    }
    if (now_us - keeper->failing_since_us < TLS_KEEPER_GRACE_US)
        return;
    keeper->told = true;
    tls_keeper_count(keeper, TLS_RELOAD_REFUSED);
    log_event(log, LOG_LEVEL_ERROR, "tls_reload_refused", LOG_STRING("error", err->text),
              LOG_STRING("remedy", "the certificates read before go on; put the files right"));
}

/* Whether there is a new set on the shelf. Own keys change even while a file's are used: they may
 * be asked for again. */
static bool rotate(struct tls_keeper *keeper, struct log *log, uint64_t now_us)
{
    struct tls_reading *current = keeper->current;
    uint64_t period_us = (uint64_t)current->config->tls.ticket_rotation_ms * 1000;
    struct error err = {0};
    if (keeper->rotated_us == 0)
        keeper->rotated_us = now_us;
    if (now_us < keeper->rotated_us + period_us)
        return false;
    struct tls_set *set = NULL;
    if (tls_tickets_rotate(&keeper->tickets, &err) == 0) {
        keeper->rotated_us = now_us;
        if (current->config->tls.ticket_keys_file[0] != '\0')
            return false;
        set = tls_set_with_tickets(current->set, &keeper->tickets);
        if (set == NULL)
            (void)error_no_memory(&err);
    }
    if (set == NULL) {
        keeper->rotated_us = now_us - period_us + (period_us < AGAIN_US ? period_us : AGAIN_US);
        log_event(log, LOG_LEVEL_ERROR, "tls_tickets", LOG_STRING("error", err.text),
                  LOG_STRING("remedy", "the old key goes on; it is tried again within a minute"));
        return false;
    }
    tls_set_unref(current->set);
    current->set = tls_set_ref(set);
    shelf_put(&keeper->shelf, set);
    return true;
}

/* Whether there is a new set on the shelf. */
static bool read_again(struct tls_keeper *keeper, struct log *log, uint64_t now_us,
                       int64_t now_unix)
{
    struct file_stamp now[FILES_MAX];
    struct error err = {0};
    look(keeper->current->config, now);
    bool changed = !is_same(now, keeper->tried);
    if (!changed && (!keeper->failing || keeper->told))
        return false;
    memcpy(keeper->tried, now, sizeof now);
    struct tls_reading *reading = tls_reading_new(keeper->current->config, keeper, &err);
    if (reading == NULL) {
        note_failure(keeper, log, now_us, &err);
        return false;
    }
    tls_keeper_take(keeper, reading);
    tls_keeper_count(keeper, TLS_RELOAD_DONE);
    log_event(log, LOG_LEVEL_INFO, "tls_reloaded",
              LOG_U64("certificates", tls_set_count(reading->set)));
    tell(keeper, log, now_unix, true);
    return true;
}

bool tls_keeper_watch(struct tls_keeper *keeper, struct log *log, uint64_t now_us, int64_t now_unix)
{
    if (now_unix / DAY_S != keeper->told_day)
        tell(keeper, log, now_unix, false);
    bool rotated = rotate(keeper, log, now_us);
    return read_again(keeper, log, now_us, now_unix) || rotated;
}
