// SPDX-License-Identifier: Apache-2.0
/* Commands that are answered later: who waits for them, who does not, and who is gone by then. */
#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/qmp_bench.h"
#include "tests/unit/runtime_dir.h"

#define LATER "{\"execute\":\"later\",\"id\":7}"
#define COUNT "{\"execute\":\"count\"}"

static struct bench bench;

static void setup(void)
{
	runtime_dir_setup();
	memset(&bench, 0, sizeof(bench));
	bench_init(&bench);
}

static void teardown(void)
{
	bench_release(&bench);
	runtime_dir_teardown();
}

static void answer(json_t *result)
{
	const struct control_error error = {"DeviceNotActive", "it went away"};
	control_server_answer(bench.server, bench.later, result, &error);
}

START_TEST(test_answers)
{
	int fd = bench_negotiated(&bench);
	ck_assert_str_eq(ask(&bench, fd, LATER), "");
	uint64_t first = bench.later;
	ck_assert_uint_ne(first, 0);
	answer(json_pack("{s:i}", "a", 1));
	ck_assert_str_eq(get(fd, NULL), "{\"return\": {\"a\": 1}, \"id\": 7}\r\n");
	ck_assert_str_eq(ask(&bench, fd, "{\"execute\":\"later\"}"), "");
	ck_assert_uint_ne(bench.later, first);
	answer(NULL);
	ck_assert_str_eq(
		get(fd, NULL),
		"{\"error\": {\"class\": \"DeviceNotActive\", \"desc\": \"it went away\"}}\r\n");
	/* What was answered is not answered again. */
	answer(json_object());
	control_server_answer(bench.server, first, json_object(), NULL);
	ck_assert_str_eq(get(fd, NULL), "");
	ck_assert_str_eq(ask(&bench, fd, COUNT), "{\"return\": 1}\r\n");
	close(fd);
}
END_TEST

/* Its own commands keep their order; others', and events for all, go on. */
START_TEST(test_others_go_on)
{
	int fd = bench_negotiated(&bench);
	int other = bench_negotiated(&bench);
	ck_assert_str_eq(ask(&bench, fd, LATER COUNT), "");
	ck_assert_str_eq(ask(&bench, fd, COUNT), "");
	ck_assert_str_eq(ask(&bench, other, COUNT), "{\"return\": 1}\r\n");
	control_server_event(bench.server, "STOP", NULL);
	ck_assert_ptr_nonnull(strstr(get(fd, NULL), "STOP"));
	ck_assert_ptr_nonnull(strstr(get(other, NULL), "STOP"));
	/* Nor does the loop turn for it: nothing is ready but the bench's own ticker. */
	unsigned long ticks = bench.ticks;
	bench_rounds(&bench, 10);
	ck_assert_uint_eq(bench.ticks, ticks + 10);
	ck_assert_str_eq(get(fd, NULL), "");
	answer(json_object());
	bench_rounds(&bench, 5);
	ck_assert_str_eq(get(fd, NULL),
			 "{\"return\": {}, \"id\": 7}\r\n{\"return\": 2}\r\n{\"return\": 3}\r\n");
	close(fd);
	close(other);
}
END_TEST

/* Several at once, answered in another order. */
START_TEST(test_several)
{
	int fd[3];
	uint64_t command[3];
	for (int i = 0; i < 3; i++) {
		fd[i] = bench_negotiated(&bench);
		ck_assert_str_eq(ask(&bench, fd[i], LATER), "");
		command[i] = bench.later;
	}
	for (int i = 2; i >= 0; i--) {
		control_server_answer(bench.server, command[i], json_integer(i), NULL);
		for (int j = 0; j < 3; j++)
			if (j != i)
				ck_assert_str_eq(get(fd[j], NULL), "");
		ck_assert_int_eq(get(fd[i], NULL)[11], '0' + i);
	}
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}
END_TEST

/* One that closed its side for reading, as with nc -U, gets its answer; then it is let go. */
START_TEST(test_half_closed)
{
	bool ended;
	int fd = bench_negotiated(&bench);
	ck_assert_str_eq(ask(&bench, fd, LATER), "");
	shutdown(fd, SHUT_WR);
	bench_rounds(&bench, 5);
	answer(json_object());
	bench_rounds(&bench, 5);
	ck_assert_str_eq(get(fd, &ended), "{\"return\": {}, \"id\": 7}\r\n");
	ck_assert(ended);
	close(fd);
}
END_TEST

/* One that is gone: its place is free after the answer, for a client that gets none of it. */
START_TEST(test_gone)
{
	int fd = bench_negotiated(&bench);
	ck_assert_str_eq(ask(&bench, fd, LATER), "");
	close(fd);
	bench_rounds(&bench, 5);
	/* Output that nobody takes. */
	for (int i = 0; i < 3; i++) {
		control_server_event(bench.server, "STOP", NULL);
		bench_rounds(&bench, 5);
	}
	fd = bench_negotiated(&bench);
	answer(json_object());
	bench_rounds(&bench, 5);
	ck_assert_str_eq(get(fd, NULL), "");
	ck_assert_str_eq(ask(&bench, fd, COUNT), "{\"return\": 1}\r\n");
	/* And what nobody has answered at the end holds up nobody. */
	ck_assert_str_eq(ask(&bench, fd, LATER), "");
	close(fd);
}
END_TEST

/* Output that is not read while its command is carried out: up to the limit, as ever. */
START_TEST(test_does_not_read)
{
	bool ended;
	int fd = bench_negotiated(&bench);
	int other = bench_negotiated(&bench);
	ck_assert_str_eq(ask(&bench, fd, LATER), "");
	for (int i = 0; i < 3; i++) {
		ask(&bench, other,
		    "{\"execute\":\"emit\",\"arguments\":{\"storm\":100,\"size\":8000}}");
		while (*get(other, NULL))
			bench_rounds(&bench, 2);
	}
	bench_rounds(&bench, 5);
	answer(json_object());
	bench_rounds(&bench, 5);
	while (*get(fd, &ended))
		;
	ck_assert(ended);
	ck_assert_str_eq(ask(&bench, other, COUNT), "{\"return\": 1}\r\n");
	close(fd);
	close(other);
}
END_TEST

Suite *server_later_suite(void);
Suite *server_later_suite(void)
{
	Suite *suite = suite_create("control server, answers later");
	TCase *tcase = tcase_create("later");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_answers);
	tcase_add_test(tcase, test_others_go_on);
	tcase_add_test(tcase, test_several);
	tcase_add_test(tcase, test_half_closed);
	tcase_add_test(tcase, test_gone);
	tcase_add_test(tcase, test_does_not_read);
	suite_add_tcase(suite, tcase);
	return suite;
}
