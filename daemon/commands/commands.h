/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h -- what weir does besides serving.
 *
 * Each takes main()'s arguments, argv[1] being its own name, writes to stdout, explains itself on
 * stderr and returns the process's exit status. Main thread. */
#ifndef WEIR_DAEMON_COMMANDS_COMMANDS_H
#define WEIR_DAEMON_COMMANDS_COMMANDS_H

/* 0; EX_USAGE, EX_NOINPUT for a secret's file, EX_UNAVAILABLE for a webhook that did not take all
 * alerts. */
int command_simulate(int argc, char **argv);

#endif
