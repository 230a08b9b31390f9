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
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/queue.h"

void __real_virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t len);
void __wrap_virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t len);

void __wrap_virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t len)
{
	const char *lie = getenv("EBB_LIE");
	uint64_t total = 0;

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
