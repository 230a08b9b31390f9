/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host reserves each huge page for guest RAM until it is taken, and goes on doing so when a hole
 * is punched where none was: a page that the guest has never touched stays out of everybody's reach
 * though it was reported. Taking it and then punching it out uses the reservation up. That clears
 * the page for nothing, so it is done once for each: what is remembered here.
 *
 * Source: fs/hugetlbfs/inode.c, remove_inode_hugepages(), which undoes reservations for pages that it
 * finds only; hugetlbfs_fallocate().
 *
 * Owned by struct ram. Thread: any, but for new and free.
 */
#ifndef EBB_MEM_RESERVATION_H
#define EBB_MEM_RESERVATION_H

#include <stddef.h>
#include <stdint.h>

struct reservations;

/* For pages of @page_size below file offset @end; NULL when there is no memory for it. */
struct reservations *reservations_new(size_t page_size, uint64_t end);
void reservations_free(struct reservations *reservations);

/*
 * To be called before whole pages [@offset, @offset + @len) are punched out of @file: those whose
 * reservation may be unused are there afterwards. What cannot be taken just stays reserved.
 */
void reservations_use(struct reservations *reservations, int file, uint64_t offset, uint64_t len);

#endif
