// SPDX-License-Identifier: Apache-2.0
/* The file system device before its first backend has come. */
#include <check.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "tests/unit/fake_fs.h"
#include "tests/unit/said.h"

static void come(struct fake_backend *one)
{
	vhost_user_device_came(&ff.served, fake_backend_start(one));
	vhost_user_device_stirs(&ff.served);
}

/* What the driver asks waits, also when it begins again meanwhile; and it is not refused, as it is once there was a backend. */
START_TEST(waits_for_the_first)
{
	struct vring_used_elem element;

	for (unsigned int i = 0; i <= (unsigned int)_i; i++)
		ff_start();
	said_begin();
	uint16_t head = ff_ask(FS_REQUESTS, FUSE_INIT, 1);
	for (unsigned int i = 0; i < 10; i++)
		fake_driver_work(&ff_guest);
	ck_assert(!fake_queue_used(&ff_guest.queue[FS_REQUESTS], &element));
	ck_assert_str_eq(said_end(), "");
	come(&ff_backend);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).id, head);
	ck_assert_uint_eq(ff_founds, 1);
	ff_kill_backend();
	ff_ask(FS_REQUESTS, READ, 2);
	ff_refused(2, ff_wait_used(FS_REQUESTS).len);
}
END_TEST

/* It was offered what every backend has. One that has not is lost, and the next mount is for another. */
START_TEST(first_one_lacks_a_feature)
{
	fake_driver_start(&ff_guest, V1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC, FS_QUEUES, SIZE);
	ff_ask(FS_REQUESTS, FUSE_INIT, 1);
	said_begin();
	come(&ff_backend);
	ff_refused(1, ff_wait_used(FS_REQUESTS).len);
	ck_assert_ptr_nonnull(strstr(said_end(), "is lost: it lacks a feature"));
	ff_second.features |= 1ULL << VIRTIO_RING_F_INDIRECT_DESC;
	come(&ff_second);
	ff_ask(FS_REQUESTS, FUSE_INIT, 2);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).len, sizeof(struct fuse_out_header));
	ck_assert_int_eq(ff_answer_to(2).error, 0);
}
END_TEST

/* What waits is refused, as once a backend was lost; the control is what waits for the first. */
START_TEST(none_comes)
{
	ff_start();
	ff_ask(FS_REQUESTS, FUSE_INIT, 1);
	fake_driver_work(&ff_guest);
	said_begin();
	vhost_user_device_give_up(&ff.served);
	ff_refused(1, ff_wait_used(FS_REQUESTS).len);
	said_end();
}
END_TEST

/* A head twice, or an index that jumps, while there is no backend: the first that comes may be lost by it, the next is not. */
START_TEST(hostile_rings_while_awaited)
{
	ff_start();
	ff_ask_and_spoil(_i);
	fake_driver_kick(&ff_guest, FS_REQUESTS);
	fake_driver_work(&ff_guest);
	said_begin();
	come(&ff_backend);
	fake_driver_work(&ff_guest);
	ff_kill_backend();
	fake_driver_work(&ff_guest);
	ff_start();
	come(&ff_second);
	ff_ask(FS_REQUESTS, FUSE_INIT, 2);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).len, sizeof(struct fuse_out_header));
	ck_assert_int_eq(ff_answer_to(2).error, 0);
	said_end();
}
END_TEST

Suite *fs_awaited_suite(void);
Suite *fs_awaited_suite(void)
{
	Suite *suite = suite_create("fs, awaited");
	TCase *tc = tcase_create("awaited");

	tcase_add_checked_fixture(tc, ff_setup_awaited, ff_teardown);
	tcase_add_loop_test(tc, waits_for_the_first, 0, 2);
	tcase_add_test(tc, first_one_lacks_a_feature);
	tcase_add_test(tc, none_comes);
	tcase_add_loop_test(tc, hostile_rings_while_awaited, 0, FF_SPOILS);
	suite_add_tcase(suite, tc);
	return suite;
}
