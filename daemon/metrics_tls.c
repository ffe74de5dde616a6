/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/metrics_state.h"
#include "daemon/tls_keeper.h"
#include "daemon/worker.h"

#include <string.h>

/* Two certificates may be for one name: a series can be there once, and the sooner one counts. */
static bool sooner_elsewhere(const struct tls_set *set, uint32_t index)
{
    const struct tls_certificate *one = tls_set_certificate(set, index);
    for (uint32_t i = 0; i < tls_set_count(set); i++) {
        const struct tls_certificate *other = tls_set_certificate(set, i);
        bool first = other->not_after_unix < one->not_after_unix ||
                     (other->not_after_unix == one->not_after_unix && i < index);
        if (first && strcmp(other->name, one->name) == 0)
            return true;
    }
    return false;
}

static void render_expiry(struct tls_keeper *keeper, struct text *out)
{
    struct tls_set *set = shelf_newest(tls_keeper_shelf(keeper));
    render_family(out, "weir_tls_certificate_expiry_seconds", "gauge",
                  "When the certificate expires, in seconds since 1970.");
    for (uint32_t i = 0; i < tls_set_count(set); i++) {
        const struct tls_certificate *certificate = tls_set_certificate(set, i);
        if (sooner_elsewhere(set, i))
            continue;
        text_append_string(out, "weir_tls_certificate_expiry_seconds{");
        render_label(out, "name", certificate->name);
        text_append_format(out, "} %lld\n", (long long)certificate->not_after_unix);
    }
    tls_set_unref(set);
}

static void render_handshakes(const struct server *server, struct text *out)
{
    static const char *const results[TLS_RESULT_COUNT] = {
        [TLS_FULL] = "full",
        [TLS_RESUMED] = "resumed",
        [TLS_FAILED] = "failed",
        [TLS_UNFINISHED] = "unfinished",
    };
    uint64_t all[TLS_RESULT_COUNT] = {0};
    struct listener_stats one;
    for (uint32_t i = 0; i < server->worker_count; i++)
        for (uint32_t r = 0; worker_stats(server, i, &one) && r < TLS_RESULT_COUNT; r++)
            all[r] += one.handshakes[r];
    render_family(out, "weir_tls_handshakes_total", "counter",
                  "Handshakes by how they ended; unfinished: the client left, or was too slow.");
    for (uint32_t r = 0; r < TLS_RESULT_COUNT; r++)
        text_append_format(out, "weir_tls_handshakes_total{result=\"%s\"} %llu\n", results[r],
                           (unsigned long long)all[r]);
}

static void render_reloads(const struct tls_keeper *keeper, struct text *out)
{
    render_family(out, "weir_tls_reloads_total", "counter",
                  "Certificates read anew, by whether they held; refused: the old ones went on.");
    text_append_format(out, "weir_tls_reloads_total{result=\"done\"} %llu\n",
                       (unsigned long long)tls_keeper_reloads(keeper, TLS_RELOAD_DONE));
    text_append_format(out, "weir_tls_reloads_total{result=\"refused\"} %llu\n",
                       (unsigned long long)tls_keeper_reloads(keeper, TLS_RELOAD_REFUSED));
}

void render_tls(const struct server *server, struct text *out)
{
    if (server->tls == NULL)
        return;
    render_expiry(server->tls, out);
    render_reloads(server->tls, out);
    render_handshakes(server, out);
}
