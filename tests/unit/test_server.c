// SPDX-License-Identifier: Apache-2.0
/* What a client that behaves is told; test_server_hostile.c has the others. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/qmp_bench.h"
#include "tests/unit/runtime_dir.h"
#include "vmm/lib/version.h"

#define GREETING                                                                                   \
	"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 0}, "          \
	"\"package\": \"ebb " EBB_VERSION "\"}, \"capabilities\": []}}\r\n"
#define NEGOTIATE     "{\"execute\":\"qmp_capabilities\"}"
#define OK	      "{\"return\": {}}\r\n"
#define FAILED(desc)  "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" desc "\"}}\r\n"
#define UNKNOWN(desc) "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"" desc "\"}}\r\n"

START_TEST(test_negotiation)
{
	struct bench bench;
	bench_init(&bench);
	int fd = bench_connect(&bench);
	bench_rounds(&bench, 3);
	ck_assert_str_eq(get(fd, NULL), GREETING);
	const char *not_yet = UNKNOWN("Expecting capabilities negotiation with 'qmp_capabilities'");
	ck_assert_str_eq(ask(&bench, fd, "{\"execute\":\"echo\"}"), not_yet);
	ck_assert_str_eq(ask(&bench, fd, "{\"execute\":\"query-version\"}"), not_yet);
	ck_assert_str_eq(ask(&bench, fd, "{\"execute\":\"nonsense\"}"), not_yet);
	/* No events either. */
	control_server_event(bench.server, "STOP", NULL);
	static const struct {
		const char *arguments, *answer;
	} refused[] = {
		{"{\"enable\":[\"oob\"]}", FAILED("Capability oob not available")},
		{"{\"enable\":[1]}", FAILED("Capability of no name not available")},
		{"{\"enable\":1}", FAILED("Invalid parameter type for 'enable', expected: array")},
		{"{\"y\":1}", FAILED("Parameter 'y' is unexpected")},
	};
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char text[128];
		snprintf(text, sizeof(text), "{\"execute\":\"qmp_capabilities\",\"arguments\":%s}",
			 refused[i].arguments);
		ck_assert_str_eq(ask(&bench, fd, text), refused[i].answer);
	}
	ck_assert_str_eq(ask(&bench, fd, "{\"execute\":\"echo\"}"), not_yet);
	ck_assert_str_eq(
		ask(&bench, fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}"),
		OK);
	ck_assert_str_eq(ask(&bench, fd, "{\"execute\":\"echo\"}"), OK);
	ck_assert_str_eq(ask(&bench, fd, NEGOTIATE),
			 UNKNOWN("Capabilities negotiation is already complete, command ignored"));
	close(fd);
	bench_release(&bench);
}
END_TEST

/* clang-format off */
static const struct {
	const char *request, *answer;
} table[] = {
	{"{\"execute\":\"echo\",\"arguments\":{\"a\":[1,\"\u00e9\"]}}", "{\"return\": {\"a\": [1, \"\\u00E9\"]}}\r\n"},
	{"{\"execute\":\"echo\",\"id\":7}", "{\"return\": {}, \"id\": 7}\r\n"},
	{"{\"execute\":\"echo\",\"id\":null}", "{\"return\": {}, \"id\": null}\r\n"},
	{"{\"id\":{\"a\":[1.5,true,\"x\"]},\"execute\":\"echo\"}", "{\"return\": {}, \"id\": {\"a\": [1.5, true, \"x\"]}}\r\n"},
	{"{'execute':'echo','id':'it\\'s'}", "{\"return\": {}, \"id\": \"it's\"}\r\n"},
	{"{\"execute\":\"fail\",\"id\":[]}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no luck\"}, \"id\": []}\r\n"},
	{"{\"execute\":\"fail-class\"}", "{\"error\": {\"class\": \"DeviceNotActive\", \"desc\": \"No balloon device\"}}\r\n"},
	{"{\"execute\":\"fail-silently\"}", FAILED("out of memory")},
	{"{\"execute\":\"echo\",\"x\":1,\"id\":7}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input member 'x' is unexpected\"}, \"id\": 7}\r\n"},
	{"{\"exec-oob\":\"echo\"}", FAILED("QMP input member 'exec-oob' is unexpected")},
	{"{\"execute\":\"echo\",\"arguments\":[]}", FAILED("QMP input member 'arguments' must be an object")},
	{"{\"execute\":\"echo\",\"arguments\":null}", FAILED("QMP input member 'arguments' must be an object")},
	{"{\"execute\":1}", FAILED("QMP input member 'execute' must be a string")},
	{"{}", FAILED("QMP input lacks member 'execute'")},
	{"[{\"execute\":\"echo\"}]", FAILED("QMP input must be a JSON object")},
	{"\"echo\"", FAILED("QMP input must be a JSON object")},
	{"{\"execute\":\"nonsense\"}", UNKNOWN("The command nonsense has not been found")},
	{"{\"execute\":\"\"}", UNKNOWN("The command  has not been found")},
	{"{\"execute\":\"a\\n\u00e9\"}", UNKNOWN("The command a\\n\\u00E9 has not been found")},
	{"{\"execute\":\"query-version\"}", "{\"return\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 0}, \"package\": \"ebb " EBB_VERSION "\"}}\r\n"},
	{"{\"execute\":\"query-version\",\"arguments\":{\"a\":1}}", FAILED("Parameter 'a' is unexpected")},
	{"{\"execute\":\"query-commands\"}",
	 "{\"return\": [{\"name\": \"qmp_capabilities\"}, {\"name\": \"query-version\"}, {\"name\": \"query-commands\"}, "
	 "{\"name\": \"echo\"}, {\"name\": \"fail\"}, {\"name\": \"fail-class\"}, {\"name\": \"fail-long\"}, "
	 "{\"name\": \"fail-silently\"}, {\"name\": \"big\"}, {\"name\": \"emit\"}, {\"name\": \"count\"}, {\"name\": \"later\"}, {\"name\": \"take\"}, {\"name\": \"quit\"}]}\r\n"},
	{"}", FAILED("JSON parse error, unexpected '}'")},
	{"\xff\n", FAILED("JSON parse error, stray byte 0xff")},
	{"{\"execute\":\"e\xff\n", FAILED("JSON parse error, stray byte 0xff")},
	{"{\"execute\":}", FAILED("JSON parse error, unexpected '}'")},
	{"{\"execute\":\"\xc3(\"}", FAILED("JSON parse error, a string is not UTF-8")},
};
/* clang-format on */

START_TEST(test_answers)
{
	struct bench bench;
	bench_init(&bench);
	int fd = bench_negotiated(&bench);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		ck_assert_str_eq(ask(&bench, fd, table[i].request), table[i].answer);

	/* An error's text that was cut within a character, and a name of great length. */
	const char *answer = ask(&bench, fd, "{\"execute\":\"fail-long\",\"id\":1}");
	ck_assert_msg(strstr(answer, "desc\": \"\\u00E9\\u00E9") &&
			      strstr(answer, "\\u00E9\\\\xc3\"}, \"id\": 1}\r\n"),
		      "%s", answer);
	char text[1100] = "{\"execute\":\"";
	for (int i = 0; i < 500; i++)
		strcat(text, "\u00e9");
	answer = ask(&bench, fd, strcat(text, "\"}"));
	ck_assert_msg(strstr(answer, "CommandNotFound") && strstr(answer, " has not been found"),
		      "%s", answer);
	close(fd);
	bench_release(&bench);
}
END_TEST

/* Sent at once they are answered in turn, and what comes in pieces is one. */
START_TEST(test_pieces)
{
	struct bench bench;
	bench_init(&bench);
	int fd = bench_negotiated(&bench);
	ck_assert_str_eq(
		ask(&bench, fd,
		    "{\"execute\":\"count\"}{\"execute\":\"count\"}\r\n"
		    "\xff\n 1 {\"execute\":\"count\"}"),
		"{\"return\": 1}\r\n{\"return\": 2}\r\n" FAILED("JSON parse error, stray byte 0xff")
			FAILED("QMP input must be a JSON object") "{\"return\": 3}\r\n");
	const char *text = "{\"execute\":\"count\", \"id\": \"piece\"}";
	for (const char *at = text; *at; at++) {
		ck_assert_str_eq(get(fd, NULL), "");
		put_bytes(fd, at, 1);
		bench_rounds(&bench, 2);
	}
	ck_assert_str_eq(get(fd, NULL), "{\"return\": 4, \"id\": \"piece\"}\r\n");
	close(fd);
	bench_release(&bench);
}
END_TEST

START_TEST(test_events)
{
	struct bench bench;
	bench_init(&bench);
	int fd = bench_negotiated(&bench), other = bench_negotiated(&bench);
	int young = bench_connect(&bench);
	struct timeval before, after;
	long long seconds, microseconds;
	gettimeofday(&before, NULL);
	/* A command's events come before its answer; others get them too. */
	char answer[1024];
	strcpy(answer, ask(&bench, fd, "{\"execute\":\"emit\"}"));
	gettimeofday(&after, NULL);
	ck_assert_int_eq(sscanf(answer,
				"{\"timestamp\": {\"seconds\": %lld, \"microseconds\": %lld}, "
				"\"event\": \"a\"}",
				&seconds, &microseconds),
			 2);
	ck_assert_int_ge(microseconds, 0);
	ck_assert_int_lt(microseconds, 1000000);
	ck_assert_int_ge(seconds, before.tv_sec);
	ck_assert_int_le(seconds, after.tv_sec);
	const char *a = strstr(answer, "\"event\": \"a\"}\r\n");
	const char *b = strstr(answer, "\"event\": \"b\", \"data\": {\"n\": 1}}\r\n");
	const char *end = strstr(answer, OK);
	ck_assert(a && b && end && a < b && b < end && end[strlen(OK)] == '\0');
	const char *theirs = get(other, NULL);
	ck_assert(strstr(theirs, "\"a\"}\r\n") && strstr(theirs, "\"b\", ") &&
		  !strstr(theirs, "return"));
	ck_assert_str_eq(get(young, NULL), GREETING);
	close(fd);
	close(other);
	close(young);
	bench_release(&bench);
}
END_TEST

static void change(struct bench *bench, int actual)
{
	control_server_event(bench->server, "BALLOON_CHANGE", json_pack("{s:i}", "actual", actual));
}

/* Rounds until something can be read, with a limit. Returns the milliseconds from *@since to then, its new value. */
static double wait_readable(struct bench *bench, int fd, struct timeval *since)
{
	struct timeval now = *since;
	struct pollfd wanted = {.fd = fd, .events = POLLIN};
	double took = 0;
	while (poll(&wanted, 1, 1) == 0 && took < 5000) {
		bench_rounds(bench, 1);
		gettimeofday(&now, NULL);
		took = (now.tv_sec - since->tv_sec) * 1e3 + (now.tv_usec - since->tv_usec) / 1e3;
	}
	*since = now;
	return took;
}

START_TEST(test_event_rate)
{
	struct bench bench;
	bench_init(&bench);
	int fd = bench_negotiated(&bench);
	struct timeval since;
	gettimeofday(&since, NULL);
	for (int i = 0; i < 1000; i++)
		change(&bench, i);
	/* Others are not held back, nor wait for it. */
	control_server_event(bench.server, "RESUME", NULL);
	const char *text = get(fd, NULL);
	ck_assert(strstr(text, "{\"actual\": 0}}\r\n") && strstr(text, "RESUME"));
	ck_assert_ptr_null(strstr(text, "\"actual\": 1"));
	/* A second later comes the last one, and a second after that the next. */
	double took = wait_readable(&bench, fd, &since);
	ck_assert_msg(took > 900 && took < 3000, "%f", took);
	text = get(fd, NULL);
	ck_assert(strstr(text, "{\"actual\": 999}}\r\n"));
	ck_assert_ptr_eq(strstr(text, "BALLOON"), strrchr(text, 'B'));
	change(&bench, 2000);
	ck_assert_str_eq(get(fd, NULL), "");
	took = wait_readable(&bench, fd, &since);
	ck_assert_msg(took > 900 && took < 3000, "%f", took);
	ck_assert(strstr(get(fd, NULL), "{\"actual\": 2000}}\r\n"));
	/* What is held back at the end is told. */
	change(&bench, 3000);
	ck_assert_str_eq(get(fd, NULL), "");
	bench_release(&bench);
	bool ended;
	ck_assert(strstr(get(fd, &ended), "{\"actual\": 3000}}\r\n"));
	ck_assert(ended);
	close(fd);
}
END_TEST

START_TEST(test_quit_is_answered)
{
	struct bench bench;
	bool ended;
	bench_init(&bench);
	int fd = bench_negotiated(&bench), other = bench_negotiated(&bench);
	put(fd, "{\"execute\":\"quit\",\"id\":1}");
	bench_rounds(&bench, 100);
	ck_assert(bench.quit);
	ck_assert_uint_lt(bench.ticks, bench.stop_at);
	control_server_event(bench.server, "SHUTDOWN", json_pack("{s:b}", "guest", 0));
	bench_release(&bench);
	const char *text = get(fd, &ended);
	ck_assert_ptr_nonnull(strstr(text, "{\"return\": {}, \"id\": 1}\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "SHUTDOWN"));
	ck_assert(ended);
	ck_assert_ptr_nonnull(strstr(get(other, &ended), "SHUTDOWN"));
	ck_assert(ended);
	close(fd);
	close(other);
}
END_TEST

/* It sends all it has to say and says so; or goes away without waiting for the answers. */
START_TEST(test_half_closed)
{
	struct bench bench;
	bool ended;
	bench_init(&bench);
	int fd = bench_connect(&bench);
	put(fd, NEGOTIATE "{\"execute\":\"count\"}");
	shutdown(fd, SHUT_WR);
	bench_rounds(&bench, 20);
	ck_assert_str_eq(get(fd, &ended), GREETING OK "{\"return\": 1}\r\n");
	ck_assert(ended);
	close(fd);
	fd = bench_connect(&bench);
	put(fd, NEGOTIATE "{\"execute\":\"count\"}{\"execute\":\"count\"}");
	close(fd);
	bench_rounds(&bench, 20);
	ck_assert_uint_eq(bench.count, 3);
	bench_release(&bench);
	control_server_release(NULL);
}
END_TEST

/* --- descriptors ----------------------------------------------------------------------------- */

#define TAKE	     "{\"execute\":\"take\"}"
#define ANSWER(text) "{\"return\": \"" text "\"}\r\n"

/* Sends @text with the ends of pipes that @bytes are in. */
static void put_pipes(int fd, const char *text, const char *bytes)
{
	size_t n = strlen(bytes);
	union {
		char space[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} room = {{0}};
	struct iovec iov = {(void *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = room.space,
				 .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int ends[4];

	*c = (struct cmsghdr){CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	for (size_t i = 0; i < n; i++) {
		int pair[2];
		ck_assert_int_eq(pipe(pair), 0);
		ck_assert_int_eq(write(pair[1], &bytes[i], 1), 1);
		close(pair[1]);
		ends[i] = pair[0];
	}
	memcpy(CMSG_DATA(c), ends, n * sizeof(int));
	ck_assert_int_eq(sendmsg(fd, &message, 0), (ssize_t)strlen(text));
	for (size_t i = 0; i < n; i++)
		close(ends[i]);
}

static const char *answers(struct bench *bench, int fd)
{
	bench_rounds(bench, 8);
	return get(fd, NULL);
}

/* The lowest number that is free: the same as before if nothing stays open. */
static int lowest_free(void)
{
	int fd = dup(0);
	close(fd);
	return fd;
}

START_TEST(test_a_descriptor_comes_with_its_command)
{
	struct bench bench;
	bench_init(&bench);
	int fd = bench_negotiated(&bench);
	int before = lowest_free();

	ck_assert_str_eq(ask(&bench, fd, TAKE), ANSWER("none"));
	put_pipes(fd, TAKE, "a");
	ck_assert_str_eq(answers(&bench, fd), ANSWER("a"));
	/* All there at once: each command has its own, and the one between has none. */
	put_pipes(fd, TAKE, "b");
	put(fd, TAKE);
	put_pipes(fd, TAKE, "c");
	ck_assert_str_eq(answers(&bench, fd), ANSWER("b") ANSWER("none") ANSWER("c"));
	/* Two commands in one message of the socket: it is the first's. */
	put_pipes(fd, TAKE TAKE, "d");
	ck_assert_str_eq(answers(&bench, fd), ANSWER("d") ANSWER("none"));
	/* With the second half of a command; and two halves with one each: the last. */
	put(fd, "{\"execute\":");
	put_pipes(fd, "\"take\"}", "e");
	ck_assert_str_eq(answers(&bench, fd), ANSWER("e"));
	put_pipes(fd, "{\"execute\":", "f");
	put_pipes(fd, "\"take\"}", "g");
	ck_assert_str_eq(answers(&bench, fd), ANSWER("g"));
	ck_assert_int_eq(lowest_free(), before);
	bench_release(&bench);
}
END_TEST

START_TEST(test_no_descriptor_stays_open)
{
	struct bench bench;
	bench_init(&bench);
	int fd = bench_negotiated(&bench);
	int before = lowest_free();

	/* Nobody wants it; too many; with half a command, and then the client goes. */
	for (unsigned int i = 0; i < 100; i++) {
		put_pipes(fd, "{\"execute\":\"echo\"}", "x");
		ck_assert_str_eq(answers(&bench, fd), OK);
		put_pipes(fd, TAKE, "xyzw");
		ck_assert_str_eq(answers(&bench, fd), ANSWER("x"));
		put_pipes(fd, "}", "x");
		ck_assert_ptr_nonnull(strstr(answers(&bench, fd), "error"));
	}
	ck_assert_int_eq(lowest_free(), before);
	put_pipes(fd, "{\"execute\":", "x");
	bench_rounds(&bench, 3);
	close(fd);
	bench_rounds(&bench, 3);
	ck_assert_int_lt(lowest_free(), before);
	bench_release(&bench);
}
END_TEST

Suite *server_suite(void);
Suite *server_suite(void)
{
	Suite *suite = suite_create("server");
	TCase *tcase = tcase_create("server");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, test_negotiation);
	tcase_add_test(tcase, test_a_descriptor_comes_with_its_command);
	tcase_add_test(tcase, test_no_descriptor_stays_open);
	tcase_add_test(tcase, test_answers);
	tcase_add_test(tcase, test_pieces);
	tcase_add_test(tcase, test_events);
	tcase_add_test(tcase, test_event_rate);
	tcase_add_test(tcase, test_quit_is_answered);
	tcase_add_test(tcase, test_half_closed);
	suite_add_tcase(suite, tcase);
	return suite;
}
