// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/keeper_round.h"

const struct keeper_host plenty = {8192 * MIB, 3000 * MIB, false};
const struct keeper_host near = {8192 * MIB, 1500 * MIB, false};
const struct keeper_host stalled = {8192 * MIB, 1500 * MIB, true};
const struct keeper_host useless = {8192 * MIB, 3000 * MIB, true};
const struct keeper_host tight = {8192 * MIB, 1000 * MIB, false};

const struct keeper_figures usual = {
	.running = true,
	.reclaims = true,
	.told = true,
	.size = 1024 * MIB,
	.resident = 1024 * MIB,
	.free = 256 * MIB,
	.caches = 256 * MIB,
	.updates = 1,
};
const struct keeper_figures reported = {
	.running = true,
	.reclaims = true,
	.told = true,
	.size = 1024 * MIB,
	.resident = 768 * MIB,
	.free = 256 * MIB,
	.caches = 256 * MIB,
	.updates = 1,
};

void round_begin(struct round *round, size_t count, const struct keeper_figures *figures)
{
	*round = (struct round){.policy = keeper_policy_start(0), .count = count};
	for (size_t i = 0; i < count; i++) {
		round->list[i] = &round->guest[i];
		/* Looked at since long ago: idle. */
		keeper_look(&round->guest[i], figures, 0);
		keeper_look(&round->guest[i], figures, START);
	}
}

size_t round_decide(struct round *round, const struct keeper_host *host, uint64_t now)
{
	return keeper_decide(&round->policy, host, round->list, round->count, now, round->action);
}

void round_look(struct round *round, size_t guest, struct keeper_figures figures, uint64_t now)
{
	figures.updates = round->guest[guest].now.updates + 1;
	keeper_look(&round->guest[guest], &figures, now);
}
