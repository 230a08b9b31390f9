/* SPDX-License-Identifier: Apache-2.0 */
/* `ebb sandbox` after its options: the guest's process, and the session with it. Thread: main. */
#ifndef EBB_CMD_SANDBOX_RUN_H
#define EBB_CMD_SANDBOX_RUN_H

#include <stdbool.h>

#include "vmm/agent/files.h"

/* As env(1), docker and podman have it, for what is not the command's own status. */
#define EXIT_SANDBOX	    125 /* ebb or the guest failed */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND	    127
#define EXIT_SIGNAL	    128 /* and the signal's number */

#define SANDBOX_OPTIONS_MAX 40

/* What the options ask for. */
struct sandbox_request {
	char **command; /* ends with NULL */
	/* Names, or NAME=VALUE. */
	char **environment;
	unsigned int environments;
	char folder[PATH_MAX];
	struct files files;
	bool network;
	const char *pool; /* whose guest it is to be; or NULL */
	/* For config_parse(): as if they were given to `ebb run`. */
	unsigned int options;
	char *option[SANDBOX_OPTIONS_MAX];
};

/* Return the exit status. The second takes a guest of the pool. */
int sandbox_run(struct sandbox_request *request);
int sandbox_run_pooled(struct sandbox_request *request);

/* For the guests of a pool: what the options of a guest, @argv, ask for. Returns NULL after an error message. */
struct sandbox_request *sandbox_request_for_pool(int argc, char **argv);
void sandbox_request_release(struct sandbox_request *request);

#endif
