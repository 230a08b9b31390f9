// SPDX-License-Identifier: Apache-2.0
/* Clients against the server, in a thread of its own. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/asker.h"
#include "tests/unit/qmp_bench.h"
#include "tests/unit/runtime_dir.h"
#include "vmm/control/call.h"

static void *serve(void *ctx)
{
	struct bench *bench = ctx;
	bench->stop_at = -1ul;
	loop_remove(&bench->loop, &bench->ticker);
	loop_run(&bench->loop);
	return NULL;
}

START_TEST(test_commands)
{
	struct bench bench;
	struct asker asker;
	pthread_t thread;
	bench_init(&bench);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &bench), 0);
	asker_open(&asker);
	json_t *arguments = json_pack("{s:[i,s]}", "a", 1, "\u00e9");
	ck_assert_int_eq(asker_run(&asker, "echo", json_incref(arguments)), 0);
	ck_assert(json_equal(asker.reply, arguments));
	json_decref(arguments);
	ck_assert_int_eq(asker_run(&asker, "fail", NULL), -EREMOTEIO);
	ck_assert_str_eq(json_string_value(asker.reply), "no luck");
	ck_assert_str_eq(control_client_error_class(asker.client), "GenericError");
	ck_assert_int_eq(asker_run(&asker, "fail-class", NULL), -EREMOTEIO);
	ck_assert_str_eq(control_client_error_class(asker.client), "DeviceNotActive");
	/* An answer of many pieces, both ways round. */
	arguments = json_pack("{s:i}", "size", 1000000);
	ck_assert_int_eq(asker_run(&asker, "big", arguments), 0);
	ck_assert_uint_eq(json_string_length(asker.reply), 1000000);
	ck_assert_str_eq(control_client_error_class(asker.client), "");

	/* Events come before the answer to the command that made them, in their order. */
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(asker_run(&asker, "emit", NULL), 0);
	ck_assert_str_eq(asker_events(&asker), "a b a b ");
	const json_t *data = json_array_get(json_array_get(asker.events, 1), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(data, "n")), 1);

	/* One step at a time; one that was given up does no harm. */
	asker_start(&asker, "later", NULL, 30);
	ck_assert_int_eq(
		control_client_start(asker.client, "echo", json_object(), 30, asker_done, &asker),
		-EBUSY);
	ck_assert_int_eq(asker_wait(&asker), -ETIMEDOUT);
	ck_assert_ptr_null(asker.reply);
	ck_assert_int_eq(asker.ended, 0);
	asker_close(&asker);

	asker_open(&asker);
	ck_assert_int_eq(asker_run(&asker, "quit", NULL), 0);
	pthread_join(thread, NULL);
	bench_release(&bench);
	while (!asker.ended)
		ck_assert_int_eq(loop_turn(&asker.loop, 5000), 0);
	ck_assert_int_eq(asker.ended, -EPIPE);
	ck_assert_int_eq(asker_run(&asker, "echo", json_object()), -EPIPE);
	asker_close(&asker);
	control_client_close(NULL);
	ck_assert_str_eq(log_text(), "");
}
END_TEST

static void *count_to_100(void *ctx)
{
	struct asker asker;
	asker_open(&asker);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(asker_run(&asker, i % 4 ? "count" : "emit", NULL), 0);
	asker_close(&asker);
	return ctx;
}

START_TEST(test_several_threads)
{
	enum { THREADS = 8 };
	struct bench bench;
	struct asker asker;
	pthread_t server, threads[THREADS];
	bench_init(&bench);
	ck_assert_int_eq(pthread_create(&server, NULL, serve, &bench), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_to_100, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	asker_open(&asker);
	ck_assert_int_eq(asker_run(&asker, "count", NULL), 0);
	ck_assert_int_eq(asker_number(&asker), THREADS * 75 + 1);
	ck_assert_int_eq(asker_run(&asker, "quit", NULL), 0);
	asker_close(&asker);
	pthread_join(server, NULL);
	bench_release(&bench);
}
END_TEST

/* Several on one loop, waited for one after the other, while all are served. */
START_TEST(test_calls)
{
	enum { CALLS = 8 };
	struct bench bench;
	struct control_call calls[CALLS];
	struct loop loop;
	pthread_t thread;
	bench_init(&bench);
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &bench), 0);
	for (int i = 0; i < CALLS; i++)
		control_call_open(&calls[i], &loop, i == 1 ? "none" : "one");
	for (int i = 0; i < CALLS; i++)
		ck_assert_int_eq(control_call_wait(&calls[i], &loop), i == 1 ? -ENOENT : 0);
	/* The first is never answered, and costs the others nothing. */
	control_call_start(&calls[0], "later", NULL, 50);
	ck_assert_int_eq(control_call_wait_until(&calls[0], &loop, 0), -ETIMEDOUT);
	ck_assert(calls[0].pending);
	for (int i = 1; i < CALLS; i++)
		control_call_start(&calls[i], "count", NULL, CONTROL_ANSWER_MS);
	ck_assert_int_eq(control_call_wait(&calls[1], &loop), -ENOENT);
	for (int i = 2; i < CALLS; i++) {
		ck_assert_int_eq(control_call_wait(&calls[i], &loop), 0);
		ck_assert_ptr_nonnull(calls[i].reply);
	}
	ck_assert_int_eq(control_call_wait(&calls[0], &loop), -ETIMEDOUT);
	ck_assert_ptr_null(calls[0].reply);

	ck_assert(!control_call_wait_end(&calls[2], &loop, 0));
	control_call_start(&calls[2], "quit", NULL, CONTROL_ANSWER_MS);
	pthread_join(thread, NULL);
	bench_release(&bench);
	ck_assert(control_call_wait_end(&calls[2], &loop, INT64_MAX));
	ck_assert(control_call_wait_end(&calls[3], &loop, INT64_MAX));
	control_call_start(&calls[3], "count", NULL, CONTROL_ANSWER_MS);
	ck_assert_int_eq(control_call_wait(&calls[3], &loop), -EPIPE);
	for (int i = 0; i < CALLS; i++)
		control_call_close(&calls[i]);
	loop_release(&loop);
}
END_TEST

/* A callback may close its own client: of opening, of a command, of an event, of an end. */
struct suicide {
	struct control_client *client;
	enum { AT_OPEN, AT_ANSWER, AT_EVENT, AT_END, WAYS } way;
	bool dead;
	struct bench *bench;
	pthread_t thread; /* the bench's */
};

static void die(struct suicide *suicide)
{
	control_client_close(suicide->client);
	suicide->dead = true;
}

static void die_when_answered(void *ctx, int err, json_t *reply)
{
	struct suicide *suicide = ctx;
	(void)reply;
	ck_assert_int_eq(err, 0);
	ck_assert(!suicide->dead);
	if (suicide->way == AT_ANSWER)
		die(suicide);
	if (suicide->way == AT_END) {
		pthread_join(suicide->thread, NULL);
		bench_release(suicide->bench);
	}
}

static void die_when_open(void *ctx, int err, json_t *reply)
{
	struct suicide *suicide = ctx;
	(void)reply;
	ck_assert_int_eq(err, 0);
	if (suicide->way == AT_OPEN)
		die(suicide);
	else
		ck_assert_int_eq(control_client_start(
					 suicide->client, suicide->way == AT_END ? "quit" : "emit",
					 NULL, CONTROL_ANSWER_MS, die_when_answered, suicide),
				 0);
}

static void die_at_event(void *ctx, const char *name, const json_t *data)
{
	struct suicide *suicide = ctx;
	(void)name;
	(void)data;
	ck_assert(!suicide->dead);
	if (suicide->way == AT_EVENT)
		die(suicide);
}

static void die_at_end(void *ctx, int err)
{
	ck_assert_int_eq(err, -EPIPE);
	die(ctx);
}

START_TEST(test_close_from_within)
{
	struct bench bench;
	struct loop loop;
	pthread_t thread;
	bench_init(&bench);
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &bench), 0);
	for (int way = 0; way < WAYS; way++) {
		struct suicide suicide = {.way = way, .bench = &bench, .thread = thread};
		struct control_client_owner owner = {die_at_event, die_at_end, &suicide};
		ck_assert_int_eq(control_client_open(&suicide.client, &loop, "one", &owner,
						     die_when_open, &suicide),
				 0);
		while (!suicide.dead)
			ck_assert_int_eq(loop_turn(&loop, -1), 0);
	}
	loop_release(&loop);
}
END_TEST

Suite *client_suite(void);
Suite *client_suite(void)
{
	Suite *suite = suite_create("client");
	TCase *tcase = tcase_create("client");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, test_commands);
	tcase_add_test(tcase, test_several_threads);
	tcase_add_test(tcase, test_calls);
	tcase_add_test(tcase, test_close_from_within);
	suite_add_tcase(suite, tcase);
	return suite;
}
