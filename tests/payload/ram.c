// SPDX-License-Identifier: Apache-2.0
/* RAM, where the memory map says it is, and nothing elsewhere. The host's side: test_ram.py */
#include "virtio.h"

#define LOW_END 0x9fc00ULL

/* The end of the RAM that lies below the hole; of all RAM. */
static uint64_t low_end(void)
{
	uint64_t size = parameter_number("memory", 0);
	return size < HOLE ? size : HOLE;
}

static uint64_t top(void)
{
	uint64_t size = parameter_number("memory", 0);
	return size <= HOLE ? size : HOLE_END + (size - HOLE);
}

static void test_map(void)
{
	struct memory ram;
	CHECK(memory_map(0, &ram) && ram.gpa == 0 && ram.size == LOW_END, "first: %lx at %lx",
	      ram.size, ram.gpa);
	CHECK(memory_map(1, &ram) && ram.gpa == MIB && ram.size == low_end() - MIB,
	      "second: %lx at %lx", ram.size, ram.gpa);
	bool third = memory_map(2, &ram);
	if (top() > HOLE_END)
		CHECK(third && ram.gpa == HOLE_END && ram.size == top() - HOLE_END,
		      "third: %lx at %lx", ram.size, ram.gpa);
	else
		CHECK(!third, "a third: %lx at %lx", ram.size, ram.gpa);
	CHECK(!memory_map(3, &ram), "a fourth: %lx at %lx", ram.size, ram.gpa);
}

/* The first and the last page of each region are RAM, fresh, and each its own. */
static void test_ends(void)
{
	uint64_t page[5] = {0x80000, memory_free(), low_end() - PAGE};
	unsigned int pages = 3;
	if (top() > HOLE_END) {
		page[pages++] = HOLE_END;
		page[pages++] = top() - PAGE;
	}
	for (unsigned int i = 0; i < pages; i++)
		CHECK(is_zero(page[i], PAGE), "the page at %lx is not fresh", page[i]);
	for (unsigned int i = 0; i < pages; i++)
		fill(page[i], PAGE);
	for (unsigned int i = 0; i < pages; i++)
		CHECK(is_filled(page[i], PAGE), "the page at %lx does not keep what is written",
		      page[i]);
}

/* The hole answers with ones, from its first byte on; as does what lies above all RAM. */
static void test_nothing(void)
{
	const uint64_t at[] = {low_end(), HOLE, HOLE + 0x0ffffff8, top() < HOLE ? HOLE : top(),
			       top() + GIB > HOLE_END ? top() + GIB : HOLE_END};
	for (unsigned int i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		CHECK(load64(at[i]) == ~0ULL, "%lx reads %lx", at[i], load64(at[i]));
		store64(at[i], 0);
		CHECK(load64(at[i]) == ~0ULL, "%lx keeps %lx", at[i], load64(at[i]));
	}
}

/* All that is left of a small guest can be used, and is distinct. */
static void test_all(void)
{
	uint64_t from = memory_free(), size = top() - from;
	CHECK(size >= 8 * MIB, "%lx bytes are left", size);
	fill(from, size);
	CHECK(is_filled(from, size), "some of it does not keep what is written");
	wait_for_host("filled");
}

const struct test tests[] = {
	{"map", test_map}, {"ends", test_ends}, {"nothing", test_nothing}, {"all", test_all}, {0},
};
