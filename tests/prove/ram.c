// SPDX-License-Identifier: Apache-2.0
/*
 * For one region anywhere below 2^56 and any address and length of 64 bits: ram_at() returns the address's place in the
 * region's memory if all of the length is there, else NULL. And for 2 regions of RAM and a window that lie apart, with all
 * numbers within 16 of 0, of 2^56 or of 2^64: likewise, ram_buffer_at() also finds the window, and ram_add_window() takes
 * what is over none of them and below 2^56, as long as there is room.
 *
 * Source: vmm/mem/ram.c
 * Unwind: 4
 * Planted: s/len <= region->size - offset/offset + len <= region->size/
 * Planted: s/if (offset < region->size \&\& /if (/
 * Planted: s/return region->hva + offset;/return region->hva;/
 * Planted: s/return at ? at : find(ram->window, ram->windows, gpa, len);/return at;/
 * Planted: s/region->gpa < gpa + size;/region->gpa <= gpa;/
 * Planted: s/if (ram->windows == RAM_WINDOWS_MAX)/if (ram->windows > RAM_WINDOWS_MAX)/
 */
#include "tests/prove/prove.h"
#include "vmm/mem/ram.c"

/* Where the memory of each begins: CBMC knows which of them a pointer belongs to, and how far in it is. */
static uint8_t memory[3][1];

/* CBMC's own pointers have no more room. */
#define SIZE_LIMIT (UINT64_C(1) << 48)

static uint64_t nondet_near(void)
{
	uint64_t small = nondet_u8() & 31, near = nondet_u8();
	return near == 0 ? small : (near == 1 ? GPA_END : 0) + small - 16;
}

static struct ram_region region_of(uint64_t gpa, uint64_t size, uint8_t *hva)
{
	ASSUME(size > 0 && gpa < GPA_END && size <= GPA_END - gpa);
	return (struct ram_region){gpa, size, hva};
}

static bool is_apart(const struct ram_region *a, const struct ram_region *b)
{
	return a->gpa + a->size <= b->gpa || b->gpa + b->size <= a->gpa;
}

/* Whether [@gpa, @gpa + @len) is something, and whole in @region. */
static bool is_in(const struct ram_region *region, uint64_t gpa, uint64_t len)
{
	return len > 0 && len <= region->size && gpa >= region->gpa &&
	       gpa - region->gpa <= region->size - len;
}

/* Whether @at is the place of @gpa in @region's memory. */
static bool is_place(const void *at, const struct ram_region *region, uint64_t gpa)
{
	return at && __CPROVER_same_object(at, region->hva) &&
	       (uint64_t)__CPROVER_POINTER_OFFSET(at) ==
		       (uint64_t)__CPROVER_POINTER_OFFSET(region->hva) + (gpa - region->gpa);
}

static void prove_any(void)
{
	struct ram ram = {.regions = 1};
	uint64_t gpa = nondet_u64(), len = nondet_u64(), size = nondet_u64();

	ASSUME(size < SIZE_LIMIT);
	ram.region[0] = region_of(nondet_u64(), size, memory[0]);
	const void *at = ram_at(&ram, gpa, len);
	PROVE(is_in(&ram.region[0], gpa, len) ? is_place(at, &ram.region[0], gpa) : !at);
}

static void prove_several(void)
{
	struct ram ram = {.regions = 2, .windows = 1};
	uint64_t gpa = nondet_near(), len = nondet_near();
	struct ram_region *first = &ram.region[0], *second = &ram.region[1],
			  *window = &ram.window[0], *added = &ram.window[1];

	*first = region_of(nondet_near(), nondet_u8() & 15, memory[0]);
	*second = region_of(nondet_near(), nondet_u8() & 15, memory[1]);
	*window = region_of(nondet_near(), nondet_u8() & 15, memory[2]);
	ASSUME(is_apart(first, second) && is_apart(first, window) && is_apart(second, window));

	const void *at = ram_at(&ram, gpa, len), *buffer = ram_buffer_at(&ram, gpa, len);
	if (is_in(first, gpa, len))
		PROVE(is_place(at, first, gpa) && buffer == at);
	else if (is_in(second, gpa, len))
		PROVE(is_place(at, second, gpa) && buffer == at);
	else if (is_in(window, gpa, len))
		PROVE(!at && is_place(buffer, window, gpa));
	else
		PROVE(!at && !buffer);

	if (ram_add_window(&ram, gpa, len, memory[0]) == 0) {
		PROVE(ram.windows == 2 && added->gpa == gpa && added->size == len);
		PROVE(len > 0 && gpa < GPA_END && len <= GPA_END - gpa);
		PROVE(is_apart(added, first) && is_apart(added, second) && is_apart(added, window));
		PROVE(ram_add_window(&ram, gpa, len, memory[0]) == -ENOSPC);
	}
}

int main(void)
{
	prove_any();
	prove_several();
}
