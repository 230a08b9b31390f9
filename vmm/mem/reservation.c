// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/reservation.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* A byte a page, not a bit: no two threads share one. True: no reservation is left. */
struct reservations {
	size_t page_size;
	uint64_t pages;
	atomic_bool used[];
};

struct reservations *reservations_new(size_t page_size, uint64_t end)
{
	uint64_t pages = end / page_size;
	/* calloc() touches none of it: the gaps between regions cost nothing. */
	struct reservations *reservations =
		calloc(1, sizeof(*reservations) + pages * sizeof(reservations->used[0]));
	if (!reservations)
		return NULL;
	reservations->page_size = page_size;
	reservations->pages = pages;
	return reservations;
}

void reservations_free(struct reservations *reservations)
{
	free(reservations);
}

void reservations_use(struct reservations *reservations, int file, uint64_t offset, uint64_t len)
{
	uint64_t first = offset / reservations->page_size;
	uint64_t end = first + len / reservations->page_size;

	/* One at a time: a page in between may lack a reservation; the pool would provide it. */
	for (uint64_t page = first; page < end && page < reservations->pages; page++) {
		if (atomic_load(&reservations->used[page]))
			continue;
		if (fallocate(file, FALLOC_FL_KEEP_SIZE, page * reservations->page_size,
			      reservations->page_size) == 0)
			atomic_store(&reservations->used[page], true);
	}
}
