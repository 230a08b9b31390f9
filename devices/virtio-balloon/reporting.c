// SPDX-License-Identifier: Apache-2.0
/* Free page reporting: README.md describes the whole way of a report. */
#include <errno.h>
#include <string.h>

#include "devices/virtio-balloon/internal.h"
#include "vmm/mem/gpa_range.h"
#include "vmm/mem/torn.h"

/* Returns whether a step covers all of @block and reads as zero. One is enough: ranges were merged. */
static bool block_gone(const struct gpa_range *block, const struct discard_step *step, size_t steps)
{
	if (block->len == 0)
		return true;
	for (size_t i = 0; i < steps; i++) {
		uint64_t offset = block->gpa - step[i].range.gpa;
		if (offset < step[i].range.len && block->len <= step[i].range.len - offset)
			return step[i].zero;
	}
	return false;
}

/*
 * Returns how many bytes from the chain's start on, in the driver's order, certainly read as zero:
 * whole blocks, up to the first that was not discarded as a whole.
 */
static uint32_t bytes_gone(const struct virtq_chain *chain, const struct discard_step *step,
			   size_t steps)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < chain->buffers; i++) {
		const struct gpa_range *block = &chain->buffer[i];
		/* A used length has 32 bits; a chain can be one byte longer than fits. */
		if (!block_gone(block, step, steps) || bytes + block->len > UINT32_MAX)
			break;
		bytes += block->len;
	}
	return bytes;
}

/*
 * The guest relies on its free pages' poison, which is not zero. Filling them again after a discard
 * would take the memory back from the host, so keep them: count the bytes, and promise no zeros.
 */
static size_t hold_back(const struct ram *ram, const struct gpa_range *range, size_t n,
			struct discard_step *step, struct discard_result *result)
{
	unsigned int outside = 0;
	size_t steps = discard_plan(ram, range, n, step, &outside);

	*result = (struct discard_result){.failures = outside};
	for (size_t i = 0; i < steps; i++)
		result->held_back += step[i].range.len;
	return steps;
}

static void count(struct balloon *balloon, const struct virtq_chain *chain, size_t steps,
		  const struct discard_result *result)
{
	struct balloon_counters *counters = &balloon->counters;

	atomic_fetch_add(&counters->reporting.reports, 1);
	atomic_fetch_add(&counters->reporting.blocks, chain->buffers);
	atomic_fetch_add(&counters->reporting.bytes, result->bytes);
	atomic_fetch_add(&counters->reporting.ranges, steps);
	atomic_fetch_add(&counters->reporting.failures, result->failures);
	atomic_fetch_add(&counters->reporting.held_back, result->held_back);

	balloon_refused(balloon, result->error);
	if (!result->error && result->failures)
		log_guest(&balloon->log_report,
			  "virtio-balloon: reported free pages that are not RAM");
}

/* Discards the blocks that a chain reports. Returns the used length. */
static uint32_t report(struct balloon *balloon, const struct virtq_chain *chain)
{
	const struct virtio_host *host = balloon->dev.host;
	struct gpa_range range[VIRTIO_QUEUE_SIZE_MAX];
	struct discard_step step[DISCARD_STEPS(VIRTIO_QUEUE_SIZE_MAX)];
	struct discard_result result;
	size_t steps;

	memcpy(range, chain->buffer, chain->buffers * sizeof(range[0]));
	size_t ranges = gpa_range_merge(range, chain->buffers);
	if (balloon_poisoned(balloon))
		steps = hold_back(host->ram, range, ranges, step, &result);
	else
		steps = host->discard(host->ctx, range, ranges, step, &result);
	ram_torn(host->ram, step, steps);
	count(balloon, chain, steps, &result);
	return bytes_gone(chain, step, steps);
}

/* One chain at a time: a reset waits for no more than this. */
int balloon_report_work(struct balloon *balloon, struct virtq *q)
{
	struct virtq_chain chain;

	int popped = virtq_pop(q, &chain);
	if (popped <= 0)
		return popped;
	/* A discard writes zeros to the blocks: the driver must have made them device-writable. */
	if (chain.readable)
		return -EPROTO;
	virtq_push(q, &chain, report(balloon, &chain));
	return virtq_empty(q) ? 0 : -EAGAIN;
}
