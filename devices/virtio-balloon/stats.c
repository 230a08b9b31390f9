// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-balloon/stats.h"

#include <endian.h>
#include <string.h>

/* In the buffer: a tag of 16 bits and a value of 64, both little-endian, without padding. */
#define VALUE_OFFSET 2
#define ENTRY_SIZE   10

static const char *const names[BALLOON_STATS_ALL] = {
	"stat-swap-in",		 "stat-swap-out",	   "stat-major-faults",
	"stat-minor-faults",	 "stat-free-memory",	   "stat-total-memory",
	"stat-available-memory", "stat-disk-caches",	   "stat-htlb-pgalloc",
	"stat-htlb-pgfail",	 "stat-oom-kills",	   "stat-alloc-stalls",
	"stat-async-scans",	 "stat-direct-scans",	   "stat-async-reclaims",
	"stat-direct-reclaims",	 "stat-ebb-passes",	   "stat-ebb-blocks",
	"stat-ebb-blocks-early", "stat-ebb-pages-drained", "stat-ebb-pages-unzeroed",
	"stat-ebb-stall-some",	 "stat-ebb-stall-full",	   "stat-ebb-refault-anon",
	"stat-ebb-refault-file", "stat-ebb-anon",	   "stat-ebb-file",
	"stat-ebb-anon-10s",	 "stat-ebb-anon-1min",	   "stat-ebb-anon-10min",
	"stat-ebb-anon-1h",	 "stat-ebb-file-10s",	   "stat-ebb-file-1min",
	"stat-ebb-file-10min",	 "stat-ebb-file-1h",
};

const char *balloon_stat_name(unsigned int stat)
{
	return stat < BALLOON_STATS_ALL ? names[stat] : NULL;
}

/* Returns the index of a tag, or BALLOON_STATS_ALL if it is unknown. */
static unsigned int place_of(uint16_t tag, bool ebb)
{
	if (tag < BALLOON_STAT_TAGS)
		return tag;
	if (ebb && tag >= BALLOON_STAT_EBB && tag < BALLOON_STAT_EBB + BALLOON_STAT_EBB_TAGS)
		return BALLOON_STAT_TAGS + tag - BALLOON_STAT_EBB;
	return BALLOON_STATS_ALL;
}

void balloon_stats_parse(struct balloon_stats *stats, const void *data, size_t len, bool ebb)
{
	const uint8_t *entry = data;

	memset(stats->present, 0, sizeof(stats->present));
	memset(stats->value, 0, sizeof(stats->value));
	if (len > BALLOON_STATS_BYTES)
		len = BALLOON_STATS_BYTES;
	for (; len >= ENTRY_SIZE; len -= ENTRY_SIZE, entry += ENTRY_SIZE) {
		uint16_t tag;
		uint64_t value;
		memcpy(&tag, entry, sizeof(tag));
		memcpy(&value, entry + VALUE_OFFSET, sizeof(value));
		unsigned int stat = place_of(le16toh(tag), ebb);
		if (stat == BALLOON_STATS_ALL)
			continue;
		stats->present[stat] = true;
		stats->value[stat] = le64toh(value);
	}
}
