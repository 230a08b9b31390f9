/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: gets memory from the guests of one user when the host is short of it. It finds guests
 * by itself, looks at the host and at them the more often the less there is, and acts as decide.h
 * tells. It knows control sockets only, so a guest goes on without it.
 *
 *     host.c  figures of the host, PSI ─┐
 *     kept.c  a guest each: client    ──┼─► decide.c ─► kept.c asks
 *     runtime_watch(): guests that start┘
 *
 * Thread: main, on one loop; nothing blocks.
 */
#ifndef EBB_KEEPER_KEEPER_H
#define EBB_KEEPER_KEEPER_H

#include <stdbool.h>

/* The QMP command of its socket (RUNTIME_KEEPER) that `ebb keeper status` asks. */
#define KEEPER_STATUS "x-ebb-keeper"
/*
 * And the one that `ebb run` asks, with {"size": BYTES} of a guest that is to start: {"fit": "yes",
 * "reclaim" (once others gave back what they can) or "no", "available": BYTES, "reclaimable": BYTES}.
 */
#define KEEPER_ADMIT "x-ebb-keeper-admit"

struct keeper_config {
	bool dry_run;  /* only says what it would ask for */
	bool confined; /* in a sandbox, as far as the host permits it */
	bool required; /* all of that, or not at all */
};

/*
 * Runs until SIGINT, SIGTERM or SIGHUP. Returns 0, or -errno after an error message; -EBUSY: another one of this user
 * runs.
 */
int keeper_run(const struct keeper_config *config);

#endif
