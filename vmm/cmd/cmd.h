/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands: one file cmd_NAME.c each, one line in main.c's table each. */
#ifndef EBB_CMD_H
#define EBB_CMD_H

#include "vmm/lib/options.h"

/* What ebb exits with. */
#define EXIT_DONE	  0
#define EXIT_FAILED	  1 /* the guest's ebb refused, or does not answer */
#define EXIT_GUEST_FAILED 1 /* the guest crashed or panicked */
#define EXIT_USAGE	  2 /* a mistake on the command line, or no such guest */
#define EXIT_NOT_STARTED  2 /* or a host that cannot do it */
#define EXIT_LATE	  3 /* what was waited for did not come in time */

/* @argv[0] is the subcommand's name. Return what ebb exits with. */
int cmd_run(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_balloon(int argc, char **argv);
int cmd_reclaim(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_debug(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/*
 * Parses the words after the subcommand's name. Returns -1 to go on, or what to exit with, having
 * shown the usage or said what is wrong.
 */
int cmd_parse(const struct option_table *table, int argc, char **argv, option_apply *apply,
	      void *ctx);

#endif
