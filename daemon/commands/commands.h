/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h -- what weir does besides serving.
 *
 * Each takes main()'s arguments, argv[1] being its own name, writes to stdout, explains itself on
 * stderr and returns the process's exit status. Main thread. */
#ifndef WEIR_DAEMON_COMMANDS_COMMANDS_H
#define WEIR_DAEMON_COMMANDS_COMMANDS_H

/* 0; EX_USAGE, EX_DATAERR for no model that a GPU can serve, EX_NOINPUT for a file that is not
 * there, EX_OSERR. */
int command_bench(int argc, char **argv);

/* 0 nothing to do, 1 obligations, 2 breach, 3 unknown or review; sysexits.h for what went wrong. */
int command_check(int argc, char **argv);

/* 0 for a daemon that is well; 1 for one that is not or does not answer; EX_USAGE. */
int command_health(int argc, char **argv);

/* 0; EX_USAGE, EX_DATAERR for an unsound file, EX_NOINPUT for a file or an id that is not there,
 * EX_CANTCREAT, EX_NOPERM for a file that others can read, EX_CONFIG. */
int command_keys(int argc, char **argv);

/* 0; EX_USAGE, EX_DATAERR for a fault in the catalogue or what lint found, EX_NOINPUT for a file,
 * a folder or an id that is not there. */
int command_licenses(int argc, char **argv);

/* 0; 1 for what did not verify; EX_USAGE, EX_DATAERR for what is no ledger, report or key,
 * EX_NOINPUT for what is not there. */
int command_report(int argc, char **argv);

/* 0; EX_USAGE, EX_NOINPUT for a secret's file, EX_UNAVAILABLE for a webhook that did not take all
 * alerts. */
int command_simulate(int argc, char **argv);

/* 0, Ctrl-C during --watch too; EX_USAGE, EX_NOINPUT for the key's file, EX_UNAVAILABLE where no
 * daemon answers or has an admin door, EX_PROTOCOL for what is no weir, EX_NOPERM for the key. */
int command_usage(int argc, char **argv);

/* As command_usage(); a key is not needed. */
int command_top(int argc, char **argv);

#endif
