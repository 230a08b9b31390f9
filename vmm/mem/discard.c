// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "vmm/mem/claim.h"
#include "vmm/mem/gate.h"

/* How often a call is made that the kernel asks us to repeat, before it counts as refused. */
#define TRIES 3

/* Adds to @step, at *@n, the whole pages of [@gpa, @end), which lies within @region. */
static void plan_step(const struct ram *ram, const struct ram_region *region, uint64_t gpa,
		      uint64_t end, struct discard_step *step, size_t *n)
{
	uint64_t mask = ram->page_size - 1;
	/* A region ends on a page's end below 2^56, so rounding up cannot leave it, nor wrap. */
	gpa = (gpa + mask) & ~mask;
	end &= ~mask;
	if (gpa >= end)
		return;
	step[(*n)++] = (struct discard_step){
		.range = {gpa, end - gpa},
		.hva = region->hva + (gpa - region->gpa),
	};
}

size_t discard_plan(const struct ram *ram, const struct gpa_range *range, size_t n,
		    struct discard_step *step, unsigned int *outside)
{
	size_t steps = 0;
	unsigned int r = 0;

	/*
	 * Ranges and regions both ascend: each turn of the inner loop is done with one region or
	 * with one range. That bounds the steps, even for ranges that are not as they should be.
	 */
	for (size_t i = 0; i < n; i++) {
		uint64_t gpa = range[i].gpa;
		/* No region reaches the top of the address space: what would wrap ends there. */
		uint64_t end = range[i].len > UINT64_MAX - gpa ? UINT64_MAX : gpa + range[i].len;
		uint64_t inside = 0;

		while (r < ram->regions && ram->region[r].gpa < end) {
			const struct ram_region *region = &ram->region[r];
			uint64_t region_end = region->gpa + region->size;
			uint64_t from = gpa > region->gpa ? gpa : region->gpa;
			uint64_t to = end < region_end ? end : region_end;
			if (from < to) {
				inside += to - from;
				plan_step(ram, region, from, to, step, &steps);
			}
			if (region_end > end)
				break;
			r++;
		}
		if (inside != range[i].len)
			++*outside;
	}
	return steps;
}

/*
 * What really frees the pages. Of a file's only the mapping would forget them on MADV_DONTNEED:
 * they would stay in the file, and so in the host's memory or out of its pool of huge pages.
 */
static int discard_call(const struct ram *ram, const struct discard_step *step)
{
	if (ram->backing == RAM_HUGETLBFS)
		claims_use(ram->claims, ram->file, step->range.gpa, step->range.len);
	if (ram->backing != RAM_ANON)
		return fallocate(ram->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 step->range.gpa, step->range.len);
	return madvise(step->hva, step->range.len,
		       ram->discard == DISCARD_FREE ? MADV_FREE : MADV_DONTNEED);
}

static int step_run(const struct ram *ram, const struct discard_step *step,
		    struct discard_result *result)
{
	int error = 0;
	for (int i = 0; i < TRIES; i++) {
		result->calls++;
		error = discard_call(ram, step) == 0 ? 0 : -errno;
		if (error != -EAGAIN && error != -EINTR)
			break;
	}
	return error;
}

void discard_run(const struct ram *ram, struct discard_step *step, size_t n,
		 struct discard_result *result)
{
	*result = (struct discard_result){0};
	for (size_t i = 0; i < n; i++) {
		step[i].done = step[i].zero = false;
		/* For each step anew: who inhibits waits for a system call, not for all of them. */
		if (!gate_enter(ram->gate)) {
			result->held_back += step[i].range.len;
			continue;
		}
		int error = step_run(ram, &step[i], result);
		gate_leave(ram->gate);
		step[i].done = error == 0;
		/* Lazily: until the host wants the page what was in it can still be read. */
		step[i].zero = step[i].done && ram->discard != DISCARD_FREE;
		if (step[i].done) {
			result->bytes += step[i].range.len;
		} else {
			result->failures++;
			if (!result->error)
				result->error = error;
		}
	}
}

size_t ram_discard(const struct ram *ram, const struct gpa_range *range, size_t n,
		   struct discard_step *step, struct discard_result *result)
{
	unsigned int outside = 0;
	size_t steps = discard_plan(ram, range, n, step, &outside);
	discard_run(ram, step, steps, result);
	result->failures += outside;
	return steps;
}

void ram_discard_inhibit(const struct ram *ram)
{
	gate_shut(ram->gate);
}

void ram_discard_allow(const struct ram *ram)
{
	gate_unshut(ram->gate);
}

unsigned int ram_discard_inhibits(const struct ram *ram)
{
	return gate_shuts(ram->gate);
}
