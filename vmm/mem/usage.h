/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guest RAM costs the host now, in the host's own accounting: /proc/self/smaps, of the mappings
 * that hold guest RAM and no others. usage_parse() is pure.
 *
 * The kernel counts by walking the page tables of what is resident, which takes some ten
 * milliseconds for each GiB in small pages, hardly anything for huge ones, and does not hold up the
 * guest: for when somebody asks, not for every tick.
 *
 * Source: Documentation/filesystems/proc.rst, fs/proc/task_mmu.c.
 * Thread: any.
 */
#ifndef EBB_MEM_USAGE_H
#define EBB_MEM_USAGE_H

#include <stdint.h>
#include <stdio.h>

#include "vmm/mem/ram.h"

/* All in bytes. Pages of hugetlbfs count in rss, pss and huge, though not in the kernel's "Rss". */
struct ram_usage {
	uint64_t rss;	   /* in memory and mapped here */
	uint64_t pss;	   /* the same, each page divided by how many map it */
	uint64_t huge;	   /* of rss: in huge pages, transparent or not */
	uint64_t lazyfree; /* of rss: let go of by DISCARD_FREE, and not yet taken by the host */
	uint64_t swap;	   /* swapped out */
	uint64_t locked;   /* of pss: locked by ram_config.lock; hugetlbfs stays without */
};

/* Returns 0, or -errno: silently, for there may be nobody to tell; *usage is all 0 then. */
int ram_usage(const struct ram *ram, struct ram_usage *usage);

/*
 * Reads smaps' text from @smaps, up to the end of guest RAM. Lines that it does not know, or cannot
 * read, count as not there. Returns 0, or -ENODATA where some of guest RAM is missing, *usage all 0.
 */
int usage_parse(FILE *smaps, const struct ram *ram, struct ram_usage *usage);

#endif
