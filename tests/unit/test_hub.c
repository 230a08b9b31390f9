// SPDX-License-Identifier: Apache-2.0
/* A detached guest's console, its clients, and its log. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/detach/hub.h"
#include "vmm/detach/turned_log.h"

static struct loop loop;
static struct hub hub;
static struct sockaddr_un address;
static int guest; /* the guest's end of its standard input */

static void setup(void)
{
	int input[2];

	runtime_dir_setup();
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(pipe(input), 0);
	fcntl(input[1], F_SETFL, O_NONBLOCK);
	fcntl(input[0], F_SETFL, O_NONBLOCK);
	guest = input[0];
	hub_init(&hub, &loop, input[1]);
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/console", top);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, HUB_CLIENTS_MAX + 1), 0);
	ck_assert_int_eq(hub_listen(&hub, listener), 0);
}

static void teardown(void)
{
	hub_release(&hub);
	loop_release(&loop);
	if (guest >= 0)
		close(guest);
	unlink(address.sun_path);
	runtime_dir_teardown();
}

/* Serves what is ready now. */
static void turn(void)
{
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(loop_turn(&loop, 0), 0);
}

/* A client, with its first byte taken, which is @hello; 0: it is refused. */
static int attach(char hello)
{
	char byte = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	turn();
	ck_assert_int_eq(recv(fd, &byte, 1, 0), hello ? 1 : 0);
	ck_assert_int_eq(byte, hello);
	return fd;
}

static void say(const char *text)
{
	hub_output(&hub, (const uint8_t *)text, strlen(text));
}

/* All that has come, up to @size bytes, while the hub is served. */
static size_t hear(int fd, char *text, size_t size)
{
	size_t count = 0;
	ssize_t got;
	while ((got = recv(fd, text + count, size - 1 - count, 0)) > 0) {
		count += (size_t)got;
		turn();
	}
	text[count] = '\0';
	return count;
}

static void assert_heard(int fd, const char *what)
{
	char text[256];
	hear(fd, text, sizeof(text));
	ck_assert_str_eq(text, what);
}

static void assert_guest_got(const char *what)
{
	char text[256] = "";
	ssize_t got = read(guest, text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = '\0';
	ck_assert_str_eq(text, what);
}

START_TEST(all_see_the_output_and_what_was_before)
{
	say("before ");
	int one = attach(HUB_WRITES), two = attach(HUB_WATCHES);
	say("now");
	assert_heard(one, "before now");
	assert_heard(two, "before now");
	close(one);
	close(two);
}
END_TEST

START_TEST(one_writes_and_hands_on)
{
	int one = attach(HUB_WRITES), two = attach(HUB_WATCHES), three = attach(HUB_WATCHES);
	send(two, "two", 3, 0);
	send(one, "one", 3, 0);
	turn();
	assert_guest_got("one");
	/* One that closes its side only goes on to see; the next oldest writes. */
	shutdown(one, SHUT_WR);
	turn();
	send(three, "three", 5, 0);
	send(two, "two", 3, 0);
	turn();
	assert_guest_got("two");
	close(two);
	turn();
	send(three, "three", 5, 0);
	turn();
	assert_guest_got("three");
	say("all");
	assert_heard(one, "all");
	assert_heard(three, "all");
	close(one);
	close(three);
}
END_TEST

START_TEST(input_waits_for_the_guest)
{
	static char much[1 << 20], got[1 << 20];
	int one = attach(HUB_WRITES);
	size_t sent = 0, come = 0;

	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (char)(i * 7 >> 8);
	for (int idle = 0; idle < 100 && come < sizeof(much);) {
		ssize_t n = send(one, much + sent, sizeof(much) - sent, 0);
		sent += n > 0 ? (size_t)n : 0;
		turn();
		/* Output goes on while input is held up. */
		say(".");
		ck_assert_uint_le(hub.held_count, HUB_INPUT);
		ssize_t r = read(guest, got + come, 5000);
		come += r > 0 ? (size_t)r : 0;
		idle = n > 0 || r > 0 ? 0 : idle + 1;
	}
	ck_assert_uint_eq(come, sizeof(much));
	ck_assert_int_eq(memcmp(much, got, sizeof(much)), 0);
	close(one);
}
END_TEST

START_TEST(input_to_a_guest_that_is_gone_is_dropped)
{
	int one = attach(HUB_WRITES);
	close(guest);
	guest = -1;
	for (int i = 0; i < 3; i++) {
		send(one, "lost", 4, 0);
		turn();
		ck_assert_uint_eq(hub.held_count, 0);
	}
	say("still");
	assert_heard(one, "still");
	close(one);
}
END_TEST

START_TEST(a_slow_client_misses_output_and_is_told)
{
	static char line[1000], text[2 << 20];
	int slow = attach(HUB_WRITES), quick = attach(HUB_WATCHES);
	size_t heard = 0;

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 1000; i++) {
		hub_output(&hub, (const uint8_t *)line, sizeof(line));
		heard += hear(quick, text, sizeof(text));
	}
	ck_assert_uint_eq(heard, 1000 * sizeof(line));
	heard = hear(slow, text, sizeof(text));
	ck_assert_uint_lt(heard, 1000 * sizeof(line));
	const char *note = strstr(text, "\r\n[ebb: ");
	ck_assert_ptr_nonnull(note);
	unsigned long long missing = strtoull(note + 8, NULL, 10);
	const char *rest = strstr(note + 8, "\r\n");
	ck_assert_ptr_nonnull(rest);
	/* Every byte has come or is counted. */
	ck_assert_uint_eq(heard - (size_t)(rest + 2 - note) + missing, 1000 * sizeof(line));
	close(slow);
	close(quick);
}
END_TEST

START_TEST(more_than_is_kept_comes_whole_to_who_reads)
{
	static char much[3 * HUB_KEPT], text[4 * HUB_KEPT];
	int one = attach(HUB_WRITES);
	int size = 4 * HUB_KEPT;

	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (char)('a' + i % 23);
	/* Room for all of it in the socket. */
	ck_assert_int_eq(
		setsockopt(hub.client[0].source.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	hub_output(&hub, (const uint8_t *)much, sizeof(much));
	ck_assert_uint_eq(hear(one, text, sizeof(text)), sizeof(much));
	ck_assert_int_eq(memcmp(text, much, sizeof(much)), 0);
	close(one);
}
END_TEST

START_TEST(there_is_a_limit_and_the_gone_make_room)
{
	int client[HUB_CLIENTS_MAX];

	for (int i = 0; i < HUB_CLIENTS_MAX; i++)
		client[i] = attach(i ? HUB_WATCHES : HUB_WRITES);
	close(attach(0));
	/* Half-closed clients that leave are not read any more, and the guest says nothing. */
	for (int i = 0; i < HUB_CLIENTS_MAX; i++)
		shutdown(client[i], SHUT_WR);
	turn();
	close(attach(0));
	close(client[3]);
	client[3] = attach(HUB_WRITES);
	for (int i = 0; i < HUB_CLIENTS_MAX; i++)
		close(client[i]);
}
END_TEST

START_TEST(the_end_is_told)
{
	int one = attach(HUB_WRITES);
	char text[16];
	say("last");
	hub_release(&hub);
	ck_assert_int_eq(recv(one, text, sizeof(text), 0), 4);
	ck_assert_int_eq(recv(one, text, sizeof(text), 0), 0);
	close(one);
}
END_TEST

/* --- the log ------------------------------------------------------------------------------------ */

static off_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? st.st_size : -1;
}

START_TEST(the_log_stays_small)
{
	static char block[4096];
	struct turned_log log;
	char path[PATH_MAX], turned[PATH_MAX + 2];

	memset(block, 'x', sizeof(block));
	snprintf(path, sizeof(path), "%s/log", top);
	snprintf(turned, sizeof(turned), "%s.1", path);
	ck_assert_int_eq(turned_log_open(&log, path), 0);
	for (size_t i = 0; i < 5 * TURNED_LOG_MAX / 2 / sizeof(block); i++) {
		turned_log_write(&log, block, sizeof(block));
		ck_assert_int_le(size_of(path), TURNED_LOG_MAX);
		ck_assert_int_le(size_of(turned), TURNED_LOG_MAX);
	}
	/* Two and a half were written: the last half, and one whole. */
	ck_assert_int_eq(size_of(path), TURNED_LOG_MAX / 2);
	ck_assert_int_eq(size_of(turned), TURNED_LOG_MAX);
	turned_log_close(&log);
	/* The next guest of that name goes on. */
	ck_assert_int_eq(turned_log_open(&log, path), 0);
	turned_log_write(&log, block, sizeof(block));
	ck_assert_int_eq(size_of(path), TURNED_LOG_MAX / 2 + (off_t)sizeof(block));
	turned_log_close(&log);
	unlink(path);
	unlink(turned);
}
END_TEST

START_TEST(the_log_is_a_file)
{
	struct turned_log log;
	char path[PATH_MAX];

	ck_assert_int_eq(turned_log_open(&log, top), -EISDIR);
	assert_said("cannot write the log");
	ck_assert_int_eq(turned_log_open(&log, "/nowhere/log"), -ENOENT);
	assert_said("in a directory that exists, not '/nowhere/log'");
	snprintf(path, sizeof(path), "%s/fifo", top);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	/* Nobody reads it: it does not wait for one. */
	ck_assert_int_eq(turned_log_open(&log, path), -ENXIO);
	log_text();
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	ck_assert_int_eq(turned_log_open(&log, path), -EINVAL);
	assert_said("not a regular file");
	close(reader);
	unlink(path);
	/* What could not be opened takes all and keeps nothing. */
	turned_log_write(&log, "x", 1);
	turned_log_close(&log);
}
END_TEST

START_TEST(the_log_has_a_place)
{
	char path[PATH_MAX], expected[PATH_MAX];
	struct stat st;

	setenv("XDG_STATE_HOME", top, 1);
	ck_assert_int_eq(turned_log_default(path, sizeof(path), "one"), 0);
	snprintf(expected, sizeof(expected), "%s/ebb/one.log", top);
	ck_assert_str_eq(path, expected);
	*strrchr(expected, '/') = '\0';
	ck_assert_int_eq(stat(expected, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
	rmdir(expected);
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	ck_assert_int_eq(turned_log_default(path, sizeof(path), "one"), -ENOENT);
	assert_said("name a file with --log");
}
END_TEST

Suite *hub_suite(void);
Suite *hub_suite(void)
{
	Suite *suite = suite_create("hub");
	TCase *tcase = tcase_create("hub");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, all_see_the_output_and_what_was_before);
	tcase_add_test(tcase, one_writes_and_hands_on);
	tcase_add_test(tcase, input_waits_for_the_guest);
	tcase_add_test(tcase, input_to_a_guest_that_is_gone_is_dropped);
	tcase_add_test(tcase, a_slow_client_misses_output_and_is_told);
	tcase_add_test(tcase, more_than_is_kept_comes_whole_to_who_reads);
	tcase_add_test(tcase, there_is_a_limit_and_the_gone_make_room);
	tcase_add_test(tcase, the_end_is_told);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("log");
	tcase_add_checked_fixture(tcase, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_test(tcase, the_log_stays_small);
	tcase_add_test(tcase, the_log_is_a_file);
	tcase_add_test(tcase, the_log_has_a_place);
	suite_add_tcase(suite, tcase);
	return suite;
}
