/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands: one file cmd_NAME.c each, one line in main.c's table each. */
#ifndef EBB_CMD_H
#define EBB_CMD_H

/* What ebb exits with. */
#define EXIT_GUEST_FAILED 1 /* the guest crashed or panicked */
#define EXIT_NOT_STARTED  2 /* a mistake on the command line, or a host that cannot do it */

/* @argv[0] is the subcommand's name. Return what ebb exits with. */
int cmd_run(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

#endif
