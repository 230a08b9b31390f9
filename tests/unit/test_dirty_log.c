// SPDX-License-Identifier: Apache-2.0
/* Which pages this process writes: all of them, whoever does it, while somebody asks. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "vmm/mem/discard.h"
#include "vmm/mem/dirty_log.h"

#define PAGE 4096ULL
#define LOW  0x10000ULL
#define HIGH 0x100000000ULL

static struct ram ram;

static void setup(void)
{
	const struct gpa_range span[] = {{LOW, 130 * PAGE}, {HIGH, 4 * PAGE}};
	const struct ram_config config = RAM_CONFIG_DEFAULT;

	ck_assert_int_eq(ram_init(&ram, &config, span, 2), 0);
	dirty_log_switch(ram.dirty, true);
}

static void teardown(void)
{
	ram_release(&ram);
}

/* What was noted of the low region, in three words, and the high one. */
static void expect(uint64_t first, uint64_t second, uint64_t third, uint64_t high)
{
	uint64_t bits[4] = {0}, none[4] = {0};

	dirty_log_take(ram.dirty, 0, bits);
	dirty_log_take(ram.dirty, 1, bits + 3);
	ck_assert_uint_eq(bits[0], first);
	ck_assert_uint_eq(bits[1], second);
	ck_assert_uint_eq(bits[2], third);
	ck_assert_uint_eq(bits[3], high);
	dirty_log_take(ram.dirty, 0, none);
	ck_assert_uint_eq(none[0] | none[1] | none[2], 0);
}

static void write_at(uint64_t gpa, size_t len)
{
	static const uint8_t zeros[256 * 1024];
	ck_assert_int_eq(ram_write(&ram, gpa, zeros, len), 0);
}

START_TEST(each_page_of_a_write_is_noted)
{
	write_at(LOW, 1);
	expect(1, 0, 0, 0);
	write_at(LOW + PAGE - 1, 2);
	expect(3, 0, 0, 0);
	write_at(LOW + 63 * PAGE, PAGE + 1);
	expect(1ULL << 63, 1, 0, 0);
	write_at(LOW + PAGE, 64 * PAGE);
	expect(~1ULL, 1, 0, 0);
	write_at(LOW + 129 * PAGE, PAGE);
	expect(0, 0, 2, 0);
	write_at(HIGH + PAGE, 3 * PAGE);
	expect(0, 0, 0, 14);
}
END_TEST

START_TEST(only_ram_and_only_what_there_is_of_it)
{
	static uint8_t other[PAGE];

	ram_wrote(&ram, other, sizeof(other));
	ram_wrote(&ram, ram.region[0].hva - 1, 1);
	ram_wrote(&ram, ram.region[0].hva + 130 * PAGE, 1);
	ram_wrote(&ram, ram.region[0].hva, 131 * PAGE);
	ram_wrote(&ram, ram.region[0].hva, UINT64_MAX);
	ram_wrote(&ram, ram.region[0].hva, 0);
	expect(0, 0, 0, 0);
	/* Memory without a log, as tests have it. */
	ram_wrote(&(const struct ram){0}, other, 1);
}
END_TEST

START_TEST(buffers_up_to_what_was_written)
{
	const struct iovec iov[] = {{ram.region[0].hva + PAGE, PAGE},
				    {ram.region[1].hva, 2 * PAGE},
				    {ram.region[0].hva, PAGE}};

	ram_wrote_iov(&ram, iov, 3, PAGE);
	expect(2, 0, 0, 0);
	ram_wrote_iov(&ram, iov, 3, 2 * PAGE + 1);
	expect(2, 0, 0, 3);
	ram_wrote_iov(&ram, iov, 3, UINT64_MAX);
	expect(3, 0, 0, 3);
}
END_TEST

START_TEST(what_is_discarded_is_noted)
{
	const struct gpa_range range[] = {{LOW, 2 * PAGE}, {LOW + 64 * PAGE, PAGE}, {HIGH, PAGE}};
	struct discard_step step[DISCARD_STEPS(3)];
	struct discard_result result;

	ram_discard(&ram, range, 3, step, &result);
	expect(3, 1, 0, 1);
	/* Held back: nothing is gone. */
	ram_discard_inhibit(&ram);
	ram_discard(&ram, range, 3, step, &result);
	expect(0, 0, 0, 0);
	ram_discard_allow(&ram);
}
END_TEST

/* The control of all others; and nothing is left of the last time. */
START_TEST(nothing_is_noted_when_nobody_asks)
{
	write_at(LOW, PAGE);
	dirty_log_switch(ram.dirty, false);
	write_at(LOW + PAGE, PAGE);
	expect(0, 0, 0, 0);
	dirty_log_switch(ram.dirty, true);
	expect(0, 0, 0, 0);
	write_at(LOW + PAGE, PAGE);
	expect(2, 0, 0, 0);
}
END_TEST

#define TURNS 100000U
static atomic_bool ends;

static _Atomic uint32_t *counter(void)
{
	return (void *)ram.region[1].hva;
}

static void *count_on(void *arg)
{
	(void)arg;
	for (uint32_t turn = 1; turn <= TURNS; turn++) {
		atomic_store_explicit(counter(), turn, memory_order_relaxed);
		ram_wrote(&ram, ram.region[1].hva, sizeof(turn));
	}
	atomic_store(&ends, true);
	return NULL;
}

/* As a round does: forget, then copy. The last look finds the last write, however the two threads met before. */
START_TEST(no_write_is_lost_between_two_looks)
{
	uint32_t copy = 0;
	pthread_t thread;
	bool more;

	atomic_store(&ends, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, count_on, NULL), 0);
	do {
		uint64_t bits = 0;
		more = !atomic_load(&ends);
		dirty_log_take(ram.dirty, 1, &bits);
		if (bits)
			copy = atomic_load_explicit(counter(), memory_order_relaxed);
	} while (more);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(copy, TURNS);
}
END_TEST

Suite *dirty_log_suite(void);
Suite *dirty_log_suite(void)
{
	Suite *suite = suite_create("dirty_log");
	TCase *tcase = tcase_create("dirty_log");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, each_page_of_a_write_is_noted);
	tcase_add_test(tcase, only_ram_and_only_what_there_is_of_it);
	tcase_add_test(tcase, buffers_up_to_what_was_written);
	tcase_add_test(tcase, what_is_discarded_is_noted);
	tcase_add_test(tcase, nothing_is_noted_when_nobody_asks);
	tcase_add_test(tcase, no_write_is_lost_between_two_looks);
	suite_add_tcase(suite, tcase);
	return suite;
}
