// SPDX-License-Identifier: Apache-2.0
/* Clients: against the server in a thread of its own, and against servers that are none. */
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
#include "vmm/control/call.h"
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

/* A client, its loop, and what it was told. */
struct asker {
	struct loop loop;
	struct control_client *client;
	bool pending;
	int err;
	json_t *reply;
	json_t *events; /* arrays of name and data, in the order that they came */
	int ended;
};

static void on_done(void *ctx, int err, json_t *reply)
{
	struct asker *asker = ctx;
	asker->pending = false;
	asker->err = err;
	asker->reply = json_incref(reply);
}

static void on_event(void *ctx, const char *name, const json_t *data)
{
	struct asker *asker = ctx;
	json_array_append_new(asker->events, json_pack("[s, O*]", name, data));
}

static void on_ended(void *ctx, int err)
{
	struct asker *asker = ctx;
	asker->ended = err;
}

static int wait_for(struct asker *asker)
{
	while (asker->pending)
		ck_assert_int_eq(loop_turn(&asker->loop, -1), 0);
	return asker->err;
}

static void start(struct asker *asker, const char *command, json_t *arguments, int milliseconds)
{
	json_decref(asker->reply);
	asker->reply = NULL;
	asker->pending = true;
	int err = control_client_start(asker->client, command, arguments, milliseconds, on_done,
				       asker);
	if (err)
		on_done(asker, err, NULL);
}

static int run(struct asker *asker, const char *command, json_t *arguments)
{
	start(asker, command, arguments, CONTROL_ANSWER_MS);
	return wait_for(asker);
}

static json_int_t number(const struct asker *asker)
{
	return json_integer_value(asker->reply);
}

static int open_to(struct asker *asker, const char *name)
{
	struct control_client_owner owner = {on_event, on_ended, asker};
	*asker = (struct asker){.pending = true, .events = json_array()};
	ck_assert_int_eq(loop_init(&asker->loop), 0);
	ck_assert_int_eq(
		control_client_open(&asker->client, &asker->loop, name, &owner, on_done, asker), 0);
	/* Never from within. */
	ck_assert(asker->pending);
	return wait_for(asker);
}

static void open_client(struct asker *asker)
{
	ck_assert_int_eq(open_to(asker, "one"), 0);
	ck_assert_ptr_null(asker->reply);
}

static void close_client(struct asker *asker)
{
	control_client_close(asker->client);
	loop_release(&asker->loop);
	json_decref(asker->events);
	json_decref(asker->reply);
}

static int open_and_close(const char *name)
{
	struct asker asker;
	int err = open_to(&asker, name);
	close_client(&asker);
	return err;
}

/* What came, as in "a b a b ". */
static const char *events(const struct asker *asker)
{
	static char text[256];
	json_t *event;
	size_t i;
	text[0] = '\0';
	json_array_foreach(asker->events, i, event)
	{
		strcat(text, json_string_value(json_array_get(event, 0)));
		strcat(text, " ");
	}
	return text;
}

START_TEST(test_commands)
{
	struct bench bench;
	struct asker asker;
	pthread_t thread;
	bench_init(&bench);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &bench), 0);
	open_client(&asker);
	json_t *arguments = json_pack("{s:[i,s]}", "a", 1, "\u00e9");
	ck_assert_int_eq(run(&asker, "echo", json_incref(arguments)), 0);
	ck_assert(json_equal(asker.reply, arguments));
	json_decref(arguments);
	ck_assert_int_eq(run(&asker, "fail", NULL), -EREMOTEIO);
	ck_assert_str_eq(json_string_value(asker.reply), "no luck");
	ck_assert_str_eq(control_client_error_class(asker.client), "GenericError");
	ck_assert_int_eq(run(&asker, "fail-class", NULL), -EREMOTEIO);
	ck_assert_str_eq(control_client_error_class(asker.client), "DeviceNotActive");
	/* An answer of many pieces, both ways round. */
	arguments = json_pack("{s:i}", "size", 1000000);
	ck_assert_int_eq(run(&asker, "big", arguments), 0);
	ck_assert_uint_eq(json_string_length(asker.reply), 1000000);
	ck_assert_str_eq(control_client_error_class(asker.client), "");

	/* Events come before the answer to the command that made them, in their order. */
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(run(&asker, "emit", NULL), 0);
	ck_assert_str_eq(events(&asker), "a b a b ");
	const json_t *data = json_array_get(json_array_get(asker.events, 1), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(data, "n")), 1);

	/* One step at a time; one that was given up does no harm. */
	start(&asker, "later", NULL, 30);
	ck_assert_int_eq(
		control_client_start(asker.client, "echo", json_object(), 30, on_done, &asker),
		-EBUSY);
	ck_assert_int_eq(wait_for(&asker), -ETIMEDOUT);
	ck_assert_ptr_null(asker.reply);
	ck_assert_int_eq(asker.ended, 0);
	close_client(&asker);

	open_client(&asker);
	ck_assert_int_eq(run(&asker, "quit", NULL), 0);
	pthread_join(thread, NULL);
	bench_release(&bench);
	while (!asker.ended)
		ck_assert_int_eq(loop_turn(&asker.loop, 5000), 0);
	ck_assert_int_eq(asker.ended, -EPIPE);
	ck_assert_int_eq(run(&asker, "echo", json_object()), -EPIPE);
	close_client(&asker);
	control_client_close(NULL);
	ck_assert_str_eq(log_text(), "");
}
END_TEST

static void *count_to_100(void *ctx)
{
	struct asker asker;
	open_client(&asker);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(run(&asker, i % 4 ? "count" : "emit", NULL), 0);
	close_client(&asker);
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
	open_client(&asker);
	ck_assert_int_eq(run(&asker, "count", NULL), 0);
	ck_assert_int_eq(number(&asker), THREADS * 75 + 1);
	ck_assert_int_eq(run(&asker, "quit", NULL), 0);
	close_client(&asker);
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

START_TEST(test_no_guest)
{
	struct runtime_name name;
	ck_assert_int_eq(open_and_close("one"), -ENOENT);
	ck_assert_int_eq(open_and_close("a/b"), -EINVAL);
	ck_assert_int_eq(open_and_close(""), -EINVAL);
	char longest[VM_NAME_MAX + 2];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(open_and_close(longest), -EINVAL);
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	ck_assert_int_eq(open_and_close("one"), -ECONNREFUSED);
	runtime_release(&name);
	ck_assert_str_eq(log_text(), "");
}
END_TEST

/* A backlog that is full: it is tried again until somebody accepts, and given up in time. */
START_TEST(test_backlog)
{
	struct runtime_name name;
	struct asker asker;
	int fd, fds[64], count = 0;
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	int listener = runtime_listen(&name);
	while (count < 64 && (fd = runtime_connect("one")) >= 0)
		fds[count++] = fd;
	ck_assert_int_eq(fd, -EAGAIN);
	double begin = now();
	ck_assert_int_eq(open_and_close("one"), -ETIMEDOUT);
	ck_assert(now() - begin > 4.9 && now() - begin < 8);

	struct control_client_owner owner = {on_event, on_ended, &asker};
	asker = (struct asker){.pending = true, .events = json_array()};
	ck_assert_int_eq(loop_init(&asker.loop), 0);
	ck_assert_int_eq(
		control_client_open(&asker.client, &asker.loop, "one", &owner, on_done, &asker), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(loop_turn(&asker.loop, -1), 0);
	ck_assert(asker.pending);
	while (count > 0) {
		close(accept(listener, NULL, NULL));
		close(fds[--count]);
	}
	int peer = -1;
	while (peer < 0) {
		ck_assert_int_eq(loop_turn(&asker.loop, -1), 0);
		peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	ck_assert_int_eq(send(peer, WELCOME, strlen(WELCOME), 0), (ssize_t)strlen(WELCOME));
	ck_assert_int_eq(wait_for(&asker), 0);
	close_client(&asker);
	close(peer);
	close(listener);
	runtime_release(&name);
	ck_assert_str_eq(log_text(), "");
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
	} table[] = {
		{"", true, -EPIPE},
		{"{\"QMP\": {", true, -EPIPE},
		{HELLO, true, -EPIPE},
		{"HTTP/1.0 400 Bad\r\n\r\n", false, -EPROTO},
		{"[]", false, -EPROTO},
		{"{}", false, -EPROTO},
		{"{\"error\": 1}", false, -EPROTO},
		{"{\"error\": {\"desc\": \"enough\"}}", true, -EREMOTEIO},
		{HELLO "{\"error\": {\"desc\": \"enough\"}, \"id\": 1}", false, -EREMOTEIO},
		{HELLO "{\"return\": {}}", true, -EPIPE},
		{HELLO "{\"return\": {}, \"id\": 2}", true, -EPIPE},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct liar liar;
		struct asker asker;
		liar_init(&liar, table[i].text, strlen(table[i].text), table[i].ends);
		int err = open_to(&asker, "one");
		ck_assert_msg(err == table[i].err, "%s: %d", table[i].text, err);
		if (err == -EREMOTEIO)
			ck_assert_str_eq(json_string_value(asker.reply), "enough");
		else
			ck_assert_ptr_null(asker.reply);
		/* It is of no use any more, and its owner was told once. */
		ck_assert_int_eq(run(&asker, "count", NULL), table[i].err);
		ck_assert_int_eq(asker.ended, 0);
		close_client(&asker);
		liar_release(&liar);
	}
}
END_TEST

/* Silence, and a trickle of what is no answer: five seconds, and it is said what may be wrong. */
START_TEST(test_silence)
{
	struct liar liar;
	struct asker asker;
	double begin = now();
	liar_init(&liar, "", 0, false);
	ck_assert_int_eq(open_and_close("one"), -ETIMEDOUT);
	ck_assert(now() - begin > 4.9 && now() - begin < 8);
	liar_release(&liar);

	/* A second for each fifty bytes: it is never quiet, and never done. */
	char text[1000];
	memset(text, ' ', sizeof(text));
	text[0] = '[';
	liar = (struct liar){.text = text, .len = sizeof(text), .slow = true, .fd = -1};
	liar_start(&liar);
	begin = now();
	ck_assert_int_eq(open_and_close("one"), -ETIMEDOUT);
	ck_assert(now() - begin > 4.9 && now() - begin < 8);
	liar_release(&liar);

	static const char answers[] = WELCOME "{\"event\": \"x\"}{\"event\": \"y\", \"data\": 1}";
	liar_init(&liar, answers, strlen(answers), false);
	open_client(&asker);
	begin = now();
	ck_assert_int_eq(run(&asker, "count", NULL), -ETIMEDOUT);
	ck_assert(now() - begin > 4.9 && now() - begin < 8);
	liar_join(&liar);
	/* What came meanwhile is not lost, and late answers are not taken for others. */
	ck_assert_str_eq(events(&asker), "x y ");
	static const char late[] = "{\"return\": 1, \"id\": 2}{\"return\": 2, \"id\": 3}";
	ck_assert_int_eq(send(liar.fd, late, strlen(late), 0), (ssize_t)strlen(late));
	ck_assert_int_eq(run(&asker, "count", NULL), 0);
	ck_assert_int_eq(number(&asker), 2);
	close_client(&asker);
	liar_release(&liar);
}
END_TEST

/* More than is to be kept: an endless message, events without end, and nobody who reads. */
START_TEST(test_floods)
{
	const size_t size = (size_t)6 << 20;
	struct liar liar;
	struct asker asker;
	char *text = malloc(size);
	memset(text, 'x', size);
	memcpy(text, WELCOME "\"", sizeof(WELCOME));
	liar_init(&liar, text, size, false);
	open_client(&asker);
	ck_assert_int_eq(run(&asker, "count", NULL), -EPROTO);
	ck_assert_int_eq(run(&asker, "count", NULL), -EPROTO);
	close_client(&asker);
	liar_release(&liar);

	size_t len = strlen(strcpy(text, WELCOME));
	for (int i = 0; i < 1000; i++)
		len += snprintf(text + len, 64, "{\"event\": \"x\", \"data\": %d}\r\n", i);
	len += snprintf(text + len, 64, "{\"return\": 7, \"id\": 2}");
	liar_init(&liar, text, len, false);
	open_client(&asker);
	ck_assert_int_eq(run(&asker, "count", NULL), 0);
	ck_assert_int_eq(number(&asker), 7);
	liar_join(&liar);
	ck_assert_uint_eq(json_array_size(asker.events), 1000);
	close_client(&asker);
	liar_release(&liar);

	liar_init(&liar, WELCOME, strlen(WELCOME), false);
	open_client(&asker);
	memset(text, 'x', size - 1);
	text[size - 1] = '\0';
	double begin = now();
	ck_assert_int_eq(run(&asker, "echo", json_pack("{s:s}", "text", text)), -ETIMEDOUT);
	ck_assert(now() - begin < 8);
	/* Half a command was sent: nothing can follow it. */
	begin = now();
	ck_assert_int_eq(run(&asker, "count", NULL), -ETIMEDOUT);
	ck_assert(now() - begin < 2);
	close_client(&asker);
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
	tcase_add_test(tcase, test_several_threads);
	tcase_add_test(tcase, test_calls);
	tcase_add_test(tcase, test_close_from_within);
	tcase_add_test(tcase, test_no_guest);
	tcase_add_test(tcase, test_backlog);
	tcase_add_test(tcase, test_no_greeting);
	tcase_add_test(tcase, test_silence);
	tcase_add_test(tcase, test_floods);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite;
}
