// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/virtio-pmem/pmem.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/said.h"

#define V1     (1ULL << 32)
#define SIZE   64
#define GPA    (4ULL << 30)
#define LENGTH (4 * MIB)
/* Where a request is, and its answer. */
#define ASK    BLOCKS_GPA
#define ANSWER (BLOCKS_GPA + 4096)

static struct fake_driver guest;
static struct pmem_region region;
static struct pmem pmem;
static char path[64];
static unsigned int synced;
static int sync_error;

static int counting(int fd)
{
	ck_assert_int_eq(fd, region.fd);
	synced++;
	errno = sync_error;
	return sync_error ? -1 : 0;
}

static void file_make(off_t length)
{
	snprintf(path, sizeof(path), "/tmp/ebb-pmem-XXXXXX");
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, length), 0);
	close(fd);
}

static void plug(bool read_only)
{
	ck_assert_int_eq(pmem_region_open(&region, path, read_only), 0);
	ck_assert_int_eq(pmem_region_map(&region), 0);
	region.gpa = GPA;
	fake_driver_init(&guest);
	ck_assert_int_eq(ram_add_window(&guest.ram, GPA, region.size, region.hva), 0);
	pmem_init(&pmem, &region, &guest.host);
	pmem.fdatasync = counting;
	fake_driver_plug(&guest, &pmem.dev);
	fake_driver_start(&guest, V1, 1, SIZE);
}

static void setup(void)
{
	synced = 0;
	sync_error = 0;
	file_make(LENGTH);
	plug(false);
}

static void teardown(void)
{
	fake_driver_release(&guest);
	pmem_region_close(&region);
	unlink(path);
}

static void setup_read_only(void)
{
	synced = 0;
	file_make(LENGTH);
	plug(true);
}

static void add(uint32_t type)
{
	const struct gpa_range parts[] = {{ASK, 4}, {ANSWER, 4}};
	*(uint32_t *)fake_driver_at(&guest, ASK, 4) = htole32(type);
	*(uint32_t *)fake_driver_at(&guest, ANSWER, 4) = 0xdead;
	fake_queue_add(&guest.queue[0], parts, 2, 1);
}

/* One request and one doorbell. Returns the answer. */
static uint32_t ask(uint32_t type)
{
	struct vring_used_elem used;
	add(type);
	fake_driver_kick(&guest, 0);
	ck_assert(fake_queue_used(&guest.queue[0], &used));
	ck_assert_uint_eq(le32toh(used.len), 4);
	return le32toh(*(uint32_t *)fake_driver_at(&guest, ANSWER, 4));
}

static bool needs_reset(void)
{
	return fake_driver_get(&guest, 0x70) & 0x40;
}

/* --- the device ------------------------------------------------------------------------------- */

START_TEST(the_driver_is_told_where_it_is)
{
	ck_assert_uint_eq(fake_driver_get(&guest, 0x08), 27);
	ck_assert_uint_eq(fake_driver_get(&guest, 0x100), (uint32_t)GPA);
	ck_assert_uint_eq(fake_driver_get(&guest, 0x104), GPA >> 32);
	ck_assert_uint_eq(fake_driver_get(&guest, 0x108), LENGTH);
	ck_assert_uint_eq(fake_driver_get(&guest, 0x10c), 0);
	ck_assert_uint_eq(fake_driver_get(&guest, 0x110), 0);
}
END_TEST

START_TEST(a_flush_is_the_hosts)
{
	ck_assert_uint_eq(ask(0), 0);
	ck_assert_uint_eq(synced, 1);
	ck_assert_uint_eq(atomic_load(&pmem.flushes), 1);
}
END_TEST

START_TEST(one_flush_a_turn)
{
	struct vring_used_elem used;
	for (unsigned int i = 0; i < 3; i++)
		add(0);
	fake_driver_set(&guest, 0x50, 0);
	for (unsigned int i = 1; i <= 3; i++) {
		ck_assert(fake_driver_turn(&guest));
		ck_assert_uint_eq(synced, i);
		ck_assert(fake_queue_used(&guest.queue[0], &used));
	}
	ck_assert(!fake_driver_turn(&guest));
}
END_TEST

START_TEST(a_failure_stays)
{
	sync_error = EIO;
	said_begin();
	ck_assert_uint_eq(ask(0), 1);
	sync_error = 0;
	ck_assert_uint_eq(ask(0), 1);
	/* A reset of the device brings nothing back. */
	fake_driver_set(&guest, 0x70, 0);
	fake_driver_start(&guest, V1, 1, SIZE);
	ck_assert_uint_eq(ask(0), 1);
	const char *said = said_end();
	ck_assert_uint_eq(synced, 1);
	ck_assert_uint_eq(atomic_load(&pmem.failed), 3);
	ck_assert_uint_eq(atomic_load(&pmem.flushes), 0);
	ck_assert_msg(strstr(said, path) && strstr(said, "Input/output error") &&
			      !strstr(strchr(said, '\n') + 1, "ebb"),
		      "%s", said);
}
END_TEST

START_TEST(a_shorter_file_has_lost_data)
{
	ck_assert_int_eq(truncate(path, LENGTH - 1), 0);
	said_begin();
	ck_assert_uint_eq(ask(0), 1);
	ck_assert_int_eq(truncate(path, LENGTH), 0);
	ck_assert_uint_eq(ask(0), 1);
	ck_assert_ptr_nonnull(strstr(said_end(), "became shorter"));
	ck_assert_uint_eq(synced, 0);
}
END_TEST

START_TEST(a_longer_file_is_as_good)
{
	ck_assert_int_eq(truncate(path, LENGTH + 1), 0);
	ck_assert_uint_eq(ask(0), 0);
}
END_TEST

START_TEST(an_unknown_request_fails)
{
	ck_assert_uint_eq(ask(1), 1);
	ck_assert_uint_eq(ask(UINT32_MAX), 1);
	ck_assert(!needs_reset());
	ck_assert_uint_eq(synced, 0);
	ck_assert_uint_eq(atomic_load(&pmem.refused), 2);
}
END_TEST

START_TEST(a_request_in_pieces_is_one)
{
	const struct gpa_range parts[] = {
		{ASK, 1}, {ASK + 1, 0}, {ASK + 1, 3}, {ANSWER, 3}, {HIGH_GPA, 8}};
	uint8_t *answer = fake_driver_at(&guest, ANSWER, 3),
		*last = fake_driver_at(&guest, HIGH_GPA, 2);
	struct vring_used_elem used;
	*(uint32_t *)fake_driver_at(&guest, ASK, 4) = 0;
	memset(answer, 0xee, 3);
	memset(last, 0xee, 2);
	fake_queue_add(&guest.queue[0], parts, 5, 3);
	fake_driver_kick(&guest, 0);
	ck_assert(fake_queue_used(&guest.queue[0], &used));
	ck_assert_uint_eq(le32toh(used.len), 4);
	ck_assert(answer[0] == 0 && answer[1] == 0 && answer[2] == 0 && last[0] == 0);
	ck_assert_uint_eq(last[1], 0xee);
	ck_assert_uint_eq(synced, 1);
}
END_TEST

/* The driver may keep its request in the memory itself. */
START_TEST(a_request_in_the_file_works)
{
	const struct gpa_range parts[] = {{GPA, 4}, {GPA + 4096, 4}};
	struct vring_used_elem used;
	memset(region.hva + 4096, 0xee, 4);
	fake_queue_add(&guest.queue[0], parts, 2, 1);
	fake_driver_kick(&guest, 0);
	ck_assert(fake_queue_used(&guest.queue[0], &used));
	ck_assert_uint_eq(region.hva[4096], 0);
}
END_TEST

static const struct {
	struct gpa_range part[2];
	unsigned int n, readable;
} wrong[] = {
	{{{ASK, 4}}, 1, 1},		     /* no answer */
	{{{ANSWER, 4}}, 1, 0},		     /* no request */
	{{{ASK, 3}, {ANSWER, 4}}, 2, 1},     /* half of one */
	{{{ASK, 4}, {ANSWER, 3}}, 2, 1},     /* too little room */
	{{{ASK, 4}, {ANSWER, 4}}, 2, 2},     /* no room at all */
	{{{LOW_END, 4}, {ANSWER, 4}}, 2, 1}, /* no memory */
	{{{LOW_END - 2, 4}, {ANSWER, 4}}, 2, 1},
	{{{ASK, 4}, {LOW_END - 2, 4}}, 2, 1},
	{{{ASK, 4}, {GPA + LENGTH - 2, 4}}, 2, 1},
	{{{UINT64_MAX - 1, 4}, {ANSWER, 4}}, 2, 1},
	{{{ASK, 4}, {UINT64_MAX - 1, 4}}, 2, 1},
};

START_TEST(what_is_against_the_rules_stops_the_device)
{
	struct vring_used_elem used;
	*(uint32_t *)fake_driver_at(&guest, ASK, 4) = 0;
	fake_queue_add(&guest.queue[0], wrong[_i].part, wrong[_i].n, wrong[_i].readable);
	fake_driver_kick(&guest, 0);
	ck_assert(needs_reset());
	ck_assert(!fake_queue_used(&guest.queue[0], &used));
	fake_driver_start(&guest, V1, 1, SIZE);
	ck_assert_uint_eq(ask(0), 0);
}
END_TEST

/* --- a read-only one -------------------------------------------------------------------------- */

START_TEST(read_only_is_told_by_the_flush)
{
	said_begin();
	ck_assert_uint_eq(ask(0), 1);
	ck_assert_uint_eq(ask(0), 1);
	const char *said = said_end();
	ck_assert_msg(strstr(said, "read-only") && !strstr(strchr(said, '\n') + 1, "ebb"), "%s",
		      said);
	ck_assert_uint_eq(synced, 0);
	ck_assert_uint_eq(atomic_load(&pmem.refused), 2);
}
END_TEST

START_TEST(read_only_keeps_the_file)
{
	char byte = 1;
	region.hva[0] = 7;
	int fd = open(path, O_RDONLY);
	ck_assert_int_eq(pread(fd, &byte, 1, 0), 1);
	close(fd);
	ck_assert_int_eq(byte, 0);
}
END_TEST

/* --- the file --------------------------------------------------------------------------------- */

START_TEST(writable_is_the_file)
{
	char byte = 1;
	file_make(2 * MIB);
	ck_assert_int_eq(pmem_region_open(&region, path, false), 0);
	ck_assert_int_eq(pmem_region_map(&region), 0);
	ck_assert_uint_eq((uintptr_t)region.hva % PMEM_ALIGN, 0);
	region.hva[5] = 7;
	int fd = open(path, O_RDONLY);
	ck_assert_int_eq(pread(fd, &byte, 1, 5), 1);
	close(fd);
	ck_assert_int_eq(byte, 7);
	pmem_region_close(&region);
	unlink(path);
}
END_TEST

START_TEST(a_read_only_file_is_filled_up)
{
	static const off_t lengths[] = {1, 4095, 4096, 4097, 2 * MIB, 2 * MIB + 1};
	file_make(lengths[_i]);
	ck_assert_int_eq(pmem_region_open(&region, path, true), 0);
	ck_assert_int_eq(pmem_region_map(&region), 0);
	ck_assert_uint_eq(region.size, lengths[_i] <= (off_t)(2 * MIB) ? 2 * MIB : 4 * MIB);
	for (uint64_t i = 0; i < region.size; i += 512)
		ck_assert_uint_eq(region.hva[i], 0);
	region.hva[region.size - 1] = 1;
	pmem_region_close(&region);
	unlink(path);
}
END_TEST

static void touch_end(void *ctx)
{
	(void)ctx;
	fatal_take();
	if (pmem_region_map(&region) == 0)
		*(volatile uint8_t *)&region.hva[region.size - 1] = 1;
}

START_TEST(an_access_beyond_a_shorter_file_is_told)
{
	char said[SAID_MAX];
	file_make(2 * MIB);
	ck_assert_int_eq(pmem_region_open(&region, path, false), 0);
	ck_assert(!pmem_region_is_shorter(&region));
	ck_assert_int_eq(truncate(path, 4096), 0);
	ck_assert(pmem_region_is_shorter(&region));
	int status = said_by_child(touch_end, NULL, said);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == FATAL_GUEST_FAILED, "%x", status);
	ck_assert_msg(strstr(said, path) && strstr(said, "became shorter"), "%s", said);
	pmem_region_close(&region);
	unlink(path);
}
END_TEST

static void refused(const char *file, bool read_only, int error, const char *word)
{
	said_begin();
	ck_assert_int_eq(pmem_region_open(&region, file, read_only), error);
	const char *said = said_end();
	ck_assert_msg(strstr(said, word) && strstr(said, file), "%s", said);
	pmem_region_close(&region);
}

START_TEST(what_cannot_be_memory_is_refused)
{
	refused("/nonexistent/file", false, -ENOENT, "No such file");
	refused("/tmp", true, -EINVAL, "not a regular file");
	refused("/dev/null", false, -EINVAL, "not a regular file");
	file_make(0);
	refused(path, true, -EINVAL, "is empty");
	ck_assert_int_eq(truncate(path, 2 * MIB - 512), 0);
	refused(path, false, -EINVAL, "truncate -s %2M");
	unlink(path);
}
END_TEST

Suite *pmem_suite(void);
Suite *pmem_suite(void)
{
	Suite *suite = suite_create("pmem");
	TCase *tcase = tcase_create("device");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_driver_is_told_where_it_is);
	tcase_add_test(tcase, a_flush_is_the_hosts);
	tcase_add_test(tcase, one_flush_a_turn);
	tcase_add_test(tcase, a_failure_stays);
	tcase_add_test(tcase, a_shorter_file_has_lost_data);
	tcase_add_test(tcase, a_longer_file_is_as_good);
	tcase_add_test(tcase, an_unknown_request_fails);
	tcase_add_test(tcase, a_request_in_pieces_is_one);
	tcase_add_test(tcase, a_request_in_the_file_works);
	tcase_add_loop_test(tcase, what_is_against_the_rules_stops_the_device, 0,
			    sizeof(wrong) / sizeof(wrong[0]));
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("read-only");
	tcase_add_checked_fixture(tcase, setup_read_only, teardown);
	tcase_add_test(tcase, read_only_is_told_by_the_flush);
	tcase_add_test(tcase, read_only_keeps_the_file);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("file");
	tcase_add_test(tcase, writable_is_the_file);
	tcase_add_loop_test(tcase, a_read_only_file_is_filled_up, 0, 6);
	tcase_add_test(tcase, an_access_beyond_a_shorter_file_is_told);
	tcase_add_test(tcase, what_cannot_be_memory_is_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}
