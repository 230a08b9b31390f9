// SPDX-License-Identifier: Apache-2.0
/* Drivers that keep to no rule: none harms more than the one request or device. */
#include <check.h>
#include <endian.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/fake_disk.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
/* Times 512 it is 0 again. */
#define WRAPS (1ULL << 55)

static void restart(void)
{
	fake_driver_start(&disk_guest, DISK_ALL & disk.dev.features_offered, 1, DISK_QUEUE);
}

/* --- chains that are no requests -------------------------------------------------------------- */

#define HEADER                                                                                     \
	{                                                                                          \
		DISK_HEADER, 16                                                                    \
	}
#define STATUS                                                                                     \
	{                                                                                          \
		DISK_STATUS, 1                                                                     \
	}

static const struct {
	const char *what;
	unsigned int buffers, readable;
	struct gpa_range buffer[4];
} malformed[] = {
	{"nothing but an empty buffer", 1, 1, {{DISK_HEADER, 0}}},
	{"no status", 1, 1, {HEADER}},
	{"no status, with data", 2, 2, {HEADER, {DISK_DATA, 512}}},
	{"a status of no bytes", 2, 1, {HEADER, {DISK_STATUS, 0}}},
	{"no header", 1, 0, {STATUS}},
	{"no header, with data", 2, 0, {{DISK_DATA, 512}, STATUS}},
	{"half a header", 2, 1, {{DISK_HEADER, 15}, STATUS}},
	{"a header in empty buffers", 3, 2, {{DISK_HEADER, 0}, {DISK_HEADER, 0}, STATUS}},
	{"a header that is not RAM", 2, 1, {{LOW_END, 16}, STATUS}},
	{"a header half in RAM", 2, 1, {{LOW_END - 8, 16}, STATUS}},
	{"a header that wraps", 2, 1, {{UINT64_MAX - 7, 16}, STATUS}},
	{"a status that is not RAM", 2, 1, {HEADER, {HIGH_END, 1}}},
	{"a status behind RAM", 2, 1, {HEADER, {LOW_END - 512, 513}}},
	{"data that are not RAM", 3, 1, {HEADER, {LOW_END, 512}, STATUS}},
	{"data half in RAM", 3, 1, {HEADER, {LOW_END - 256, 512}, STATUS}},
	{"data that wrap", 3, 1, {HEADER, {UINT64_MAX - 255, 512}, STATUS}},
	{"data of 4 GiB", 3, 1, {HEADER, {DISK_DATA, UINT32_MAX - 511}, STATUS}},
	{"the second of two data", 4, 1, {HEADER, {DISK_DATA, 512}, {0xdead0000, 512}, STATUS}},
};

START_TEST(no_request)
{
	/* Read, written, and of no known kind. */
	static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD,
					 77};
	for (int i = 0; i < COUNT(types); i++) {
		disk_header(types[i], 0);
		struct disk_answer answer = disk_chain(malformed[_i].buffer, malformed[_i].buffers,
						       malformed[_i].readable);
		ck_assert_msg(!answer.used && disk_needs_reset(), "%s", malformed[_i].what);
		/* It does nothing more, and then serves the next driver. */
		disk_header(VIRTIO_BLK_T_IN, 0);
		ck_assert(!disk_read(0, 512).used);
		restart();
		ANSWERED(disk_read(0, 512), VIRTIO_BLK_S_OK);
	}
	ck_assert(disk_is_moved(0));
}
END_TEST

/* Data to be written that are not RAM: nothing of them is, not even those that are. */
START_TEST(nothing_is_half_written)
{
	const struct gpa_range data[] = {{DISK_DATA, 512}, {LOW_END, 512}};
	ck_assert(!disk_request(VIRTIO_BLK_T_OUT, 0, data, 2, 2).used);
	ck_assert(disk_needs_reset());
	ck_assert(disk_is_moved(0));
}
END_TEST

START_TEST(writable_before_readable)
{
	struct fake_queue *ring = &disk_guest.queue[0];
	fake_queue_desc(ring, 0, DISK_STATUS, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	fake_queue_desc(ring, 1, DISK_HEADER, 16, 0, 0);
	fake_queue_publish(ring, 0);
	fake_driver_kick(&disk_guest, 0);
	ck_assert(disk_needs_reset());
}
END_TEST

START_TEST(in_circles)
{
	struct fake_queue *ring = &disk_guest.queue[0];
	fake_queue_desc(ring, 0, DISK_HEADER, 16, VRING_DESC_F_NEXT, 1);
	fake_queue_desc(ring, 1, DISK_DATA, 512, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	fake_queue_publish(ring, 0);
	fake_driver_kick(&disk_guest, 0);
	ck_assert(disk_needs_reset());
}
END_TEST

/* --- requests that are refused ---------------------------------------------------------------- */

static const struct {
	uint64_t sector;
	uint32_t len;
} beyond[] = {
	{DISK_SECTORS, 512},
	{DISK_SECTORS - 1, 1024},
	{0, DISK_SIZE + 512},
	{UINT64_MAX, 512},
	{WRAPS, 512},
	{WRAPS - 1, 1024},
	{UINT64_MAX - 1, 1024},
	{INT64_MAX, 512},
	{INT64_MAX / 512 + 1, 512},
	{0, 1},
	{0, 511},
	{0, 513},
	{DISK_SECTORS - 1, 511},
	{DISK_SECTORS + 1, 0},
};

START_TEST(beyond_the_disk)
{
	uint8_t *data = fake_driver_at(&disk_guest, DISK_DATA, DISK_SIZE + 512);
	memset(data, 0x5a, DISK_SIZE + 512);
	struct disk_answer answer = disk_read(beyond[_i].sector, beyond[_i].len);
	ANSWERED(answer, VIRTIO_BLK_S_IOERR);
	ck_assert(answer.len <= 1);
	ck_assert(disk_ram_is(DISK_DATA, DISK_SIZE + 512, 0x5a));
	ANSWERED(disk_write(beyond[_i].sector, beyond[_i].len), VIRTIO_BLK_S_IOERR);
	DISK_COUNTED(BLK_READ, refused, 1);
	DISK_COUNTED(BLK_WRITE, refused, 1);
	DISK_COUNTED(BLK_WRITE, operations, 0);
	struct stat st;
	fstat(disk.image.fd, &st);
	ck_assert_uint_eq(st.st_size, DISK_SIZE);
	ck_assert(disk_is_moved(0));
	ck_assert(!disk_needs_reset());
}
END_TEST

static const struct {
	uint32_t type;
	uint64_t sector;
	uint32_t sectors, flags;
	uint8_t status;
} ranges[] = {
	{VIRTIO_BLK_T_DISCARD, DISK_SECTORS, 1, 0, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_DISCARD, 0, DISK_SECTORS + 1, 0, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_DISCARD, UINT64_MAX, 1, 0, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_DISCARD, WRAPS, 1, 0, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_DISCARD, 0, 8, 1, VIRTIO_BLK_S_UNSUPP},
	{VIRTIO_BLK_T_DISCARD, 0, 8, 0x80000000, VIRTIO_BLK_S_UNSUPP},
	{VIRTIO_BLK_T_WRITE_ZEROES, DISK_SECTORS, 1, 0, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_WRITE_ZEROES, WRAPS, 1, 1, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_WRITE_ZEROES, 1, UINT32_MAX, 1, VIRTIO_BLK_S_IOERR},
	{VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2, VIRTIO_BLK_S_UNSUPP},
	{VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 3, VIRTIO_BLK_S_UNSUPP},
};

START_TEST(bad_ranges)
{
	/* What the file system here cannot do is not offered, and then all of it is unknown. */
	bool offers = ranges[_i].type != VIRTIO_BLK_T_DISCARD || disk.image.discards;
	ANSWERED(disk_range(ranges[_i].type, ranges[_i].sector, ranges[_i].sectors,
			    ranges[_i].flags),
		 offers ? ranges[_i].status : VIRTIO_BLK_S_UNSUPP);
	ck_assert(disk_is_moved(0));
	ck_assert(!disk_needs_reset());
}
END_TEST

START_TEST(bad_lists_of_ranges)
{
	static const uint32_t len[] = {1, 15, 17, 16 * BLK_RANGES_MAX + 16, DISK_SIZE};
	struct virtio_blk_discard_write_zeroes *list =
		fake_driver_at(&disk_guest, DISK_DATA, DISK_SIZE);
	for (int i = 0; i < BLK_RANGES_MAX + 1; i++)
		list[i] = (struct virtio_blk_discard_write_zeroes){0, htole32(8), 0};
	for (int i = 0; i < COUNT(len); i++) {
		const struct gpa_range data = {DISK_DATA, len[i]};
		ANSWERED(disk_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, &data, 1, 1),
			 VIRTIO_BLK_S_IOERR);
	}
	/* One that is wrong comes last: none is done. */
	list[1].sector = htole64(DISK_SECTORS);
	const struct gpa_range two = {DISK_DATA, 32};
	ANSWERED(disk_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, &two, 1, 1), VIRTIO_BLK_S_IOERR);
	ck_assert(disk_is_moved(0));
	DISK_COUNTED(BLK_ZERO, refused, COUNT(len) + 1);
	/* None at all is nothing to do. */
	ANSWERED(disk_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

/* A range larger than is told, on a disk that has it. */
START_TEST(too_large_a_range)
{
	const struct blk_limits limits = {.size = 1ULL << 42, .discard = true, .zero = true};
	struct virtq_chain chain = {
		.buffers = 3, .readable = 2, .buffer = {HEADER, {DISK_DATA, 16}, STATUS}};
	struct virtio_blk_discard_write_zeroes *range =
		fake_driver_at(&disk_guest, DISK_DATA, sizeof(*range));
	struct blk_request request;

	disk_header(VIRTIO_BLK_T_DISCARD, 0);
	*range = (struct virtio_blk_discard_write_zeroes){htole64(3),
							  htole32(BLK_RANGE_BYTES_MAX / 512), 0};
	ck_assert_int_eq(blk_request_parse(&disk_guest.ram, &chain, &limits, &request), 0);
	ck_assert_uint_eq(request.status, VIRTIO_BLK_S_OK);
	range->num_sectors = htole32(BLK_RANGE_BYTES_MAX / 512 + 1);
	ck_assert_int_eq(blk_request_parse(&disk_guest.ram, &chain, &limits, &request), 0);
	ck_assert_uint_eq(request.status, VIRTIO_BLK_S_IOERR);
}
END_TEST

START_TEST(unknown_types)
{
	static const uint32_t types[] = {2, 3, 5, 6, 7, 9, 10, 12, 14, 16, 0x80000000, UINT32_MAX};
	const struct gpa_range data = {DISK_DATA, 512};
	memset(fake_driver_at(&disk_guest, DISK_DATA, 512), 0x5a, 512);
	for (int i = 0; i < COUNT(types); i++) {
		ANSWERED(disk_request(types[i], 0, &data, 1, 0), VIRTIO_BLK_S_UNSUPP);
		ANSWERED(disk_request(types[i], 0, &data, 1, 1), VIRTIO_BLK_S_UNSUPP);
	}
	ck_assert_uint_eq(atomic_load(&disk.unknown), 2 * COUNT(types));
	ck_assert(disk_ram_is(DISK_DATA, 512, 0x5a));
	ck_assert(disk_is_moved(0));
}
END_TEST

/* --- a turn has an end ------------------------------------------------------------------------ */

START_TEST(a_reset_does_not_wait_for_all)
{
	const struct gpa_range chain[] = {HEADER, {DISK_DATA, DISK_SIZE}, STATUS};
	struct vring_used_elem element;

	memset(fake_driver_at(&disk_guest, DISK_DATA, DISK_SIZE), 0x5a, DISK_SIZE);
	disk_header(VIRTIO_BLK_T_OUT, 0);
	fake_queue_add(&disk_guest.queue[0], chain, 3, 2);
	fake_driver_spurious(&disk_guest);
	ck_assert(!fake_queue_used(&disk_guest.queue[0], &element));
	ck_assert(disk_file_is(0, 512, 0x5a));
	ck_assert(disk_file_is(DISK_SIZE - 512, 512, disk_byte(DISK_SECTORS - 1)));
	fake_driver_set(&disk_guest, VIRTIO_MMIO_STATUS, 0);
	fake_driver_work(&disk_guest);
	ck_assert(disk_file_is(DISK_SIZE - 512, 512, disk_byte(DISK_SECTORS - 1)));
	restart();
	ANSWERED(disk_read(DISK_SECTORS - 1, 512), VIRTIO_BLK_S_OK);
	DISK_COUNTED(BLK_WRITE, operations, 0);
}
END_TEST

/* A ring full of requests without any data is not done in one go either. */
START_TEST(a_turn_of_nothing_ends)
{
	const struct gpa_range chain[] = {HEADER, STATUS};
	struct vring_used_elem element;
	unsigned int used = 0;

	disk_header(99, 0);
	for (unsigned int i = 0; i < DISK_QUEUE / 2; i++)
		fake_queue_add(&disk_guest.queue[0], chain, 2, 1);
	fake_driver_spurious(&disk_guest);
	while (fake_queue_used(&disk_guest.queue[0], &element))
		used++;
	ck_assert_uint_gt(used, 0);
	ck_assert_uint_lt(used, DISK_QUEUE / 2);
	fake_driver_work(&disk_guest);
	while (fake_queue_used(&disk_guest.queue[0], &element))
		used++;
	ck_assert_uint_eq(used, DISK_QUEUE / 2);
}
END_TEST

static void add_guests(Suite *suite, const char *name, void (*setup)(void))
{
	TCase *guests = tcase_create(name);
	tcase_add_checked_fixture(guests, setup, disk_teardown);
	tcase_add_loop_test(guests, no_request, 0, COUNT(malformed));
	tcase_add_test(guests, nothing_is_half_written);
	tcase_add_test(guests, writable_before_readable);
	tcase_add_test(guests, in_circles);
	tcase_add_loop_test(guests, beyond_the_disk, 0, COUNT(beyond));
	tcase_add_loop_test(guests, bad_ranges, 0, COUNT(ranges));
	tcase_add_test(guests, bad_lists_of_ranges);
	tcase_add_test(guests, too_large_a_range);
	tcase_add_test(guests, unknown_types);
	tcase_add_test(guests, a_reset_does_not_wait_for_all);
	tcase_add_test(guests, a_turn_of_nothing_ends);
	suite_add_tcase(suite, guests);
}

Suite *blk_hostile_suite(void);
Suite *blk_hostile_suite(void)
{
	Suite *suite = suite_create("blk, hostile");
	add_guests(suite, "guests", disk_setup);
	add_guests(suite, "guests, fake ring", disk_setup_fake);
	if (disk_has_uring())
		add_guests(suite, "guests, io_uring", disk_setup_uring);
	return suite;
}
