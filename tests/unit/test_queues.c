// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <linux/virtio_balloon.h>

#include "devices/virtio-balloon/queues.h"
#include "devices/virtio-balloon/reclaim.h"

#define S (1ULL << VIRTIO_BALLOON_F_STATS_VQ)
#define H (1ULL << VIRTIO_BALLOON_F_FREE_PAGE_HINT)
#define R (1ULL << VIRTIO_BALLOON_F_REPORTING)
#define C (1ULL << VIRTIO_BALLOON_F_EBB_RECLAIM)
/* Features that have no queue and must not move any. */
#define OTHERS                                                                                     \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_BALLOON_F_MUST_TELL_HOST |                    \
	 1ULL << VIRTIO_BALLOON_F_DEFLATE_ON_OOM | 1ULL << VIRTIO_BALLOON_F_PAGE_POISON |          \
	 1ULL << VIRTIO_BALLOON_F_DEVICE_INIT_REPORTED)

static const struct {
	uint64_t features;
	unsigned int queues;
	enum balloon_role role[7]; /* of queues 0 to 6 */
} layouts[] = {
	{0, 2, {BALLOON_INFLATE, BALLOON_DEFLATE}},
	{S, 3, {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS}},
	{H, 3, {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_HINT}},
	{R, 3, {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_REPORTING}},
	{S | H, 4, {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS, BALLOON_HINT}},
	{S | R, 4, {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS, BALLOON_REPORTING}},
	{H | R, 4, {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_HINT, BALLOON_REPORTING}},
	{S | H | R,
	 5,
	 {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS, BALLOON_HINT, BALLOON_REPORTING}},
	{R | C, 4, {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_REPORTING, BALLOON_RECLAIM}},
	{S | R | C,
	 5,
	 {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS, BALLOON_REPORTING, BALLOON_RECLAIM}},
	{S | H | R | C,
	 6,
	 {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS, BALLOON_HINT, BALLOON_REPORTING,
	  BALLOON_RECLAIM}},
	/* Without reporting it means nothing. */
	{C, 2, {BALLOON_INFLATE, BALLOON_DEFLATE}},
	{S | C, 3, {BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS}},
};

START_TEST(numbers_are_dense)
{
	const uint64_t features = layouts[_i].features;

	ck_assert_uint_eq(balloon_queues(features), layouts[_i].queues);
	ck_assert_uint_eq(balloon_queues(features | OTHERS), layouts[_i].queues);
	for (unsigned int queue = 0; queue < 7; queue++) {
		ck_assert_int_eq(balloon_role(features, queue), layouts[_i].role[queue]);
		ck_assert_int_eq(balloon_role(features | OTHERS, queue), layouts[_i].role[queue]);
	}
	ck_assert_int_eq(balloon_role(features, 0xffffffff), BALLOON_NONE);
}
END_TEST

START_TEST(a_role_has_one_queue_or_none)
{
	const uint64_t features = layouts[_i].features;

	for (int role = BALLOON_INFLATE; role <= BALLOON_RECLAIM; role++) {
		int expected = -1;
		for (int queue = 0; queue < 7; queue++)
			if ((int)layouts[_i].role[queue] == role)
				expected = queue;
		ck_assert_int_eq(balloon_queue(features | OTHERS, role), expected);
	}
	ck_assert_int_eq(balloon_queue(features, BALLOON_NONE), -1);
}
END_TEST

Suite *queues_suite(void);
Suite *queues_suite(void)
{
	Suite *suite = suite_create("balloon layout");
	TCase *tcase = tcase_create("layout");
	tcase_add_loop_test(tcase, numbers_are_dense, 0, sizeof(layouts) / sizeof(layouts[0]));
	tcase_add_loop_test(tcase, a_role_has_one_queue_or_none, 0,
			    sizeof(layouts) / sizeof(layouts[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
