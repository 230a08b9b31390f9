/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of guest RAM to the host now, in the host's own accounting: /proc/self/smaps, summed
 * over the mappings that hold guest RAM, and over each window's. usage_parse() is pure.
 *
 * The kernel walks the page tables of resident memory, which takes some ten milliseconds for each
 * GiB in small pages, much less for huge ones, and does not stop the guest: call it on request, not
 * periodically. Each mapping below guest RAM costs as much as 64 MiB of huge pages in it, however
 * small it is: ram_init() therefore maps RAM below all others. RAM itself is one mapping a region, but that of a clone
 * (private_file.h) is as many as the guest makes of it, up to 32,765 by default.
 *
 * Source: Documentation/filesystems/proc.rst, fs/proc/task_mmu.c.
 * Thread: any that may block: a worker.
 */
#ifndef EBB_MEM_USAGE_H
#define EBB_MEM_USAGE_H

#include <stdint.h>
#include <stdio.h>

#include "vmm/mem/ram.h"

/* A window's pages (ram_add_window()). */
struct window_usage {
	uint64_t rss;	 /* in memory and mapped here */
	uint64_t pss;	 /* the same, each page divided by the number of its mappings */
	uint64_t copied; /* of rss: this guest's own, copied from the file */
};

/* All in bytes. Pages of hugetlbfs count in rss, pss and huge, though not in the kernel's "Rss". */
struct ram_usage {
	uint64_t rss;	   /* in memory and mapped here */
	uint64_t pss;	   /* the same, each page divided by the number of its mappings */
	uint64_t huge;	   /* of rss: in huge pages, transparent or not */
	uint64_t lazyfree; /* of rss: released by DISCARD_FREE, and not yet taken by the host */
	uint64_t swap;	   /* swapped out */
	uint64_t locked;   /* of pss: locked by ram_config.lock; never of hugetlbfs */
	uint64_t own;	   /* of rss: anonymous, no page of a file that others may map, too */
	struct window_usage window[RAM_WINDOWS_MAX]; /* in none of the above */
};

/*
 * Opens smaps, while files can still be opened by name: ram_init() does. Returns a descriptor, or -1
 * if there is no /proc: ram_usage() then fails.
 */
int usage_open(void);

/*
 * One thread at a time. Reads up to three times if mappings change meanwhile. Returns 0, or -errno without a message
 * and with *usage all 0.
 */
int ram_usage(const struct ram *ram, struct ram_usage *usage);

/*
 * Reads the text of smaps from @smaps, up to the end of guest RAM and of its windows. Skips lines that it does not
 * know or cannot read. Returns 0, or -ENODATA with *usage all 0 if some of guest RAM is missing, or comes twice: the
 * kernel renders a few mappings at a time, and discards of private_file.h join mappings meanwhile.
 */
int usage_parse(FILE *smaps, const struct ram *ram, struct ram_usage *usage);

#endif
