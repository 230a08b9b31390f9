// SPDX-License-Identifier: Apache-2.0
/* The file system device: with a backend that serves, one that ends, one that hangs and one that lies. */
#include <check.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake_fs.h"
#include "tests/unit/said.h"

static void setup(void)
{
	ff_begin(LIMIT_NS);
}

static void setup_impatient(void)
{
	ff_begin(SOON_NS);
}

/* --- a backend that serves ------------------------------------------------------------------- */

START_TEST(configuration)
{
	struct virtio_fs_config config;

	for (unsigned int i = 0; i < sizeof(config); i++)
		virtio_mmio_read(&ff_guest.mmio, VIRTIO_MMIO_CONFIG + i, (uint8_t *)&config + i, 1);
	ck_assert_str_eq((char *)config.tag, "docs");
	ck_assert_uint_eq(config.num_request_queues, 1);
	ck_assert_uint_eq(fake_driver_get(&ff_guest, VIRTIO_MMIO_DEVICE_ID), 26);
}
END_TEST

START_TEST(serves)
{
	ff_start();
	for (unsigned int i = 1; i <= 3 * SIZE; i++) {
		unsigned int queue = i % 3 ? FS_REQUESTS : FS_HIGH_PRIORITY;
		unsigned int before = ff_guest.interrupts;
		uint16_t head = ff_ask(queue, READ, i);
		struct vring_used_elem element = ff_wait_used(queue);
		ck_assert_uint_eq(element.id, head);
		ff_wait_interrupt(before);
	}
	ck_assert_uint_eq(ff_backend.returned, 3 * SIZE);
	ck_assert(!ff_needs_reset());
	ck_assert_uint_eq(ff_losts, 0);
}
END_TEST

START_TEST(no_interrupt_wanted)
{
	ff_start();
	ff_guest.queue[FS_REQUESTS].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	unsigned int before = ff_guest.interrupts;
	ff_ask(FS_REQUESTS, READ, 1);
	ff_wait_used(FS_REQUESTS);
	ck_assert_uint_eq(ff_guest.interrupts, before);
}
END_TEST

START_TEST(again_after_a_reset)
{
	for (unsigned int i = 1; i <= 3; i++) {
		ff_start();
		uint16_t head = ff_ask(FS_REQUESTS, READ, i);
		ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).id, head);
	}
	fake_driver_set(&ff_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(ff_founds, 1);
	ck_assert_uint_eq(ff_losts, 0);
}
END_TEST

/* What the driver added before DRIVER_OK, without a notification after it. */
START_TEST(early_request)
{
	fake_driver_negotiate(&ff_guest, V1);
	fake_driver_queue(&ff_guest, 0, SIZE);
	fake_driver_queue(&ff_guest, 1, SIZE);
	uint16_t head = ff_ask(FS_REQUESTS, READ, 1);
	fake_driver_ok(&ff_guest);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).id, head);
}
END_TEST

/* --- one that ends --------------------------------------------------------------------------- */

START_TEST(ends_with_chains_out)
{
	ff_backend.holds = true;
	ff_start();
	for (unsigned int i = 1; i <= 4; i++)
		ff_ask(i == 4 ? FS_HIGH_PRIORITY : FS_REQUESTS, READ, i);
	ff_wait_taken(&ff_backend, 4);
	said_begin();
	ff_kill_backend();
	ck_assert_ptr_nonnull(strstr(said_end(), "folder \"docs\" is lost: it has ended"));
	for (unsigned int i = 1; i <= 3; i++)
		ff_refused(i, ff_wait_used(FS_REQUESTS).len);
	ff_refused(4, ff_wait_used(FS_HIGH_PRIORITY).len);
	/* And whatever comes after. */
	for (unsigned int i = 5; i <= 5 + 2 * SIZE; i++) {
		ff_ask(FS_REQUESTS, READ, i);
		ff_refused(i, ff_wait_used(FS_REQUESTS).len);
	}
	ck_assert(!ff_needs_reset());
	ck_assert_uint_eq(ff_losts, 1);
	ck_assert_uint_eq(ff_ends, 0); /* what would be ended is the next one */
}
END_TEST

/* Those that were served meanwhile are not answered twice. */
START_TEST(ends_with_some_out)
{
	ff_start();
	uint16_t served = ff_ask(FS_REQUESTS, READ, 1);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).id, served);
	ff_backend.holds = true;
	ff_ask(FS_REQUESTS, READ, 2);
	ff_wait_taken(&ff_backend, 2);
	ff_kill_backend();
	ff_refused(2, ff_wait_used(FS_REQUESTS).len);
	struct vring_used_elem element;
	ck_assert(!fake_queue_used(&ff_guest.queue[FS_REQUESTS], &element));
	ck_assert_int_eq(ff_answer_to(1).error, 0);
}
END_TEST

START_TEST(next_one_serves_a_new_mount)
{
	ff_start();
	ff_kill_backend();
	ff_ask(FS_REQUESTS, FUSE_INIT, 1);
	ff_refused(1, ff_wait_used(FS_REQUESTS).len);
	vhost_user_device_came(&ff.served, fake_backend_start(&ff_second));
	/* Files of the old mount are not the new one's. */
	ff_ask(FS_REQUESTS, READ, 2);
	ff_refused(2, ff_wait_used(FS_REQUESTS).len);
	uint16_t head = ff_ask(FS_REQUESTS, FUSE_INIT, 3);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).id, head);
	ck_assert_int_eq(ff_answer_to(3).error, 0);
	ff_ask(FS_HIGH_PRIORITY, READ, 4);
	ff_wait_used(FS_HIGH_PRIORITY);
	ck_assert_uint_eq(ff_second.returned, 2);
	ck_assert_uint_eq(ff_founds, 2);
	ck_assert(!ff_needs_reset());
}
END_TEST

START_TEST(next_one_serves_after_a_reset)
{
	ff_start();
	ff_kill_backend();
	vhost_user_device_came(&ff.served, fake_backend_start(&ff_second));
	ff_start();
	uint16_t head = ff_ask(FS_REQUESTS, READ, 1);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).id, head);
	ck_assert_uint_eq(ff_second.returned, 1);
}
END_TEST

/* It ends before there is a driver, and nothing follows. */
START_TEST(ended_before)
{
	fake_backend_kill(&ff_backend);
	vhost_user_device_stirs(&ff.served);
	ff_start();
	ff_ask(FS_REQUESTS, READ, 1);
	ff_refused(1, ff_wait_used(FS_REQUESTS).len);
	ck_assert(!ff_needs_reset());
}
END_TEST

/* --- one that hangs or lies ------------------------------------------------------------------ */

/* At each request of a start: the device goes on without it, in time. */
START_TEST(lies_at_the_start)
{
	static const uint32_t at[] = {2, 5, 8, 10, 9, 13, 12, 18};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		fake_backend_kill(&ff_second);
		ff_second = (struct fake_backend){.features = V1 | PROTOCOL,
						  .protocol = ACK,
						  .lie = (enum lie)_i,
						  .lies_at = at[i]};
		vhost_user_device_came(&ff.served, fake_backend_start(&ff_second));
		ff_start();
		ff_ask(FS_REQUESTS, READ, 1);
		ff_refused(1, ff_wait_used(FS_REQUESTS).len);
		fake_backend_kill(&ff_second);
		ck_assert(!ff_needs_reset());
	}
}
END_TEST

START_TEST(does_not_stop)
{
	ff_backend.lie = SILENT;
	ff_backend.lies_at = VHOST_USER_GET_VRING_BASE;
	ff_start();
	ff_ask(FS_REQUESTS, READ, 1);
	ff_wait_used(FS_REQUESTS);
	/* A reset waits until it is dead, since the driver uses the memory again then. */
	ff.served.config.limit_ns = SOON_NS;
	fake_driver_set(&ff_guest, VIRTIO_MMIO_STATUS, 0);
	ff.served.config.limit_ns = LIMIT_NS;
	ck_assert_uint_eq(ff_ends, 1);
	ck_assert(atomic_load(&ff_killed));
	vhost_user_device_came(&ff.served, fake_backend_start(&ff_second));
	ff_start();
	uint16_t head = ff_ask(FS_REQUESTS, READ, 2);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).id, head);
	ck_assert_uint_eq(ff_ends, 1);
}
END_TEST

START_TEST(returns_nonsense)
{
	ff_backend.bad_used = true;
	ff_start();
	ff_ask(FS_REQUESTS, READ, 1);
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (!ff_needs_reset()) {
		for (unsigned int i = 0; i < FS_QUEUES; i++)
			vhost_user_device_called(&ff.served, i);
		fake_driver_work(&ff_guest);
		ck_assert_uint_lt(clock_ns(), deadline);
	}
	ck_assert_uint_eq(ff_ends, 1);
	/* This device alone, and only until it is reset. */
	vhost_user_device_came(&ff.served, fake_backend_start(&ff_second));
	ff_start();
	uint16_t head = ff_ask(FS_REQUESTS, READ, 2);
	ck_assert_uint_eq(ff_wait_used(FS_REQUESTS).id, head);
}
END_TEST

START_TEST(speaks_unasked)
{
	ff_start();
	ck_assert_int_eq(write(ff_backend.socket, "x", 1), 1);
	vhost_user_device_stirs(&ff.served);
	ff_ask(FS_REQUESTS, READ, 1);
	ff_wait_used(FS_REQUESTS);
	ck_assert_uint_eq(ff_ends, 1);
	ck_assert(!ff_needs_reset());
}
END_TEST

/* --- a driver that breaks the rules, with nobody else to judge it ---------------------------- */

START_TEST(hostile_chains)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags, next;
		bool stops;
	} table[] = {
		{BLOCKS_GPA, 64, VRING_DESC_F_NEXT, 0, true},	  /* a loop */
		{BLOCKS_GPA, 64, VRING_DESC_F_NEXT, SIZE, true},  /* no such descriptor */
		{BLOCKS_GPA, 16, VRING_DESC_F_INDIRECT, 0, true}, /* not negotiated */
		{BLOCKS_GPA, 8, 0, 0, false},			  /* no whole header */
		{BLOCKS_GPA, 64, 0, 0, false},			  /* no room for an answer */
		{BLOCKS_GPA, 64, VRING_DESC_F_WRITE, 0, false},	  /* no header */
		{LOW_END - 16, 64, 0, 0, false},		  /* not all RAM */
		{UINT64_MAX - 16, 64, 0, 0, false},		  /* wraps */
	};
	struct vring_used_elem element;

	ff_kill_backend();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ff_start();
		struct fake_queue *ring = &ff_guest.queue[FS_REQUESTS];
		fake_queue_desc(ring, 0, table[i].gpa, table[i].len, table[i].flags, table[i].next);
		fake_queue_publish(ring, 0);
		fake_driver_kick(&ff_guest, FS_REQUESTS);
		ck_assert_int_eq(ff_needs_reset(), table[i].stops);
		if (!table[i].stops) {
			ck_assert(fake_queue_used(ring, &element));
			ck_assert_uint_eq(element.len, 0);
		}
	}
}
END_TEST

/* The answer's room is not RAM. */
START_TEST(hostile_answer)
{
	struct vring_used_elem element;

	ff_kill_backend();
	ff_start();
	const struct gpa_range buffer[] = {{BLOCKS_GPA, 64}, {LOW_END - 8, 64}};
	fake_queue_add(&ff_guest.queue[FS_REQUESTS], buffer, 2, 1);
	fake_driver_kick(&ff_guest, FS_REQUESTS);
	ck_assert(fake_queue_used(&ff_guest.queue[FS_REQUESTS], &element));
	ck_assert_uint_eq(element.len, 0);
}
END_TEST

/* A head twice, or an index that jumps: it cannot be told what is out, and the driver begins again. */
START_TEST(hostile_rings)
{
	ff_backend.holds = true;
	ff_start();
	ff_ask_and_spoil(_i);
	/* It takes what it is given; and is lost before the device looks again. */
	fake_backend_kill(&ff_backend);
	fake_driver_kick(&ff_guest, FS_REQUESTS);
	vhost_user_device_stirs(&ff.served);
	fake_driver_work(&ff_guest);
	ck_assert(ff_needs_reset());
	ff_start();
	ck_assert(!ff_needs_reset());
}
END_TEST

Suite *fs_suite(void);
Suite *fs_suite(void)
{
	Suite *suite = suite_create("fs");
	TCase *tc = tcase_create("fs");
	TCase *impatient = tcase_create("impatient");

	tcase_add_checked_fixture(tc, setup, ff_teardown);
	tcase_add_test(tc, configuration);
	tcase_add_test(tc, serves);
	tcase_add_test(tc, no_interrupt_wanted);
	tcase_add_test(tc, again_after_a_reset);
	tcase_add_test(tc, early_request);
	tcase_add_test(tc, ends_with_chains_out);
	tcase_add_test(tc, ends_with_some_out);
	tcase_add_test(tc, next_one_serves_a_new_mount);
	tcase_add_test(tc, next_one_serves_after_a_reset);
	tcase_add_test(tc, ended_before);
	tcase_add_test(tc, does_not_stop);
	tcase_add_test(tc, returns_nonsense);
	tcase_add_test(tc, speaks_unasked);
	tcase_add_test(tc, hostile_chains);
	tcase_add_test(tc, hostile_answer);
	tcase_add_loop_test(tc, hostile_rings, 0, FF_SPOILS);
	suite_add_tcase(suite, tc);

	tcase_add_checked_fixture(impatient, setup_impatient, ff_teardown);
	tcase_add_loop_test(impatient, lies_at_the_start, SILENT, REFUSES + 1);
	suite_add_tcase(suite, impatient);
	return suite;
}
