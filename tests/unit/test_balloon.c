// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "devices/virtio-balloon/queues.h"
#include "tests/unit/fake_balloon.h"

#define NUM_PAGES  0x100 /* in the configuration space */
#define ACTUAL	   0x104
#define GENERATION VIRTIO_MMIO_CONFIG_GENERATION
#define PAGES	   ((uint32_t)((LOW_END + HIGH_END - HIGH_GPA) / (4 * KIB)))

static unsigned int changes;
static uint64_t changed_to;

/* May come back into the balloon: no lock is held. */
static void changed(void *ctx)
{
	ck_assert_ptr_eq(ctx, &changes);
	changes++;
	changed_to = balloon_view(&balloon, 0).actual;
	balloon_stats_request(&balloon);
}

static void setup(void)
{
	changes = 0;
	balloon_plug(&(struct balloon_config){.target = MIB + 100});
	balloon_on_changed(&balloon, changed, &changes);
}

static uint32_t get(uint64_t offset)
{
	return fake_driver_get(&guest, offset);
}

static void set(uint64_t offset, uint32_t value)
{
	fake_driver_set(&guest, offset, value);
}

/* --- what is offered ------------------------------------------------------------------------- */

static const struct {
	struct balloon_config config;
	uint64_t features;
	unsigned int queues;
} offers[] = {
	{{0}, VIRTIO_FEATURES | TELL | STATS, 3},
	{{.free_page_reporting = true},
	 VIRTIO_FEATURES | TELL | STATS | POISON | REPORTING | ZEROES | RECLAIM,
	 5},
	{{.deflate_on_oom = true}, VIRTIO_FEATURES | TELL | STATS | OOM, 3},
	{{.free_page_reporting = true, .deflate_on_oom = true},
	 VIRTIO_FEATURES | TELL | STATS | OOM | POISON | REPORTING | ZEROES | RECLAIM,
	 5},
};

/* What ebb does not have: hinting, packed rings, in-order use, data with notifications, queues that are reset alone. */
#define NEVER (1ULL << 3 | 1ULL << 34 | 1ULL << 35 | 1ULL << 38 | 1ULL << 40)

START_TEST(what_is_offered)
{
	balloon_plug(&offers[_i].config);
	ck_assert_uint_eq(get(VIRTIO_MMIO_DEVICE_ID), 5);
	ck_assert_uint_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)offers[_i].features);
	ck_assert_uint_eq(balloon.dev.features_offered, offers[_i].features);
	ck_assert_uint_eq(balloon.dev.features_offered & NEVER, 0);
	ck_assert(balloon.dev.features_offered & V1);
	ck_assert_uint_eq(balloon.dev.queues, offers[_i].queues);
	for (unsigned int i = 0; i < 7; i++) {
		set(VIRTIO_MMIO_QUEUE_SEL, i);
		/* Linux gives up where a ring has no room for a report of 32 blocks. */
		ck_assert_uint_eq(get(VIRTIO_MMIO_QUEUE_NUM_MAX), i < offers[_i].queues ? 128 : 0);
	}
	balloon_unplug();
}
END_TEST

/* What may still hold its old content is not said to be zero. */
START_TEST(zeros_are_offered_where_they_can_be_had)
{
	const struct balloon_config config = {.free_page_reporting = true};
	struct balloon lazy;

	balloon_plug(&config);
	guest.ram.discard = DISCARD_FREE;
	ck_assert_int_eq(balloon_init(&lazy, &config, &guest.host), 0);
	ck_assert_uint_eq(lazy.dev.features_offered,
			  VIRTIO_FEATURES | TELL | STATS | POISON | REPORTING | RECLAIM);
	balloon_release(&lazy);
	balloon_unplug();
}
END_TEST

/* What a driver left out it does not do, though it was offered. */
START_TEST(deflating_is_negotiated)
{
	balloon_plug(&(struct balloon_config){.deflate_on_oom = true});
	balloon_start(V1);
	ck_assert(balloon_offers_deflate_on_oom(&balloon));
	ck_assert(!balloon_deflates_on_oom(&balloon));
	balloon_start(V1 | OOM);
	ck_assert(balloon_deflates_on_oom(&balloon));
	set(VIRTIO_MMIO_STATUS, 0);
	ck_assert(!balloon_deflates_on_oom(&balloon));
	balloon_unplug();
}
END_TEST

/* --- the configuration space ----------------------------------------------------------------- */

START_TEST(the_driver_writes_actual_only)
{
	balloon_start(V1);
	for (uint64_t offset = 0; offset < 32; offset += 4) {
		uint32_t before = offset == 0 ? 256 : 0;
		ck_assert_uint_eq(get(0x100 + offset), before);
		set(0x100 + offset, 1000);
		ck_assert_uint_eq(get(0x100 + offset), offset == 4 ? 1000 : before);
	}
	set(VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(get(ACTUAL), 0);
	ck_assert_uint_eq(get(NUM_PAGES), 256);
}
END_TEST

START_TEST(actual_is_bounded)
{
	const uint8_t byte = 0xff;

	balloon_start(V1);
	set(ACTUAL, PAGES);
	ck_assert_uint_eq(get(ACTUAL), PAGES);
	set(ACTUAL, PAGES + 1);
	ck_assert_uint_eq(get(ACTUAL), PAGES);
	set(ACTUAL, 0xffffffff);
	ck_assert_uint_eq(get(ACTUAL), PAGES);
	set(ACTUAL, 0);
	virtio_mmio_write(&guest.mmio, 0x105, &byte, 1);
	ck_assert_uint_eq(get(ACTUAL), PAGES < 0xff00 ? PAGES : 0xff00);
	ck_assert_uint_eq(balloon_view(&balloon, 0).actual, get(ACTUAL) * 4 * KIB);
}
END_TEST

START_TEST(any_width_and_place)
{
	uint64_t wide;

	balloon_start(V1);
	virtio_mmio_read(&guest.mmio, 0x10c, &wide, 8);
	ck_assert_uint_eq(wide, 0);
	wide = ~0ULL;
	virtio_mmio_write(&guest.mmio, 0x10c, &wide, 8);
	virtio_mmio_write(&guest.mmio, 0x1000 - 8, &wide, 8);
	ck_assert_uint_eq(get(ACTUAL), 0);
	virtio_mmio_write(&guest.mmio, 0x100, &wide, 8);
	virtio_mmio_read(&guest.mmio, 0x100, &wide, 8);
	ck_assert_uint_eq(wide, (uint64_t)PAGES << 32 | 256);
}
END_TEST

START_TEST(a_change_is_told_to_the_host)
{
	balloon_start(V1);
	set(ACTUAL, 7);
	ck_assert_uint_eq(changes, 1);
	ck_assert_uint_eq(changed_to, 7 * 4 * KIB);
	set(ACTUAL, 7);
	set(NUM_PAGES, 9);
	ck_assert_uint_eq(changes, 1);
	set(ACTUAL, PAGES + 1);
	set(ACTUAL, PAGES + 2); /* both are as much as there is */
	ck_assert_uint_eq(changes, 2);
	set(VIRTIO_MMIO_STATUS, 0); /* no driver says so */
	ck_assert_uint_eq(changes, 2);
}
END_TEST

/* --- the target ------------------------------------------------------------------------------ */

static const struct {
	uint64_t asked, set;
} targets[] = {
	{0, 0},
	{1, 0},
	{K(1) - 1, 0},
	{K(1), K(1)},
	{64 * MIB + 5, 64 * MIB},
	{160 * MIB, 160 * MIB},
	{160 * MIB + 1, 160 * MIB},
	{1ULL << 44, 160 * MIB}, /* 2^32 pages: none at all in 32 bits */
	{(1ULL << 44) + K(1), 160 * MIB},
	{~0ULL, 160 * MIB},
};

START_TEST(a_target_is_bounded)
{
	balloon_start(V1);
	ck_assert_uint_eq(balloon_set_target(&balloon, targets[_i].asked), targets[_i].set);
	ck_assert_uint_eq(get(NUM_PAGES), targets[_i].set / K(1));
	ck_assert_uint_eq(balloon_view(&balloon, 0).target, targets[_i].set);
	/* At the start too. */
	balloon_unplug();
	balloon_plug(&(struct balloon_config){.target = targets[_i].asked});
	ck_assert_uint_eq(get(NUM_PAGES), targets[_i].set / K(1));
}
END_TEST

START_TEST(a_new_target_is_announced)
{
	/* Before there is a driver: it will look by itself. */
	balloon_set_target(&balloon, 2 * MIB);
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 0);
	ck_assert_uint_eq(get(GENERATION), 1);
	balloon_start(V1);
	ck_assert_uint_eq(get(NUM_PAGES), 512);
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);

	balloon_set_target(&balloon, 4 * MIB);
	ck_assert_uint_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 1);
	ck_assert_uint_eq(get(GENERATION), 2);
	/* No news is not told. */
	balloon_set_target(&balloon, 4 * MIB + 1);
	ck_assert_uint_eq(atomic_load(&guest.interrupts), 1);
	ck_assert_uint_eq(get(GENERATION), 2);
}
END_TEST

/* --- its state ------------------------------------------------------------------------------- */

#define S 1000000000ULL

static const struct {
	bool driver;
	uint32_t target, actual;
	uint64_t idle;
	enum balloon_state state;
} states[] = {
	{false, 0, 0, 0, BALLOON_NO_DRIVER},	  {false, 5, 0, 60 * S, BALLOON_NO_DRIVER},
	{true, 0, 0, 0, BALLOON_REACHED},	  {true, 5, 5, 60 * S, BALLOON_REACHED},
	{true, 5, 4, 0, BALLOON_MOVING},	  {true, 5, 6, 0, BALLOON_MOVING},
	{true, 5, 4, 10 * S - 1, BALLOON_MOVING}, {true, 5, 4, 10 * S, BALLOON_STUCK},
	{true, 5, 6, ~0ULL, BALLOON_STUCK},
};

START_TEST(a_state)
{
	ck_assert_int_eq(balloon_state(states[_i].driver, states[_i].target, states[_i].actual,
				       states[_i].idle),
			 states[_i].state);
}
END_TEST

static uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * S + time.tv_nsec;
}

static enum balloon_state state_at(uint64_t time)
{
	return balloon_view(&balloon, time).state;
}

/* Each thing that moves starts the ten seconds anew; the test lives in times to come. */
START_TEST(states_follow_what_happens)
{
	const uint64_t start = now();

	ck_assert_int_eq(state_at(start + 60 * S), BALLOON_NO_DRIVER);
	balloon_start(V1);
	ck_assert_int_eq(state_at(0), BALLOON_MOVING); /* a clock read before it moved */
	ck_assert_int_eq(state_at(start + 9 * S), BALLOON_MOVING);
	ck_assert_int_eq(state_at(now() + 10 * S), BALLOON_STUCK);
	balloon.moved = 0; /* long ago */
	ck_assert_int_eq(state_at(now() + 10 * S), BALLOON_STUCK);
	set(ACTUAL, 100);
	ck_assert_int_eq(state_at(now()), BALLOON_MOVING);
	balloon.moved = 0;
	set(ACTUAL, 100); /* nothing new */
	ck_assert_int_eq(state_at(11 * S), BALLOON_STUCK);
	set(ACTUAL, 256);
	ck_assert_int_eq(state_at(now() + 60 * S), BALLOON_REACHED);
	balloon.moved = 0;
	balloon_set_target(&balloon, 0);
	ck_assert_int_eq(state_at(now()), BALLOON_MOVING);
	set(VIRTIO_MMIO_STATUS, 0);
	ck_assert_int_eq(state_at(now()), BALLOON_NO_DRIVER);
}
END_TEST

Suite *balloon_suite(void);
Suite *balloon_suite(void)
{
	Suite *suite = suite_create("balloon");
	TCase *tcase = tcase_create("offers");
	tcase_add_loop_test(tcase, what_is_offered, 0, sizeof(offers) / sizeof(offers[0]));
	tcase_add_test(tcase, zeros_are_offered_where_they_can_be_had);
	tcase_add_test(tcase, deflating_is_negotiated);
	tcase_add_loop_test(tcase, a_state, 0, sizeof(states) / sizeof(states[0]));
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("configuration");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_test(tcase, the_driver_writes_actual_only);
	tcase_add_test(tcase, actual_is_bounded);
	tcase_add_test(tcase, any_width_and_place);
	tcase_add_test(tcase, a_change_is_told_to_the_host);
	tcase_add_loop_test(tcase, a_target_is_bounded, 0, sizeof(targets) / sizeof(targets[0]));
	tcase_add_test(tcase, a_new_target_is_announced);
	tcase_add_test(tcase, states_follow_what_happens);
	suite_add_tcase(suite, tcase);
	return suite;
}
