/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtiofsd for one folder of a guest: it serves the folder by vhost-user. It is a backend
 * (vmm/backend/backend.h); README.md tells how it is started.
 */
#ifndef EBB_VIRTIOFSD_H
#define EBB_VIRTIOFSD_H

#include <stdbool.h>

#include "vmm/backend/backend.h"
#include "vmm/lib/bind.h"

/* The config of backend_start(). */
struct virtiofsd_config {
	const char *dir; /* absolute */
	bool read_only;
	const struct bind
		*parts; /* or NULL; else the folder is made of these, and @dir only their place */
};

extern const struct backend_program virtiofsd_program;

/*
 * There are two programs of this name: QEMU's, up to QEMU 7.2, in C, and its successor, in Rust. A newer Rust one
 * announces to the guest what is mounted in the folder, unless it is told not to.
 */
enum virtiofsd_kind { VIRTIOFSD_C, VIRTIOFSD_RUST, VIRTIOFSD_RUST_ANNOUNCES };

#define VIRTIOFSD_ARGUMENTS_MAX 16
struct virtiofsd_arguments {
	char fd[32], source[4096 + 16];
	const char *argv[VIRTIOFSD_ARGUMENTS_MAX]; /* ends with NULL */
};
/* Fills in the command line for the listening socket @fd. @limited: the process may not raise its limits. */
void virtiofsd_arguments(struct virtiofsd_arguments *arguments, enum virtiofsd_kind kind,
			 const struct virtiofsd_config *config, int fd, bool limited);
/* Returns the kind of the program whose --help prints @help. */
enum virtiofsd_kind virtiofsd_kind_of(const char *help);

#endif
