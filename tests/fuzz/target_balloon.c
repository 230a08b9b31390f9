// SPDX-License-Identifier: Apache-2.0
/* The balloon: inflation, reports, statistics and reclaim; and what its owner asks of it meanwhile. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio-balloon/balloon.h"
#include "devices/virtio-balloon/queues.h"
#include "devices/virtio-balloon/reclaim.h"
#include "tests/fuzz/guest.h"
#include "vmm/lib/clock.h"

/* Of the machine's record: the device's `a`. */
#define NO_REPORTING   0x01
#define DEFLATE_ON_OOM 0x02

/* For each page size, with its bookkeeping allocated: reset, not made anew. */
static struct balloon balloon, made[2];
static bool is_made[2];

static void on_changed(void *ctx)
{
	/* It may call everything. */
	struct balloon_view view = balloon_view(ctx, clock_ns());
	MUST(view.actual <= (uint64_t)GUEST_LOW + GUEST_HIGH_SIZE);
}

static void on_reclaimed(void *ctx)
{
	(void)ctx;
}

static struct virtio_device *plug(const struct guest_record *machine)
{
	static uint64_t features;
	const struct balloon_config config = {.free_page_reporting = true, .deflate_on_oom = true};
	unsigned int kind = guest.ram.page_size > 4096;

	if (!is_made[kind]) {
		MUST(balloon_init(&made[kind], &config, &guest.host) == 0);
		is_made[kind] = true;
		features = made[kind].dev.features_offered;
	}
	memcpy(&balloon, &made[kind], sizeof(balloon));
	partial_pages_reset(&balloon.parts);
	if (machine->a & NO_REPORTING)
		balloon.dev.features_offered = features & ~BALLOON_RECLAIM_FEATURES;
	if (!(machine->a & DEFLATE_ON_OOM))
		balloon.dev.features_offered &= ~(1ULL << VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	balloon_on_changed(&balloon, on_changed, &balloon);
	balloon_on_reclaimed(&balloon, on_reclaimed, &balloon);
	return &balloon.dev;
}

static void event(const struct guest_record *record)
{
	const struct balloon_reclaim_request request = {
		.cache = record->c, .timeout_ms = record->b, .compact = record->c & 1};

	switch (record->a % 5) {
	case 0:
		balloon_set_target(&balloon, (uint64_t)record->c << (record->b & 31));
		break;
	case 1:
		balloon_stats_request(&balloon);
		break;
	case 2:
		balloon_reclaim(&balloon, &request, clock_ns());
		break;
	case 3:
		guest.next_refusal = record->b;
		break;
	default:
		guest.inhibited = record->b & 1;
	}
}

/*
 * The control of tests/fuzz/run: a fault that only a driver reaches which takes pages out of the balloon,
 * and reports free blocks that are apart from each other.
 */
static void planted(void)
{
#ifdef FUZZ_PLANTED
	bool reached = balloon.counters.balloon.deflated > 0 &&
		       balloon.counters.reporting.ranges > balloon.counters.reporting.reports;
	uint8_t *bytes = calloc(1, 4);
	MUST(bytes[reached ? 4 : 3] == 0);
	free(bytes);
#endif
}

static void check(void)
{
	struct balloon_stats stats;
	uint64_t ram = ram_size(&guest.ram);
	struct balloon_view view = balloon_view(&balloon, clock_ns());
	struct balloon_reclaim_view reclaim = balloon_reclaim_view(&balloon, clock_ns());

	balloon_stats_get(&balloon, &stats);
	MUST(view.actual <= ram && view.target <= ram);
	MUST(reclaim.answer.drained <= ram && reclaim.answer.free <= ram);
	planted();
	MUST(reclaim.state == BALLOON_RECLAIM_NONE || reclaim.deadline > 0);
}

static unsigned int held(unsigned int queue)
{
	switch (balloon_role(balloon.dev.features, queue)) {
	case BALLOON_INFLATE:
		return balloon.inflate.busy;
	case BALLOON_DEFLATE:
		return balloon.deflate.busy;
	case BALLOON_STATS:
		return balloon.stats_held;
	case BALLOON_RECLAIM:
		return balloon.reclaim_held;
	default:
		return 0;
	}
}

static void unplug(void)
{
}

/* Page numbers, statistics, an answer to a request. */
static size_t payload(uint32_t random, uint8_t *data)
{
	size_t len = 4 * (1 + random % 16);

	for (size_t i = 0; i < len; i += 4) {
		uint32_t pfn = htole32((random >> 8 & 0x1f) + (uint32_t)i / 4);
		if (random >> 16 & 1)
			pfn = htole32((GUEST_HIGH >> 12) + (uint32_t)i / 4);
		memcpy(data + i, &pfn, 4);
	}
	if (random >> 17 & 1) {
		const struct reclaim_response response = {.id = htole32(random >> 20 & 3),
							  .status = htole32(random >> 22 & 3)};
		memcpy(data, &response, sizeof(response));
		return sizeof(response);
	}
	return len;
}

static const uint16_t lengths[] = {4096, 8192, 16384, 32768, 4, 64, 1024, 56, 24, 100};

const struct guest_device guest_device = {
	.plug = plug,
	.event = event,
	.unplug = unplug,
	.check = check,
	.held = held,
	.shape = {.readable = 2,
		  .writable = 2,
		  .lengths = lengths,
		  .lengths_count = sizeof(lengths) / sizeof(lengths[0]),
		  .payload = payload},
};
