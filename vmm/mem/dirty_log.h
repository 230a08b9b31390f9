/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of guest RAM this process has changed, while a guest is sent that runs (vmm/machine/live.h). KVM logs what vCPUs and
 * KVM itself write, and nothing else: not what devices write through ram->region[].hva, nor what is discarded. Whoever changes
 * RAM while a guest runs says so afterwards, by ram_wrote(): ram_write(), the rings (devices/virtio/queue.c), disks' reads,
 * sockets' packets, discards. What another process or the host's kernel writes (vhost) is not seen: a guest with such a
 * device cannot be saved.
 *
 * Owner: struct ram, whose copies share it. Thread: main for new and free, one at a time for switch and take, any for the rest.
 */
#ifndef EBB_MEM_DIRTY_LOG_H
#define EBB_MEM_DIRTY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/mem/ram.h"

struct dirty_log;

/* A bit for each page, which takes no memory while it is switched off. Returns NULL if the host has none left. */
struct dirty_log *dirty_log_new(const struct ram *ram);
void dirty_log_free(struct dirty_log *log);

/* From now on pages are noted, or no longer. What was written before it was switched on is in RAM when this returns. */
void dirty_log_switch(struct dirty_log *log, bool on);

/*
 * Adds the pages of region @region that were changed since the last call to @bits, a bit for each page, from the lowest of
 * the first word on, and forgets them. Their contents are in RAM.
 */
void dirty_log_take(struct dirty_log *log, unsigned int region, uint64_t *bits);

/* Notes that @len bytes at @hva were changed. What is not RAM is left out. Costs a barrier if nobody asks. */
void ram_wrote(const struct ram *ram, const void *hva, uint64_t len);
/* Likewise the first @len bytes of @iov, which has @n elements. */
void ram_wrote_iov(const struct ram *ram, const struct iovec *iov, unsigned int n, uint64_t len);

/* Returns how many words of 64 bits @region takes. */
static inline size_t dirty_log_words(const struct ram *ram, const struct ram_region *region)
{
	return (region->size / ram->page_size + 63) / 64;
}

#endif
