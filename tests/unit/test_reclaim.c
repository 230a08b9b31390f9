// SPDX-License-Identifier: Apache-2.0
/* Report now: a request goes out, an answer comes back, or what else may become of it. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/fake_balloon.h"

#define ALL	  (V1 | STATS | REPORTING | RECLAIM)
#define RECLAIM_Q 4
#define ANSWER	  AT(0)
#define ASKED	  AT(1)
#define MS	  1000000ULL
#define GRACE	  (BALLOON_RECLAIM_GRACE_MS * MS)

static struct fake_queue *ring;
static struct vring_used_elem element;
static atomic_uint told;

static void reclaimed(void *ctx)
{
	ck_assert_ptr_eq(ctx, &told);
	atomic_fetch_add(&told, 1);
}

static void setup(void)
{
	atomic_store(&told, 0);
	balloon_plug(&(struct balloon_config){.free_page_reporting = true});
	balloon_on_reclaimed(&balloon, reclaimed, &told);
	/* Its driver has statistics too, so that no queue is missing. */
	balloon_start(ALL);
	ring = &guest.queue[RECLAIM_Q];
}

/* The driver's next chain, with an answer to @id. Returns its head. */
static uint16_t give(uint32_t id, uint32_t status)
{
	static const struct gpa_range chain[] = {{ANSWER, 56}, {ASKED, 24}};
	struct reclaim_response *response = fake_driver_at(&guest, ANSWER, 56);

	*response = (struct reclaim_response){.id = htole32(id), .status = htole32(status)};
	if (id) {
		response->drained = htole64(K(1));
		response->cache = htole64(K(2));
		response->compacted = htole64(K(3));
		response->reported = htole64(K(4));
		response->free = htole64(K(5));
		response->elapsed_ms = htole32(6);
	}
	uint16_t head = fake_queue_add(ring, chain, 2, 1);
	fake_driver_kick(&guest, RECLAIM_Q);
	return head;
}

static int ask_at(uint64_t now)
{
	const struct balloon_reclaim_request request = {
		.cache = 0x123456789abcd000, .timeout_ms = 2500, .compact = true};
	int error = balloon_reclaim(&balloon, &request, now);
	fake_driver_work(&guest);
	return error;
}

static struct balloon_reclaim_view view_at(uint64_t now)
{
	return balloon_reclaim_view(&balloon, now);
}

static enum balloon_reclaim_state state(void)
{
	return view_at(0).state;
}

/* What came with the chain that is given back; there must be one. */
static struct reclaim_request taken(void)
{
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_uint_eq(element.len, 24);
	struct reclaim_request request =
		*(struct reclaim_request *)fake_driver_at(&guest, ASKED, 24);
	memset(fake_driver_at(&guest, ASKED, 24), 0xee, 24);
	return request;
}

static bool given_back(void)
{
	return fake_queue_used(ring, &element);
}

/* --- as it should be ------------------------------------------------------------------------- */

START_TEST(a_request_and_its_answer)
{
	ck_assert_int_eq(state(), BALLOON_RECLAIM_NONE);
	uint16_t head = give(0, 0);
	ck_assert(!given_back());
	ck_assert_int_eq(state(), BALLOON_RECLAIM_NONE);
	uint32_t last = 0;
	for (unsigned int i = 1; i <= 300; i++) {
		ck_assert_int_eq(ask_at(balloon_reclaim_view(&balloon, 0).deadline), 0);
		ck_assert_int_eq(state(), BALLOON_RECLAIM_ASKED);
		struct reclaim_request request = taken();
		ck_assert_uint_eq(element.id, head);
		ck_assert_uint_eq(atomic_load(&guest.interrupts), i);
		ck_assert_uint_ne(request.id, 0);
		ck_assert_uint_ne(request.id, last);
		last = le32toh(request.id);
		ck_assert_uint_eq(le32toh(request.flags), RECLAIM_COMPACT);
		ck_assert_uint_eq(le32toh(request.timeout_ms), 2500);
		ck_assert_uint_eq(request.reserved, 0);
		ck_assert_uint_eq(le64toh(request.cache), 0x123456789abcd000);
		ck_assert_uint_eq(atomic_load(&told), i - 1);
		head = give(last, RECLAIM_DONE);
		ck_assert_uint_eq(atomic_load(&told), i);
		struct balloon_reclaim_view view = view_at(~0ULL);
		ck_assert_int_eq(view.state, BALLOON_RECLAIM_DONE);
		ck_assert_uint_eq(view.answer.drained, K(1));
		ck_assert_uint_eq(view.answer.cache, K(2));
		ck_assert_uint_eq(view.answer.compacted, K(3));
		ck_assert_uint_eq(view.answer.reported, K(4));
		ck_assert_uint_eq(view.answer.free, K(5));
		ck_assert_uint_eq(view.answer.elapsed_ms, 6);
		ck_assert(!given_back());
	}
	COUNTED(reclaim, requests, 300);
	COUNTED(reclaim, answered, 300);
	COUNTED(reclaim, timeouts, 0);
}
END_TEST

static const struct {
	uint32_t status;
	enum balloon_reclaim_state state;
} ends[] = {
	{RECLAIM_DONE, BALLOON_RECLAIM_DONE},	  {RECLAIM_TIMEOUT, BALLOON_RECLAIM_TIMEOUT},
	{RECLAIM_FAILED, BALLOON_RECLAIM_FAILED}, {3, BALLOON_RECLAIM_FAILED},
	{0xffffffff, BALLOON_RECLAIM_FAILED},
};

START_TEST(each_status)
{
	give(0, 0);
	ask_at(0);
	give(le32toh(taken().id), ends[_i].status);
	ck_assert_int_eq(state(), ends[_i].state);
	ck_assert(!needs_reset());
}
END_TEST

/* No guest gives back more than it has. */
START_TEST(answers_are_bounded)
{
	struct reclaim_response *response = fake_driver_at(&guest, ANSWER, 56);

	give(0, 0);
	ask_at(0);
	uint32_t id = taken().id;
	memset(response, 0xff, sizeof(*response));
	response->id = id;
	response->status = 0;
	fake_queue_add(ring, (struct gpa_range[]){{ANSWER, 56}, {ASKED, 24}}, 2, 1);
	fake_driver_kick(&guest, RECLAIM_Q);
	struct balloon_reclaim_answer answer = view_at(0).answer;
	ck_assert_uint_eq(answer.drained, 160 * MIB);
	ck_assert_uint_eq(answer.cache, 160 * MIB);
	ck_assert_uint_eq(answer.compacted, 160 * MIB);
	ck_assert_uint_eq(answer.reported, 160 * MIB);
	ck_assert_uint_eq(answer.free, 160 * MIB);
	ck_assert_uint_eq(answer.elapsed_ms, 0xffffffff);
}
END_TEST

/* A driver that is not so far yet finds the request when it is. */
START_TEST(asked_before_there_is_a_chain)
{
	ck_assert_int_eq(ask_at(0), 0);
	ck_assert(!given_back());
	ck_assert_int_eq(ask_at(0), -EBUSY);
	give(0, 0);
	give(le32toh(taken().id), 0);
	ck_assert_int_eq(state(), BALLOON_RECLAIM_DONE);
}
END_TEST

START_TEST(one_at_a_time)
{
	give(0, 0);
	ck_assert_int_eq(ask_at(0), 0);
	ck_assert_int_eq(ask_at(0), -EBUSY);
	uint32_t id = le32toh(taken().id);
	ck_assert_int_eq(ask_at(0), -EBUSY);
	ck_assert(!given_back());
	give(id, 0);
	ck_assert_int_eq(ask_at(0), 0);
	ck_assert_uint_ne(taken().id, 0);
	COUNTED(reclaim, requests, 2);
}
END_TEST

/* --- who cannot ------------------------------------------------------------------------------ */

START_TEST(who_cannot_be_asked)
{
	static const uint64_t without[] = {V1, V1 | STATS | REPORTING, V1 | RECLAIM,
					   V1 | STATS | RECLAIM};

	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_int_eq(ask_at(0), -ENODEV);
	fake_driver_negotiate(&guest, ALL);
	ck_assert_int_eq(ask_at(0), -ENODEV);
	for (unsigned int i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
		balloon_start(without[i]);
		ck_assert_int_eq(ask_at(0), -EOPNOTSUPP);
	}
	ck_assert_int_eq(state(), BALLOON_RECLAIM_NONE);
	ck_assert_uint_eq(atomic_load(&told), 0);
	COUNTED(reclaim, requests, 0);

	/* Not offered: no driver could, whether there is one or not. */
	balloon_unplug();
	balloon_plug(&(struct balloon_config){0});
	ck_assert_int_eq(ask_at(0), -EOPNOTSUPP);
}
END_TEST

/* --- deadlines ------------------------------------------------------------------------------- */

START_TEST(a_deadline_and_a_late_answer)
{
	const uint64_t start = 1000, deadline = start + 2500 * MS + GRACE;

	give(0, 0);
	ask_at(start);
	uint32_t id = le32toh(taken().id);
	ck_assert_uint_eq(view_at(0).deadline, deadline);
	ck_assert_uint_eq(view_at(0).elapsed, 0); /* a clock read before it was asked */
	ck_assert_uint_eq(view_at(start + 7).elapsed, 7);
	ck_assert_int_eq(view_at(deadline - 1).state, BALLOON_RECLAIM_ASKED);
	ck_assert_int_eq(view_at(deadline).state, BALLOON_RECLAIM_UNANSWERED);
	ck_assert_uint_eq(view_at(~0ULL).elapsed, deadline - start);
	COUNTED(reclaim, timeouts, 1);
	/* The guest is still at it. */
	ck_assert_int_eq(ask_at(deadline), -EBUSY);
	ck_assert(!given_back());
	give(id, 0);
	ck_assert(!needs_reset());
	ck_assert_int_eq(state(), BALLOON_RECLAIM_UNANSWERED);
	ck_assert_uint_eq(atomic_load(&told), 0);
	COUNTED(reclaim, answered, 0);
	/* Its chain is back. */
	ck_assert_int_eq(ask_at(deadline), 0);
	uint32_t next = le32toh(taken().id);
	ck_assert_uint_ne(next, id);
	give(next, RECLAIM_TIMEOUT);
	ck_assert_int_eq(state(), BALLOON_RECLAIM_TIMEOUT);
	COUNTED(reclaim, timeouts, 1);
	COUNTED(reclaim, answered, 1);
}
END_TEST

/* Nobody waits for it any more, so it is not sent. */
START_TEST(given_up_before_it_was_sent)
{
	const struct balloon_reclaim_request request = {.cache = 0};

	ck_assert_int_eq(balloon_reclaim(&balloon, &request, 0), 0);
	ck_assert_uint_eq(view_at(0).deadline, 1000 * MS + GRACE);
	ck_assert_int_eq(view_at(1000 * MS + GRACE).state, BALLOON_RECLAIM_UNANSWERED);
	give(0, 0);
	ck_assert(!given_back());
	ck_assert_int_eq(balloon_reclaim(&balloon, &request, 0), 0);
	fake_driver_work(&guest);
	struct reclaim_request sent = taken();
	ck_assert_uint_eq(sent.flags, 0);
	ck_assert_uint_eq(sent.timeout_ms, 0);
	ck_assert_uint_eq(sent.cache, 0);
}
END_TEST

/* 0 answers nothing, so that no request has it. */
START_TEST(numbers_that_wrap)
{
	balloon.reclaim.id = 0xfffffffe;
	give(0, 0);
	ask_at(0);
	ck_assert_uint_eq(le32toh(taken().id), 0xffffffff);
	give(0xffffffff, 0);
	ask_at(0);
	ck_assert_uint_eq(le32toh(taken().id), 1);
	give(1, 0);
	ck_assert_int_eq(state(), BALLOON_RECLAIM_DONE);
}
END_TEST

/* --- resets ---------------------------------------------------------------------------------- */

START_TEST(a_reset_ends_the_request)
{
	give(0, 0);
	ask_at(0);
	if (_i)
		taken();
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_int_eq(state(), BALLOON_RECLAIM_GONE);
	ck_assert_uint_eq(atomic_load(&told), 1);
	/* The next driver begins anew, and is not asked for what the last one was. */
	balloon_start(ALL);
	give(0, 0);
	ck_assert(!given_back());
	ck_assert(!needs_reset());
	ck_assert_int_eq(ask_at(0), 0);
	give(le32toh(taken().id), 0);
	ck_assert_int_eq(state(), BALLOON_RECLAIM_DONE);
	/* What is over stays so. */
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_int_eq(state(), BALLOON_RECLAIM_DONE);
	ck_assert_uint_eq(atomic_load(&told), 2);
}
END_TEST

/* --- drivers that break the rules ------------------------------------------------------------ */

static const struct {
	const char *name;
	unsigned int n, readable;
	struct gpa_range buffer[4];
} shapes[] = {
	{"nothing to write to", 1, 1, {{ANSWER, 56}}},
	{"nothing to read", 1, 0, {{ASKED, 24}}},
	{"both to read", 2, 2, {{ANSWER, 56}, {ASKED, 24}}},
	{"both to write to", 2, 0, {{ANSWER, 56}, {ASKED, 24}}},
	{"an answer of 55", 2, 1, {{ANSWER, 55}, {ASKED, 24}}},
	{"an answer of 57", 2, 1, {{ANSWER, 57}, {ASKED, 24}}},
	{"an answer of none", 2, 1, {{ANSWER, 0}, {ASKED, 24}}},
	{"an answer of 4 GiB", 2, 1, {{ANSWER, 0xffffffff - 24}, {ASKED, 24}}},
	{"a request of 23", 2, 1, {{ANSWER, 56}, {ASKED, 23}}},
	{"a request of 25", 2, 1, {{ANSWER, 56}, {ASKED, 25}}},
	{"a request of none", 2, 1, {{ANSWER, 56}, {ASKED, 0}}},
	{"an answer in pieces", 3, 2, {{ANSWER, 28}, {ANSWER + 28, 28}, {ASKED, 24}}},
	{"a request in pieces", 3, 1, {{ANSWER, 56}, {ASKED, 12}, {ASKED + 12, 12}}},
	{"an answer nowhere", 2, 1, {{LOW_END, 56}, {ASKED, 24}}},
	{"an answer over the end", 2, 1, {{LOW_END - 55, 56}, {ASKED, 24}}},
	{"an answer that wraps", 2, 1, {{-8ULL, 56}, {ASKED, 24}}},
	{"a request nowhere", 2, 1, {{ANSWER, 56}, {LOW_END, 24}}},
	{"a request over the end", 2, 1, {{ANSWER, 56}, {HIGH_END - 23, 24}}},
	{"a request that wraps", 2, 1, {{ANSWER, 56}, {-8ULL, 24}}},
};

START_TEST(chains_of_another_shape)
{
	give(0, 0);
	ask_at(0);
	struct reclaim_response *response = fake_driver_at(&guest, ANSWER, 56);
	response->id = taken().id;
	fake_queue_add(ring, shapes[_i].buffer, shapes[_i].n, shapes[_i].readable);
	fake_driver_kick(&guest, RECLAIM_Q);
	ck_assert_msg(needs_reset(), "%s", shapes[_i].name);
	ck_assert(!given_back());
	/* Who asked need not wait for the deadline. */
	ck_assert_int_eq(state(), BALLOON_RECLAIM_GONE);
	ck_assert_uint_eq(atomic_load(&told), 1);
	COUNTED(reclaim, answered, 0);
	balloon_start(ALL);
	give(0, 0);
	ask_at(0);
	give(le32toh(taken().id), 0);
	ck_assert_int_eq(state(), BALLOON_RECLAIM_DONE);
}
END_TEST

START_TEST(answers_to_what_was_not_asked)
{
	/* The first that ever came; one more, or less, than was asked; none at all. */
	give(1, 0);
	ck_assert(needs_reset());
	for (int off = -1; off < 3; off++) {
		balloon_start(ALL);
		give(0, 0);
		ask_at(0);
		uint32_t id = le32toh(taken().id);
		give(off == 2 ? 0 : id + off, 0);
		ck_assert_int_eq(needs_reset(), off != 0);
		ck_assert_int_eq(state(), off ? BALLOON_RECLAIM_GONE : BALLOON_RECLAIM_DONE);
	}
}
END_TEST

START_TEST(a_second_chain)
{
	give(0, 0);
	give(0, 0);
	ck_assert(needs_reset());
	ck_assert(!given_back());
	balloon_start(ALL);
	give(0, 0);
	ask_at(0);
	uint32_t id = le32toh(taken().id);
	give(id, 0);
	ck_assert_int_eq(state(), BALLOON_RECLAIM_DONE);
	give(id, 0); /* the same answer twice */
	ck_assert(needs_reset());
	ck_assert_int_eq(state(), BALLOON_RECLAIM_DONE);
}
END_TEST

Suite *reclaim_suite(void);
Suite *reclaim_suite(void)
{
	Suite *suite = suite_create("reclaim");
	TCase *tcase = tcase_create("reclaim");
	tcase_add_checked_fixture(tcase, setup, balloon_unplug);
	tcase_add_test(tcase, a_request_and_its_answer);
	tcase_add_loop_test(tcase, each_status, 0, sizeof(ends) / sizeof(ends[0]));
	tcase_add_test(tcase, answers_are_bounded);
	tcase_add_test(tcase, asked_before_there_is_a_chain);
	tcase_add_test(tcase, one_at_a_time);
	tcase_add_test(tcase, who_cannot_be_asked);
	tcase_add_test(tcase, a_deadline_and_a_late_answer);
	tcase_add_test(tcase, given_up_before_it_was_sent);
	tcase_add_test(tcase, numbers_that_wrap);
	tcase_add_loop_test(tcase, a_reset_ends_the_request, 0, 2);
	tcase_add_loop_test(tcase, chains_of_another_shape, 0, sizeof(shapes) / sizeof(shapes[0]));
	tcase_add_test(tcase, answers_to_what_was_not_asked);
	tcase_add_test(tcase, a_second_chain);
	suite_add_tcase(suite, tcase);
	return suite;
}
