// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/mem/discard_gate.h"
#include "vmm/mem/dirty_log.h"
#include "vmm/mem/private_file.h"
#include "vmm/mem/reservation.h"

/* How often a call that returns EAGAIN or EINTR is made before it counts as failed. */
#define TRIES 3

/* Steps in one call: as many as the pages that Linux puts into a balloon at once. */
#define TOGETHER 256

/* This process, without a pidfd (linux/pidfd.h, since 6.15). */
#ifndef PIDFD_SELF_THREAD
#define PIDFD_SELF_THREAD (-10000)
#endif

/* Appends the whole pages of [@gpa, @end), which lies within @region, to the *@n steps. */
static void plan_step(const struct ram *ram, const struct ram_region *region, uint64_t gpa,
		      uint64_t end, struct discard_step *step, size_t *n)
{
	uint64_t mask = ram->page_size - 1;
	/* A region ends with a whole page, below 2^56: rounding up neither leaves it nor wraps. */
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
	 * Ranges and regions both ascend: each turn of the inner loop finishes one region or one
	 * range. That bounds the steps, even if the ranges do not ascend as they should.
	 */
	for (size_t i = 0; i < n; i++) {
		uint64_t gpa = range[i].gpa;
		/* Cut a range that would wrap: no region reaches the top of the address space. */
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

static int advice(const struct ram *ram)
{
	return ram->discard == DISCARD_FREE ? MADV_FREE : MADV_DONTNEED;
}

/*
 * Frees the pages. MADV_DONTNEED would only unmap a file's pages: they would stay in the file, and
 * so in the host's memory or out of its pool of huge pages.
 */
static int discard_call(const struct ram *ram, const struct discard_step *step)
{
	if (ram->backing == RAM_HUGETLBFS)
		reservations_use(ram->reservations, ram->file, step->range.gpa, step->range.len);
	if (ram->backing != RAM_ANON)
		return fallocate(ram->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 step->range.gpa, step->range.len);
	return madvise(step->hva, step->range.len, advice(ram));
}

/* Of a file's pages, mapped privately, madvise() would bring the contents back. */
static bool has_file(const struct ram *ram, const struct discard_step *step)
{
	return private_file_has(ram->private_file, step->hva, step->range.len);
}

static int step_run(const struct ram *ram, const struct discard_step *step,
		    struct discard_result *result)
{
	uint64_t zeroed = 0;
	int error = 0;

	if (has_file(ram, step)) {
		result->calls++;
		error = private_file_discard(ram->private_file, step->hva, step->range.len,
					     &zeroed);
		/* What did not become zero as a whole is not given back either. */
		result->zeroed += error ? 0 : zeroed;
		return error;
	}
	for (int i = 0; i < TRIES; i++) {
		result->calls++;
		error = discard_call(ram, step) == 0 ? 0 : -errno;
		if (error != -EAGAIN && error != -EINTR)
			break;
	}
	return error;
}

/*
 * Runs as many of the first steps as one call does, and returns their number. Each madvise()
 * interrupts the CPUs that run the guest to flush the pages from their TLBs; process_madvise() does
 * so once for all steps (Linux 6.16, and more so since). It does fewer, or none, if a step fails or
 * an older kernel refuses it: step_run() does the rest, and finds out why. Clears *@helps once it
 * did none, but not where a step is a file's and it was not called.
 */
static size_t run_together(const struct ram *ram, const struct discard_step *step, size_t n,
			   struct discard_result *result, bool *helps)
{
	struct iovec vec[TOGETHER];

	if (!*helps || n < 2 || ram->backing != RAM_ANON)
		return 0;
	if (n > TOGETHER)
		n = TOGETHER;
	size_t steps = 0;
	while (steps < n && !has_file(ram, &step[steps])) {
		vec[steps] = (struct iovec){step[steps].hva, step[steps].range.len};
		steps++;
	}
	if (steps < 2)
		return 0;
	*helps = discard_gate_enter(ram->gate);
	if (!*helps)
		return 0;
	ssize_t bytes = syscall(SYS_process_madvise, PIDFD_SELF_THREAD, vec, steps, advice(ram), 0);
	discard_gate_leave(ram->gate);
	if (bytes > 0)
		result->calls++;

	size_t done = 0;
	while (done < n && bytes >= (ssize_t)step[done].range.len)
		bytes -= (ssize_t)step[done++].range.len;
	*helps = done > 0;
	return done;
}

/* A page discarded lazily keeps its contents until the host takes it. */
bool ram_discard_zeroes(const struct ram *ram)
{
	return ram->discard != DISCARD_FREE;
}

static void step_done(const struct ram *ram, struct discard_step *step,
		      struct discard_result *result)
{
	step->done = true;
	step->zero = ram_discard_zeroes(ram);
	result->bytes += step->range.len;
	ram_wrote(ram, step->hva, step->range.len);
}

void discard_run(const struct ram *ram, struct discard_step *step, size_t n,
		 struct discard_result *result)
{
	bool helps = true;
	*result = (struct discard_result){0};
	for (size_t i = 0; i < n; i++) {
		size_t together = run_together(ram, &step[i], n - i, result, &helps);
		for (size_t end = i + together; i < end; i++)
			step_done(ram, &step[i], result);
		if (i == n)
			break;
		step[i].done = step[i].zero = false;
		/* Once a step: ram_discard_inhibit() waits for one step, not for all. */
		if (!discard_gate_enter(ram->gate)) {
			result->held_back += step[i].range.len;
			continue;
		}
		int error = step_run(ram, &step[i], result);
		discard_gate_leave(ram->gate);
		if (!error) {
			step_done(ram, &step[i], result);
		} else {
			/* A part of it may be gone. */
			ram_wrote(ram, step[i].hva, step[i].range.len);
			result->failures++;
			if (!result->error)
				result->error = error;
		}
	}
	result->bytes -= result->zeroed;
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
	discard_gate_close(ram->gate);
}

void ram_discard_allow(const struct ram *ram)
{
	discard_gate_open(ram->gate);
}

unsigned int ram_discard_inhibits(const struct ram *ram)
{
	return discard_gate_closes(ram->gate);
}
