// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/keeper_cost.h"

#include <stdlib.h>

#include "vmm/lib/clock.h"

#define MIB    (UINT64_C(1) << 20)
#define ROUNDS 7

static uint64_t time_of(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Idle, and full of caches, of which each guest has another size. */
static struct keeper_figures figures_of(size_t guest, uint64_t updates)
{
	uint64_t caches = (50 + guest * 7919 % 100) * MIB;
	return (struct keeper_figures){.running = true,
				       .reclaims = true,
				       .told = true,
				       .size = 1024 * MIB,
				       .resident = 300 * MIB + caches,
				       .free = 724 * MIB - caches,
				       .caches = caches,
				       .available = 724 * MIB,
				       .ages = true,
				       .old = {caches, caches / 2, caches / 4, 0},
				       .costs = true,
				       .updates = updates};
}

struct keeper_cost keeper_cost(keeper_decider *decide, size_t guests, clockid_t clock)
{
	const struct keeper_host host = {guests * 512 * MIB, MIB, false};
	struct keeper_action action[KEEPER_REQUESTS_MAX];
	struct keeper_policy policy = keeper_policy_start(0);
	struct keeper_cost best = {.round = UINT64_MAX};
	struct keeper_guest *seen = calloc(guests, sizeof(*seen));
	struct keeper_guest **list = calloc(guests, sizeof(struct keeper_guest *));
	if (!seen || !list)
		abort();
	for (size_t i = 0; i < guests; i++)
		list[i] = &seen[i];
	/* They are known to be idle from the second look on. */
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t now = (round + 1) * 20 * NS_PER_S;
		uint64_t begin = time_of(clock);
		for (size_t i = 0; i < guests; i++) {
			struct keeper_figures figures = figures_of(i, round + 1);
			keeper_look(list[i], &figures, now);
		}
		uint64_t looked = time_of(clock);
		size_t asked = decide(&policy, &host, list, guests, now, action);
		uint64_t end = time_of(clock);
		for (size_t i = 0; i < asked; i++)
			keeper_answered(list[action[i].guest], KEEPER_REFUSED, 0, now);
		if (asked && end - begin < best.round)
			best = (struct keeper_cost){end - looked, end - begin, asked};
	}
	free(list);
	free(seen);
	return best;
}
