// SPDX-License-Identifier: Apache-2.0
/*
 * Inflate and deflate: chains of page numbers of any length, served a window at a time, so that a
 * reset waits for one window only.
 */
#include <endian.h>
#include <errno.h>

#include "devices/virtio-balloon/internal.h"
#include "devices/virtio-balloon/pfn.h"

/* Page numbers in a window: Linux sends no more than 256 in a chain. */
#define WINDOW 512

static void discard(struct balloon *balloon, const struct gpa_range *range, size_t ranges)
{
	const struct virtio_host *host = balloon->dev.host;
	struct discard_step step[DISCARD_STEPS(WINDOW)];
	struct discard_result result;

	size_t steps = host->discard(host->ctx, range, ranges, step, &result);
	atomic_fetch_add(&balloon->counters.balloon.bytes, result.bytes);
	atomic_fetch_add(&balloon->counters.balloon.ranges, steps);
	atomic_fetch_add(&balloon->counters.balloon.failures, result.failures);
	atomic_fetch_add(&balloon->counters.balloon.held_back, result.held_back);
	balloon_refused(balloon, result.error);
}

/* Serves one window of @n page numbers, little-endian, and overwrites them. */
static void serve(struct balloon *balloon, uint32_t *pfn, size_t n, bool inflate)
{
	struct balloon_counters *counters = &balloon->counters;
	struct gpa_range range[WINDOW];
	size_t outside;

	for (size_t i = 0; i < n; i++)
		pfn[i] = le32toh(pfn[i]);
	n = pfn_sort(balloon->dev.host->ram, pfn, n, &outside);
	if (outside) {
		atomic_fetch_add(&counters->balloon.failures, outside);
		log_guest(&balloon->log_pages,
			  "virtio-balloon: pages that are not RAM were %s the balloon",
			  inflate ? "put into" : "taken out of");
	}
	if (!inflate) {
		partial_pages_deflate(&balloon->parts, pfn, n);
		atomic_fetch_add(&counters->balloon.deflated, n);
		return;
	}
	atomic_fetch_add(&counters->balloon.inflated, n);
	size_t ranges = partial_pages_inflate(&balloon->parts, pfn, n, range);
	if (ranges)
		discard(balloon, range, ranges);
}

int balloon_pages_work(struct balloon *balloon, struct virtq *q, bool inflate)
{
	struct balloon_walk *walk = inflate ? &balloon->inflate : &balloon->deflate;
	uint32_t window[WINDOW];

	if (!walk->busy) {
		int popped = virtq_pop(q, &walk->chain);
		if (popped <= 0)
			return popped;
		if (walk->chain.readable != walk->chain.buffers)
			return -EPROTO;
		walk->cursor = (struct virtq_cursor){0};
		walk->busy = true;
	}
	ssize_t len = virtq_read(balloon->dev.host->ram, &walk->chain, &walk->cursor, window,
				 sizeof(window));
	if (len < 0)
		return -EPROTO;
	if (len > 0)
		serve(balloon, window, len / sizeof(window[0]), inflate);
	if (len == sizeof(window))
		return -EAGAIN;

	/* Ignore an incomplete number at the end. */
	if (len % sizeof(window[0]))
		atomic_fetch_add(&balloon->counters.balloon.failures, 1);
	walk->busy = false;
	virtq_push(q, &walk->chain, 0);
	return virtq_empty(q) ? 0 : -EAGAIN;
}

void balloon_pages_reset(struct balloon *balloon)
{
	balloon->inflate.busy = false;
	balloon->deflate.busy = false;
	partial_pages_reset(&balloon->parts);
}
