// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/claim.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* A byte a page, not a bit: no two threads share one. Set: nothing is reserved any more. */
struct claims {
	size_t page_size;
	uint64_t pages;
	atomic_bool used[];
};

struct claims *claims_new(size_t page_size, uint64_t end)
{
	uint64_t pages = end / page_size;
	/* Zeroed by not being touched: what lies between regions costs nothing. */
	struct claims *claims = calloc(1, sizeof(*claims) + pages * sizeof(claims->used[0]));
	if (!claims)
		return NULL;
	claims->page_size = page_size;
	claims->pages = pages;
	return claims;
}

void claims_free(struct claims *claims)
{
	free(claims);
}

void claims_use(struct claims *claims, int file, uint64_t offset, uint64_t len)
{
	uint64_t first = offset / claims->page_size;
	uint64_t end = first + len / claims->page_size;

	/* One at a time: what lies between may be used up, and would be taken from others. */
	for (uint64_t page = first; page < end && page < claims->pages; page++) {
		if (atomic_load(&claims->used[page]))
			continue;
		if (fallocate(file, FALLOC_FL_KEEP_SIZE, page * claims->page_size,
			      claims->page_size) == 0)
			atomic_store(&claims->used[page], true);
	}
}
