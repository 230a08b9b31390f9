/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work on a stranger's bytes in a process that can do nothing else (confine.h): it has its memory, and the descriptors that it is
 * given. So a mistake in what reads the bytes can make its answer wrong, and no more; the caller trusts none of it.
 *
 * Thread: main, before the process has others.
 */
#ifndef EBB_LIB_CONFINED_H
#define EBB_LIB_CONFINED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFINED_FDS_MAX 80

struct confined {
	/* Runs there: fills in @reply, which is all zero. Opens nothing. */
	void (*work)(void *ctx, void *reply);
	void *ctx;
	size_t size; /* of the reply: two bytes or more */
	/* What stays open, under the same numbers; those below 3 are left out. */
	int fd[CONFINED_FDS_MAX];
	unsigned int fds;
	uint64_t cpu_s, file_max; /* see confine_self() */
	int limit_ms;
};

/*
 * Returns 0 with @reply filled in; or -errno: -EPERM if this host lets no process be confined, -EIO if it died, -ETIMEDOUT
 * after @limit_ms, -EINTR if a signal waits (signal_waits.h).
 */
int confined_run(const struct confined *confined, void *reply);

/* Returns whether @error, of a reply, which may be anything, is one: -errno. */
bool confined_is_error(int error);

/* What to say of confined_run()'s error, after "the process that reads it". */
const char *confined_error(int error);

#endif
