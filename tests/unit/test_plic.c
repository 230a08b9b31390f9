// SPDX-License-Identifier: Apache-2.0
/* The PLIC, driven as Linux does and as no Linux would. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "vmm/arch/riscv64/plic.h"

#define CONTEXTS	   3
#define PRIORITY(source)   (4ULL * (source))
#define PENDING		   0x1000ULL
#define ENABLE(context)	   (0x2000ULL + 0x80 * (context))
#define THRESHOLD(context) (0x200000ULL + 0x1000 * (context))
#define CLAIM(context)	   (THRESHOLD(context) + 4)

static struct plic plic;
static bool level[CONTEXTS];
static unsigned int changes;

static void interrupt(void *ctx, unsigned int context, bool raised)
{
	(void)ctx;
	if (context >= CONTEXTS || level[context] == raised)
		ck_abort_msg("context %u told of %d again", context, raised);
	level[context] = raised;
	changes++;
}

static uint32_t rd(uint64_t offset)
{
	uint32_t value = 0xdead;
	plic_read(&plic, offset, &value, sizeof(value));
	return value;
}

static void wr(uint64_t offset, uint32_t value)
{
	plic_write(&plic, offset, &value, sizeof(value));
}

static void setup(void)
{
	memset(level, 0, sizeof(level));
	changes = 0;
	ck_assert_int_eq(plic_init(&plic, CONTEXTS, interrupt, NULL), 0);
	for (unsigned int i = 1; i < PLIC_SOURCES; i++)
		wr(PRIORITY(i), 1);
}

static void teardown(void)
{
	plic_release(&plic);
}

START_TEST(an_interrupt_is_claimed_and_completed)
{
	plic_line(&plic, 5, true);
	ck_assert(!level[1]); /* not enabled yet */
	ck_assert_uint_eq(rd(PENDING), 1 << 5);
	wr(ENABLE(1), 1 << 5);
	ck_assert(level[1] && !level[0] && !level[2]);
	ck_assert_uint_eq(rd(CLAIM(0)), 0);
	ck_assert_uint_eq(rd(CLAIM(1)), 5);
	ck_assert(!level[1]);
	ck_assert_uint_eq(rd(CLAIM(1)), 0);
	/* Still high when it is completed: again. Low: not. */
	wr(CLAIM(1), 5);
	ck_assert(level[1]);
	ck_assert_uint_eq(rd(CLAIM(1)), 5);
	plic_line(&plic, 5, false);
	wr(CLAIM(1), 5);
	ck_assert(!level[1]);
	ck_assert_uint_eq(rd(PENDING), 0);
}
END_TEST

START_TEST(no_edge_is_lost)
{
	wr(ENABLE(0), 1 << 4);
	plic_line(&plic, 4, true);
	plic_line(&plic, 4, false);
	ck_assert(level[0]);
	ck_assert_uint_eq(rd(CLAIM(0)), 4);
	/* One that comes while the last is served comes once that is. */
	plic_line(&plic, 4, true);
	plic_line(&plic, 4, false);
	plic_line(&plic, 4, true);
	plic_line(&plic, 4, false);
	ck_assert(!level[0]);
	wr(CLAIM(0), 4);
	ck_assert(level[0]);
	ck_assert_uint_eq(rd(CLAIM(0)), 4);
	wr(CLAIM(0), 4);
	ck_assert(!level[0]);
}
END_TEST

START_TEST(priorities_and_thresholds_order)
{
	wr(ENABLE(0), ~0U);
	ck_assert_uint_eq(rd(ENABLE(0)), ~1U); /* there is no source 0 */
	wr(THRESHOLD(0), 7);
	wr(PRIORITY(9), 3);
	wr(PRIORITY(20), 5);
	wr(PRIORITY(3), 0); /* never */
	for (unsigned int i = 1; i < PLIC_SOURCES; i++)
		plic_line(&plic, i, true);
	ck_assert(!level[0]);
	wr(THRESHOLD(0), 5);
	ck_assert(!level[0]);
	wr(THRESHOLD(0), 4);
	ck_assert(level[0]);
	ck_assert_uint_eq(rd(CLAIM(0)), 20);
	ck_assert(!level[0]);
	ck_assert_uint_eq(rd(CLAIM(0)), 9); /* who asks gets what is below the threshold, too */
	wr(THRESHOLD(0), 0);
	ck_assert_uint_eq(rd(CLAIM(0)), 1);
	ck_assert_uint_eq(rd(CLAIM(0)), 2);
	ck_assert_uint_eq(rd(CLAIM(0)), 4);
}
END_TEST

START_TEST(two_contexts_do_not_serve_one_twice)
{
	wr(ENABLE(0), 1 << 6);
	wr(ENABLE(2), 1 << 6);
	plic_line(&plic, 6, true);
	ck_assert(level[0] && level[2]);
	ck_assert_uint_eq(rd(CLAIM(2)), 6);
	ck_assert(!level[0] && !level[2]);
	ck_assert_uint_eq(rd(CLAIM(0)), 0);
}
END_TEST

START_TEST(nonsense_changes_nothing)
{
	uint8_t bytes[8];
	uint64_t end = PLIC_SIZE(CONTEXTS);

	wr(ENABLE(0), 1 << 6);
	plic_line(&plic, 6, true);
	ck_assert_uint_eq(rd(CLAIM(0)), 6);
	struct plic before = plic;
	unsigned int told = changes;
	/* Completed: what is not claimed, not enabled there, or not there at all. */
	wr(CLAIM(0), 7);
	wr(CLAIM(1), 6);
	wr(CLAIM(0), 0);
	wr(CLAIM(0), 32 + 6);
	wr(CLAIM(0), ~0U);
	plic_line(&plic, 0, true);
	plic_line(&plic, PLIC_SOURCES, true);
	plic_line(&plic, ~0U, true);
	/* Every other register, and every size of access. */
	wr(PRIORITY(0), 7);
	wr(PENDING, ~0U);
	for (uint64_t offset = 0; offset < end; offset += offset < 0x2000 ? 1 : 61) {
		memset(bytes, 0xff, sizeof(bytes));
		plic_write(&plic, offset, bytes, 1);
		plic_write(&plic, offset, bytes, 2);
		plic_write(&plic, offset, bytes, 8);
		if (offset % 4 || offset >= THRESHOLD(CONTEXTS) ||
		    (offset >= ENABLE(CONTEXTS) && offset < THRESHOLD(0)))
			plic_write(&plic, offset, bytes, 4);
		plic_read(&plic, offset, bytes, 8);
		if (memcmp(bytes, "\0\0\0\0\0\0\0\0", 8) != 0)
			ck_abort_msg("offset %#lx answers 8 bytes", (unsigned long)offset);
	}
	ck_assert_uint_eq(rd(THRESHOLD(CONTEXTS)), 0);
	ck_assert_uint_eq(rd(CLAIM(CONTEXTS + 1000)), 0);
	ck_assert_uint_eq(rd(ENABLE(CONTEXTS)), 0);
	ck_assert_mem_eq(plic.priority, before.priority, sizeof(plic.priority));
	ck_assert_uint_eq(plic.pending, before.pending);
	ck_assert_uint_eq(plic.claimed, before.claimed);
	ck_assert_uint_eq(changes, told);
}
END_TEST

#define ROUNDS 2000
static _Atomic unsigned int served;

static void *serve(void *ctx)
{
	uintptr_t context = (uintptr_t)ctx;
	while (atomic_load(&served) < ROUNDS) {
		uint32_t source = rd(CLAIM(context));
		if (!source)
			continue;
		plic_line(&plic, source, false);
		atomic_fetch_add(&served, 1);
		wr(CLAIM(context), source);
	}
	return NULL;
}

static void nobody(void *ctx, unsigned int context, bool raised)
{
	(void)ctx, (void)context, (void)raised;
}

START_TEST(threads_share_it)
{
	pthread_t thread[CONTEXTS];

	plic.interrupt = nobody;
	atomic_store(&served, 0);
	for (uintptr_t i = 0; i < CONTEXTS; i++) {
		wr(ENABLE(i), ~0U);
		ck_assert_int_eq(pthread_create(&thread[i], NULL, serve, (void *)i), 0);
	}
	for (unsigned int i = 0; atomic_load(&served) < ROUNDS; i++)
		plic_line(&plic, 1 + i % (PLIC_SOURCES - 1), true);
	for (unsigned int i = 0; i < CONTEXTS; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

Suite *plic_suite(void);
Suite *plic_suite(void)
{
	Suite *suite = suite_create("plic");
	TCase *tcase = tcase_create("plic");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_interrupt_is_claimed_and_completed);
	tcase_add_test(tcase, no_edge_is_lost);
	tcase_add_test(tcase, priorities_and_thresholds_order);
	tcase_add_test(tcase, two_contexts_do_not_serve_one_twice);
	tcase_add_test(tcase, nonsense_changes_nothing);
	tcase_add_test(tcase, threads_share_it);
	suite_add_tcase(suite, tcase);
	return suite;
}
