// SPDX-License-Identifier: Apache-2.0
/* A worker, a driver that comes and goes, and somebody who looks at the counters. */
#include <check.h>
#include <endian.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_disk.h"

#define TURNS  100
#define EACH   8	   /* requests of a turn, each with a place of its own */
#define LEN    (192 * KIB) /* of each: a turn of the worker's is fewer than all */
#define AT(i)  (DISK_DATA + (i)*LEN)
#define TAG(i) (DISK_HEADER + 4096 * (1 + (i)))

static atomic_bool done;

static void *worker(void *unused)
{
	(void)unused;
	while (!atomic_load(&done))
		if (!fake_driver_turn(&disk_guest))
			sched_yield();
	return NULL;
}

static void *looker(void *unused)
{
	unsigned long long last = 0;
	(void)unused;
	while (!atomic_load(&done)) {
		unsigned long long now = atomic_load(&disk.counters[BLK_READ].bytes);
		if (now < last)
			return "a counter went back";
		last = now;
		uint32_t size;
		virtio_mmio_read(&disk_guest.mmio, VIRTIO_MMIO_CONFIG, &size, sizeof(size));
		if (le32toh(size) != DISK_SIZE / BLK_SECTOR)
			return "the disk has another size";
		sched_yield();
	}
	return NULL;
}

/* Reads the sectors of place @i. Its status is behind its header. */
static void ask(unsigned int i)
{
	const struct virtio_blk_outhdr header = {.type = htole32(VIRTIO_BLK_T_IN),
						 .sector = htole64(i * LEN / BLK_SECTOR)};
	const struct gpa_range chain[] = {{TAG(i), 16}, {AT(i), LEN}, {TAG(i) + 16, 1}};
	memcpy(fake_driver_at(&disk_guest, TAG(i), 16), &header, sizeof(header));
	fake_queue_add(&disk_guest.queue[0], chain, 3, 1);
	fake_driver_set(&disk_guest, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static bool was_read(unsigned int i)
{
	for (uint64_t sector = 0; sector < LEN / BLK_SECTOR; sector++)
		if (!disk_ram_is(AT(i) + sector * BLK_SECTOR, BLK_SECTOR,
				 disk_byte(i * LEN / BLK_SECTOR + sector)))
			return false;
	return true;
}

/* Every second turn waits for all, the others reset the device in the middle. */
static void *driver(void *unused)
{
	(void)unused;
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		struct vring_used_elem element;
		unsigned int used = 0;

		/* As fake_driver_start(), but the worker is another thread. */
		fake_driver_negotiate(&disk_guest, DISK_ALL & disk.dev.features_offered);
		fake_driver_queue(&disk_guest, 0, DISK_QUEUE);
		fake_driver_ok(&disk_guest);
		for (unsigned int i = 0; i < EACH; i++)
			ask(i);
		while (turn % 2 && used < EACH)
			if (fake_queue_used(&disk_guest.queue[0], &element))
				used++;
			else
				sched_yield();
		for (unsigned int i = 0; i < used; i++)
			if (!was_read(i))
				return "what was read is not what is there";
		fake_driver_set(&disk_guest, VIRTIO_MMIO_STATUS, 0);
		/* After the reset its memory is the driver's state. */
		memset(fake_driver_at(&disk_guest, AT(0), EACH * LEN), 0xee, EACH * LEN);
		sched_yield();
		if (!disk_ram_is(AT(0), EACH * LEN, 0xee))
			return "written to after a reset";
	}
	return NULL;
}

START_TEST(resets_while_it_reads)
{
	pthread_t working, driving, looking;
	void *wrong, *seen;

	atomic_store(&done, false);
	fake_driver_set(&disk_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	ck_assert_int_eq(pthread_create(&looking, NULL, looker, NULL), 0);
	ck_assert_int_eq(pthread_create(&driving, NULL, driver, NULL), 0);
	pthread_join(driving, &wrong);
	atomic_store(&done, true);
	pthread_join(working, NULL);
	pthread_join(looking, &seen);
	ck_assert_msg(!wrong, "%s", (char *)wrong);
	ck_assert_msg(!seen, "%s", (char *)seen);
	ck_assert_uint_ge(atomic_load(&disk.counters[BLK_READ].operations), TURNS / 2 * EACH);
	DISK_COUNTED(BLK_READ, failed, 0);
	DISK_COUNTED(BLK_READ, refused, 0);
}
END_TEST

static void add_tests(Suite *suite, const char *name, void (*setup)(void))
{
	TCase *tcase = tcase_create(name);
	tcase_add_checked_fixture(tcase, setup, disk_teardown);
	tcase_add_test(tcase, resets_while_it_reads);
	suite_add_tcase(suite, tcase);
}

Suite *blk_threads_suite(void);
Suite *blk_threads_suite(void)
{
	Suite *suite = suite_create("blk, threads");
	add_tests(suite, "one by one", disk_setup);
	add_tests(suite, "fake ring", disk_setup_fake);
	if (disk_has_uring())
		add_tests(suite, "io_uring", disk_setup_uring);
	return suite;
}
