// SPDX-License-Identifier: Apache-2.0
/* A disk, and a driver that keeps to the rules. */
#include <check.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fake_disk.h"

static struct virtio_blk_config registers(void)
{
	struct virtio_blk_config config;
	virtio_mmio_read(&disk_guest.mmio, VIRTIO_MMIO_CONFIG, &config, sizeof(config));
	return config;
}

static uint64_t offered(void)
{
	fake_driver_set(&disk_guest, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return fake_driver_get(&disk_guest, VIRTIO_MMIO_DEVICE_FEATURES);
}

START_TEST(what_it_says_of_itself)
{
	ck_assert_uint_eq(fake_driver_get(&disk_guest, VIRTIO_MMIO_DEVICE_ID), 2);
	struct virtio_blk_config config = registers();
	ck_assert_uint_eq(le64toh(config.capacity), DISK_SECTORS);
	ck_assert_uint_eq(le32toh(config.seg_max), 126);
	ck_assert_uint_eq(le32toh(config.blk_size), 512);
	ck_assert_uint_eq(config.physical_block_exp, 3);
	ck_assert_uint_eq(le32toh(config.max_discard_seg), BLK_RANGES_MAX);
	ck_assert_uint_eq(offered() & BIT(VIRTIO_BLK_F_RO), 0);
	ck_assert_uint_ne(offered() & DISK_FLUSH, 0);
	ck_assert_uint_ne(offered() & DISK_ZERO, 0);
	/* Requests with header and status fit half a ring of the size that is told. */
	ck_assert_uint_le(2 * (le32toh(config.seg_max) + 2),
			  fake_driver_get(&disk_guest, VIRTIO_MMIO_QUEUE_NUM_MAX));
}
END_TEST

START_TEST(its_registers_end)
{
	uint8_t bytes[8];
	memset(bytes, 0xee, sizeof(bytes));
	virtio_mmio_read(&disk_guest.mmio,
			 VIRTIO_MMIO_CONFIG + sizeof(struct virtio_blk_config) - 1, bytes, 8);
	for (unsigned int i = 1; i < sizeof(bytes); i++)
		ck_assert_uint_eq(bytes[i], 0);
	struct virtio_blk_config before = registers();
	uint64_t garbage = UINT64_MAX;
	for (uint64_t at = 0; at + 8 <= 0xf00; at += 8)
		virtio_mmio_write(&disk_guest.mmio, VIRTIO_MMIO_CONFIG + at, &garbage, 8);
	struct virtio_blk_config after = registers();
	ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

START_TEST(reads_what_the_host_wrote)
{
	for (uint64_t sector = 0; sector < DISK_SECTORS; sector += 1000) {
		ANSWERED(disk_read(sector, BLK_SECTOR), VIRTIO_BLK_S_OK);
		ck_assert(disk_ram_is(DISK_DATA, BLK_SECTOR, disk_byte(sector)));
	}
	struct disk_answer last = disk_read(DISK_SECTORS - 1, BLK_SECTOR);
	ANSWERED(last, VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(last.len, BLK_SECTOR + 1);
	DISK_COUNTED(BLK_READ, operations, 18);
	DISK_COUNTED(BLK_READ, bytes, 18 * BLK_SECTOR);
	DISK_COUNTED(BLK_READ, refused, 0);
}
END_TEST

START_TEST(writes_what_the_host_reads)
{
	memset(fake_driver_at(&disk_guest, DISK_DATA, 4096), 0xa5, 4096);
	struct disk_answer answer = disk_write(8, 4096);
	ANSWERED(answer, VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(answer.len, 1);
	ck_assert(disk_file_is(7 * 512, 512, disk_byte(7)));
	ck_assert(disk_file_is(8 * 512, 4096, 0xa5));
	ck_assert(disk_file_is(16 * 512, 512, disk_byte(16)));
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
	DISK_COUNTED(BLK_WRITE, bytes, 4096);
	DISK_COUNTED(BLK_FLUSH, operations, 1);
}
END_TEST

/* To memory that is a file of the host's and from it, as a program does that has mapped one; not beyond its end. */
START_TEST(a_buffer_in_a_window)
{
	static uint8_t file[4096] __attribute__((aligned(4096)));
	const struct gpa_range data = {1ULL << 32, sizeof(file)}, beyond = {1ULL << 32, 8192};

	ck_assert_int_eq(ram_add_window(&disk_guest.ram, data.gpa, sizeof(file), file), 0);
	ANSWERED(disk_request(VIRTIO_BLK_T_IN, 3, &data, 1, 0), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(file[0], disk_byte(3));
	memset(file, 0x5a, sizeof(file));
	ANSWERED(disk_request(VIRTIO_BLK_T_OUT, 8, &data, 1, 1), VIRTIO_BLK_S_OK);
	ck_assert(disk_file_is(8 * 512, sizeof(file), 0x5a));
	disk_request(VIRTIO_BLK_T_IN, 3, &beyond, 1, 0);
	ck_assert(disk_needs_reset());
}
END_TEST

/* The whole disk at once: many pieces, one request, one interrupt's worth of answer. */
START_TEST(larger_than_a_turn)
{
	ANSWERED(disk_read(0, DISK_SIZE), VIRTIO_BLK_S_OK);
	for (uint64_t sector = 0; sector < DISK_SECTORS; sector++)
		ck_assert(disk_ram_is(DISK_DATA + sector * 512, 512, disk_byte(sector)));
	uint8_t *data = fake_driver_at(&disk_guest, DISK_DATA, DISK_SIZE);
	for (uint64_t sector = 0; sector < DISK_SECTORS; sector++)
		memset(data + sector * 512, disk_byte(sector + 5), 512);
	ANSWERED(disk_write(0, DISK_SIZE), VIRTIO_BLK_S_OK);
	ck_assert(disk_is_moved(5));
	DISK_COUNTED(BLK_READ, operations, 1);
	DISK_COUNTED(BLK_WRITE, operations, 1);
}
END_TEST

/* How a driver cuts a request into buffers means nothing (§2.7.4): header, data and status in any pieces. */
START_TEST(any_framing)
{
	static const struct gpa_range read[] = {
		{DISK_HEADER, 1},	{DISK_HEADER + 1, 14}, {DISK_HEADER + 15, 1},
		{DISK_DATA, 1},		{DISK_DATA + 1, 500},  {0, 0},
		{DISK_DATA + 501, 523}, {DISK_STATUS, 1},      {0, 0},
	};
	/* Data and status in one. */
	static const struct gpa_range together[] = {{DISK_HEADER, 16}, {DISK_STATUS - 512, 513}};
	struct gpa_range write[] = {{DISK_HEADER, 16 + 3}, {DISK_DATA, 509}, {DISK_STATUS, 1}};

	disk_header(VIRTIO_BLK_T_IN, 2);
	struct disk_answer answer = disk_chain(read, 9, 3);
	ANSWERED(answer, VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(answer.len, 1025);
	ck_assert(disk_ram_is(DISK_DATA, 512, disk_byte(2)));
	ck_assert(disk_ram_is(DISK_DATA + 512, 512, disk_byte(3)));

	answer = disk_chain(together, 2, 1);
	ANSWERED(answer, VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(answer.len, 513);
	ck_assert(disk_ram_is(DISK_STATUS - 512, 512, disk_byte(2)));

	disk_header(VIRTIO_BLK_T_OUT, 3);
	memset(fake_driver_at(&disk_guest, DISK_HEADER + 16, 3), 0x77, 3);
	memset(fake_driver_at(&disk_guest, DISK_DATA, 509), 0x77, 509);
	ANSWERED(disk_chain(write, 3, 2), VIRTIO_BLK_S_OK);
	ck_assert(disk_file_is(3 * 512, 512, 0x77));
}
END_TEST

START_TEST(many_segments)
{
	struct gpa_range data[BLK_SEGMENTS_MAX];
	for (unsigned int i = 0; i < BLK_SEGMENTS_MAX; i++)
		data[i] = (struct gpa_range){DISK_DATA + i * 8192, 512};
	struct disk_answer answer = disk_request(VIRTIO_BLK_T_IN, 100, data, BLK_SEGMENTS_MAX, 0);
	ANSWERED(answer, VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(answer.len, BLK_SEGMENTS_MAX * 512 + 1);
	for (unsigned int i = 0; i < BLK_SEGMENTS_MAX; i++)
		ck_assert(disk_ram_is(data[i].gpa, 512, disk_byte(100 + i)));
}
END_TEST

START_TEST(its_name)
{
	const struct gpa_range data = {DISK_DATA, 20}, part = {DISK_DATA, 3};
	uint8_t *name = fake_driver_at(&disk_guest, DISK_DATA, 20);

	memset(name, 0xee, 20);
	struct disk_answer answer = disk_request(VIRTIO_BLK_T_GET_ID, 0, &data, 1, 0);
	ANSWERED(answer, VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(answer.len, 21);
	ck_assert_mem_eq(name, "disk0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	memset(name, 0xee, 20);
	ANSWERED(disk_request(VIRTIO_BLK_T_GET_ID, 0, &part, 1, 0), VIRTIO_BLK_S_OK);
	ck_assert_mem_eq(name, "dis\xee", 4);
	ANSWERED(disk_request(VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

static uint64_t blocks(void)
{
	struct stat st;
	ck_assert_int_eq(fstat(disk.image.fd, &st), 0);
	return st.st_blocks;
}

START_TEST(discard_gives_space_back)
{
	/* On whose file system this runs is not known: what it cannot do it does not offer. */
	if (!disk.image.discards) {
		ck_assert_uint_eq(offered() & DISK_DISCARD, 0);
		return;
	}
	uint64_t before = blocks();
	ANSWERED(disk_range(VIRTIO_BLK_T_DISCARD, 2048, 4096, 0), VIRTIO_BLK_S_OK);
	ck_assert_uint_le(blocks() + 4096, before);
	ck_assert(disk_file_is(2047 * 512, 512, disk_byte(2047)));
	ck_assert(disk_file_is((2048 + 4096) * 512, 512, disk_byte(2048 + 4096)));
	struct stat st;
	fstat(disk.image.fd, &st);
	ck_assert_uint_eq(st.st_size, DISK_SIZE);
	DISK_COUNTED(BLK_DISCARD, bytes, 4096 * 512);
	ck_assert_uint_eq(atomic_load(&disk.ignored), 0);
}
END_TEST

START_TEST(write_zeroes)
{
	uint32_t flags = _i;
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 9, 7001, flags), VIRTIO_BLK_S_OK);
	ck_assert(disk_file_is(8 * 512, 512, disk_byte(8)));
	ck_assert(disk_file_is(9 * 512, 7001 * 512, 0));
	ck_assert(disk_file_is((9 + 7001) * 512, 512, disk_byte(9 + 7001)));
	DISK_COUNTED(BLK_ZERO, operations, 1);
	DISK_COUNTED(BLK_ZERO, bytes, 7001 * 512);
}
END_TEST

/* Zeros of what is a hole already take none of the host's disk, whatever the driver allows. */
START_TEST(write_zeroes_keeps_holes)
{
	uint32_t flags = _i;
	if (!disk.image.discards)
		return;
	ANSWERED(disk_range(VIRTIO_BLK_T_DISCARD, 0, DISK_SECTORS, 0), VIRTIO_BLK_S_OK);
	memset(fake_driver_at(&disk_guest, DISK_DATA, 4096), 0xa5, 4096);
	ANSWERED(disk_write(DISK_SECTORS / 2, 4096), VIRTIO_BLK_S_OK);
	uint64_t before = blocks();
	ck_assert_uint_lt(before, DISK_SECTORS / 4);
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, DISK_SECTORS, flags), VIRTIO_BLK_S_OK);
	ck_assert_uint_le(blocks(), before);
	ck_assert(disk_file_is(0, DISK_SIZE, 0));
	DISK_COUNTED(BLK_ZERO, bytes, DISK_SIZE);
}
END_TEST

/* Without the flag what is allocated stays so (a file system that can only be written zeros to included). */
START_TEST(write_zeroes_keeps_space)
{
	uint64_t before = blocks();
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, DISK_SECTORS, 0), VIRTIO_BLK_S_OK);
	ck_assert_uint_ge(blocks(), before);
	ck_assert(disk_file_is(0, DISK_SIZE, 0));
}
END_TEST

START_TEST(many_ranges)
{
	struct virtio_blk_discard_write_zeroes *range =
		fake_driver_at(&disk_guest, DISK_DATA, BLK_RANGES_MAX * 16);
	const struct gpa_range data[] = {{DISK_DATA, 40},
					 {DISK_DATA + 40, BLK_RANGES_MAX * 16 - 40}};

	for (unsigned int i = 0; i < BLK_RANGES_MAX; i++) /* every second one has no length */
		range[i] = (struct virtio_blk_discard_write_zeroes){htole64(i * 10),
								    htole32(i % 2 ? 0 : 10), 0};
	ANSWERED(disk_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, data, 2, 2), VIRTIO_BLK_S_OK);
	for (unsigned int i = 0; i < BLK_RANGES_MAX; i++)
		for (uint64_t sector = i * 10; sector < i * 10 + 10; sector++)
			ck_assert(disk_file_is(sector * 512, 512, i % 2 ? disk_byte(sector) : 0));
}
END_TEST

/* A disk that is only read says so, and stays as it is whatever is asked. */
START_TEST(read_only)
{
	disk_replug(true);
	ck_assert_uint_ne(offered() & BIT(VIRTIO_BLK_F_RO), 0);
	ck_assert_uint_eq(offered() & (DISK_DISCARD | DISK_ZERO), 0);
	ANSWERED(disk_read(4, 512), VIRTIO_BLK_S_OK);
	memset(fake_driver_at(&disk_guest, DISK_DATA, 512), 0, 512);
	struct disk_answer answer = disk_write(4, 512);
	ANSWERED(answer, VIRTIO_BLK_S_IOERR);
	ANSWERED(disk_range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
	ck_assert(disk_file_is(4 * 512, 512, disk_byte(4)));
	ck_assert(disk_file_is(0, 512, disk_byte(0)));
	DISK_COUNTED(BLK_WRITE, refused, 1);
	DISK_COUNTED(BLK_WRITE, failed, 0);
}
END_TEST

static unsigned int flushes;

static int note_flush(int fd)
{
	flushes++;
	return fdatasync(fd);
}

/* A driver without FLUSH has nothing but the answer to rely on. */
START_TEST(written_through_without_flush)
{
	struct image_calls calls = *disk.image.calls;
	calls.fdatasync = note_flush;
	disk.image.calls = &calls;
	flushes = 0;
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_OK);
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(flushes, 0);
	ANSWERED(disk_request(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(flushes, 1);

	fake_driver_start(&disk_guest, DISK_V1 | DISK_ZERO, 1, DISK_QUEUE);
	ANSWERED(disk_write(0, 512), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(flushes, 2);
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(flushes, 3);
}
END_TEST

/* What was not negotiated is not there. */
START_TEST(not_negotiated)
{
	fake_driver_start(&disk_guest, DISK_V1, 1, DISK_QUEUE);
	ANSWERED(disk_range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	ANSWERED(disk_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	ck_assert_uint_eq(atomic_load(&disk.unknown), 2);
	ck_assert(disk_file_is(0, 512, disk_byte(0)));
}
END_TEST

static void add_tests(Suite *suite, const char *name, void (*setup)(void))
{
	TCase *tcase = tcase_create(name);
	tcase_add_checked_fixture(tcase, setup, disk_teardown);
	tcase_add_test(tcase, what_it_says_of_itself);
	tcase_add_test(tcase, its_registers_end);
	tcase_add_test(tcase, reads_what_the_host_wrote);
	tcase_add_test(tcase, writes_what_the_host_reads);
	tcase_add_test(tcase, a_buffer_in_a_window);
	tcase_add_test(tcase, larger_than_a_turn);
	tcase_add_test(tcase, any_framing);
	tcase_add_test(tcase, many_segments);
	tcase_add_test(tcase, its_name);
	tcase_add_test(tcase, discard_gives_space_back);
	tcase_add_loop_test(tcase, write_zeroes, 0, 2);
	tcase_add_loop_test(tcase, write_zeroes_keeps_holes, 0, 2);
	tcase_add_test(tcase, write_zeroes_keeps_space);
	tcase_add_test(tcase, many_ranges);
	tcase_add_test(tcase, read_only);
	/* The kernel calls fdatasync() of itself. */
	if (setup != disk_setup_uring && setup != disk_setup_direct_uring)
		tcase_add_test(tcase, written_through_without_flush);
	tcase_add_test(tcase, not_negotiated);
	suite_add_tcase(suite, tcase);
}

Suite *blk_suite(void);
Suite *blk_suite(void)
{
	Suite *suite = suite_create("blk");
	add_tests(suite, "one by one", disk_setup);
	add_tests(suite, "fake ring", disk_setup_fake);
	add_tests(suite, "cache=none", disk_setup_direct);
	if (disk_has_uring())
		add_tests(suite, "io_uring", disk_setup_uring);
	if (disk_has_uring())
		add_tests(suite, "io_uring, cache=none", disk_setup_direct_uring);
	return suite;
}
