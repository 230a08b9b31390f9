/* SPDX-License-Identifier: Apache-2.0 */
/* One decision of the keeper, and the hosts and guests that it is about. Owner: a test. */
#ifndef EBB_TESTS_UNIT_KEEPER_ROUND_H
#define EBB_TESTS_UNIT_KEEPER_ROUND_H

#include "vmm/keeper/decide.h"
#include "vmm/lib/clock.h"

#define MIB    (UINT64_C(1) << 20)
#define START  (1000 * NS_PER_S)
#define GUESTS 4

/* 8 GiB: short below 1 GiB, no longer from 2 GiB on. */
extern const struct keeper_host plenty, near, stalled, useless, tight;

/* 1 GiB, all of it resident, of which 256 MiB are free and 256 are caches; and with nothing held back. */
extern const struct keeper_figures usual, reported;

/* What a decision needs, and gives. */
struct round {
	struct keeper_policy policy;
	struct keeper_guest guest[GUESTS];
	struct keeper_guest *list[GUESTS];
	struct keeper_action action[KEEPER_REQUESTS_MAX];
	size_t count;
};

/* @count guests that are idle: they were looked at since long ago, up to START. */
void round_begin(struct round *round, size_t count, const struct keeper_figures *figures);
/* Returns the number of actions. */
size_t round_decide(struct round *round, const struct keeper_host *host, uint64_t now);
/* Looks at a guest, whose statistics are new. */
void round_look(struct round *round, size_t guest, struct keeper_figures figures, uint64_t now);

#endif
