/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of guest RAM can hold something: those that the guest has touched and not given back, in memory or
 * swapped out, and those that are still the file's (private_file.h), touched or not. The others read as zero, and are not
 * touched to find that out.
 *
 * Source: Documentation/admin-guide/mm/pagemap.rst; lseek(2), SEEK_DATA.
 * Thread: any, one at a time.
 */
#ifndef EBB_MEM_PRESENT_H
#define EBB_MEM_PRESENT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

/* Pages asked for at once: 2 MiB of small ones. */
#define PRESENT_PAGES 512

/*
 * Opens pagemap, which only root may once the process is not dumpable (vmm/sandbox): machine_prepare() does. The kernel
 * shows frame numbers, addresses of the host's memory, by what the opener was capable of (fs/proc/task_mmu.c,
 * pagemap_read()): it is opened without CAP_SYS_ADMIN, which the caller has again afterwards. Returns a descriptor, or -1
 * if there is none: ram_present() then fails. Thread: main, while it is the only one.
 */
int present_open(void);

/*
 * Where a file was looked into last. Zeroed before the first question about a region; those that follow ask for
 * ascending offsets. Otherwise each would look for the end of the same data again: the square of its size.
 */
struct present_cursor {
	uint64_t data, hole; /* bytes of the file: data is from one to the other */
};

/*
 * Sets @present for each of @pages pages (of ram->page_size, at most PRESENT_PAGES) from @offset on in @region.
 * Returns 0, or -errno: -EOPNOTSUPP for memory of which this cannot be known (RAM_HUGETLBFS).
 */
int ram_present(const struct ram *ram, struct present_cursor *cursor,
		const struct ram_region *region, uint64_t offset, unsigned int pages,
		bool present[PRESENT_PAGES]);

/*
 * Returns whether the page at @offset in @region is still there, which ram_present() said was: reading one of a file (RAM_MEMFD)
 * that was given back meanwhile takes memory for it.
 */
bool ram_still_present(const struct ram *ram, const struct ram_region *region, uint64_t offset);

/*
 * Sets @touched for each of @pages pages from @offset on in @region, as above: whether it is the file's, or a copy of its
 * page, and in the page tables. Where one was read, the host puts neighbours that are in its page cache there, too. Returns 0
 * or -errno.
 */
int ram_touched(const struct ram *ram, const struct ram_region *region, uint64_t offset,
		unsigned int pages, bool touched[PRESENT_PAGES]);

/*
 * Sets @changed for each of @pages pages from @offset on in @region, as above: whether the guest has something else there
 * than the file: a copy of its page, which was written to, or memory that is not the file's. Touches none of it, nor the
 * file. Returns 0 or -errno.
 */
int ram_changed(const struct ram *ram, const struct ram_region *region, uint64_t offset,
		unsigned int pages, bool changed[PRESENT_PAGES]);

#endif
