/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reservations of huge pages. The host reserves each huge page of guest RAM until it is touched,
 * and keeps the reservation when a hole is punched before that: no other process can have the page
 * though the guest reported it. Allocating the page and then punching it out uses the reservation
 * up. That clears the page in vain, so do it once per page; this file records for which pages.
 *
 * Source: fs/hugetlbfs/inode.c, remove_inode_hugepages(), which drops reservations only of pages
 * that it finds; hugetlbfs_fallocate().
 *
 * Owner: struct ram. Thread: any, but main for new and free.
 */
#ifndef EBB_MEM_RESERVATION_H
#define EBB_MEM_RESERVATION_H

#include <stddef.h>
#include <stdint.h>

struct reservations;

/* For pages of @page_size below file offset @end, in bytes. Returns NULL if no memory is left. */
struct reservations *reservations_new(size_t page_size, uint64_t end);
void reservations_free(struct reservations *reservations);

/*
 * Call before whole pages [@offset, @offset + @len) are punched out of @file. Allocates those whose
 * reservation may be unused; a page that cannot be allocated stays reserved.
 */
void reservations_use(struct reservations *reservations, int file, uint64_t offset, uint64_t len);

#endif
