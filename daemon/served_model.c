/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/served_model.h"

#include "daemon/server.h"

#include <string.h>

enum model_state server_model_state(const struct served_model *model)
{
    return (enum model_state)atomic_load_explicit(&model->state, memory_order_acquire);
}

struct served_model *server_model(const struct server *server, uint32_t index)
{
    struct served_model *model = &server->models[index];
    return server_model_state(model) == MODEL_SERVED ? model : NULL;
}

uint32_t server_count_models(const struct server *server, enum model_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < server->model_count; i++)
        count += server_model_state(&server->models[i]) == state;
    return count;
}

static struct served_model *find_only(const struct server *server)
{
    struct served_model *only = NULL;
    for (uint32_t i = 0; i < server->model_count; i++) {
        if (server_model_state(&server->models[i]) == MODEL_REFUSED)
            continue;
        if (only != NULL)
            return NULL;
        only = &server->models[i];
    }
    return only;
}

struct served_model *server_find_slot(const struct server *server, const char *id)
{
    if (id[0] == '\0')
        return find_only(server);
    for (uint32_t i = 0; i < server->model_count; i++)
        if (strcmp(server->models[i].id, id) == 0)
            return &server->models[i];
    return NULL;
}

struct served_model *server_find_model(const struct server *server, const char *id)
{
    struct served_model *model = server_find_slot(server, id);
    return model != NULL && server_model_state(model) == MODEL_SERVED ? model : NULL;
}

struct served_model *server_first_model(const struct server *server)
{
    struct served_model *model = NULL;
    for (uint32_t i = 0; i < server->model_count && model == NULL; i++)
        model = server_model(server, i);
    return model;
}

bool server_is_ready(const struct server *server)
{
    return atomic_load_explicit(&server->ready, memory_order_relaxed) &&
           server_first_model(server) != NULL;
}
