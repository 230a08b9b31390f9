// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/bootdisk/partitions.h"

#define SECTOR	512
#define SECTORS 4096
#define SIZE	((uint64_t)SECTORS * SECTOR)

static uint8_t disk[SIZE];
static int fd;

static void setup(void)
{
	memset(disk, 0, sizeof(disk));
	fd = memfd_create("disk", 0);
	ck_assert(fd >= 0 && ftruncate(fd, SIZE) == 0);
}

static void teardown(void)
{
	close(fd);
}

static void put32(size_t at, uint32_t value)
{
	value = htole32(value);
	memcpy(disk + at, &value, sizeof(value));
}

static void put64(size_t at, uint64_t value)
{
	value = htole64(value);
	memcpy(disk + at, &value, sizeof(value));
}

static void mbr(unsigned int number, uint8_t type, uint32_t first, uint32_t sectors)
{
	size_t at = 446 + 16 * number;
	disk[at + 4] = type;
	put32(at + 8, first);
	put32(at + 12, sectors);
	disk[510] = 0x55;
	disk[511] = 0xaa;
}

static void gpt(uint64_t entries, uint32_t count, uint32_t entry_size)
{
	mbr(0, 0xee, 1, SECTORS - 1);
	memcpy(disk + SECTOR, "EFI PART", 8);
	put64(SECTOR + 72, entries);
	put32(SECTOR + 80, count);
	put32(SECTOR + 84, entry_size);
}

static void gpt_entry(unsigned int number, uint64_t first, uint64_t last)
{
	size_t at = 2 * SECTOR + 128 * number;
	disk[at] = 0xaf;
	put64(at + 32, first);
	put64(at + 40, last);
}

static unsigned int find(struct partition *found)
{
	ck_assert(pwrite(fd, disk, sizeof(disk), 0) == (ssize_t)sizeof(disk));
	return partitions_find(&(struct source){.fd = fd, .size = SIZE}, found);
}

START_TEST(test_gpt)
{
	struct partition found[PARTITIONS_MAX];

	gpt(2, 128, 128);
	gpt_entry(0, 2048, 4000);
	gpt_entry(13, 34, 2047); /* as the boot partitions of cloud images */
	ck_assert_uint_eq(find(found), 2);
	ck_assert(found[0].offset == 2048 * SECTOR && found[0].size == 1953 * SECTOR);
	ck_assert(found[1].offset == 34 * SECTOR && found[1].size == 2014 * SECTOR);
}
END_TEST

START_TEST(test_mbr)
{
	struct partition found[PARTITIONS_MAX];

	mbr(0, 0x83, 2048, 100);
	mbr(1, 0x83, 2048, SECTORS); /* beyond the end */
	mbr(2, 0, 100, 100);
	mbr(3, 0x83, 100, 100);
	ck_assert_uint_eq(find(found), 2);
	ck_assert(found[0].offset == 2048 * SECTOR && found[0].size == 100 * SECTOR);
	ck_assert(found[1].offset == 100 * SECTOR && found[1].size == 100 * SECTOR);
}
END_TEST

START_TEST(test_none)
{
	struct partition found[PARTITIONS_MAX];

	ck_assert_uint_eq(find(found), 1);
	ck_assert(found[0].offset == 0 && found[0].size == SIZE);
	ck_assert_uint_eq(partitions_find(&(struct source){.fd = fd}, found), 0);
}
END_TEST

/* Whatever the tables say, what comes out lies within the image. */
START_TEST(test_hostile)
{
	static const uint64_t odd[] = {0,	   1,
				       2047,	   SECTORS - 1,
				       SECTORS,	   SECTORS + 1,
				       UINT32_MAX, UINT64_MAX / SECTOR,
				       INT64_MAX,  UINT64_MAX - 1,
				       UINT64_MAX};
	const size_t odds = sizeof(odd) / sizeof(odd[0]);
	struct partition found[PARTITIONS_MAX];

	srand(1);
	for (int run = 0; run < 2000; run++) {
		gpt(rand() % 2 ? 2 : odd[(size_t)rand() % odds],
		    (uint32_t)odd[(size_t)rand() % odds],
		    rand() % 4 ? 128 : (uint32_t)odd[(size_t)rand() % odds]);
		for (unsigned int i = 0; i < 8; i++)
			gpt_entry(i, odd[(size_t)rand() % odds], odd[(size_t)rand() % odds]);
		mbr(1, 1, (uint32_t)odd[(size_t)rand() % odds],
		    (uint32_t)odd[(size_t)rand() % odds]);
		/* The tables alone: the rest stays as it is. */
		ck_assert(pwrite(fd, disk, 8 * SECTOR, 0) == 8 * SECTOR);
		unsigned int n = partitions_find(&(struct source){.fd = fd, .size = SIZE}, found);
		ck_assert_uint_le(n, PARTITIONS_MAX);
		for (unsigned int i = 0; i < n; i++)
			ck_assert(found[i].offset < SIZE &&
				  found[i].size <= SIZE - found[i].offset);
	}
}
END_TEST

Suite *partitions_suite(void);
Suite *partitions_suite(void)
{
	Suite *suite = suite_create("partitions");
	TCase *tcase = tcase_create("partitions");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_gpt);
	tcase_add_test(tcase, test_mbr);
	tcase_add_test(tcase, test_none);
	tcase_add_test(tcase, test_hostile);
	suite_add_tcase(suite, tcase);
	return suite;
}
