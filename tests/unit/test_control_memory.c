// SPDX-License-Identifier: Apache-2.0
/* A server and a client on one loop, of whose allocations each one fails once. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/failing.h"
#include "tests/unit/qmp_bench.h"
#include "tests/unit/runtime_dir.h"
#include "vmm/control/client.h"

/* Check allocates too: while allocations fail nothing is asserted, but noted. */
struct told {
	bool done;
	int err;
	const char *command;
	const char *wrong; /* what a test is to fail with, or NULL */
};

static bool is_whole(const char *command, const json_t *reply)
{
	const char *text = json_string_value(json_object_get(reply, "text"));
	if (strcmp(command, "echo") == 0)
		return text && strlen(text) == 1000;
	return strcmp(command, "emit") == 0 ? json_is_object(reply) : json_array_size(reply) == 14;
}

static void on_done(void *ctx, int err, json_t *reply)
{
	struct told *told = ctx;
	told->done = true;
	told->err = err;
	/* Nobody waits in vain: what failed ended the request or the connection at once. */
	if (err == -ETIMEDOUT)
		told->wrong = "there was no answer";
	else if (err == -EREMOTEIO && strcmp(json_string_value(reply), "out of memory") != 0)
		told->wrong = "it failed for another reason";
	else if (!err && told->command && !is_whole(told->command, reply))
		told->wrong = "half an answer passed for a whole one";
}

static int wait_for(struct bench *bench, struct told *told)
{
	while (!told->done)
		loop_turn(&bench->loop, -1);
	return told->err;
}

/* Returns whether all went well. */
static bool run(struct bench *bench, struct control_client *client, struct told *told,
		const char *command, json_t *arguments)
{
	*told = (struct told){.command = command};
	int err =
		control_client_start(client, command, arguments, CONTROL_ANSWER_MS, on_done, told);
	return !err && wait_for(bench, told) == 0;
}

static bool talk(struct bench *bench, struct told *told)
{
	const struct control_client_owner owner = {.ctx = NULL};
	struct control_client *client;
	char text[1001];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	*told = (struct told){.command = NULL};
	if (control_client_open(&client, &bench->loop, "one", &owner, on_done, told))
		return false;
	bool well = wait_for(bench, told) == 0 &&
		    run(bench, client, told, "echo", json_pack("{s:s}", "text", text)) &&
		    run(bench, client, told, "emit", NULL) &&
		    run(bench, client, told, "query-commands", NULL);
	control_client_close(client);
	return well;
}

START_TEST(test_each_allocation)
{
	bool failed = true;
	unsigned int nth = 0;
	while (failed) {
		struct bench bench;
		struct told told;
		bench_init(&bench);
		/* One that is always ready would keep the loop from waiting. */
		loop_remove(&bench.loop, &bench.ticker);
		failing_arm(++nth);
		bool well = talk(&bench, &told);
		failed = failing_disarm();
		ck_assert_msg(!told.wrong, "%u, %s: %s", nth, told.command, told.wrong);
		ck_assert_msg(failed || well, "%u: %d", nth, told.err);
		/* The next one is served. */
		ck_assert(talk(&bench, &told));
		bench_release(&bench);
	}
	/* The reason for all this: those of the lexer are among them. */
	ck_assert_uint_gt(nth, 96);
}
END_TEST

Suite *control_memory_suite(void);
Suite *control_memory_suite(void)
{
	Suite *suite = suite_create("control_memory");
	TCase *tcase = tcase_create("control_memory");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, test_each_allocation);
	suite_add_tcase(suite, tcase);
	return suite;
}
