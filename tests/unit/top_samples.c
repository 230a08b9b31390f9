// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/top_samples.h"

#include "vmm/lib/clock.h"

const struct top_sample top_usual = {
	.at = 10 * NS_PER_S,
	.status = "running",
	.cpus = 2,
	.size = 1024 * MIB,
	.resident = 900 * MIB,
	.own = 900 * MIB,
	.balloon = 64 * MIB,
	.free = 300 * MIB,
	.updates = 1,
	.stalls = TOP_UNKNOWN,
	.stalled = TOP_UNKNOWN,
};

struct top_sample top_later(struct top_sample sample, uint64_t ns)
{
	sample.at += ns;
	return sample;
}

struct top_sample top_aged(void)
{
	struct top_sample sample = top_usual;
	for (int age = 0; age < TOP_AGE_COUNT; age++) {
		sample.ages[TOP_PROGRAMS].bytes[age] = (100 * MIB) >> age;
		sample.ages[TOP_FILES].bytes[age] = (300 * MIB) >> age;
	}
	return sample;
}
