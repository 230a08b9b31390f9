// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-balloon/stats.h"

#include <endian.h>
#include <string.h>

/* On the wire: a tag of 16 bits and a value of 64, both little-endian, without padding. */
#define VALUE_OFFSET 2
#define ENTRY_SIZE   10

static const char *const names[BALLOON_STAT_TAGS] = {
	"stat-swap-in",	     "stat-swap-out",	  "stat-major-faults",	   "stat-minor-faults",
	"stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
	"stat-htlb-pgalloc", "stat-htlb-pgfail",  "stat-oom-kills",	   "stat-alloc-stalls",
	"stat-async-scans",  "stat-direct-scans", "stat-async-reclaims",   "stat-direct-reclaims",
};

const char *balloon_stat_name(unsigned int tag)
{
	return tag < BALLOON_STAT_TAGS ? names[tag] : NULL;
}

void balloon_stats_parse(struct balloon_stats *stats, const void *data, size_t len)
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
		tag = le16toh(tag);
		if (tag >= BALLOON_STAT_TAGS)
			continue;
		stats->present[tag] = true;
		stats->value[tag] = le64toh(value);
	}
}
