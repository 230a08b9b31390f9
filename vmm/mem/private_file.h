/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM that is a private mapping of a file, a snapshot's: pages come from the file when the guest touches them, are
 * shared with all who map the same file through the page cache, and are copied when they are written.
 *
 * To discard such memory takes more than madvise(): MADV_DONTNEED would drop the copy, and bring the file's bytes back
 * where the guest is promised zeros. Instead, anonymous memory is mapped over it, once: each page is known to be the
 * file's or anonymous. A process may have 65,530 mappings (vm.max_map_count): once half of them are used, the file's
 * pages are filled with zeros instead, which keeps the promise, but gives nothing back: a page that was shared, or not in
 * memory, costs the host one more.
 *
 * The file must not change. If it becomes shorter, the guest ends when it touches what is gone.
 *
 * Owner: struct ram. Thread: main for new, map and free, before others start and after they ended, and for limit; any
 * for the rest.
 * Source: mmap(2), mm/vma.c for what the kernel merges, Documentation/admin-guide/sysctl/vm.rst.
 */
#ifndef EBB_MEM_PRIVATE_FILE_H
#define EBB_MEM_PRIVATE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

struct private_file;

/* All of @ram, which is RAM_ANON, is anonymous at first. Returns NULL if no memory is left. */
struct private_file *private_file_new(const struct ram *ram);
void private_file_free(struct private_file *file);

/*
 * Maps the guest's memory @run, whole pages of one region, from @offset on in @fd, which may be closed afterwards. What
 * was there is lost. Returns 0 or -errno.
 */
int private_file_map(struct private_file *file, const struct gpa_range *run, int fd,
		     uint64_t offset);

/* Returns whether a page of @len bytes at @hva, within one region, is the file's. None is if @file is NULL. */
bool private_file_has(struct private_file *file, const void *hva, uint64_t len);

/* Likewise, which of @pages pages at @hva are. */
void private_file_which(struct private_file *file, const void *hva, unsigned int pages,
			bool which[]);

/*
 * Says that all of the file is about to be read, through RAM: from then on it is not to be known any more what the guest
 * itself has touched. Does nothing if @file is NULL.
 */
void private_file_note_read(struct private_file *file);
bool private_file_was_read(const struct private_file *file);

/*
 * Makes @len bytes at @hva, whole pages within one region, read as zero, and gives them back, unless too many mappings
 * would be needed: adds the bytes that are kept, filled with zeros, to *@zeroed. Returns 0 or -errno.
 */
int private_file_discard(struct private_file *file, void *hva, uint64_t len, uint64_t *zeroed);

/* Returns all bytes that were kept so far, filled with zeros. Does not wait for a discard. */
uint64_t private_file_zeroed(const struct private_file *file);

/* Returns whether so many mappings are used that what is discarded next may be kept. @file may be NULL. */
bool private_file_is_full(struct private_file *file);

/* For tests: at most @mappings from now on. */
void private_file_limit(struct private_file *file, unsigned int mappings);

#endif
