/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the host as memory of the guest: the guest reads and writes the pages of the host's page
 * cache, which all guests with this file share.
 *
 * A read-only region is a private mapping: the guest gets a copy of each page that it writes to, and
 * the file stays as it is. README.md has the reasons.
 *
 * If the file becomes shorter, the pages beyond its end are gone: an access by ebb ends the process
 * with a line (SIGBUS, fatal.h), one by the guest ends KVM_RUN with EFAULT.
 *
 * Thread: main, except pmem_region_is_shorter(): any. Source: mmap(2); Linux,
 * mm/memory_hotplug.c (check_pfn_span).
 */
#ifndef EBB_VIRTIO_PMEM_REGION_H
#define EBB_VIRTIO_PMEM_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/fatal.h"

/* Linux adds memory in pieces of this size, at multiples of it. */
#define PMEM_ALIGN (2ULL << 20)

struct pmem_region {
	const char *file;
	int fd;
	bool read_only;
	uint64_t file_size; /* bytes, when the file was opened */
	uint64_t size;	    /* bytes, a multiple of PMEM_ALIGN; bytes beyond the file are zeros */
	uint64_t gpa;	    /* set by the creator once it is known */
	uint8_t *hva;	    /* a multiple of PMEM_ALIGN */

	void *map; /* with a guard at either end */
	size_t map_size;
	char why[256];
	struct fatal_memory fatal;
};

/*
 * Opens and measures a file: a writable one must be a multiple of PMEM_ALIGN, since what the guest writes
 * beyond the end would be lost. @file outlives the region. Returns 0, or -errno after an error
 * message. Call pmem_region_close() in either case.
 */
int pmem_region_open(struct pmem_region *region, const char *file, bool read_only);
/* Maps it. Returns 0, or -errno after an error message. */
int pmem_region_map(struct pmem_region *region);
/* Accepts a zeroed region. */
void pmem_region_close(struct pmem_region *region);

/* Returns whether the file was longer when it was opened. May wait for the host's storage. */
bool pmem_region_is_shorter(const struct pmem_region *region);

#endif
