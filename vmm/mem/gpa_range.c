// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/gpa_range.h"

#include <stdint.h>
#include <stdlib.h>

static int by_gpa(const void *a, const void *b)
{
	const struct gpa_range *x = a;
	const struct gpa_range *y = b;
	return (x->gpa > y->gpa) - (x->gpa < y->gpa);
}

/* Returns the end of a range, or the last address if it would wrap. */
static uint64_t range_end(const struct gpa_range *range)
{
	return range->len > UINT64_MAX - range->gpa ? UINT64_MAX : range->gpa + range->len;
}

size_t gpa_range_merge(struct gpa_range *range, size_t n)
{
	size_t merged = 0;

	qsort(range, n, sizeof(*range), by_gpa);
	for (size_t i = 0; i < n; i++) {
		uint64_t end = range_end(&range[i]);
		struct gpa_range *last = merged ? &range[merged - 1] : NULL;

		if (end == range[i].gpa)
			continue;
		if (!last || range[i].gpa > range_end(last))
			range[merged++] = (struct gpa_range){range[i].gpa, end - range[i].gpa};
		else if (end > range_end(last))
			last->len = end - last->gpa;
	}
	return merged;
}
