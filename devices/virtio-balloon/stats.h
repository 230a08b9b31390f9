/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's statistics of its memory, and their layout in a buffer. Linux 6.12 sends 16 tags,
 * older guests the first 10 or fewer; ebb adds its own (README.md). Pure.
 *
 * Source: virtio 1.2 §5.5.6.3; Linux, include/uapi/linux/virtio_balloon.h.
 */
#ifndef EBB_VIRTIO_BALLOON_STATS_H
#define EBB_VIRTIO_BALLOON_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BALLOON_STAT_TAGS     16     /* the specification's, from 0 on */
#define BALLOON_STAT_EBB      0xeb00 /* ebb's, from there on; needs F_EBB_RECLAIM */
#define BALLOON_STAT_EBB_TAGS 19
/* Both, without the gap: the index of ebb's tag BALLOON_STAT_EBB + i is BALLOON_STAT_TAGS + i. */
#define BALLOON_STATS_ALL (BALLOON_STAT_TAGS + BALLOON_STAT_EBB_TAGS)

struct balloon_stats {
	bool present[BALLOON_STATS_ALL];   /* the guest's last buffer had it */
	uint64_t value[BALLOON_STATS_ALL]; /* as the guest reports: bytes, events, microseconds */
	int64_t updated;  /* arrival of the last buffer: seconds, CLOCK_REALTIME; 0: never */
	uint64_t updates; /* buffers received; a reset keeps it */
};

/* Returns a name as QEMU spells it ("stat-free-memory"), or NULL from BALLOON_STATS_ALL on. */
const char *balloon_stat_name(unsigned int stat);

/*
 * Sets ->present and ->value from the first 64 entries, of 10 bytes each, of a buffer. The last
 * value of a repeated tag counts. Ignores unknown tags, ebb's own unless @ebb, and bytes after the
 * last whole entry. Leaves the other members as they are.
 */
#define BALLOON_STATS_BYTES 640
void balloon_stats_parse(struct balloon_stats *stats, const void *data, size_t len, bool ebb);

#endif
