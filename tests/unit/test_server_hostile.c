// SPDX-License-Identifier: Apache-2.0
/* Clients that do not behave: each is cut off or kept waiting, and nobody else notices. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/qmp_bench.h"
#include "tests/unit/runtime_dir.h"

#define CLIENTS 16
#define COUNT	"{\"execute\":\"count\"}"

/* The server still serves: a new client is answered. */
static void assert_well(struct bench *bench)
{
	int fd = bench_negotiated(bench);
	ck_assert_str_eq(ask(bench, fd, "{\"execute\":\"echo\"}"), "{\"return\": {}}\r\n");
	close(fd);
	bench_rounds(bench, 3);
}

/* Takes all that can be sent in some rounds. Returns how much, or less than 0 when cut off. */
static ssize_t pour(struct bench *bench, int fd, const char *bytes, size_t len, size_t total)
{
	size_t sent = 0;
	int idle = 0;
	while (sent < total && idle < 100) {
		ssize_t got = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (got < 0 && errno != EAGAIN)
			return -1;
		idle = got < 0 ? idle + 1 : 0;
		sent += got < 0 ? 0 : got;
		bench_rounds(bench, 2);
	}
	return sent;
}

START_TEST(test_close_at_every_byte)
{
	static const char text[] = "{\"execute\":\"qmp_capabilities\"}\r\n"
				   "{\"execute\":\"echo\", \"arguments\": {\"a\": \"\\u00e9\"}}";
	struct bench bench;
	bench_init(&bench);
	for (size_t len = 0; len < sizeof(text); len++) {
		for (int late = 0; late < 2; late++) {
			int fd = bench_connect(&bench);
			put_bytes(fd, text, len);
			if (late)
				bench_rounds(&bench, 4);
			close(fd);
			bench_rounds(&bench, 4);
		}
	}
	assert_well(&bench);
	bench_release(&bench);
}
END_TEST

START_TEST(test_gigabyte)
{
	static const char *const starts[] = {"\"", "{\"execute\":\"", "1", "[ "};
	struct bench bench;
	char block[65536];
	bench_init(&bench);
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		int fd = bench_negotiated(&bench);
		bool ended;
		memset(block, starts[i][0] == '[' ? ' ' : '1', sizeof(block));
		put(fd, starts[i]);
		ck_assert_int_lt(pour(&bench, fd, block, sizeof(block), (size_t)1 << 30), 0);
		bench_rounds(&bench, 3);
		const char *text = get(fd, &ended);
		ck_assert_msg(strstr(text, "size limit exceeded") != NULL, "%s", text);
		ck_assert(ended);
		close(fd);
	}
	/* Space alone is no message, and is taken for ever; it keeps nothing. */
	int fd = bench_negotiated(&bench);
	memset(block, '\n', sizeof(block));
	ck_assert_int_ge(pour(&bench, fd, block, sizeof(block), 4 << 20), 4 << 20);
	bench_rounds(&bench, 200);
	ck_assert_str_eq(ask(&bench, fd, COUNT), "{\"return\": 1}\r\n");
	close(fd);
	assert_well(&bench);
	bench_release(&bench);
}
END_TEST

START_TEST(test_deep)
{
	struct bench bench;
	bool ended;
	char block[65536];
	bench_init(&bench);
	memset(block, '[', sizeof(block));
	int fd = bench_negotiated(&bench);
	put_bytes(fd, block, sizeof(block));
	bench_rounds(&bench, 5);
	ck_assert_ptr_nonnull(strstr(get(fd, &ended), "nesting depth limit exceeded"));
	ck_assert(ended);
	close(fd);
	assert_well(&bench);
	bench_release(&bench);
}
END_TEST

/* It sends commands and reads nothing: no more are done than it can be answered. */
START_TEST(test_reads_no_answers)
{
	static const char big[] = "{\"execute\":\"big\",\"arguments\":{\"size\":100000}}";
	struct bench bench;
	bench_init(&bench);
	int fd = bench_negotiated(&bench), other = bench_negotiated(&bench);
	for (int i = 0; i < 100; i++)
		put(fd, big);
	put(fd, COUNT);
	bench_rounds(&bench, 300);
	ck_assert_uint_eq(bench.count, 0);
	/* The others are served, and it costs the loop nothing: only the ticker is ready. */
	ck_assert_str_eq(ask(&bench, other, COUNT), "{\"return\": 1}\r\n");
	/* When it reads, all comes, whole and in order. */
	size_t total = 0;
	for (int i = 0; i < 1000 && bench.count < 2; i++) {
		total += strlen(get(fd, NULL));
		bench_rounds(&bench, 5);
	}
	const char *rest;
	while (*(rest = get(fd, NULL))) {
		total += strlen(rest);
		bench_rounds(&bench, 5);
	}
	ck_assert_uint_eq(total, 100 * (100000 + strlen("{\"return\": \"\"}\r\n")) +
					 strlen("{\"return\": 2}\r\n"));
	close(fd);
	close(other);
	bench_release(&bench);
}
END_TEST

/* Events come for one that does not read: it is cut off at a megabyte, the others get them all. */
START_TEST(test_reads_no_events)
{
	enum { EVENTS = 100, SIZE = 50000 };
	struct bench bench;
	bool ended;
	char *text = malloc(SIZE + 1);
	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	bench_init(&bench);
	int fd = bench_negotiated(&bench), other = bench_negotiated(&bench);
	size_t others = 0, its = 0;
	for (int i = 0; i < EVENTS; i++) {
		control_server_event(bench.server, "NEWS", json_pack("{s:s}", "text", text));
		bench_rounds(&bench, 5);
		others += strlen(get(other, NULL));
	}
	ck_assert_uint_gt(others, (size_t)EVENTS * SIZE);
	/* What was in the kernel's hands when it was cut off can still be read. */
	do {
		size_t len = strlen(get(fd, &ended));
		its += len;
		bench_rounds(&bench, 2);
	} while (!ended);
	ck_assert_uint_lt(its, 1 << 20);
	/* An answer that nobody could take at once ends the connection too. */
	put(other, "{\"execute\":\"big\",\"arguments\":{\"size\":1100000}}");
	bench_rounds(&bench, 5);
	ck_assert_str_eq(get(other, &ended), "");
	ck_assert(ended);
	close(fd);
	close(other);
	free(text);
	assert_well(&bench);
	bench_release(&bench);
}
END_TEST

/* It is cut off by the events of its own command, while the command runs. */
START_TEST(test_cut_off_by_its_own_command)
{
	struct bench bench;
	bool ended;
	bench_init(&bench);
	int fd = bench_negotiated(&bench);
	put(fd, "{\"execute\":\"emit\",\"arguments\":{\"storm\":100,\"size\":50000}}" COUNT);
	for (int i = 0; i < 100; i++) {
		bench_rounds(&bench, 3);
		get(fd, &ended);
	}
	ck_assert(ended);
	ck_assert_uint_eq(bench.count, 0);
	close(fd);
	assert_well(&bench);
	bench_release(&bench);
}
END_TEST

/* One that reads slowly gets all in order, also what is added meanwhile; and at the end what it can. */
START_TEST(test_reads_slowly)
{
	struct bench bench;
	bench_init(&bench);
	int fd = bench_negotiated(&bench);
	char text[4096];
	size_t total = 0;
	put(fd, "{\"execute\":\"big\",\"arguments\":{\"size\":700000}}");
	bench_rounds(&bench, 5);
	for (int i = 0; i < 40; i++) {
		ssize_t len = recv(fd, text, sizeof(text), MSG_DONTWAIT);
		ck_assert_int_gt(len, 0);
		total += len;
		bench_rounds(&bench, 3);
		if (i % 8 == 7)
			control_server_event(bench.server, "tick", NULL);
	}
	const char *got, *at;
	int ticks = 0;
	while (*(got = get(fd, NULL))) {
		/* The answer is in one piece. */
		size_t len = strspn(got, "x");
		total += len;
		for (at = got + len; (at = strstr(at, "\"tick\"}\r\n")); at++)
			ticks++;
		ck_assert(total >= 700000 || got[len] == '\0');
		bench_rounds(&bench, 3);
	}
	ck_assert_int_eq(ticks, 5);

	put(fd, "{\"execute\":\"big\",\"arguments\":{\"size\":700000}}");
	bench_rounds(&bench, 5);
	for (total = 0; *(got = get(fd, NULL));)
		total += strlen(got);
	ck_assert_uint_lt(total, 700000);
	bench_release(&bench);
	ck_assert_uint_gt(strlen(get(fd, NULL)), 0);
	close(fd);
}
END_TEST

START_TEST(test_too_many)
{
	struct bench bench;
	bool ended;
	int fds[CLIENTS];
	bench_init(&bench);
	/* None of them ever says a word. */
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = bench_connect(&bench);
	bench_rounds(&bench, 2 * CLIENTS);
	for (int round = 0; round < 20; round++) {
		int one_more = bench_connect(&bench);
		bench_rounds(&bench, 3);
		ck_assert_ptr_nonnull(strstr(get(one_more, &ended), "Too many clients"));
		ck_assert(ended);
		close(one_more);
	}
	for (int i = 0; i < CLIENTS; i++) {
		ck_assert_ptr_nonnull(strstr(get(fds[i], &ended), "QMP"));
		ck_assert(!ended);
	}
	/* Every place that is left is taken again. */
	for (int i = 0; i < CLIENTS; i++) {
		close(fds[i]);
		bench_rounds(&bench, 3);
		fds[i] = bench_negotiated(&bench);
	}
	for (int i = 0; i < CLIENTS; i++)
		ck_assert_ptr_nonnull(strstr(ask(&bench, fds[i], COUNT), "return"));
	bench_release(&bench);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
}
END_TEST

/* 15 pour commands, junk and long messages in; another's command is answered within a few rounds. */
START_TEST(test_flood)
{
	static const char *const floods[] = {COUNT, "\xff", "1 ", "}", "\n", "\""};
	struct bench bench;
	int fds[CLIENTS - 1];
	char *block = malloc(65536);
	bench_init(&bench);
	for (int i = 0; i < CLIENTS - 1; i++) {
		const char *flood = floods[i % 6];
		size_t len = strlen(flood);
		fds[i] = bench_negotiated(&bench);
		for (size_t at = 0; at < 65536; at += len)
			memcpy(block + at, flood, 65536 - at < len ? 65536 - at : len);
		put_bytes(fds[i], block, 65536);
	}
	int fd = bench_connect(&bench);
	bench_rounds(&bench, 3);
	put(fd, "{\"execute\":\"qmp_capabilities\"}");
	unsigned long begin = bench.ticks, worst = 0;
	get(fd, NULL);
	for (int i = 0; i < 50; i++) {
		begin = bench.ticks;
		while (!*get(fd, NULL) && bench.ticks < begin + 1000)
			bench_rounds(&bench, 1);
		worst = bench.ticks - begin > worst ? bench.ticks - begin : worst;
		for (int j = 0; j < CLIENTS - 1; j++)
			get(fds[j], NULL);
		put(fd, COUNT);
	}
	ck_assert_msg(worst <= 4, "%lu rounds", worst);
	for (int i = 0; i < CLIENTS - 1; i++)
		close(fds[i]);
	close(fd);
	free(block);
	bench_release(&bench);
}
END_TEST

static void on_alarm(void *ctx)
{
	loop_stop(ctx);
}

/* The processor time, in milliseconds, that the loop takes while nothing but an alarm is to come. */
static double idle_cost(struct bench *bench, struct loop_source *alarm)
{
	struct itimerspec soon = {.it_value.tv_nsec = 300000000};
	alarm->ready = on_alarm;
	alarm->ctx = &bench->loop;
	loop_remove(&bench->loop, &bench->ticker);
	ck_assert_int_eq(loop_add(&bench->loop, alarm), 0);
	timerfd_settime(alarm->fd, 0, &soon, NULL);
	/* What loop_stop() left to be read would keep it awake. */
	eventfd_t ignored;
	eventfd_read(bench->loop.wake, &ignored);
	atomic_store(&bench->loop.stop, false);
	clock_t begin = clock();
	loop_run(&bench->loop);
	double cost = (clock() - begin) * 1e3 / CLOCKS_PER_SEC;
	loop_remove(&bench->loop, alarm);
	ck_assert_int_eq(loop_add(&bench->loop, &bench->ticker), 0);
	return cost;
}

/* No file descriptors are left: the loop sleeps rather than spins, and takes clients again afterwards. */
START_TEST(test_no_descriptors)
{
	struct bench bench;
	struct rlimit old, none;
	bench_init(&bench);
	struct loop_source alarm = {.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)};
	int fd = bench_negotiated(&bench);
	int waiting = bench_connect(&bench);
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = waiting + 1;
	setrlimit(RLIMIT_NOFILE, &none);
	/* And below the limit there is no hole. */
	int plugs[64], count = 0;
	while (count < 64 && (plugs[count] = open("/dev/null", O_RDONLY)) >= 0)
		count++;
	bench_rounds(&bench, 10);
	double cost = idle_cost(&bench, &alarm);
	ck_assert_msg(cost < 50, "%f ms", cost);
	bench_rounds(&bench, 10);
	ck_assert_str_eq(get(waiting, NULL), "");
	/* Once is said enough. */
	ck_assert_ptr_nonnull(strstr(log_text(), "takes no more clients"));
	ck_assert_ptr_null(strstr(strstr(said, "takes") + 1, "takes"));
	ck_assert_str_eq(ask(&bench, fd, COUNT), "{\"return\": 1}\r\n");
	setrlimit(RLIMIT_NOFILE, &old);
	while (count > 0)
		close(plugs[--count]);
	for (int i = 0; i < 3000 && !*get(waiting, NULL); i++) {
		bench_rounds(&bench, 1);
		usleep(1000);
	}
	ck_assert_ptr_nonnull(
		strstr(ask(&bench, waiting, "{\"execute\":\"qmp_capabilities\"}"), "return"));
	ck_assert_str_eq(log_text(), "");
	close(fd);
	close(alarm.fd);
	close(waiting);
	bench_release(&bench);
}
END_TEST

/* Somebody else's process, let in by a directory that was opened to all by mistake. */
START_TEST(test_foreigner)
{
	struct bench bench;
	bool ended;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (geteuid() != 0) {
		fprintf(stderr, "test_foreigner: not run: only root can play somebody else\n");
		return;
	}
	bench_init(&bench);
	char parent[96];
	snprintf(parent, sizeof(parent), "%s/a", top);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/one.sock", directory);
	ck_assert(!chmod(top, 0755) && !chmod(parent, 0755) && !chmod(directory, 0755) &&
		  !chmod(address.sun_path, 0666));
	static const struct {
		uid_t uid;
		bool served;
	} users[] = {{65534, false}, {0, true}, {1, false}};
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		ck_assert_int_eq(seteuid(users[i].uid), 0);
		int err = connect(fd, (struct sockaddr *)&address, sizeof(address));
		ck_assert_int_eq(seteuid(0), 0);
		ck_assert_int_eq(err, 0);
		bench_rounds(&bench, 3);
		ck_assert_int_eq(*get(fd, &ended) != '\0', users[i].served);
		ck_assert_int_eq(ended, !users[i].served);
		close(fd);
	}
	bench_release(&bench);
}
END_TEST

/* Requests that were right, changed here and there: nothing breaks, and all others are served. */
START_TEST(test_mutations)
{
	static const char *const requests[] = {
		"{\"execute\":\"echo\",\"arguments\":{\"a\":[1,2,{\"b\":\"c\"}]},\"id\":1}",
		"{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": []}}\r\n",
		"{'execute': 'emit', 'id': [null, true, -1.5e3]}",
		"{\"execute\":\"query-commands\",\"id\":\"\\u00e9\"}",
	};
	unsigned int seed = 815;
	struct bench bench;
	bench_init(&bench);
	int good = bench_negotiated(&bench), fd = -1;
	for (int i = 0; i < 3000; i++) {
		char text[256];
		bool ended;
		if (fd < 0)
			fd = rand_r(&seed) & 64 ? bench_negotiated(&bench) : bench_connect(&bench);
		size_t len = strlen(strcpy(text, requests[rand_r(&seed) / 8 % 4]));
		for (int changes = rand_r(&seed) / 8 % 4; changes > 0; changes--) {
			size_t at = rand_r(&seed) / 8 % len;
			if (rand_r(&seed) & 16)
				text[at] = "{}[]\"',:\\\xff\x01 1e"[rand_r(&seed) / 8 % 15];
			else
				text[at] ^= 1 << (rand_r(&seed) / 8 % 8);
		}
		size_t part = rand_r(&seed) & 32 ? len : rand_r(&seed) / 8 % len;
		bool sent = send(fd, text, part, MSG_NOSIGNAL) == (ssize_t)part;
		bench_rounds(&bench, 3);
		get(fd, &ended);
		if (!sent || ended || rand_r(&seed) / 8 % 16 == 0) {
			close(fd);
			fd = -1;
		}
		if (i % 64 == 0)
			ck_assert_ptr_nonnull(strstr(ask(&bench, good, COUNT), "return"));
	}
	close(fd);
	close(good);
	assert_well(&bench);
	bench_release(&bench);
}
END_TEST

Suite *server_hostile_suite(void);
Suite *server_hostile_suite(void)
{
	Suite *suite = suite_create("server_hostile");
	TCase *tcase = tcase_create("server_hostile");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, test_close_at_every_byte);
	tcase_add_test(tcase, test_gigabyte);
	tcase_add_test(tcase, test_deep);
	tcase_add_test(tcase, test_reads_no_answers);
	tcase_add_test(tcase, test_reads_no_events);
	tcase_add_test(tcase, test_cut_off_by_its_own_command);
	tcase_add_test(tcase, test_reads_slowly);
	tcase_add_test(tcase, test_too_many);
	tcase_add_test(tcase, test_flood);
	tcase_add_test(tcase, test_no_descriptors);
	tcase_add_test(tcase, test_foreigner);
	tcase_add_test(tcase, test_mutations);
	suite_add_tcase(suite, tcase);
	return suite;
}
