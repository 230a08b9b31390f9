// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/pace.h"

#include "vmm/lib/clock.h"

struct pace pace_start(uint64_t rate, uint64_t burst, uint64_t now)
{
	return (struct pace){.rate = rate, .burst = burst, .left = burst, .at = now};
}

uint64_t pace_left(struct pace *pace, uint64_t now)
{
	if (now <= pace->at)
		return pace->left;
	uint64_t passed = now - pace->at;
	/* From here on the products fit: a rate has 32 bits, and a second 30. */
	if (passed >= NS_PER_S && pace->rate * (passed / NS_PER_S) >= pace->burst - pace->left) {
		pace->left = pace->burst;
		pace->at = now;
		return pace->left;
	}
	uint64_t whole = passed / NS_PER_S * pace->rate + passed % NS_PER_S * pace->rate / NS_PER_S;
	if (whole >= pace->burst - pace->left) {
		pace->left = pace->burst;
		pace->at = now;
	} else {
		pace->left += whole;
		/* Keep the remainder of time that was too short for one more. */
		pace->at += whole * NS_PER_S / pace->rate;
	}
	return pace->left;
}

void pace_spend(struct pace *pace, uint64_t amount)
{
	pace->left -= amount < pace->left ? amount : pace->left;
}

uint64_t pace_when(const struct pace *pace, uint64_t amount)
{
	if (amount <= pace->left)
		return pace->at;
	uint64_t missing = amount - pace->left;
	return pace->at + missing / pace->rate * NS_PER_S +
	       (missing % pace->rate * NS_PER_S + pace->rate - 1) / pace->rate;
}
