/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt for one network of a guest: a user's network without privileges (passt(1)). It is a backend
 * (vmm/backend/backend.h); its socket carries the guest's frames. README.md tells how it is started.
 */
#ifndef EBB_PASST_PASST_H
#define EBB_PASST_PASST_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/backend/backend.h"

#define PASST_FORWARDS_MAX 8

/* The config of backend_start(). */
struct passt_config {
	uint16_t mtu; /* for the guest to use; 0: passt's own */
	unsigned int forwards;
	struct {
		bool udp;
		char ports[64]; /* "127.0.0.1/2222:22": passt's -t and -u */
	} forward[PASST_FORWARDS_MAX];
};

extern const struct backend_program passt_program;

#define PASST_ARGUMENTS_MAX (8 + 2 * PASST_FORWARDS_MAX)
/* Fills @argv in, with NULL at the end, for the socket @fd (as text). Pure. */
void passt_arguments(const struct passt_config *config, const char *fd, char *mtu,
		     const char *argv[PASST_ARGUMENTS_MAX]);

#endif
