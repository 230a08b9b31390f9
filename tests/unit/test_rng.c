// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "devices/virtio-rng/rng.h"
#include "tests/unit/fake_driver.h"
#include "vmm/lib/clock.h"

#define V1   (1ULL << 32)
#define SIZE 64

static struct fake_driver guest;
static struct rng rng;
static uint8_t next_byte;

/* Not random, so that it can be told whether each byte is given once. */
static ssize_t counting(void *data, size_t len, unsigned int flags)
{
	ck_assert_uint_eq(flags, 1); /* GRND_NONBLOCK */
	for (size_t i = 0; i < len; i++)
		((uint8_t *)data)[i] = ++next_byte;
	return (ssize_t)len;
}

static ssize_t failing(void *data, size_t len, unsigned int flags)
{
	(void)data, (void)len, (void)flags;
	errno = EAGAIN;
	return -1;
}

/* The driver takes its chain back while the device is at it. */
static ssize_t taking_back(void *data, size_t len, unsigned int flags)
{
	guest.queue[0].avail->idx = 0;
	return counting(data, len, flags);
}

static void setup(void)
{
	next_byte = 0;
	fake_driver_init(&guest);
	rng_init(&rng, &guest.host);
	rng.random = counting;
	fake_driver_plug(&guest, &rng.dev);
	fake_driver_start(&guest, V1, 1, SIZE);
}

static void teardown(void)
{
	fake_driver_release(&guest);
}

/* One chain and one doorbell. Returns the used length, or -1 where it did not come back. */
static int64_t ask(const struct gpa_range *buffer, unsigned int n, unsigned int readable)
{
	struct vring_used_elem used;
	fake_queue_add(&guest.queue[0], buffer, n, readable);
	fake_driver_kick(&guest, 0);
	return fake_queue_used(&guest.queue[0], &used) ? (int64_t)le32toh(used.len) : -1;
}

static bool needs_reset(void)
{
	return fake_driver_get(&guest, 0x70) & 0x40;
}

START_TEST(a_buffer_is_filled_and_no_more)
{
	const struct gpa_range buffer = {BLOCKS_GPA, 100};
	uint8_t *bytes = fake_driver_at(&guest, BLOCKS_GPA, 101);
	bytes[100] = 0xee;
	ck_assert_int_eq(ask(&buffer, 1, 0), 100);
	for (unsigned int i = 0; i < 100; i++)
		ck_assert_uint_eq(bytes[i], i + 1);
	ck_assert_uint_eq(bytes[100], 0xee);
	ck_assert_uint_eq(atomic_load(&rng.bytes), 100);
}
END_TEST

START_TEST(several_buffers_are_one_stream)
{
	const struct gpa_range buffer[] = {{BLOCKS_GPA, 3}, {HIGH_GPA, 4}};
	ck_assert_int_eq(ask(buffer, 2, 0), 7);
	ck_assert_uint_eq(*(uint8_t *)fake_driver_at(&guest, BLOCKS_GPA + 2, 1), 3);
	ck_assert_uint_eq(*(uint8_t *)fake_driver_at(&guest, HIGH_GPA, 1), 4);
}
END_TEST

START_TEST(a_large_buffer_gets_a_part)
{
	const struct gpa_range buffer = {BLOCKS_GPA, MIB};
	ck_assert_int_eq(ask(&buffer, 1, 0), RNG_REQUEST_MAX);
}
END_TEST

START_TEST(who_asks_for_ever_waits)
{
	const struct gpa_range buffer = {BLOCKS_GPA, RNG_REQUEST_MAX};
	uint64_t start = clock_ns();
	uint64_t got = 0;
	/* The last ones get what is left, which may be less than they ask for. */
	for (int64_t given; (given = ask(&buffer, 1, 0)) > 0;) {
		got += (uint64_t)given;
		/* What the time that the test took allows, and not a request more. */
		ck_assert_uint_le(got,
				  RNG_BURST + RNG_REQUEST_MAX +
					  (clock_ns() - start) / 1000 * RNG_BYTES_PER_S / 1000000);
	}
	ck_assert_uint_ge(got, RNG_BURST - RNG_REQUEST_MAX);
	ck_assert_uint_gt(guest.deferred_until, start);
	ck_assert(!needs_reset());

	/* The chain waits with it, and is served when its time has come. */
	struct vring_used_elem used;
	rng.pace.left = RNG_BURST;
	fake_driver_kick(&guest, 0);
	ck_assert(fake_queue_used(&guest.queue[0], &used));
}
END_TEST

START_TEST(single_bytes_are_paced_too)
{
	const struct gpa_range buffer = {BLOCKS_GPA, 1};
	unsigned int served = 0;
	while (ask(&buffer, 1, 0) == 1)
		ck_assert_uint_lt(served++, 1000000);
	ck_assert_uint_ne(guest.deferred_until, 0);
}
END_TEST

START_TEST(a_host_without_entropy_is_asked_again)
{
	const struct gpa_range buffer = {BLOCKS_GPA, 8};
	rng.random = failing;
	ck_assert_int_eq(ask(&buffer, 1, 0), -1);
	ck_assert_uint_ne(guest.deferred_until, 0);
	ck_assert(!needs_reset());

	struct vring_used_elem used;
	rng.random = counting;
	fake_driver_kick(&guest, 0);
	ck_assert(fake_queue_used(&guest.queue[0], &used));
	ck_assert_uint_eq(le32toh(used.len), 8);
}
END_TEST

START_TEST(a_chain_that_is_taken_back_is_not_answered)
{
	const struct gpa_range buffer = {BLOCKS_GPA, 8};
	rng.random = taking_back;
	ck_assert_int_eq(ask(&buffer, 1, 0), -1);
	ck_assert_uint_eq(atomic_load(&rng.bytes), 0);
	ck_assert_uint_eq(*(uint8_t *)fake_driver_at(&guest, BLOCKS_GPA, 1), 0);
}
END_TEST

static const struct {
	struct gpa_range buffer;
	unsigned int readable;
} wrong[] = {
	{{BLOCKS_GPA, 8}, 1},
	{{LOW_END - 4, 8}, 0},
	{{LOW_END, 8}, 0},
	{{UINT64_MAX - 3, 8}, 0},
};

START_TEST(what_is_against_the_rules_stops_the_device)
{
	ask(&wrong[_i].buffer, 1, wrong[_i].readable);
	ck_assert(needs_reset());
	fake_driver_start(&guest, V1, 1, SIZE);
	const struct gpa_range buffer = {BLOCKS_GPA, 8};
	ck_assert_int_eq(ask(&buffer, 1, 0), 8);
}
END_TEST

Suite *rng_suite(void);
Suite *rng_suite(void)
{
	Suite *suite = suite_create("rng");
	TCase *all = tcase_create("all");
	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, a_buffer_is_filled_and_no_more);
	tcase_add_test(all, several_buffers_are_one_stream);
	tcase_add_test(all, a_large_buffer_gets_a_part);
	tcase_add_test(all, who_asks_for_ever_waits);
	tcase_add_test(all, single_bytes_are_paced_too);
	tcase_add_test(all, a_host_without_entropy_is_asked_again);
	tcase_add_test(all, a_chain_that_is_taken_back_is_not_answered);
	tcase_add_loop_test(all, what_is_against_the_rules_stops_the_device, 0,
			    sizeof(wrong) / sizeof(wrong[0]));
	suite_add_tcase(suite, all);
	return suite;
}
