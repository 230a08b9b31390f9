// SPDX-License-Identifier: Apache-2.0
/* Descriptors of a tap with several queues, as others left them, with an interface that is not there. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/virtio-net/tap.h"
#include "tests/unit/fake_ioctl.h"
#include "tests/unit/said.h"

#define QUEUES 3

static struct tap taps[QUEUES];

/* Open files, as drivers/net/tun.c has them: a descriptor and its copy are of the same. */
static struct file {
	int fd, copy;
	bool detached;
} files[QUEUES];

static int of_queue(struct file *file, unsigned long request, struct ifreq *argument)
{
	if (request == TUNGETIFF) {
		strcpy(argument->ifr_name, "no-such-tap");
		argument->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE |
				      (file->detached ? IFF_DETACH_QUEUE : 0);
	} else if (request == TUNSETQUEUE) {
		bool detaches = argument->ifr_flags & IFF_DETACH_QUEUE;
		if (detaches == file->detached) {
			errno = EINVAL;
			return -1;
		}
		file->detached = detaches;
	}
	return 0;
}

static int tun(int fd, unsigned long request, void *argument)
{
	for (unsigned int i = 0; i < QUEUES; i++)
		if (fd == files[i].fd || fd == files[i].copy)
			return of_queue(&files[i], request, argument);
	if (request == SIOCGIFFLAGS)
		((struct ifreq *)argument)->ifr_flags = IFF_UP;
	return 0;
}

static void setup(void)
{
	memset(taps, 0, sizeof(taps));
	for (unsigned int i = 0; i < QUEUES; i++) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		files[i] = (struct file){fd, dup(fd), false};
		ck_assert_int_ge(files[i].copy, 0);
	}
	fake_ioctl = tun;
}

static void teardown(void)
{
	fake_ioctl = NULL;
	for (unsigned int i = 0; i < QUEUES; i++) {
		close(files[i].fd);
		close(files[i].copy);
	}
}

static int open_all(const int fd[QUEUES])
{
	int error = tap_open(&taps[0], "", fd[0], true);
	for (unsigned int i = 1; i < QUEUES && !error; i++)
		error = tap_open_more(taps, i, fd[i]);
	return error;
}

/* Bit n of _i: descriptor n comes detached. An ebb that was killed leaves any of them. */
START_TEST(comes_as_it_was_left)
{
	const int fd[] = {files[0].fd, files[1].fd, files[2].fd};

	for (unsigned int i = 0; i < QUEUES; i++)
		files[i].detached = _i >> i & 1;
	ck_assert_int_eq(open_all(fd), 0);
	for (unsigned int i = 0; i < QUEUES; i++) {
		ck_assert_int_eq(files[i].detached, i > 0);
		ck_assert_int_eq(taps[i].detached, i > 0);
	}
}
END_TEST

/* Of _i: bit n, of the last: descriptor n came detached; above that, which two are one. */
START_TEST(copy_of_another)
{
	static const unsigned int same[][2] = {{0, 1}, {0, 2}, {1, 2}};
	const unsigned int *pair = same[_i >> QUEUES];
	int fd[] = {files[0].fd, files[1].fd, files[2].fd};
	char line[128];

	for (unsigned int i = 0; i < QUEUES; i++)
		files[i].detached = _i >> i & 1;
	fd[pair[1]] = files[pair[0]].copy;
	said_begin();
	ck_assert_int_eq(open_all(fd), -EINVAL);
	snprintf(line, sizeof(line),
		 "ebb: the descriptor %d is a copy of another one: each needs a queue of its own\n",
		 fd[pair[1]]);
	ck_assert_str_eq(said_end(), line);
}
END_TEST

Suite *tap_suite(void);
Suite *tap_suite(void)
{
	Suite *suite = suite_create("tap");
	TCase *tcase = tcase_create("tap");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, comes_as_it_was_left, 0, 1 << QUEUES);
	tcase_add_loop_test(tcase, copy_of_another, 0, 3 << QUEUES);
	suite_add_tcase(suite, tcase);
	return suite;
}
