/* SPDX-License-Identifier: Apache-2.0 */
/* redis_server.h -- a real server on a socket in a folder of its own, that dies with the test. */
#ifndef WEIR_TESTS_UNIT_FLEET_REDIS_SERVER_H
#define WEIR_TESTS_UNIT_FLEET_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    char folder[64], socket[96];
    pid_t pid;
};

bool redis_server_is_there(void);
void redis_server_begin(struct redis_server *server); /* fails the test when it does not */
void redis_server_end(struct redis_server *server);
void redis_server_empty(const struct redis_server *server);

#endif
