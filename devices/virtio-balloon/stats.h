/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says of its memory, and how it says it (virtio 1.2 §5.5.6.3; the tags of Linux 6.12,
 * include/uapi/linux/virtio_balloon.h: 16 of them, of which older guests send the first 10 or
 * fewer). Pure.
 */
#ifndef EBB_VIRTIO_BALLOON_STATS_H
#define EBB_VIRTIO_BALLOON_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BALLOON_STAT_TAGS 16

struct balloon_stats {
	bool present[BALLOON_STAT_TAGS];   /* by tag: the guest's last buffer had it */
	uint64_t value[BALLOON_STAT_TAGS]; /* bytes or events since boot, as the guest says */
	int64_t updated;  /* when the last buffer came: seconds, CLOCK_REALTIME; 0: never */
	uint64_t updates; /* buffers that came; a reset does not make it less */
};

/* A tag's name as QEMU spells it ("stat-free-memory"), or NULL for a tag of BALLOON_STAT_TAGS on. */
const char *balloon_stat_name(unsigned int tag);

/*
 * Sets ->present and ->value from a buffer of entries of 10 bytes, of which only the first 64 are
 * looked at: a tag that is there twice has its last value, one that is not known is ignored, and
 * so is the rest behind the last whole entry. The other members stay.
 */
#define BALLOON_STATS_BYTES 640
void balloon_stats_parse(struct balloon_stats *stats, const void *data, size_t len);

#endif
