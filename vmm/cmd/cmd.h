/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands: a file and a row in main.c's table each. */
#ifndef EBB_CMD_H
#define EBB_CMD_H

#include "vmm/lib/options.h"

/* Exit status of ebb. */
#define EXIT_DONE	  0
#define EXIT_FAILED	  1 /* the guest's ebb refused or did not answer */
#define EXIT_GUEST_FAILED 1 /* the guest crashed or panicked */
#define EXIT_USAGE	  2 /* a mistake on the command line, or no such guest or image */
#define EXIT_NOT_STARTED  2 /* or the host cannot run it */
#define EXIT_LATE	  3 /* the wait timed out */

/* @argv[0] is the subcommand's name. Return ebb's exit status. */
int cmd_run(int argc, char **argv);
int cmd_sandbox(int argc, char **argv);
int cmd_setup(int argc, char **argv);
int cmd_images(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_balloon(int argc, char **argv);
int cmd_reclaim(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_debug(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_clone(int argc, char **argv);
int cmd_pool(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_ssh(int argc, char **argv);
int cmd_keeper(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/*
 * Parses the words after the subcommand's name. Returns -1 to go on, or the exit status after it
 * has printed the usage or an error message.
 */
int cmd_parse(const struct option_table *table, int argc, char **argv, option_apply *apply,
	      void *ctx);

#endif
