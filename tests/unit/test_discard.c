// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/memory.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/discard_gate.h"

#define P   4096ULL
#define TOP UINT64_MAX

/* For plans: two regions of 16 and 8 pages with a hole of 4 pages; nobody touches the memory. */
static const struct ram paper = {
	.region = {{0x10000, 16 * P, (uint8_t *)0x700000010000},
		   {0x10000 + 20 * P, 8 * P, (uint8_t *)0x700000400000}},
	.regions = 2,
	.page_size = P,
};
#define A     0x10000ULL
#define A_END (A + 16 * P)
#define B     (A + 20 * P)
#define B_END (B + 8 * P)

static const struct {
	const char *name;
	size_t n, steps;
	unsigned int outside;
	struct gpa_range in[3];
	struct gpa_range out[4];
} plans[] = {
	{"nothing", 0, 0, 0, {{0}}, {{0}}},
	{"a page", 1, 1, 0, {{A, P}}, {{A, P}}},
	{"all of a region", 1, 1, 0, {{A, 16 * P}}, {{A, 16 * P}}},
	{"all of the last region", 1, 1, 0, {{B, 8 * P}}, {{B, 8 * P}}},
	{"start rounds up", 1, 1, 0, {{A + 1, 2 * P - 1}}, {{A + P, P}}},
	{"end rounds down", 1, 1, 0, {{A, 2 * P - 1}}, {{A, P}}},
	{"less than a page", 1, 0, 0, {{A, P - 1}}, {{0}}},
	{"a page's worth, across two", 1, 0, 0, {{A + 1, P}}, {{0}}},
	{"a byte", 1, 0, 0, {{A_END - 1, 1}}, {{0}}},
	{"empty", 1, 0, 0, {{A, 0}}, {{0}}},
	{"empty, not in RAM", 1, 0, 0, {{0, 0}}, {{0}}},
	{"starts before RAM", 1, 1, 1, {{A - P, 2 * P}}, {{A, P}}},
	{"ends before RAM", 1, 0, 1, {{A - P, P}}, {{0}}},
	{"runs into the hole", 1, 1, 1, {{A_END - P, 2 * P}}, {{A_END - P, P}}},
	{"within the hole", 1, 0, 1, {{A_END, 4 * P}}, {{0}}},
	{"comes out of the hole", 1, 1, 1, {{B - P, 2 * P}}, {{B, P}}},
	{"crosses the hole", 1, 2, 1, {{A_END - P, 6 * P}}, {{A_END - P, P}, {B, P}}},
	{"runs past the end", 1, 1, 1, {{B_END - P, 2 * P}}, {{B_END - P, P}}},
	{"behind all RAM", 1, 0, 1, {{B_END, P}}, {{0}}},
	{"everything there is", 1, 2, 1, {{0, TOP}}, {{A, 16 * P}, {B, 8 * P}}},
	{"wraps back to RAM", 1, 0, 1, {{TOP - P + 1, A + 3 * P}}, {{0}}},
	{"wraps, from within RAM", 1, 1, 1, {{B, TOP}}, {{B, 8 * P}}},
	{"at the very top", 1, 0, 1, {{TOP, 1}}, {{0}}},
	{"two in one region", 2, 2, 0, {{A, P}, {A + 2 * P, P}}, {{A, P}, {A + 2 * P, P}}},
	{"one in each", 2, 2, 0, {{A, P}, {B, P}}, {{A, P}, {B, P}}},
	{"all three, one bad",
	 3,
	 3,
	 1,
	 {{A, P}, {A_END - P, 6 * P}, {B + 4 * P, P - 1}},
	 {{A, P}, {A_END - P, P}, {B, P}}},
	/* Not what the header asks for; the bound on the steps must hold all the same. */
	{"not sorted", 3, 2, 2, {{0, TOP}, {0, TOP}, {A, 16 * P}}, {{A, 16 * P}, {B, 8 * P}}},
};

START_TEST(plan)
{
	struct discard_step step[DISCARD_STEPS(3)];
	unsigned int outside = 0;
	const char *name = plans[_i].name;

	size_t n = discard_plan(&paper, plans[_i].in, plans[_i].n, step, &outside);
	ck_assert_msg(n == plans[_i].steps, "%s: %zu steps", name, n);
	ck_assert_msg(_i == (int)(sizeof(plans) / sizeof(plans[0])) - 1 ||
			      outside == plans[_i].outside,
		      "%s: %u outside", name, outside);
	for (size_t i = 0; i < n; i++) {
		const struct ram_region *region = &paper.region[plans[_i].out[i].gpa >= B];
		ck_assert_msg(step[i].range.gpa == plans[_i].out[i].gpa, "%s: step %zu", name, i);
		ck_assert_msg(step[i].range.len == plans[_i].out[i].len, "%s: step %zu", name, i);
		ck_assert_ptr_eq(step[i].hva, region->hva + (step[i].range.gpa - region->gpa));
		ck_assert(!step[i].done);
	}
}
END_TEST

START_TEST(backing_pages_are_not_cut)
{
	struct ram ram = paper;
	struct discard_step step[DISCARD_STEPS(1)];
	struct gpa_range range = {A + P, 14 * P};
	unsigned int outside = 0;

	ram.page_size = 4 * P;
	ck_assert_uint_eq(discard_plan(&ram, &range, 1, step, &outside), 1);
	ck_assert_uint_eq(step[0].range.gpa, A + 4 * P);
	ck_assert_uint_eq(step[0].range.len, 8 * P);
	ck_assert_uint_eq(outside, 0);
}
END_TEST

/* --- with real memory ------------------------------------------------------------------------ */

#define PAGES 16

static const struct ram_config usual = RAM_CONFIG_DEFAULT;
static struct ram ram;

static void ram_setup(void)
{
	const struct gpa_range span = {0, PAGES * P};
	ck_assert_int_eq(ram_init(&ram, &usual, &span, 1), 0);
	/* khugepaged may fill a hole again: right, but a test looks for the hole. */
	madvise(ram.region[0].hva, PAGES * P, MADV_NOHUGEPAGE);
	memset(ram.region[0].hva, 0xa5, PAGES * P);
}

static void ram_teardown(void)
{
	ram_release(&ram);
}

static bool page_is(unsigned int page, uint8_t value)
{
	const uint8_t *at = ram.region[0].hva + page * P;
	for (size_t i = 0; i < P; i++)
		if (at[i] != value)
			return false;
	return true;
}

static bool page_resident(unsigned int page)
{
	unsigned char resident;
	ck_assert_int_eq(mincore(ram.region[0].hva + page * P, P, &resident), 0);
	return resident & 1;
}

START_TEST(what_is_discarded_is_gone)
{
	const struct gpa_range range[] = {{2 * P, 3 * P}, {8 * P + 1, 2 * P}};
	struct discard_step step[DISCARD_STEPS(2)];
	struct discard_result result = {.failures = 7, .error = -1};

	ck_assert_uint_eq(ram_discard(&ram, range, 2, step, &result), 2);
	ck_assert_uint_eq(result.bytes, 4 * P);
	/* One, where the kernel can do both at once. */
	ck_assert(result.calls == 1 || result.calls == 2);
	ck_assert_uint_eq(result.failures, 0);
	ck_assert_int_eq(result.error, 0);
	ck_assert(step[0].done && step[1].done);
	ck_assert(step[0].zero && step[1].zero);
	ck_assert_uint_eq(result.held_back, 0);
	for (unsigned int page = 0; page < PAGES; page++) {
		bool gone = (page >= 2 && page < 5) || page == 9;
		/* In this order: looking at a page brings it back. */
		ck_assert_msg(page_resident(page) == !gone, "page %u", page);
		ck_assert_msg(page_is(page, gone ? 0 : 0xa5), "page %u", page);
	}
}
END_TEST

START_TEST(a_refusal_is_reported_and_the_rest_done)
{
	const struct gpa_range range[] = {{0, P}, {2 * P, P}, {4 * P, P}, {PAGES * P, P}};
	struct discard_step step[DISCARD_STEPS(4)];
	struct discard_result result;

	/* The kernel does not discard locked memory. Not mlock(): under ASan that does nothing. */
	ck_assert_int_eq(syscall(SYS_mlock, ram.region[0].hva + 2 * P, P), 0);
	ck_assert_uint_eq(ram_discard(&ram, range, 4, step, &result), 3);
	ck_assert(step[0].done && !step[1].done && step[2].done);
	ck_assert(step[0].zero && !step[1].zero && step[2].zero);
	ck_assert_uint_eq(result.bytes, 2 * P);
	ck_assert_uint_eq(result.calls, 3);
	ck_assert_uint_eq(result.failures, 2); /* one refused, one not RAM */
	ck_assert_int_eq(result.error, -EINVAL);
	ck_assert(page_is(0, 0) && page_is(2, 0xa5) && page_is(4, 0));
}
END_TEST

/* More than go together in one call, and some of them refused: every other page, of a RAM of its state. */
START_TEST(many_at_once)
{
	enum { MANY = 700 };
	static struct discard_step step[DISCARD_STEPS(MANY)];
	static struct gpa_range range[MANY];
	const struct gpa_range span = {0, 2 * MANY * P};
	struct discard_result result;
	struct ram many;

	ck_assert_int_eq(ram_init(&many, &usual, &span, 1), 0);
	uint8_t *hva = many.region[0].hva;
	memset(hva, 0xa5, span.len);
	for (unsigned int i = 0; i < MANY; i++) {
		range[i] = (struct gpa_range){2 * i * P, P};
		if (i % 100 == 50 || i == MANY - 1)
			ck_assert_int_eq(syscall(SYS_mlock, hva + 2 * i * P, P), 0);
	}
	ck_assert_uint_eq(ram_discard(&many, range, MANY, step, &result), MANY);
	ck_assert_uint_eq(result.failures, 8);
	ck_assert_uint_eq(result.bytes, (MANY - 8) * P);
	for (unsigned int i = 0; i < MANY; i++) {
		bool refused = i % 100 == 50 || i == MANY - 1;
		ck_assert(step[i].done == !refused && step[i].zero == !refused);
		ck_assert_uint_eq(hva[2 * i * P], refused ? 0xa5 : 0);
		ck_assert_uint_eq(hva[2 * i * P + P], 0xa5);
	}
	ram_release(&many);
}
END_TEST

/* --- lazily ---------------------------------------------------------------------------------- */

static void lazy_setup(void)
{
	const struct ram_config config = {.discard = DISCARD_FREE, .numa_node = -1};
	const struct gpa_range span = {0, PAGES * P};
	cpu_set_t one;

	/* Each CPU marks pages in batches of its own, which settle() has it finish. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_int_eq(ram_init(&ram, &config, &span, 1), 0);
	/* The kernel frees a page out of a huge one at once or not at all. */
	madvise(ram.region[0].hva, PAGES * P, MADV_NOHUGEPAGE);
	memset(ram.region[0].hva, 0xa5, PAGES * P);
}

static void settle(void)
{
	madvise(ram.region[0].hva + (PAGES - 1) * P, P, MADV_COLD);
}

START_TEST(lazily_is_no_promise_of_zeros)
{
	const struct gpa_range range[] = {{2 * P, 3 * P}, {8 * P, P}};
	struct discard_step step[DISCARD_STEPS(2)];
	struct discard_result result;
	const uint8_t *hva = ram.region[0].hva;

	ck_assert_uint_eq(memory_smaps(hva, PAGES * P, "LazyFree"), 0);
	ck_assert_uint_eq(ram_discard(&ram, range, 2, step, &result), 2);
	ck_assert(step[0].done && !step[0].zero && step[1].done && !step[1].zero);
	ck_assert_uint_eq(result.bytes, 4 * P);
	ck_assert_uint_eq(result.failures, 0);
	settle();
	/* The host may take these and only these; until then they count as resident. */
	ck_assert_uint_eq(memory_smaps(hva, PAGES * P, "LazyFree"), 4 * P);
	ck_assert_uint_eq(memory_smaps(hva, PAGES * P, "Rss"), PAGES * P);
	/* What is written anew stays. */
	ram.region[0].hva[2 * P] = 0x77;
	ck_assert_uint_eq(memory_smaps(hva, PAGES * P, "LazyFree"), 3 * P);
	for (unsigned int page = 0; page < PAGES; page++)
		if ((page < 2 || page > 4) && page != 8)
			ck_assert_msg(page_is(page, 0xa5), "page %u", page);
}
END_TEST

/* Has the host take what it may of [@at, @at + @len). False: this kernel cannot be asked to. */
static bool reclaim(void *at, size_t len)
{
	return madvise(at, len, MADV_PAGEOUT) == 0;
}

START_TEST(lazily_goes_when_the_host_wants_it)
{
	const struct gpa_range range = {0, 8 * P};
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;
	uint8_t *hva = ram.region[0].hva;

	ram_discard(&ram, &range, 1, step, &result);
	settle();
	if (!reclaim(hva, 8 * P) || memory_smaps(hva, PAGES * P, "LazyFree") > 0) {
		fprintf(stderr, "SKIPPED: %s: this kernel does not take it when asked\n", __func__);
		return;
	}
	ck_assert_uint_eq(memory_smaps(hva, PAGES * P, "Rss"), 8 * P);
	ck_assert_uint_eq(memory_smaps(hva, PAGES * P, "Swap"), 0);
	for (unsigned int page = 0; page < PAGES; page++)
		ck_assert_msg(page_is(page, page < 8 ? 0 : 0xa5), "page %u", page);
}
END_TEST

/* --- inhibited ------------------------------------------------------------------------------- */

START_TEST(while_inhibited_nothing_goes)
{
	const struct gpa_range range[] = {{0, P}, {2 * P, 2 * P}, {PAGES * P, P}};
	struct discard_step step[DISCARD_STEPS(3)];
	struct discard_result result;

	ram_discard_inhibit(&ram);
	ram_discard_inhibit(&ram);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(ram_discard_inhibits(&ram), 2 - i);
		ck_assert_uint_eq(ram_discard(&ram, range, 3, step, &result), 2);
		ck_assert(!step[0].done && !step[0].zero && !step[1].done && !step[1].zero);
		ck_assert_uint_eq(result.bytes, 0);
		ck_assert_uint_eq(result.held_back, 3 * P);
		ck_assert_uint_eq(result.calls, 0);
		ck_assert_uint_eq(result.failures, 1); /* what is not RAM is wrong all the same */
		ck_assert_int_eq(result.error, 0);
		ck_assert(page_is(0, 0xa5) && page_is(2, 0xa5) && page_is(3, 0xa5));
		ram_discard_allow(&ram);
	}
	ck_assert_uint_eq(ram_discard_inhibits(&ram), 0);
	ram_discard(&ram, range, 3, step, &result);
	ck_assert_uint_eq(result.bytes, 3 * P);
	ck_assert_uint_eq(result.held_back, 0);
	ck_assert(page_is(0, 0) && page_is(2, 0) && page_is(3, 0));
}
END_TEST

struct inside {
	struct discard_gate *gate;
	atomic_int left; /* who was inside has gone */
};

static void *shut(void *arg)
{
	struct inside *inside = arg;
	discard_gate_close(inside->gate);
	return (void *)(intptr_t)atomic_load(&inside->left);
}

START_TEST(who_inhibits_waits_for_what_is_running)
{
	struct inside inside = {.gate = ram.gate};
	pthread_t thread;
	void *left;

	for (int i = 0; i <= _i; i++)
		ck_assert(discard_gate_enter(ram.gate));
	ck_assert_int_eq(pthread_create(&thread, NULL, shut, &inside), 0);
	while (discard_gate_closes(ram.gate) == 0)
		sched_yield();
	/* Nobody comes in any more, though it is still waiting. */
	ck_assert(!discard_gate_enter(ram.gate));
	if (_i > 0)
		discard_gate_leave(ram.gate);
	/* Were it not to wait for the last, it would have the time to say so. */
	for (int i = 0; i < 1000; i++)
		sched_yield();
	atomic_store(&inside.left, 1);
	discard_gate_leave(ram.gate);
	pthread_join(thread, &left);
	ck_assert_ptr_nonnull(left);
	discard_gate_open(ram.gate);
	ck_assert(discard_gate_enter(ram.gate));
	discard_gate_leave(ram.gate);
}
END_TEST

static atomic_bool stop;

/* Discards its page without end. */
static void *discarder(void *arg)
{
	uint64_t page = *(unsigned int *)arg;
	const struct gpa_range range = {page * P, P};
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;

	while (!atomic_load(&stop))
		ram_discard(&ram, &range, 1, step, &result);
	return NULL;
}

static void *inhibitor(void *arg)
{
	uint8_t *at = ram.region[0].hva + *(unsigned int *)arg * P;
	uintptr_t lost = 0;

	for (int i = 0; i < 500; i++) {
		ram_discard_inhibit(&ram);
		/* Nobody else writes here: gone means that a discard ran after all. */
		__atomic_store_n(at, 0x5a, __ATOMIC_RELAXED);
		for (int look = 0; look < 20; look++)
			lost += __atomic_load_n(at, __ATOMIC_RELAXED) != 0x5a;
		ram_discard_allow(&ram);
	}
	return (void *)lost;
}

START_TEST(who_inhibits_is_not_overtaken)
{
	static unsigned int page[] = {3, 5};
	pthread_t discards[4], inhibits[2];
	void *lost;

	atomic_store(&stop, false);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&discards[i], NULL, discarder, &page[i % 2]), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&inhibits[i], NULL, inhibitor, &page[i]), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(inhibits[i], &lost);
		ck_assert_ptr_eq(lost, NULL);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(discards[i], NULL);
	ck_assert_uint_eq(ram_discard_inhibits(&ram), 0);
}
END_TEST

Suite *discard_suite(void);
Suite *discard_suite(void)
{
	Suite *suite = suite_create("discard");
	TCase *tcase = tcase_create("plan");
	tcase_add_loop_test(tcase, plan, 0, sizeof(plans) / sizeof(plans[0]));
	tcase_add_test(tcase, backing_pages_are_not_cut);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("run");
	tcase_add_checked_fixture(tcase, ram_setup, ram_teardown);
	tcase_add_test(tcase, what_is_discarded_is_gone);
	tcase_add_test(tcase, a_refusal_is_reported_and_the_rest_done);
	tcase_add_test(tcase, many_at_once);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("lazily");
	tcase_add_checked_fixture(tcase, lazy_setup, ram_teardown);
	tcase_add_test(tcase, lazily_is_no_promise_of_zeros);
	tcase_add_test(tcase, lazily_goes_when_the_host_wants_it);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("inhibited");
	tcase_add_checked_fixture(tcase, ram_setup, ram_teardown);
	tcase_add_test(tcase, while_inhibited_nothing_goes);
	tcase_add_loop_test(tcase, who_inhibits_waits_for_what_is_running, 0, 2);
	tcase_add_test(tcase, who_inhibits_is_not_overtaken);
	suite_add_tcase(suite, tcase);
	return suite;
}
