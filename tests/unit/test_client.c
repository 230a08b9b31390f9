// SPDX-License-Identifier: Apache-2.0
/* ebb's own clients: against the server in a thread of its own, and against servers that are none. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/qmp_bench.h"
#include "tests/unit/runtime_dir.h"
#include "vmm/control/client.h"

#define HELLO	"{\"QMP\": {}}\r\n"
#define WELCOME HELLO "{\"return\": {}, \"id\": 1}\r\n"

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void *serve(void *ctx)
{
	struct bench *bench = ctx;
	bench->stop_at = -1ul;
	loop_remove(&bench->loop, &bench->ticker);
	loop_run(&bench->loop);
	return NULL;
}

static struct control_client *open_client(void)
{
	struct control_client *client;
	ck_assert_int_eq(control_client_open(&client, "one", false), 0);
	return client;
}

START_TEST(test_commands)
{
	struct bench bench;
	pthread_t thread;
	json_t *reply;
	bench_init(&bench);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &bench), 0);
	struct control_client *client = open_client();
	json_t *arguments = json_pack("{s:[i,s]}", "a", 1, "\u00e9");
	ck_assert_int_eq(control_client_run(client, "echo", json_incref(arguments), &reply), 0);
	ck_assert(json_equal(reply, arguments));
	json_decref(reply);
	json_decref(arguments);
	ck_assert_int_eq(control_client_run(client, "fail", NULL, &reply), -EREMOTEIO);
	ck_assert_str_eq(json_string_value(reply), "no luck");
	json_decref(reply);
	/* An answer of many pieces, both ways round. */
	arguments = json_pack("{s:i}", "size", 1000000);
	ck_assert_int_eq(control_client_run(client, "big", arguments, &reply), 0);
	ck_assert_uint_eq(json_string_length(reply), 1000000);
	json_decref(reply);

	/* Events: that came during a command, of a name, of any, and none. */
	json_t *data;
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(control_client_run(client, "emit", NULL, &reply), 0);
		json_decref(reply);
	}
	ck_assert_int_eq(control_client_event(client, "b", 0, &data), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(data, "n")), 1);
	json_decref(data);
	ck_assert_int_eq(control_client_event(client, "a", 0, &data), 0);
	ck_assert_ptr_null(data);
	ck_assert_int_eq(control_client_event(client, "c", 30, &data), -ETIMEDOUT);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(control_client_event(client, NULL, 0, &data), 0);
		json_decref(data);
	}
	ck_assert_int_eq(control_client_event(client, NULL, 30, &data), -ETIMEDOUT);

	ck_assert_int_eq(control_client_run(client, "quit", NULL, &reply), 0);
	json_decref(reply);
	pthread_join(thread, NULL);
	bench_release(&bench);
	ck_assert_int_eq(control_client_event(client, "SHUTDOWN", 5000, &data), -EPIPE);
	ck_assert_int_eq(control_client_run(client, "echo", NULL, &reply), -EPIPE);
	ck_assert_ptr_null(reply);
	control_client_close(client);
	control_client_close(NULL);
	ck_assert_str_eq(log_text(), "");
}
END_TEST

/* In two steps, with a limit of one's own; and which kind of refusal it was. */
START_TEST(test_start_and_finish)
{
	struct bench bench;
	pthread_t thread;
	json_t *reply;
	bench_init(&bench);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &bench), 0);
	struct control_client *client[2] = {open_client(), open_client()};
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(control_client_start(client[i], i ? "later" : "echo", NULL), 0);
	ck_assert_int_eq(control_client_finish(client[0], 5000, &reply), 0);
	json_decref(reply);
	ck_assert_int_eq(control_client_finish(client[1], 30, &reply), -ETIMEDOUT);
	ck_assert_ptr_null(reply);
	ck_assert_str_eq(control_client_error_class(client[0]), "");
	ck_assert_int_eq(control_client_run(client[0], "fail-class", NULL, &reply), -EREMOTEIO);
	ck_assert_str_eq(control_client_error_class(client[0]), "DeviceNotActive");
	json_decref(reply);
	ck_assert_int_eq(control_client_run(client[0], "echo", NULL, &reply), 0);
	ck_assert_str_eq(control_client_error_class(client[0]), "");
	json_decref(reply);
	ck_assert_int_eq(control_client_run(client[0], "quit", NULL, &reply), 0);
	json_decref(reply);
	pthread_join(thread, NULL);
	bench_release(&bench);
	ck_assert_int_eq(control_client_finish(client[1], 5000, &reply), -EPIPE);
	ck_assert_int_eq(control_client_start(client[1], "echo", NULL), -EPIPE);
	ck_assert_int_eq(control_client_finish(client[1], 5000, &reply), -EPIPE);
	for (int i = 0; i < 2; i++)
		control_client_close(client[i]);
}
END_TEST

static void *count_to_100(void *ctx)
{
	json_t *reply;
	struct control_client *client = open_client();
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(control_client_run(client, i % 4 ? "count" : "emit", NULL, &reply),
				 0);
		json_decref(reply);
	}
	control_client_close(client);
	return ctx;
}

START_TEST(test_several_threads)
{
	enum { THREADS = 8 };
	struct bench bench;
	pthread_t server, threads[THREADS];
	json_t *reply;
	bench_init(&bench);
	ck_assert_int_eq(pthread_create(&server, NULL, serve, &bench), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_to_100, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	struct control_client *client = open_client();
	ck_assert_int_eq(control_client_run(client, "count", NULL, &reply), 0);
	ck_assert_int_eq(json_integer_value(reply), THREADS * 75 + 1);
	json_decref(reply);
	ck_assert_int_eq(control_client_run(client, "quit", NULL, &reply), 0);
	json_decref(reply);
	control_client_close(client);
	pthread_join(server, NULL);
	bench_release(&bench);
}
END_TEST

START_TEST(test_no_guest)
{
	struct control_client *client = (void *)1;
	struct runtime_name name;
	ck_assert_int_eq(control_client_open(&client, "one", true), -ENOENT);
	ck_assert_ptr_null(client);
	ck_assert_str_eq(log_text(), "");
	ck_assert_int_eq(control_client_open(&client, "one", false), -ENOENT);
	assert_said("no guest called \"one\"");
	ck_assert_int_eq(control_client_open(&client, "a/b", false), -EINVAL);
	assert_said("slash");
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	ck_assert_int_eq(control_client_open(&client, "one", false), -ECONNREFUSED);
	assert_said("does not listen");
	runtime_release(&name);
}
END_TEST

/* A server that says @text whatever it is asked, and ends if @ends. */
struct liar {
	struct runtime_name name;
	int listener;
	int fd;
	const char *text;
	size_t len;
	bool ends;
	bool slow; /* a byte at a time */
	bool joined;
	pthread_t thread;
};

static void *lie(void *ctx)
{
	struct liar *liar = ctx;
	liar->fd = accept(liar->listener, NULL, NULL);
	for (size_t sent = 0; liar->fd >= 0 && sent < liar->len;) {
		size_t part = liar->slow ? 1 : liar->len - sent;
		ssize_t len = send(liar->fd, liar->text + sent, part, MSG_NOSIGNAL);
		if (liar->slow)
			usleep(20000);
		if (len < 0)
			break;
		sent += len;
	}
	if (liar->ends && liar->fd >= 0)
		shutdown(liar->fd, SHUT_RDWR);
	return NULL;
}

static void liar_start(struct liar *liar)
{
	ck_assert_int_eq(runtime_claim(&liar->name, "one"), 0);
	liar->listener = runtime_listen(&liar->name);
	ck_assert_int_ge(liar->listener, 0);
	/* accept() is to wait. */
	int flags = 0;
	ck_assert_int_eq(fcntl(liar->listener, F_SETFL, flags), 0);
	ck_assert_int_eq(pthread_create(&liar->thread, NULL, lie, liar), 0);
}

static void liar_init(struct liar *liar, const char *text, size_t len, bool ends)
{
	*liar = (struct liar){.text = text, .len = len, .ends = ends, .fd = -1};
	liar_start(liar);
}

/* When it has said all. */
static void liar_join(struct liar *liar)
{
	if (!liar->joined)
		pthread_join(liar->thread, NULL);
	liar->joined = true;
}

static void liar_release(struct liar *liar)
{
	shutdown(liar->listener, SHUT_RDWR);
	liar_join(liar);
	close(liar->fd);
	close(liar->listener);
	runtime_release(&liar->name);
}

START_TEST(test_no_greeting)
{
	static const struct {
		const char *text;
		bool ends;
		int err;
		const char *said;
	} table[] = {
		{"", true, -EPIPE, "one"},
		{"{\"QMP\": {", true, -EPIPE, "one"},
		{HELLO, true, -EPIPE, "one"},
		{"HTTP/1.0 400 Bad\r\n\r\n", false, -EPROTO, "one"},
		{"[]", false, -EPROTO, "one"},
		{"{}", false, -EPROTO, "one"},
		{"{\"error\": 1}", false, -EPROTO, "one"},
		{"{\"error\": {\"desc\": \"enough\"}}", true, -EREMOTEIO, "enough"},
		{HELLO "{\"error\": {\"desc\": \"enough\"}, \"id\": 1}", false, -EREMOTEIO,
		 "enough"},
		{HELLO "{\"return\": {}}", true, -EPIPE, "one"},
		{HELLO "{\"return\": {}, \"id\": 2}", true, -EPIPE, "one"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct liar liar;
		struct control_client *client;
		liar_init(&liar, table[i].text, strlen(table[i].text), table[i].ends);
		int err = control_client_open(&client, "one", false);
		ck_assert_msg(err == table[i].err, "%s: %d", table[i].text, err);
		ck_assert_ptr_null(client);
		assert_said(table[i].said);
		liar_release(&liar);
	}
}
END_TEST

/* Silence, and a trickle of what is no answer: five seconds, and it is said what may be wrong. */
START_TEST(test_silence)
{
	struct liar liar;
	struct control_client *client;
	json_t *reply;
	double begin = now();
	liar_init(&liar, "", 0, false);
	ck_assert_int_eq(control_client_open(&client, "one", false), -ETIMEDOUT);
	ck_assert(now() - begin > 4.9 && now() - begin < 8);
	assert_said("stopped");
	liar_release(&liar);

	/* A second for each fifty bytes: it is never quiet, and never done. */
	char text[1000];
	memset(text, ' ', sizeof(text));
	text[0] = '[';
	liar = (struct liar){.text = text, .len = sizeof(text), .slow = true, .fd = -1};
	liar_start(&liar);
	begin = now();
	ck_assert_int_eq(control_client_open(&client, "one", false), -ETIMEDOUT);
	ck_assert(now() - begin > 4.9 && now() - begin < 8);
	liar_release(&liar);

	static const char events[] = WELCOME "{\"event\": \"x\"}{\"event\": \"y\", \"data\": 1}";
	liar_init(&liar, events, strlen(events), false);
	client = open_client();
	begin = now();
	ck_assert_int_eq(control_client_run(client, "count", NULL, &reply), -ETIMEDOUT);
	ck_assert(now() - begin > 4.9 && now() - begin < 8);
	liar_join(&liar);
	/* What came meanwhile is not lost, and late answers are not taken for others. */
	ck_assert_int_eq(control_client_event(client, "y", 0, &reply), 0);
	ck_assert_int_eq(json_integer_value(reply), 1);
	json_decref(reply);
	static const char late[] = "{\"return\": 1, \"id\": 2}{\"return\": 2, \"id\": 3}";
	ck_assert_int_eq(send(liar.fd, late, strlen(late), 0), (ssize_t)strlen(late));
	ck_assert_int_eq(control_client_run(client, "count", NULL, &reply), 0);
	ck_assert_int_eq(json_integer_value(reply), 2);
	json_decref(reply);
	control_client_close(client);
	liar_release(&liar);
}
END_TEST

/* More than is to be kept: an endless message, events without end, and nobody who reads. */
START_TEST(test_floods)
{
	const size_t size = (size_t)6 << 20;
	struct liar liar;
	struct control_client *client;
	json_t *reply;
	char *text = malloc(size);
	memset(text, 'x', size);
	memcpy(text, WELCOME "\"", sizeof(WELCOME));
	liar_init(&liar, text, size, false);
	client = open_client();
	ck_assert_int_eq(control_client_run(client, "count", NULL, &reply), -EPROTO);
	ck_assert_int_eq(control_client_run(client, "count", NULL, &reply), -EPROTO);
	control_client_close(client);
	liar_release(&liar);

	size_t len = strlen(strcpy(text, WELCOME));
	for (int i = 0; i < 1000; i++)
		len += snprintf(text + len, 64, "{\"event\": \"x\", \"data\": %d}\r\n", i);
	len += snprintf(text + len, 64, "{\"return\": 7, \"id\": 2}");
	liar_init(&liar, text, len, false);
	client = open_client();
	ck_assert_int_eq(control_client_run(client, "count", NULL, &reply), 0);
	ck_assert_int_eq(json_integer_value(reply), 7);
	json_decref(reply);
	liar_join(&liar);
	/* The newest are kept. */
	ck_assert_int_eq(control_client_event(client, "x", 0, &reply), 0);
	ck_assert_int_eq(json_integer_value(reply), 1000 - 64);
	json_decref(reply);

	memset(text, 'x', size - 1);
	text[size - 1] = '\0';
	double begin = now();
	json_t *arguments = json_pack("{s:s}", "text", text);
	ck_assert_int_eq(control_client_run(client, "echo", arguments, &reply), -ETIMEDOUT);
	ck_assert(now() - begin < 8);
	/* Half a command was sent: nothing can follow it. */
	begin = now();
	ck_assert_int_eq(control_client_run(client, "count", NULL, &reply), -ETIMEDOUT);
	ck_assert(now() - begin < 2);
	control_client_close(client);
	liar_release(&liar);
	free(text);
}
END_TEST

Suite *client_suite(void);
Suite *client_suite(void)
{
	Suite *suite = suite_create("client");
	TCase *tcase = tcase_create("client");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, test_commands);
	tcase_add_test(tcase, test_start_and_finish);
	tcase_add_test(tcase, test_several_threads);
	tcase_add_test(tcase, test_no_guest);
	tcase_add_test(tcase, test_no_greeting);
	tcase_add_test(tcase, test_silence);
	tcase_add_test(tcase, test_floods);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite;
}
