/* SPDX-License-Identifier: Apache-2.0 */
/* redis_server.h -- a real server without a disk, on a socket in a folder of its own. */
#ifndef WEIR_TESTS_UNIT_FLEET_REDIS_SERVER_H
#define WEIR_TESTS_UNIT_FLEET_REDIS_SERVER_H

#include <sys/types.h>

struct redis_server {
    char folder[64], socket[96];
    pid_t pid;
};

const char *redis_server_program(void); /* NULL: there is none here */
void redis_server_folder(struct redis_server *server);
void redis_server_begin(struct redis_server *server, const char *password); /* "": none */
void redis_server_kill(struct redis_server *server);

#endif
