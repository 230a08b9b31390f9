// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/fake_balloon.h"

#define STATS_Q 2
#define ENTRY	10
#define AGAIN	7 /* a value that is in no buffer */

/* One entry as it is on the wire. */
static void put(uint8_t *at, uint16_t tag, uint64_t value)
{
	for (unsigned int i = 0; i < 2; i++)
		at[i] = tag >> 8 * i;
	for (unsigned int i = 0; i < 8; i++)
		at[2 + i] = value >> 8 * i;
}

/* What was there before a parse, all of which must go. */
static struct balloon_stats stale(void)
{
	struct balloon_stats stats = {.updated = 12, .updates = 34};
	memset(stats.present, true, sizeof(stats.present));
	for (unsigned int i = 0; i < BALLOON_STATS_ALL; i++)
		stats.value[i] = AGAIN;
	return stats;
}

static unsigned int present(const struct balloon_stats *stats)
{
	unsigned int n = 0;
	for (unsigned int i = 0; i < BALLOON_STATS_ALL; i++) {
		n += stats->present[i];
		if (!stats->present[i])
			ck_assert_uint_eq(stats->value[i], 0);
	}
	return n;
}

/* --- what a buffer says ---------------------------------------------------------------------- */

/* Guests of all ages: none, the first, 10 as before Linux 6.12, all 16, and more than are known. */
static const unsigned int numbers[] = {0, 1, 7, 10, 16, 20, 64};

START_TEST(so_many_tags)
{
	unsigned int n = numbers[_i];
	uint8_t data[BALLOON_STATS_BYTES];
	struct balloon_stats stats = stale();

	for (unsigned int i = 0; i < n; i++)
		put(data + ENTRY * i, i, 0x0123456789abcd00 + i);
	balloon_stats_parse(&stats, data, ENTRY * n, true);
	ck_assert_uint_eq(present(&stats), n < BALLOON_STAT_TAGS ? n : BALLOON_STAT_TAGS);
	for (unsigned int i = 0; i < n && i < BALLOON_STAT_TAGS; i++)
		ck_assert_uint_eq(stats.value[i], 0x0123456789abcd00 + i);
	ck_assert_int_eq(stats.updated, 12);
	ck_assert_uint_eq(stats.updates, 34);
}
END_TEST

START_TEST(in_any_order)
{
	uint8_t data[BALLOON_STAT_TAGS * ENTRY];
	struct balloon_stats stats = stale();

	/* 16 and 5 have no common divisor. */
	for (unsigned int i = 0; i < BALLOON_STAT_TAGS; i++)
		put(data + ENTRY * i, (i * 5 + 3) % BALLOON_STAT_TAGS, 100 + i);
	balloon_stats_parse(&stats, data, sizeof(data), true);
	ck_assert_uint_eq(present(&stats), BALLOON_STAT_TAGS);
	for (unsigned int i = 0; i < BALLOON_STAT_TAGS; i++)
		ck_assert_uint_eq(stats.value[(i * 5 + 3) % BALLOON_STAT_TAGS], 100 + i);
}
END_TEST

START_TEST(odd_entries)
{
	uint8_t data[6 * ENTRY + 9];
	struct balloon_stats stats = stale();

	memset(data, 0, sizeof(data));
	put(data, 4, 1);
	put(data + ENTRY, 0xffff, 2);
	put(data + 2 * ENTRY, 16, 3);
	put(data + 3 * ENTRY, 0x0104, 4); /* 4 in the low byte only */
	put(data + 4 * ENTRY, 4, ~0ULL);  /* the last one counts */
	put(data + 5 * ENTRY, 15, 5);
	balloon_stats_parse(&stats, data, sizeof(data), true); /* and 9 bytes of the next */
	ck_assert_uint_eq(present(&stats), 2);
	ck_assert_uint_eq(stats.value[4], ~0ULL);
	ck_assert_uint_eq(stats.value[15], 5);
}
END_TEST

/* Ours are there from a driver that may send them; what lies around them is nobody's. */
START_TEST(tags_of_our_own)
{
	static const uint16_t tags[] = {0xeaff, 0xeb00, 0xeb02, 0xeb12, 0xeb13, 0x00eb, 4};
	uint8_t data[7 * ENTRY];
	struct balloon_stats stats = stale();

	for (unsigned int i = 0; i < 7; i++)
		put(data + i * ENTRY, tags[i], 100 + i);
	balloon_stats_parse(&stats, data, sizeof(data), true);
	ck_assert_uint_eq(present(&stats), 4);
	ck_assert_uint_eq(stats.value[BALLOON_STAT_TAGS], 101);
	ck_assert_uint_eq(stats.value[BALLOON_STAT_TAGS + 2], 102);
	ck_assert_uint_eq(stats.value[BALLOON_STAT_TAGS + 0x12], 103);
	ck_assert_uint_eq(stats.value[4], 106);
	balloon_stats_parse(&stats, data, sizeof(data), false);
	ck_assert_uint_eq(present(&stats), 1);
}
END_TEST

/* Each length in memory of just that size: the sanitizer sees a byte too many. */
START_TEST(any_length)
{
	for (size_t len = 0; len <= BALLOON_STATS_BYTES + 2 * ENTRY; len++) {
		uint8_t *data = malloc(len ? len : 1);
		struct balloon_stats stats = stale();

		memset(data, 0, len);
		/* Entry 64, which is beyond the bound, would be tag 15. */
		for (size_t i = 0; i < len / ENTRY; i++)
			put(data + i * ENTRY, i < 64 ? 3 : 15, i);
		balloon_stats_parse(&stats, data, len, true);
		ck_assert_uint_eq(present(&stats), len >= ENTRY);
		ck_assert(!stats.present[15]);
		free(data);
	}
}
END_TEST

START_TEST(names_are_qemus)
{
	ck_assert_str_eq(balloon_stat_name(0), "stat-swap-in");
	ck_assert_str_eq(balloon_stat_name(4), "stat-free-memory");
	ck_assert_str_eq(balloon_stat_name(9), "stat-htlb-pgfail");
	ck_assert_str_eq(balloon_stat_name(10), "stat-oom-kills");
	ck_assert_str_eq(balloon_stat_name(15), "stat-direct-reclaims");
	ck_assert_str_eq(balloon_stat_name(16), "stat-ebb-passes");
	ck_assert_str_eq(balloon_stat_name(20), "stat-ebb-pages-unzeroed");
	ck_assert_str_eq(balloon_stat_name(21), "stat-ebb-stall-some");
	ck_assert_str_eq(balloon_stat_name(26), "stat-ebb-file");
	ck_assert_str_eq(balloon_stat_name(27), "stat-ebb-anon-10s");
	ck_assert_str_eq(balloon_stat_name(34), "stat-ebb-file-1h");
	ck_assert_ptr_null(balloon_stat_name(35));
	ck_assert_ptr_null(balloon_stat_name(~0u));
	for (unsigned int i = 0; i < BALLOON_STATS_ALL; i++)
		for (unsigned int j = 0; j < i; j++)
			ck_assert_str_ne(balloon_stat_name(i), balloon_stat_name(j));
}
END_TEST

/* --- the queue ------------------------------------------------------------------------------- */

static struct fake_queue *ring;
static struct vring_used_elem element;

static void setup(void)
{
	balloon_plug(&(struct balloon_config){0});
	balloon_start(V1 | STATS);
	ring = &guest.queue[STATS_Q];
}

/* The driver gives its buffer: free memory is @value. Returns the chain's head. */
static uint16_t give(uint64_t value)
{
	put(fake_driver_at(&guest, AT(0), ENTRY), 4, value);
	uint16_t head = fake_queue_add(ring, &(struct gpa_range){AT(0), ENTRY}, 1, 1);
	fake_driver_kick(&guest, STATS_Q);
	return head;
}

static struct balloon_stats get(void)
{
	struct balloon_stats stats;
	balloon_stats_get(&balloon, &stats);
	return stats;
}

START_TEST(a_buffer_is_kept_until_more_is_wanted)
{
	ck_assert_uint_eq(get().updates, 0);
	ck_assert_int_eq(get().updated, 0);
	time_t before = time(NULL);
	uint16_t head = give(100);
	struct balloon_stats stats = get();
	ck_assert_uint_eq(stats.updates, 1);
	ck_assert_uint_eq(present(&stats), 1);
	ck_assert_uint_eq(stats.value[4], 100);
	ck_assert_int_ge(stats.updated, before);
	ck_assert_int_le(stats.updated, time(NULL));
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 0);

	for (unsigned int i = 0; i < 300; i++) {
		balloon_stats_request(&balloon);
		fake_driver_work(&guest);
		ck_assert(fake_queue_used(ring, &element));
		ck_assert_uint_eq(element.id, head);
		ck_assert_uint_eq(element.len, 0);
		ck_assert_uint_eq(atomic_load(&guest.interrupts), i + 1);
		ck_assert_uint_eq(get().value[4], 100 + i);
		head = give(101 + i);
		ck_assert(!fake_queue_used(ring, &element));
		ck_assert_uint_eq(get().value[4], 101 + i);
		ck_assert_uint_eq(get().updates, 2 + i);
	}
}
END_TEST

/* Asked twice, or while the driver has the buffer: what comes is from after the last request. */
START_TEST(requests_while_none_is_held)
{
	balloon_stats_request(&balloon);
	fake_driver_work(&guest);
	ck_assert(!fake_queue_used(ring, &element));
	give(100);
	ck_assert(fake_queue_used(ring, &element)); /* that may have been written before it */
	give(101);
	ck_assert(!fake_queue_used(ring, &element));

	balloon_stats_request(&balloon);
	balloon_stats_request(&balloon);
	fake_driver_work(&guest);
	ck_assert(fake_queue_used(ring, &element));
	give(102);
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert_uint_eq(get().value[4], 102);
}
END_TEST

START_TEST(our_tags_are_for_drivers_that_negotiated_them)
{
	for (unsigned int may = 0; may < 2; may++) {
		balloon_unplug();
		balloon_plug(&(struct balloon_config){.free_page_reporting = true});
		balloon_start(V1 | STATS | REPORTING | (may ? RECLAIM : 0));
		put(fake_driver_at(&guest, AT(0), ENTRY), 0xeb01, 7);
		fake_queue_add(ring, &(struct gpa_range){AT(0), ENTRY}, 1, 1);
		fake_driver_kick(&guest, STATS_Q);
		ck_assert_uint_eq(get().updates, 1);
		ck_assert_uint_eq(get().present[BALLOON_STAT_TAGS + 1], may);
	}
}
END_TEST

START_TEST(a_second_buffer_sends_the_first_back)
{
	uint16_t first = give(100);
	uint16_t second = give(200);
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_uint_eq(element.id, first);
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert_uint_eq(get().value[4], 200);
	balloon_stats_request(&balloon);
	fake_driver_work(&guest);
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_uint_eq(element.id, second);
	ck_assert(!needs_reset());
}
END_TEST

START_TEST(a_ring_full_of_buffers)
{
	for (unsigned int i = 0; i < SIZE; i++)
		fake_queue_add(ring, &(struct gpa_range){AT(0), ENTRY}, 1, 1);
	fake_driver_kick(&guest, STATS_Q);
	for (unsigned int i = 0; i < SIZE - 1; i++)
		ck_assert(fake_queue_used(ring, &element));
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert_uint_eq(get().updates, SIZE);
}
END_TEST

START_TEST(a_reset_forgets_the_buffer)
{
	give(100);
	balloon_stats_request(&balloon);
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	struct balloon_stats stats = get();
	ck_assert_uint_eq(present(&stats), 0);
	ck_assert_uint_eq(stats.updates, 1);
	fake_driver_work(&guest);
	balloon_start(V1 | STATS);
	ck_assert(!fake_queue_used(ring, &element));
	give(200);
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert_uint_eq(get().value[4], 200);
	ck_assert_uint_eq(get().updates, 2);
	/* And with a driver that has no such queue nothing happens at all. */
	balloon_start(V1);
	balloon_stats_request(&balloon);
	fake_driver_work(&guest);
	ck_assert(!needs_reset());
}
END_TEST

/* Lengths and places that lie. */
static const struct {
	const char *name;
	unsigned int n, readable;
	struct gpa_range buffer[3];
	bool broken;
	unsigned int present;
} lies[] = {
	{"nothing", 1, 1, {{AT(0), 0}}, false, 0},
	{"nothing nowhere", 1, 1, {{LOW_END, 0}}, false, 0},
	{"less than an entry", 1, 1, {{AT(0), 9}}, false, 0},
	{"an entry and some", 1, 1, {{AT(0), 19}}, false, 1},
	{"an entry in two pieces", 2, 2, {{AT(0), 3}, {AT(0) + 3, 7}}, false, 1},
	{"a whole page", 1, 1, {{AT(0), K(1)}}, false, 2},
	{"longer than there is RAM", 1, 1, {{AT(0), 0xffffffff}}, false, 2},
	{"at the end of RAM", 1, 1, {{LOW_END - 20, 20}}, false, 1},
	{"past the end of RAM", 1, 1, {{LOW_END - 20, 21}}, true, 0},
	{"past the end, far", 1, 1, {{LOW_END - 20, 0xffffffff}}, true, 0},
	{"in the hole", 1, 1, {{LOW_END, 10}}, true, 0},
	{"wraps", 1, 1, {{-10ULL, 0xffffffff}}, true, 0},
	{"writable", 1, 0, {{AT(0), 10}}, true, 0},
	{"writable after readable", 2, 1, {{AT(0), 10}, {AT(1), 10}}, true, 0},
};

START_TEST(a_buffer_that_lies)
{
	const char *name = lies[_i].name;

	put(fake_driver_at(&guest, AT(0), 20), 4, 1);
	put(fake_driver_at(&guest, AT(0) + 10, 20), 5, 1);
	fake_queue_add(ring, lies[_i].buffer, lies[_i].n, lies[_i].readable);
	fake_driver_kick(&guest, STATS_Q);
	struct balloon_stats stats = get();
	unsigned int expected = lies[_i].present;
	if (!lies[_i].broken && expected == 2)
		expected = 3; /* zeros behind them: tag 0 */
	ck_assert_msg(needs_reset() == lies[_i].broken, "%s: broken", name);
	ck_assert_msg(present(&stats) == expected, "%s: %u present", name, present(&stats));
	ck_assert_uint_eq(stats.updates, !lies[_i].broken);
	balloon_start(V1 | STATS);
	give(100);
	ck_assert_uint_eq(get().value[4], 100);
}
END_TEST

Suite *stats_suite(void);
Suite *stats_suite(void)
{
	Suite *suite = suite_create("statistics");
	TCase *tcase = tcase_create("parse");
	tcase_add_loop_test(tcase, so_many_tags, 0, sizeof(numbers) / sizeof(numbers[0]));
	tcase_add_test(tcase, in_any_order);
	tcase_add_test(tcase, odd_entries);
	tcase_add_test(tcase, tags_of_our_own);
	tcase_add_test(tcase, any_length);
	tcase_add_test(tcase, names_are_qemus);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("queue");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_test(tcase, a_buffer_is_kept_until_more_is_wanted);
	tcase_add_test(tcase, requests_while_none_is_held);
	tcase_add_test(tcase, our_tags_are_for_drivers_that_negotiated_them);
	tcase_add_test(tcase, a_second_buffer_sends_the_first_back);
	tcase_add_test(tcase, a_ring_full_of_buffers);
	tcase_add_test(tcase, a_reset_forgets_the_buffer);
	tcase_add_loop_test(tcase, a_buffer_that_lies, 0, sizeof(lies) / sizeof(lies[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
