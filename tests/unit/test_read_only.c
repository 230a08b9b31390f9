// SPDX-License-Identifier: Apache-2.0
/* The socket that only reads: what it answers, to whom, and that nobody there gets in the way of the guest's own socket. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/qmp_bench.h"
#include "tests/unit/runtime_dir.h"
#include "vmm/control/read_only.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/monitor/part.h"

#define CLIENTS	  16
#define COUNT	  "{\"execute\":\"count\"}"
#define ECHO	  "{\"execute\":\"echo\"}"
#define LATER	  "{\"execute\":\"later\"}"
#define NEGOTIATE "{\"execute\":\"qmp_capabilities\"}"
#define DONE	  "{\"return\": {}}\r\n"
#define LIMIT_MS  60000

static struct bench bench;
static struct read_only only;
static char path[96];

static void setup(void)
{
	runtime_dir_setup();
	memset(&bench, 0, sizeof(bench));
	only = READ_ONLY_NONE;
	snprintf(path, sizeof(path), "%s/figures", top);
	bench_init(&bench);
}

static void teardown(void)
{
	bench_release(&bench);
	read_only_release(&only);
	unlink(path);
	runtime_dir_teardown();
}

static void open_door(const char *group)
{
	struct control_door door;
	ck_assert_int_eq(read_only_listen(&only, path, group, &door), 0);
	ck_assert_int_eq(control_server_add_door(bench.server, &door), 0);
}

static int enter(void)
{
	int fd = read_only_connect(path);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static int enter_negotiated(void)
{
	int fd = enter();
	ck_assert_ptr_nonnull(strstr(ask(&bench, fd, NEGOTIATE), DONE));
	return fd;
}

static void wait_gone(void)
{
	uint64_t end = clock_ns() + LIMIT_MS * NS_PER_MS;
	struct stat there;
	while (lstat(path, &there) == 0 && clock_ns() < end)
		usleep(1000);
	ck_assert_int_lt(lstat(path, &there), 0);
}

/* --- commands -------------------------------------------------------------------------------- */

START_TEST(test_only_queries)
{
	static const char *const acting[] = {"count", "emit", "quit", "fail-class"};
	char text[64];
	open_door("");
	int fd = enter_negotiated(), owner = bench_negotiated(&bench);
	ck_assert_str_eq(ask(&bench, fd, ECHO), DONE);
	for (size_t i = 0; i < sizeof(acting) / sizeof(acting[0]); i++) {
		snprintf(text, sizeof(text), "{\"execute\":\"%s\", \"id\": 5}", acting[i]);
		const char *answer = ask(&bench, fd, text);
		ck_assert_msg(strstr(answer, "this socket only answers queries") &&
				      strstr(answer, "\"id\": 5}\r\n"),
			      "%s", answer);
	}
	ck_assert(!bench.quit);
	/* The control: the guest's own socket carries them out, and counts none of those above. */
	ck_assert_str_eq(ask(&bench, owner, COUNT), "{\"return\": 1}\r\n");
	const char *list = ask(&bench, fd, "{\"execute\":\"query-commands\"}");
	ck_assert(strstr(list, "\"echo\"") && !strstr(list, "\"quit\""));
	list = ask(&bench, owner, "{\"execute\":\"query-commands\"}");
	ck_assert(strstr(list, "\"echo\"") && strstr(list, "\"quit\""));
	close(fd);
	close(owner);
}
END_TEST

/* Whether this kernel can keep descriptors out. */
static bool has_passrights(void)
{
	const int off = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = setsockopt(fd, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &off, sizeof(off)) == 0;
	close(fd);
	return has;
}

/* A TCP connection that somebody waits to be read for as long as they like: until then close() waits, for a minute here. */
static int lingering(int *peer)
{
	static const char full[65536];
	const struct linger linger = {1, 60};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, len), 0);
	*peer = accept(listener, NULL, NULL);
	while (send(fd, full, sizeof(full), MSG_DONTWAIT) > 0)
		;
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(listener);
	return fd;
}

/* One whose closing takes a minute does not get there, neither before nor after the connection is accepted. */
START_TEST(test_descriptors_stay_out)
{
	int peer, accepted;
	if (!has_passrights()) {
		fprintf(stderr,
			"test_descriptors_stay_out: not run: the kernel is older than 6.16\n");
		return;
	}
	open_door("");
	int owner = bench_negotiated(&bench), sent = lingering(&peer);
	accepted = enter_negotiated();
	const int fds[] = {accepted, enter()};
	for (int i = 0; i < 2; i++) {
		ck_assert_int_lt(pass_fd_send_now(fds[i], COUNT, strlen(COUNT), sent), 0);
		ck_assert_int_eq(errno, EPERM);
	}
	ck_assert_str_eq(ask(&bench, accepted, ECHO), DONE);
	/* The control: to the guest's own socket it goes. */
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_gt(pass_fd_send_now(owner, COUNT, strlen(COUNT), null), 0);
	bench_rounds(&bench, 10);
	ck_assert_str_eq(get(owner, NULL), "{\"return\": 1}\r\n");
	close(peer); /* its end resets the connection */
	close(sent);
	close(null);
	close(fds[0]);
	close(fds[1]);
	close(owner);
}
END_TEST

/* Each of ebb's own commands says what it does; and what acts says so. */
START_TEST(test_every_command_has_a_word)
{
	static const char *const reading[] = {"query-", "qom-list", "qom-get", "x-ebb-stat",
					      "x-ebb-vsock"};
	unsigned int all = 0, read = 0;
	for (size_t i = 0; i < monitor_parts_count; i++) {
		const struct control_command *command = monitor_parts[i]->commands;
		for (; command && command->name; command++) {
			bool may = strcmp(command->name, "x-ebb-stats-request") != 0;
			bool named = false;
			for (size_t n = 0; n < sizeof(reading) / sizeof(reading[0]); n++)
				named |= may && strncmp(command->name, reading[n],
							strlen(reading[n])) == 0;
			ck_assert_msg(command->effect == (named ? CONTROL_READS : CONTROL_ACTS),
				      "%s", command->name);
			all++;
			read += named;
		}
	}
	ck_assert_uint_gt(read, 5);
	ck_assert_uint_gt(all, read + 10);
}
END_TEST

/* --- clients that do not behave -------------------------------------------------------------- */

START_TEST(test_places_of_its_own)
{
	int fds[CLIENTS];
	bool ended;
	open_door("");
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = enter();
	bench_rounds(&bench, 2 * CLIENTS);
	int one_more = enter();
	bench_rounds(&bench, 3);
	ck_assert_ptr_nonnull(strstr(get(one_more, &ended), "Too many clients"));
	ck_assert(ended);
	close(one_more);
	/* The guest's own socket has as many places as ever. */
	int owners[CLIENTS];
	for (int i = 0; i < CLIENTS; i++)
		owners[i] = bench_negotiated(&bench);
	ck_assert_str_eq(ask(&bench, owners[CLIENTS - 1], COUNT), "{\"return\": 1}\r\n");
	for (int i = 0; i < CLIENTS; i++) {
		close(fds[i]);
		close(owners[i]);
	}
}
END_TEST

/* All places pour in what they may and what they may not; the owner is answered within a few rounds. */
START_TEST(test_flood)
{
	static const char *const floods[] = {ECHO, COUNT, "\xff", "1 ", "}", "\n", "\""};
	static char block[65536];
	unsigned long worst = 0;
	int fds[CLIENTS];
	open_door("");
	for (int i = 0; i < CLIENTS; i++) {
		const char *flood = floods[i % 7];
		size_t len = strlen(flood);
		fds[i] = enter_negotiated();
		for (size_t at = 0; at < sizeof(block); at += len)
			memcpy(block + at, flood,
			       sizeof(block) - at < len ? sizeof(block) - at : len);
		put_bytes(fds[i], block, sizeof(block));
	}
	int owner = bench_connect(&bench);
	put(owner, NEGOTIATE);
	for (int i = 0; i < 50; i++) {
		unsigned long begin = bench.ticks;
		while (!strstr(get(owner, NULL), "return") && bench.ticks < begin + 1000)
			bench_rounds(&bench, 1);
		worst = bench.ticks - begin > worst ? bench.ticks - begin : worst;
		for (int j = 0; j < CLIENTS; j++)
			get(fds[j], NULL);
		put(owner, COUNT);
	}
	ck_assert_msg(worst <= 6, "%lu rounds", worst);
	ck_assert_uint_ge(bench.count, 49);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	close(owner);
}
END_TEST

/* One that asks and goes, again and again, while the host is slow: what waits for it is bounded by its places. */
START_TEST(test_asks_and_goes)
{
	uint64_t waiting[2 * CLIENTS], last = 0;
	int count = 0, refused = 0;
	open_door("");
	int owner = bench_negotiated(&bench);
	for (int i = 0; i < 5 * CLIENTS; i++) {
		int fd = enter();
		refused += send(fd, NEGOTIATE LATER, strlen(NEGOTIATE LATER), MSG_NOSIGNAL) < 0;
		bench_rounds(&bench, 10);
		refused += strstr(get(fd, NULL), "Too many clients") != NULL;
		if (bench.later != last)
			waiting[count++] = last = bench.later;
		close(fd);
	}
	ck_assert_int_eq(count, CLIENTS);
	ck_assert_int_eq(refused, 4 * CLIENTS);
	/* The owner's waits like any. */
	ck_assert_str_eq(ask(&bench, owner, LATER), "");
	ck_assert_uint_ne(bench.later, last);
	control_server_answer(bench.server, bench.later, json_object(), NULL);
	ck_assert_str_eq(get(owner, NULL), DONE);
	for (int i = 0; i < count; i++)
		control_server_answer(bench.server, waiting[i], json_object(), NULL);
	bench_rounds(&bench, 3);
	int fd = enter_negotiated();
	ck_assert_str_eq(ask(&bench, fd, LATER), "");
	control_server_answer(bench.server, bench.later, json_object(), NULL);
	ck_assert_str_eq(get(fd, NULL), DONE);
	close(fd);
	close(owner);
}
END_TEST

/* It reads nothing: it is cut off, and the owner's events come. */
START_TEST(test_reads_nothing)
{
	enum { EVENTS = 60, SIZE = 50000 };
	static char text[SIZE + 1];
	size_t got = 0;
	bool ended = false;
	open_door("");
	memset(text, 'x', SIZE);
	int fd = enter_negotiated(), owner = bench_negotiated(&bench);
	for (int i = 0; i < EVENTS; i++) {
		control_server_event(bench.server, "NEWS", json_pack("{s:s}", "text", text));
		bench_rounds(&bench, 5);
		got += strlen(get(owner, NULL));
	}
	ck_assert_uint_gt(got, (size_t)EVENTS * SIZE);
	for (int i = 0; i < 1000 && !ended; i++)
		get(fd, &ended);
	ck_assert(ended);
	close(fd);
	close(owner);
}
END_TEST

/* --- who may come in ------------------------------------------------------------------------- */

struct visitor {
	uid_t uid;
	gid_t gid;
	gid_t also; /* another group of its */
	bool served;
};

static void visit(const struct visitor *visitor)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct sockaddr_un to = address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	gid_t before[64];
	int groups = getgroups(64, before);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	ck_assert_int_ge(groups, 0);
	ck_assert_int_eq(setgroups(1, &visitor->also), 0);
	ck_assert(setegid(visitor->gid) == 0 && seteuid(visitor->uid) == 0);
	int error = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : errno;
	ck_assert(seteuid(0) == 0 && setegid(0) == 0 && setgroups((size_t)groups, before) == 0);
	bench_rounds(&bench, 3);
	bool served = error == 0 && strstr(get(fd, NULL), "QMP");
	ck_assert_msg(served == visitor->served, "user %u, groups %u and %u: %s", visitor->uid,
		      visitor->gid, visitor->also, strerror(error));
	close(fd);
	bench_rounds(&bench, 3);
}

static bool is_root(const char *test)
{
	if (geteuid() == 0 && !chmod(top, 0755))
		return true;
	fprintf(stderr, "%s: not run: only root can play somebody else\n", test);
	return false;
}

START_TEST(test_owner_alone)
{
	static const struct visitor before[] = {{0, 0, 0, true}, {7, 7, 7, false}};
	static const struct visitor open_to_all[] = {
		{0, 7, 7, true}, {7, 7, 7, false}, {7, 0, 0, false}, {65534, 65534, 65534, false}};
	struct stat made;
	mode_t old = umask(0);
	open_door("");
	umask(old);
	ck_assert_int_eq(lstat(path, &made), 0);
	ck_assert_uint_eq(made.st_mode & 07777, 0600);
	if (!is_root("test_owner_alone"))
		return;
	for (size_t i = 0; i < 2; i++)
		visit(&before[i]);
	/* By mistake: they come to the door, and no further. */
	ck_assert_int_eq(chmod(path, 0666), 0);
	for (size_t i = 0; i < 4; i++)
		visit(&open_to_all[i]);
}
END_TEST

START_TEST(test_group)
{
	static const struct visitor visitors[] = {
		{0, 0, 0, true}, {7, 33, 7, true}, {7, 7, 33, true}, {7, 7, 7, false}};
	struct control_door door;
	struct stat made;
	if (!is_root("test_group"))
		return;
	/* By its name; the other by its number. */
	ck_assert_int_eq(read_only_listen(&only, path, "root", &door), 0);
	close(door.listener);
	ck_assert_int_eq(lstat(path, &made), 0);
	ck_assert_uint_eq(made.st_mode & 07777, 0660);
	ck_assert_uint_eq(made.st_gid, 0);
	read_only_release(&only);
	wait_gone();
	mode_t old = umask(077);
	open_door("33");
	umask(old);
	ck_assert_int_eq(lstat(path, &made), 0);
	ck_assert_uint_eq(made.st_mode & 07777, 0660);
	ck_assert_uint_eq(made.st_gid, 33);
	for (size_t i = 0; i < 4; i++)
		visit(&visitors[i]);
	ck_assert_int_eq(chmod(path, 0666), 0);
	for (size_t i = 0; i < 4; i++)
		visit(&visitors[i]);
}
END_TEST

/* --- the file -------------------------------------------------------------------------------- */

START_TEST(test_removed)
{
	open_door("");
	read_only_release(&only);
	wait_gone();
	/* Even if ebb has no time for it: the process sees its end. */
	struct control_door door;
	ck_assert_int_eq(read_only_listen(&only, path, "", &door), 0);
	close(door.listener);
	close(only.remover.control);
	only.remover.control = -1;
	wait_gone();
}
END_TEST

START_TEST(test_left_behind)
{
	struct control_door door;
	ck_assert_int_eq(read_only_listen(&only, path, "", &door), 0);
	ck_assert_int_eq(kill(only.remover.process, SIGKILL), 0);
	read_only_release(&only);
	/* A program listens there. */
	ck_assert_int_eq(read_only_listen(&only, path, "", &door), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(log_text(), "a program listens there"));
	close(door.listener);
	/* It was left behind, and is replaced. */
	open_door("");
	close(enter_negotiated());
	read_only_release(&only);
	wait_gone();
}
END_TEST

START_TEST(test_mistakes)
{
	struct control_door door;
	struct stat there;
	int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(file);
	ck_assert_int_eq(read_only_listen(&only, path, "", &door), -ENOTSOCK);
	ck_assert_ptr_nonnull(strstr(log_text(), "is not a socket"));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(read_only_listen(&only, path, "no such group", &door), -ENOENT);
	ck_assert_ptr_nonnull(strstr(log_text(), "the group \"no such group\""));
	ck_assert_int_lt(lstat(path, &there), 0);
	ck_assert_int_eq(read_only_listen(&only, "/nowhere/at/all", "", &door), -ENOENT);
	ck_assert_ptr_nonnull(strstr(log_text(), "a directory of yours"));
	ck_assert_int_eq(read_only_connect(path), -ENOENT);
}
END_TEST

Suite *read_only_suite(void);
Suite *read_only_suite(void)
{
	Suite *suite = suite_create("read_only");
	TCase *test = tcase_create("read_only");

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_add_test(test, test_only_queries);
	tcase_add_test(test, test_descriptors_stay_out);
	tcase_add_test(test, test_every_command_has_a_word);
	tcase_add_test(test, test_places_of_its_own);
	tcase_add_test(test, test_flood);
	tcase_add_test(test, test_asks_and_goes);
	tcase_add_test(test, test_reads_nothing);
	tcase_add_test(test, test_owner_alone);
	tcase_add_test(test, test_group);
	tcase_add_test(test, test_removed);
	tcase_add_test(test, test_left_behind);
	tcase_add_test(test, test_mistakes);
	suite_add_tcase(suite, test);
	return suite;
}
