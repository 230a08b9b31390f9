// SPDX-License-Identifier: Apache-2.0
/* Which chains a backend has: rings as both sides write them, and as they should not. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "devices/vhost-user/inflight.h"
#include "tests/unit/fake_driver.h"

#define SIZE 8

static struct fake_driver guest;
static struct virtq q;
static struct inflight inflight;
static struct fake_queue *ring;

static void setup(void)
{
	fake_driver_init(&guest);
	q = (struct virtq){.size_max = SIZE,
			   .size = SIZE,
			   .desc_gpa = RINGS_GPA,
			   .avail_gpa = RINGS_GPA + 16 * KIB,
			   .used_gpa = RINGS_GPA + 32 * KIB};
	fake_queue_init(&guest, 0, SIZE);
	ring = &guest.queue[0];
	ck_assert_int_eq(virtq_start(&q, &guest.ram, 0), 0);
	inflight_init(&inflight, &q);
}

static void teardown(void)
{
	fake_driver_release(&guest);
}

static void returns(uint32_t head)
{
	uint16_t idx = ring->used->idx;
	ring->used->ring[idx % SIZE].id = head;
	__atomic_store_n(&ring->used->idx, idx + 1, __ATOMIC_RELEASE);
}

/* A bit for each head that is out. */
static unsigned int out(void)
{
	unsigned int bits = 0;
	for (int head = 0; (head = inflight_next(&inflight, &q, (unsigned int)head)) >= 0; head++)
		bits |= 1u << head;
	return bits;
}

START_TEST(out_and_back)
{
	fake_queue_publish(ring, 3);
	fake_queue_publish(ring, 5);
	ck_assert_int_eq(inflight_look(&inflight, &q), 0);
	ck_assert_uint_eq(out(), 1 << 3 | 1 << 5);
	returns(5);
	ck_assert_int_eq(inflight_look(&inflight, &q), 0);
	ck_assert_uint_eq(out(), 1 << 3);
	/* Between two looks, and again. */
	fake_queue_publish(ring, 5);
	returns(5);
	fake_queue_publish(ring, 5);
	ck_assert_int_eq(inflight_look(&inflight, &q), 0);
	ck_assert_uint_eq(out(), 1 << 3 | 1 << 5);
	ck_assert(inflight.exact);
}
END_TEST

/* One chain stays out while others pass it by, until its entry is long overwritten; indices wrap. */
START_TEST(long_out)
{
	fake_queue_publish(ring, 0);
	for (unsigned int i = 0; i < 70000; i++) {
		fake_queue_publish(ring, 1 + i % (SIZE - 1));
		if (i % 3 == 0)
			ck_assert_int_eq(inflight_look(&inflight, &q), 0);
		returns(1 + i % (SIZE - 1));
	}
	ck_assert_int_eq(inflight_look(&inflight, &q), 0);
	ck_assert_uint_eq(out(), 1);
	ck_assert(inflight.exact);
}
END_TEST

START_TEST(looked_too_late)
{
	for (unsigned int i = 0; i < SIZE + 1; i++) {
		fake_queue_publish(ring, i % SIZE);
		returns(i % SIZE);
	}
	ck_assert_int_eq(inflight_look(&inflight, &q), 0);
	ck_assert(!inflight.exact);
}
END_TEST

START_TEST(returns_nonsense)
{
	returns(SIZE);
	ck_assert_int_eq(inflight_look(&inflight, &q), -EPROTO);
	inflight_init(&inflight, &q);
	ring->used->ring[1].id = UINT32_MAX;
	ring->used->idx = 2;
	ck_assert_int_eq(inflight_look(&inflight, &q), -EPROTO);
}
END_TEST

/* Whatever both write, no head that does not exist comes out of it. */
START_TEST(noise)
{
	srand(1);
	for (unsigned int i = 0; i < 100000; i++) {
		ring->avail->ring[rand() % SIZE] = (uint16_t)rand();
		ring->used->ring[rand() % SIZE].id = rand() % 3 ? rand() % SIZE : rand();
		ring->avail->idx += rand() % 4 ? 1 : rand();
		ring->used->idx += rand() % 4 ? 1 : rand();
		if (inflight_look(&inflight, &q))
			inflight_init(&inflight, &q);
		for (int head = 0; (head = inflight_next(&inflight, &q, (unsigned int)head)) >= 0;
		     head++)
			ck_assert_int_lt(head, SIZE);
	}
}
END_TEST

Suite *inflight_suite(void);
Suite *inflight_suite(void)
{
	Suite *suite = suite_create("inflight");
	TCase *tc = tcase_create("inflight");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, out_and_back);
	tcase_add_test(tc, long_out);
	tcase_add_test(tc, looked_too_late);
	tcase_add_test(tc, returns_nonsense);
	tcase_add_test(tc, noise);
	suite_add_tcase(suite, tc);
	return suite;
}
