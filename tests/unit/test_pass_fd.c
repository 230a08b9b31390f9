// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/pass_fd.h"

static int pair[2], sent[PASS_FDS_MAX];

static unsigned int open_now(void)
{
	DIR *all = opendir("/proc/self/fd");
	unsigned int count = 0;

	ck_assert_ptr_nonnull(all);
	while (readdir(all))
		count++;
	closedir(all);
	return count;
}

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	for (unsigned int i = 0; i < PASS_FDS_MAX; i++)
		ck_assert_int_ge(sent[i] = dup(STDERR_FILENO), 0);
}

static void teardown(void)
{
	for (unsigned int i = 0; i < PASS_FDS_MAX; i++)
		close(sent[i]);
	close(pair[0]);
	close(pair[1]);
}

/* As many as are wanted come; of another number none does, and none stays open. */
START_TEST(counted)
{
	unsigned int wanted = (unsigned int)_i + 1, before = open_now();
	int got[PASS_FDS_MAX];
	char note;

	for (unsigned int n = 1; n <= PASS_FDS_MAX; n++) {
		ck_assert_int_eq(pass_fds_send_now(pair[0], "x", 1, sent, n), 1);
		ck_assert_int_eq(pass_fds_receive(pair[1], &note, 1, got, wanted), 1);
		for (unsigned int i = 0; i < wanted; i++) {
			ck_assert(n >= wanted ? got[i] >= 0 : got[i] == -1);
			if (got[i] >= 0)
				close(got[i]);
		}
		ck_assert_uint_eq(open_now(), before);
	}
}
END_TEST

START_TEST(none_has_come)
{
	int got[2];
	char note;

	ck_assert_int_eq(pass_fds_receive(pair[1], &note, 1, got, 2), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(send(pair[0], "x", 1, 0), 1);
	ck_assert_int_eq(pass_fds_receive(pair[1], &note, 1, got, 2), 1);
	ck_assert_int_eq(got[0], -1);
	ck_assert_int_eq(got[1], -1);
}
END_TEST

Suite *pass_fd_suite(void);

Suite *pass_fd_suite(void)
{
	Suite *suite = suite_create("pass_fd");
	TCase *tcase = tcase_create("descriptors");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, counted, 0, PASS_FDS_MAX);
	tcase_add_test(tcase, none_has_come);
	suite_add_tcase(suite, tcase);
	return suite;
}
