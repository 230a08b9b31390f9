/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ebb with a device that lies: linked with -Wl,--wrap=virtq_push, so that what it says of a report passes through
 * here. It is for tests of the guest, which must not believe more than the feature promises.
 *
 * EBB_LIE=all    all of each report reads as zero
 *         more   more than that was reported
 *         most   all but one byte of it
 *         late   reports are answered after 2 seconds
 *         slow   after 6 seconds
 *         mute   reports are never answered
 *         SEED   a number: each answer of the balloon's queues is another lie, or late. A report's may also come never, twice, or
 *                with the number of another chain. The same number is the same lies, in the order of the answers
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/queue.h"

void __real_virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t len);
void __wrap_virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t len);

/* Marsaglia's xorshift64. */
static uint32_t next(const char *seed)
{
	static _Thread_local uint64_t state; /* the balloon's worker answers, no other */

	if (!state)
		state = strtoull(seed, NULL, 10) * 0x9e3779b97f4a7c15 | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

static void lie_at_random(struct virtq *q, const struct virtq_chain *chain, uint32_t len,
			  const char *seed)
{
	uint32_t what = next(seed) % 64, value = next(seed);
	const uint32_t lens[] = {len, 0, 1, len - 1, len + 1, len / 2, UINT32_MAX, value};

	len = lens[value % 8];
	if (next(seed) % 8 == 0)
		usleep(value % 20000);
	/* Of a report. On what the driver itself asks for it waits as long as it takes. */
	if (chain->readable == 0 && what == 0)
		return;
	if (chain->readable == 0 && what == 1)
		virtq_push_head(q, (uint16_t)value, len);
	__real_virtq_push(q, chain, len);
	if (chain->readable == 0 && what == 2)
		__real_virtq_push(q, chain, len);
}

void __wrap_virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t len)
{
	const char *lie = getenv("EBB_LIE");
	uint64_t total = 0;

	if (lie && isdigit((unsigned char)*lie)) {
		lie_at_random(q, chain, len, lie);
		return;
	}
	/* Of all that the balloon's queues carry, only reports have nothing to be read. */
	if (chain->readable == 0 && lie) {
		for (unsigned int i = 0; i < chain->buffers; i++)
			total += chain->buffer[i].len;
		if (!strcmp(lie, "mute"))
			return;
		if (!strcmp(lie, "late"))
			sleep(2);
		if (!strcmp(lie, "slow"))
			sleep(6);
		if (!strcmp(lie, "all"))
			len = total;
		if (!strcmp(lie, "more"))
			len = total + 4096;
		if (!strcmp(lie, "most"))
			len = total - 1;
	}
	__real_virtq_push(q, chain, len);
}
