// SPDX-License-Identifier: Apache-2.0
/* keeper N…: prints "N DECISION ROUND ASKED", in ns and requests, for so many guests each: see tests/bench/keeper. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/keeper_cost.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t guests = strtoul(argv[i], NULL, 10);
		struct keeper_cost cost = keeper_cost(keeper_decide, guests, CLOCK_MONOTONIC);
		printf("%zu %" PRIu64 " %" PRIu64 " %zu\n", guests, cost.decision, cost.round,
		       cost.asked);
	}
	return 0;
}
