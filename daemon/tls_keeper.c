/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tls_keeper.h"

#include <assert.h>
#include <stdlib.h>

#define SOON_S (14 * 86400) /* before it expires: weir.rules.yml has the same */
#define DAY_S  86400

struct tls_keeper {
    struct config *config; /* one reference: what the newest was read by */
    struct tls_shelf shelf;
};

struct tls_set *tls_keeper_read(const struct config *config, struct error *err)
{
    assert(config_has_tls(config));
    struct tls_pair pairs[TLS_CERTIFICATES_MAX];
    struct tls_settings settings = {.pairs = pairs, .version_min = config->tls_version_min};
    if (config->tls_certificate[0] != '\0')
        pairs[settings.pair_count++] =
            (struct tls_pair){.certificate = config->tls_certificate, .key = config->tls_key};
    for (uint32_t i = 0; i < config->tls_pair_count; i++)
        pairs[settings.pair_count++] = config->tls_pairs[i];
    struct tls_set *set = tls_set_new(&settings, err);
    if (set == NULL)
        (void)error_wrap(err, "server.tls");
    return set;
}

struct tls_keeper *tls_keeper_new(struct config *config, struct error *err)
{
    struct tls_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    tls_shelf_init(&keeper->shelf);
    keeper->config = config_ref(config);
    struct tls_set *set = tls_keeper_read(config, err);
    if (set == NULL) {
        tls_keeper_free(keeper);
        return NULL;
    }
    tls_shelf_put(&keeper->shelf, set);
    return keeper;
}

void tls_keeper_free(struct tls_keeper *keeper)
{
    if (keeper == NULL)
        return;
    tls_shelf_destroy(&keeper->shelf);
    config_free(keeper->config);
    free(keeper);
}

struct tls_shelf *tls_keeper_shelf(struct tls_keeper *keeper)
{
    return &keeper->shelf;
}

void tls_keeper_tell(struct tls_keeper *keeper, struct log *log, int64_t now_unix)
{
    const struct tls_set *set = keeper->shelf.newest; /* nobody else lays one there */
    for (uint32_t i = 0; i < tls_set_count(set); i++) {
        const struct tls_certificate *certificate = tls_set_certificate(set, i);
        int64_t left_s = certificate->not_after_unix - now_unix;
        if (left_s > SOON_S)
            log_event(log, LOG_LEVEL_INFO, "tls_certificate", LOG_STRING("name", certificate->name),
                      LOG_I64("days_left", left_s / DAY_S));
        else
            log_event(
                log, LOG_LEVEL_WARN, "tls_certificate_expires",
                LOG_STRING("name", certificate->name), LOG_I64("days_left", left_s / DAY_S),
                LOG_STRING("remedy", "renew it: the files are looked at again as they change"));
    }
}
