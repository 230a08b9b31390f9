/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backing of guest RAM: opens it, maps it, and explains why the host refused. For ram.c and private_file.c alone.
 *
 * In a file that holds guest RAM, each byte's offset is its gpa; between regions the file has
 * holes. No other process can open the file: it has no name, and is freed with its last mapping.
 *
 * Source: memfd_create(2), open(2) for O_TMPFILE, Documentation/admin-guide/mm/hugetlbpage.rst.
 * Thread: main, before any other starts, if not stated otherwise.
 */
#ifndef EBB_MEM_BACKING_H
#define EBB_MEM_BACKING_H

#include "vmm/mem/ram.h"

/*
 * Sets ram->file (stays -1 for anonymous memory) and ram->page_size. Each @span must be whole pages
 * of that size, and spans must ascend. Returns 0, or -errno after an error message. The caller
 * closes the file in either case.
 */
int backing_open(struct ram *ram, const struct ram_config *config, const struct gpa_range *span,
		 unsigned int spans);

/* Maps @span->len bytes of RAM at @hva. Returns 0, or -errno without a message. */
int backing_map(const struct ram *ram, const struct gpa_range *span, void *hva);

/* Returns the advice on huge pages for the host's madvise(). Reads the host's settings: before the sandbox. */
int backing_advice(void);

/*
 * Map anonymous memory, and a file from @offset on, over @len bytes of RAM at @hva: each is for this process alone. The
 * guest may run: it finds one or the other. Return 0, or -errno without a message. Any thread.
 */
int backing_map_anonymous(void *hva, uint64_t len, int advice);
int backing_map_private(void *hva, uint64_t len, int fd, uint64_t offset);

/* As ram_why_keep(), once @ram is mapped. */
const char *backing_why_keep(const struct ram *ram);

/*
 * Logs why reserving @total bytes of address space failed with @error; or, for backing_explain(),
 * why mapping RAM into them failed after @mapped bytes.
 */
void backing_explain_space(uint64_t total, int error);
void backing_explain(const struct ram *ram, uint64_t total, uint64_t mapped, int error);

#endif
