// SPDX-License-Identifier: Apache-2.0
/* Requests that the host does beside each other: how many, in which order, and what a reset does with them. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake_disk.h"
#include "tests/unit/fake_ring.h"

#define LEN	  (16 * KIB)
#define AT(i)	  (DISK_DATA + (i)*LEN)
#define TAG(i)	  (DISK_HEADER + 4096 * (1 + (i)))
#define MANY	  80 /* chains of three buffers in a ring of 256, and more than BLK_DEPTH */
#define SECTOR(i) ((i)*LEN / BLK_SECTOR)

static struct fake_queue *ring(void)
{
	return &disk_guest.queue[0];
}

/* Makes request @i available, whose data and status have a place of their own. */
static uint16_t add(unsigned int i, uint32_t type)
{
	const struct virtio_blk_outhdr header = {.type = htole32(type),
						 .sector = htole64(SECTOR(i))};
	const struct gpa_range chain[] = {{TAG(i), 16}, {AT(i), LEN}, {TAG(i) + 16, 1}};
	const struct gpa_range flush[] = {{TAG(i), 16}, {TAG(i) + 16, 1}};
	uint8_t *tag = fake_driver_at(&disk_guest, TAG(i), 17);

	memcpy(tag, &header, sizeof(header));
	tag[16] = NO_ANSWER;
	if (type == VIRTIO_BLK_T_FLUSH)
		return fake_queue_add(ring(), flush, 2, 1);
	return fake_queue_add(ring(), chain, 3, type == VIRTIO_BLK_T_OUT ? 2 : 1);
}

static uint8_t status_of(unsigned int i)
{
	return *(uint8_t *)fake_driver_at(&disk_guest, TAG(i) + 16, 1);
}

static void kick(void)
{
	fake_driver_kick(&disk_guest, 0);
}

static bool was_read(unsigned int i)
{
	for (uint64_t sector = 0; sector < LEN / BLK_SECTOR; sector++)
		if (!disk_ram_is(AT(i) + sector * BLK_SECTOR, BLK_SECTOR,
				 disk_byte(SECTOR(i) + sector)))
			return false;
	return status_of(i) == VIRTIO_BLK_S_OK;
}

static unsigned int answered(void)
{
	struct vring_used_elem element;
	unsigned int n = 0;
	while (fake_queue_used(ring(), &element))
		n++;
	return n;
}

/* --- beside each other ------------------------------------------------------------------------ */

/* Each has its own answer, also if the last comes first. */
START_TEST(in_any_order)
{
	uint16_t head[32];
	struct vring_used_elem element;

	fake_ring.holds = true;
	fake_ring.backwards = true;
	for (unsigned int i = 0; i < 32; i++)
		head[i] = add(i, VIRTIO_BLK_T_IN);
	kick();
	ck_assert_uint_eq(fake_ring.most_out, 32);
	ck_assert_uint_eq(disk.queue[0].flying, 32);
	ck_assert_uint_eq(answered(), 0);
	unsigned int interrupts = disk_guest.interrupts;
	fake_ring_let_go();
	disk_settle();
	for (unsigned int i = 32; i-- > 0;) {
		ck_assert(fake_queue_used(ring(), &element));
		ck_assert_uint_eq(element.id, head[i]);
		ck_assert_uint_eq(element.len, LEN + 1);
		ck_assert(was_read(i));
	}
	/* One interrupt is enough for all that came in one turn. */
	ck_assert_uint_eq(disk_guest.interrupts, interrupts + 1);
	DISK_COUNTED(BLK_READ, operations, 32);
	DISK_COUNTED(BLK_READ, bytes, 32 * LEN);
}
END_TEST

/* No more than the depth; the others wait in the ring, and are taken when there is room, without another notification. */
START_TEST(bounded)
{
	fake_ring.holds = true;
	for (unsigned int i = 0; i < MANY; i++)
		add(i, VIRTIO_BLK_T_IN);
	kick();
	ck_assert_uint_eq(fake_ring.most_out, BLK_DEPTH);
	ck_assert_uint_eq(disk.queue[0].flying, BLK_DEPTH);
	fake_ring_let_go();
	disk_settle();
	ck_assert_uint_eq(fake_ring.most_out, BLK_DEPTH);
	ck_assert_uint_eq(answered(), MANY);
	for (unsigned int i = 0; i < MANY; i++)
		ck_assert(was_read(i));
}
END_TEST

/* What ends while the bell is off, after the turn's last look, is found without the bell. */
START_TEST(ends_with_the_turn)
{
	fake_ring.holds = true;
	fake_ring.late = true;
	add(0, VIRTIO_BLK_T_IN);
	kick();
	ck_assert_uint_eq(answered(), 1);
	ck_assert(was_read(0));
}
END_TEST

/* What one request cannot do at once, the worker does, meanwhile. */
START_TEST(others_go_on)
{
	fake_ring.holds = true;
	add(9, VIRTIO_BLK_T_IN);
	kick();
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 4096, 8, 0), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(status_of(9), NO_ANSWER);
	fake_ring_let_go();
	disk_settle();
	ck_assert(was_read(9));
}
END_TEST

START_TEST(on_a_real_ring)
{
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < MANY; i++) {
			memset(fake_driver_at(&disk_guest, AT(i), LEN), (int)(round + i), LEN);
			add(i, VIRTIO_BLK_T_OUT);
		}
		kick();
		disk_settle();
		ck_assert_uint_eq(answered(), MANY);
		add(MANY, VIRTIO_BLK_T_FLUSH);
		kick();
		disk_settle();
		ck_assert_uint_eq(answered(), 1);
		ck_assert_uint_eq(status_of(MANY), VIRTIO_BLK_S_OK);
		for (unsigned int i = 0; i < MANY; i++) {
			memset(fake_driver_at(&disk_guest, AT(i), LEN), 0, LEN);
			add(i, VIRTIO_BLK_T_IN);
		}
		kick();
		disk_settle();
		ck_assert_uint_eq(answered(), MANY);
		for (unsigned int i = 0; i < MANY; i++)
			ck_assert(disk_ram_is(AT(i), LEN, (uint8_t)(round + i)));
	}
	DISK_COUNTED(BLK_READ, failed, 0);
	DISK_COUNTED(BLK_WRITE, failed, 0);
}
END_TEST

/* --- durable ---------------------------------------------------------------------------------- */

static char calls[64]; /* what the host was asked, a letter each */

static void note(char call)
{
	calls[strlen(calls)] = call;
}

static ssize_t note_write(int fd, const struct iovec *iov, int n, off_t offset)
{
	note('w');
	return pwritev(fd, iov, n, offset);
}

static int note_flush(int fd)
{
	(void)fd;
	note('f');
	return 0;
}

static void note_calls(struct image_calls *hook)
{
	memset(calls, 0, sizeof(calls));
	*hook = *disk.image.calls;
	hook->pwritev = note_write;
	hook->fdatasync = note_flush;
	disk.image.calls = hook;
}

/* A flush asked for after a write was answered comes after it, and waits for no write that was not. */
START_TEST(a_flush_covers_what_was_answered)
{
	struct image_calls hook;
	note_calls(&hook);
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_OK);
	fake_ring.holds = true;
	add(1, VIRTIO_BLK_T_OUT);
	kick();
	add(2, VIRTIO_BLK_T_FLUSH);
	kick();
	ck_assert_str_eq(calls, "wwf");
	fake_ring.backwards = true;
	fake_ring_let_go();
	disk_settle();
	ck_assert_uint_eq(status_of(1), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(status_of(2), VIRTIO_BLK_S_OK);
}
END_TEST

/* A driver without FLUSH relies on the answer: it does not come between the write and its flush. */
START_TEST(durable_before_it_is_answered)
{
	struct image_calls hook;
	note_calls(&hook);
	fake_driver_start(&disk_guest, DISK_V1, 1, DISK_QUEUE);
	add(0, VIRTIO_BLK_T_OUT);
	fake_driver_set(&disk_guest, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	fake_ring.holds = true;
	fake_driver_turn(&disk_guest);
	ck_assert_str_eq(calls, "w");
	/* The write comes back, and its flush is held. */
	fake_ring.holds = false;
	fake_driver_spurious(&disk_guest);
	ck_assert_str_eq(calls, "wf");
	disk_settle();
	ck_assert_uint_eq(status_of(0), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(answered(), 1);
}
END_TEST

/* --- a host that lies ------------------------------------------------------------------------- */

static ssize_t too_much(int fd, const struct iovec *iov, int n, off_t offset)
{
	ssize_t done = pwritev(fd, iov, n, offset);
	return done + 1;
}

static unsigned int tries;

static ssize_t never_now(int fd, const struct iovec *iov, int n, off_t offset)
{
	(void)fd, (void)iov, (void)n, (void)offset;
	tries++;
	errno = EAGAIN;
	return -1;
}

/* Asked once more, so that it may wait; not for ever. */
START_TEST(a_host_that_never_can)
{
	struct image_calls hook = *disk.image.calls;
	hook.pwritev = never_now;
	disk.image.calls = &hook;
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_IOERR);
	DISK_COUNTED(BLK_WRITE, failed, 1);
	ck_assert_uint_eq(tries, 2);
	ck_assert_uint_eq(fake_ring.patient, 1);
}
END_TEST

START_TEST(more_than_was_asked_for)
{
	struct image_calls hook = *disk.image.calls;
	hook.pwritev = too_much;
	disk.image.calls = &hook;
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_IOERR);
	DISK_COUNTED(BLK_WRITE, failed, 1);
}
END_TEST

/* --- resets ----------------------------------------------------------------------------------- */

static void all_fly(void)
{
	fake_ring.holds = true;
	for (unsigned int i = 0; i < 32; i++)
		add(i, i % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT);
	kick();
	ck_assert_uint_eq(disk.queue[0].flying, 32);
}

/* The rings are the driver's again, and nobody writes to them. */
static void nothing_comes_back(void)
{
	uint16_t used = ring()->used->idx;
	fake_ring_let_go();
	fake_driver_spurious(&disk_guest);
	disk_settle();
	ck_assert_uint_eq(disk.queue[0].flying, 0);
	ck_assert_uint_eq(ring()->used->idx, used);
	ck_assert_uint_eq(status_of(0), NO_ANSWER);
}

static void works(void)
{
	fake_driver_start(&disk_guest, DISK_ALL & disk.dev.features_offered, 1, DISK_QUEUE);
	ANSWERED(disk_read(8, 512), VIRTIO_BLK_S_OK);
}

START_TEST(a_reset_waits)
{
	all_fly();
	fake_driver_set(&disk_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(disk.queue[0].flying, 0);
	nothing_comes_back();
	works();
}
END_TEST

START_TEST(a_stop_of_the_queue_waits)
{
	all_fly();
	fake_driver_set(&disk_guest, VIRTIO_MMIO_QUEUE_SEL, 0);
	fake_driver_set(&disk_guest, VIRTIO_MMIO_QUEUE_READY, 0);
	ck_assert_uint_eq(disk.queue[0].flying, 0);
	nothing_comes_back();
	works();
}
END_TEST

/* A driver that breaks the rules meanwhile: the rings are left alone, until it resets the device. */
START_TEST(what_flies_when_the_device_stops)
{
	all_fly();
	fake_queue_publish(ring(), 0xffff);
	kick();
	ck_assert(disk_needs_reset());
	uint16_t used = ring()->used->idx;
	fake_ring_let_go();
	fake_driver_work(&disk_guest);
	ck_assert_uint_eq(ring()->used->idx, used);
	fake_driver_set(&disk_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(disk.queue[0].flying, 0);
	works();
}
END_TEST

/* A host that does not finish holds up the end until the limit, and no longer. */
START_TEST(the_end_has_a_limit)
{
	all_fly();
	ck_assert(!virtio_core_stop(&disk_guest.mmio.core, 0));
	ck_assert_uint_eq(disk.queue[0].flying, 32);
	fake_ring.holds = false;
	ck_assert(virtio_core_stop(&disk_guest.mmio.core, UINT64_MAX));
	ck_assert_uint_eq(disk.queue[0].flying, 0);
}
END_TEST

/* --- a host without --------------------------------------------------------------------------- */

START_TEST(refused)
{
	static char text[4096];
	char path[] = "/tmp/ebb-said-XXXXXX";
	int file = mkstemp(path), before = dup(STDERR_FILENO);
	const struct blk_config config = {
		.file = disk_path, .read_only = true, .id = "disk1", .explain = !_i};
	struct blk blk;

	disk_replug(true); /* a reader shares the file */
	fake_ring.refused = true;
	dup2(file, STDERR_FILENO);
	int error = blk_init(&blk, &config, &disk_guest.host);
	dup2(before, STDERR_FILENO);
	ck_assert_int_eq(error, 0);
	ck_assert(!blk.queue[0].ring);
	ssize_t len = pread(file, text, sizeof(text) - 1, 0);
	ck_assert_int_ge(len, 0);
	if (_i)
		ck_assert_int_eq(len, 0);
	else
		ck_assert_ptr_nonnull(strstr(text, "refuses io_uring (Operation not permitted)"));
	blk_release(&blk);
	unlink(path);
	close(file);
}
END_TEST

Suite *blk_flight_suite(void);
Suite *blk_flight_suite(void)
{
	Suite *suite = suite_create("blk, in flight");
	TCase *tcase = tcase_create("fake ring");
	tcase_add_checked_fixture(tcase, disk_setup_fake, disk_teardown);
	tcase_add_test(tcase, in_any_order);
	tcase_add_test(tcase, bounded);
	tcase_add_test(tcase, ends_with_the_turn);
	tcase_add_test(tcase, others_go_on);
	tcase_add_test(tcase, a_flush_covers_what_was_answered);
	tcase_add_test(tcase, durable_before_it_is_answered);
	tcase_add_test(tcase, a_host_that_never_can);
	tcase_add_test(tcase, more_than_was_asked_for);
	tcase_add_test(tcase, a_reset_waits);
	tcase_add_test(tcase, a_stop_of_the_queue_waits);
	tcase_add_test(tcase, what_flies_when_the_device_stops);
	tcase_add_test(tcase, the_end_has_a_limit);
	tcase_add_loop_test(tcase, refused, 0, 2);
	suite_add_tcase(suite, tcase);
	if (disk_has_uring()) {
		TCase *real = tcase_create("io_uring");
		tcase_add_checked_fixture(real, disk_setup_uring, disk_teardown);
		tcase_add_test(real, on_a_real_ring);
		suite_add_tcase(suite, real);
	}
	return suite;
}
