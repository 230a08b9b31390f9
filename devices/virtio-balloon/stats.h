/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says of its memory, and how it says it (virtio 1.2 §5.5.6.3; the tags of Linux 6.12,
 * include/uapi/linux/virtio_balloon.h: 16 of them, of which older guests send the first 10 or
 * fewer; and ours, README.md). Pure.
 */
#ifndef EBB_VIRTIO_BALLOON_STATS_H
#define EBB_VIRTIO_BALLOON_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BALLOON_STAT_TAGS     16     /* the specification's, from 0 on */
#define BALLOON_STAT_EBB      0xeb00 /* ours, from there on: of a driver that knows F_EBB_RECLAIM */
#define BALLOON_STAT_EBB_TAGS 5
/* Both together, without the gap: a tag of ours is that much more than BALLOON_STAT_TAGS. */
#define BALLOON_STATS_ALL (BALLOON_STAT_TAGS + BALLOON_STAT_EBB_TAGS)

struct balloon_stats {
	bool present[BALLOON_STATS_ALL];   /* the guest's last buffer had it */
	uint64_t value[BALLOON_STATS_ALL]; /* bytes or events since boot, as the guest says */
	int64_t updated;  /* when the last buffer came: seconds, CLOCK_REALTIME; 0: never */
	uint64_t updates; /* buffers that came; a reset does not make it less */
};

/* A name as QEMU spells it ("stat-free-memory"), or NULL from BALLOON_STATS_ALL on. */
const char *balloon_stat_name(unsigned int stat);

/*
 * Sets ->present and ->value from a buffer of entries of 10 bytes, of which only the first 64 are
 * looked at: a tag that is there twice has its last value, one that is not known is ignored, ours
 * too unless @ebb, and so is the rest behind the last whole entry. The other members stay.
 */
#define BALLOON_STATS_BYTES 640
void balloon_stats_parse(struct balloon_stats *stats, const void *data, size_t len, bool ebb);

#endif
