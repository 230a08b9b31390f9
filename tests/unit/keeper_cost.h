/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper's policy costs on a host that stays short, by the number of its guests. Thread: any. */
#ifndef EBB_TESTS_UNIT_KEEPER_COST_H
#define EBB_TESTS_UNIT_KEEPER_COST_H

#include <time.h>

#include "vmm/keeper/decide.h"

typedef size_t keeper_decider(struct keeper_policy *policy, const struct keeper_host *host,
			      struct keeper_guest *const *guest, size_t count, uint64_t now,
			      struct keeper_action *action);

struct keeper_cost {
	uint64_t decision; /* ns of the clock */
	uint64_t round;	   /* to take new figures of all guests, too */
	size_t asked;	   /* requests of that decision */
};

/* Returns the cheapest round of some. */
struct keeper_cost keeper_cost(keeper_decider *decide, size_t guests, clockid_t clock);

#endif
