/* SPDX-License-Identifier: Apache-2.0 */
/*
 * argv → what to run. Pure: no file is opened and nothing is printed, so that it is tested as a
 * table.
 */
#ifndef EBB_CONFIG_H
#define EBB_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define VM_NAME_MAX 64 /* bytes, without the terminator: a socket's path has to hold it */

struct vm_config {
	const char *kernel; /* these point into argv */
	const char *initrd; /* or NULL */
	const char *params; /* the guest's own kernel parameters, or "" */
	const char *name;   /* or NULL: the caller names it after the process */
	uint64_t memory;    /* bytes, a multiple of 1 MiB */
	unsigned int cpus;
	bool balloon;
	bool free_page_reporting; /* implies balloon */
	bool debug;		  /* say what is being done, on standard error */
};

enum config_outcome {
	CONFIG_RUN,
	CONFIG_HELP,  /* -h or --help was given */
	CONFIG_ERROR, /* error says what is wrong and what to do, in one line */
};

/*
 * Parses the words after "ebb run". Options follow kvmtool's `lkvm run`: -k -i -p -m -c --name
 * --balloon --console --debug; see config.c for the table, from which the usage text is made too.
 * An option given twice counts as given last, as there. What is not given is 1 CPU and, as there,
 * 64 MiB of memory for each CPU and for three more. @error is set with CONFIG_ERROR only.
 */
enum config_outcome config_parse(struct vm_config *config, int argc, char **argv, char *error,
				 unsigned int error_size);

/* NULL for a name a guest can have, else what is wrong with it, as in "NAME is too long". */
const char *vm_name_error(const char *name);

/* The usage text of `ebb run`, to @out. */
void config_usage(FILE *out);

#endif
