/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guest RAM is made of: opened, mapped, and when the host refuses, explained. For ram.c alone.
 *
 * A file that holds guest RAM has each byte at the offset that is its gpa: what lies between regions
 * is a hole. Nobody else can open it: it has no name, and goes with its last mapping.
 *
 * Source: memfd_create(2), open(2) for O_TMPFILE, Documentation/admin-guide/mm/hugetlbpage.rst.
 * Thread: main, with no other running.
 */
#ifndef EBB_MEM_BACKING_H
#define EBB_MEM_BACKING_H

#include "vmm/mem/ram.h"

/*
 * Sets ram->file (-1 for anonymous memory) and ram->page_size; @span must be whole pages of that, and
 * ascend. Returns 0, or -errno having said why; the file is the caller's to close in both cases.
 */
int backing_open(struct ram *ram, const struct ram_config *config, const struct gpa_range *span,
		 unsigned int spans);

/* Makes @span->len bytes of the reservation, at @hva, into RAM. Returns 0 or -errno, silently. */
int backing_map(const struct ram *ram, const struct gpa_range *span, void *hva);

/*
 * Says why @total bytes of address space could not be had, or, behind that, why RAM could not be
 * mapped when @mapped bytes of it already were.
 */
void backing_explain_space(uint64_t total, int error);
void backing_explain(const struct ram *ram, uint64_t total, uint64_t mapped, int error);

#endif
