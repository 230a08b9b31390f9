// SPDX-License-Identifier: Apache-2.0
/* An io_uring does only what a disk needs. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <unistd.h>

#include "devices/virtio-blk/ring.h"

/* The one of the host: other tests have a fake one (fake_ring.c). */
int __real_ring_open(struct ring **ring, unsigned int depth);
void __real_ring_close(struct ring *ring);

/* Returns the result of opening a file through @uring. */
static int open_through(struct io_uring *uring)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe = io_uring_get_sqe(uring);

	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
	ck_assert_int_eq(io_uring_submit(uring), 1);
	ck_assert_int_eq(io_uring_wait_cqe(uring, &cqe), 0);
	int result = cqe->res;
	io_uring_cqe_seen(uring, cqe);
	return result;
}

START_TEST(test_opens_nothing)
{
	struct ring *ring;
	int error = __real_ring_open(&ring, 4);
	if (error == -ENOSYS || error == -EPERM) {
		printf("SKIPPED: test_opens_nothing: this host has no io_uring for us\n");
		return;
	}
	ck_assert_int_eq(error, 0);
	/* Its first member. */
	struct io_uring *uring = (struct io_uring *)ring;
	ck_assert_int_eq(open_through(uring), -EACCES);
	int files[] = {STDIN_FILENO};
	ck_assert_int_eq(io_uring_register_files(uring, files, 1), -EACCES);
	__real_ring_close(ring);

	/* The control. */
	struct io_uring any;
	ck_assert_int_eq(io_uring_queue_init(4, &any, 0), 0);
	int fd = open_through(&any);
	ck_assert_int_ge(fd, 0);
	close(fd);
	io_uring_queue_exit(&any);
}
END_TEST

Suite *ring_suite(void);
Suite *ring_suite(void)
{
	Suite *suite = suite_create("ring");
	TCase *tc = tcase_create("restrictions");
	tcase_add_test(tc, test_opens_nothing);
	suite_add_tcase(suite, tc);
	return suite;
}
