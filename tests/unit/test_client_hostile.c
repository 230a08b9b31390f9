// SPDX-License-Identifier: Apache-2.0
/* Clients against servers that are none: absent, silent, slow, wrong, talkative. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/asker.h"
#include "tests/unit/runtime_dir.h"
#include "vmm/control/runtime.h"

START_TEST(test_no_guest)
{
	struct runtime_name name;
	ck_assert_int_eq(asker_open_and_close("one"), -ENOENT);
	ck_assert_int_eq(asker_open_and_close("a/b"), -EINVAL);
	ck_assert_int_eq(asker_open_and_close(""), -EINVAL);
	char longest[VM_NAME_MAX + 2];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(asker_open_and_close(longest), -EINVAL);
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	ck_assert_int_eq(asker_open_and_close("one"), -ECONNREFUSED);
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
	double begin = asker_now();
	ck_assert_int_eq(asker_open_and_close("one"), -ETIMEDOUT);
	ck_assert(asker_now() - begin > 4.9 && asker_now() - begin < 30);

	struct control_client_owner owner = {asker_event, asker_ended, &asker};
	asker = (struct asker){.pending = true, .events = json_array()};
	ck_assert_int_eq(loop_init(&asker.loop), 0);
	ck_assert_int_eq(
		control_client_open(&asker.client, &asker.loop, "one", &owner, asker_done, &asker),
		0);
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
	ck_assert_int_eq(asker_wait(&asker), 0);
	asker_close(&asker);
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
		int err = asker_open_to(&asker, "one");
		ck_assert_msg(err == table[i].err, "%s: %d", table[i].text, err);
		if (err == -EREMOTEIO)
			ck_assert_str_eq(json_string_value(asker.reply), "enough");
		else
			ck_assert_ptr_null(asker.reply);
		/* It is of no use any more, and its owner was told once. */
		ck_assert_int_eq(asker_run(&asker, "count", NULL), table[i].err);
		ck_assert_int_eq(asker.ended, 0);
		asker_close(&asker);
		liar_release(&liar);
	}
}
END_TEST

/* Silence, and a trickle of what is no answer: five seconds, and it is said what may be wrong. */
START_TEST(test_silence)
{
	struct liar liar;
	struct asker asker;
	double begin = asker_now();
	liar_init(&liar, "", 0, false);
	ck_assert_int_eq(asker_open_and_close("one"), -ETIMEDOUT);
	ck_assert(asker_now() - begin > 4.9 && asker_now() - begin < 30);
	liar_release(&liar);

	/* A second for each fifty bytes: it is never quiet, and never done. */
	char text[1000];
	memset(text, ' ', sizeof(text));
	text[0] = '[';
	liar = (struct liar){.text = text, .len = sizeof(text), .slow = true, .fd = -1};
	liar_start(&liar);
	begin = asker_now();
	ck_assert_int_eq(asker_open_and_close("one"), -ETIMEDOUT);
	ck_assert(asker_now() - begin > 4.9 && asker_now() - begin < 30);
	liar_release(&liar);

	static const char answers[] = WELCOME "{\"event\": \"x\"}{\"event\": \"y\", \"data\": 1}";
	liar_init(&liar, answers, strlen(answers), false);
	asker_open(&asker);
	begin = asker_now();
	ck_assert_int_eq(asker_run(&asker, "count", NULL), -ETIMEDOUT);
	ck_assert(asker_now() - begin > 4.9 && asker_now() - begin < 30);
	liar_join(&liar);
	/* What came meanwhile is not lost, and late answers are not taken for others. */
	ck_assert_str_eq(asker_events(&asker), "x y ");
	static const char late[] = "{\"return\": 1, \"id\": 2}{\"return\": 2, \"id\": 3}";
	ck_assert_int_eq(send(liar.fd, late, strlen(late), 0), (ssize_t)strlen(late));
	ck_assert_int_eq(asker_run(&asker, "count", NULL), 0);
	ck_assert_int_eq(asker_number(&asker), 2);
	asker_close(&asker);
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
	asker_open(&asker);
	ck_assert_int_eq(asker_run(&asker, "count", NULL), -EPROTO);
	ck_assert_int_eq(asker_run(&asker, "count", NULL), -EPROTO);
	asker_close(&asker);
	liar_release(&liar);

	size_t len = strlen(strcpy(text, WELCOME));
	for (int i = 0; i < 1000; i++)
		len += snprintf(text + len, 64, "{\"event\": \"x\", \"data\": %d}\r\n", i);
	len += snprintf(text + len, 64, "{\"return\": 7, \"id\": 2}");
	liar_init(&liar, text, len, false);
	asker_open(&asker);
	ck_assert_int_eq(asker_run(&asker, "count", NULL), 0);
	ck_assert_int_eq(asker_number(&asker), 7);
	liar_join(&liar);
	ck_assert_uint_eq(json_array_size(asker.events), 1000);
	asker_close(&asker);
	liar_release(&liar);

	liar_init(&liar, WELCOME, strlen(WELCOME), false);
	asker_open(&asker);
	memset(text, 'x', size - 1);
	text[size - 1] = '\0';
	double begin = asker_now();
	ck_assert_int_eq(asker_run(&asker, "echo", json_pack("{s:s}", "text", text)), -ETIMEDOUT);
	ck_assert(asker_now() - begin < 30);
	/* Half a command was sent: nothing can follow it. */
	begin = asker_now();
	ck_assert_int_eq(asker_run(&asker, "count", NULL), -ETIMEDOUT);
	ck_assert(asker_now() - begin < 4.9);
	asker_close(&asker);
	liar_release(&liar);
	free(text);
}
END_TEST

Suite *client_hostile_suite(void);
Suite *client_hostile_suite(void)
{
	Suite *suite = suite_create("client, hostile");
	TCase *tcase = tcase_create("client, hostile");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, test_no_guest);
	tcase_add_test(tcase, test_backlog);
	tcase_add_test(tcase, test_no_greeting);
	tcase_add_test(tcase, test_silence);
	tcase_add_test(tcase, test_floods);
	suite_add_tcase(suite, tcase);
	return suite;
}
