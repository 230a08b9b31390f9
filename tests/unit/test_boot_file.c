// SPDX-License-Identifier: Apache-2.0
/* Kernels and initrds from files and from pipes, and what compressed ones are called. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/said.h"
#include "vmm/arch/boot_file.h"
#include "vmm/arch/packing.h"

#define SIZE 300000

static char path[64];
static const char *said;
static uint8_t data[SIZE], got[SIZE];
static int ends[2];
static size_t amount;

static void setup(void)
{
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 2654435761U >> 24);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
}

static void teardown(void)
{
	close(ends[0]);
}

/* Opens; what it said is in `said`. */
static int take(struct boot_file *file, uint64_t limit)
{
	said_begin();
	int error = boot_file_open(file, path, NULL, "initrd", limit);
	said = said_end();
	return error;
}

/* More than a pipe holds: in pieces, then the end. */
static void *writer(void *ctx)
{
	(void)ctx;
	for (size_t done = 0; done < amount;) {
		ssize_t n = write(ends[1], data + done, amount - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(ends[1]);
	return NULL;
}

START_TEST(a_pipe_is_read_to_its_end)
{
	static const size_t amounts[] = {0, 1, 65536, SIZE};
	struct boot_file file;
	pthread_t thread;
	amount = amounts[_i];
	pthread_create(&thread, NULL, writer, NULL);
	ck_assert_int_eq(take(&file, SIZE), 0);
	pthread_join(thread, NULL);
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(file.size, amount);
	ck_assert_int_eq(fcntl(file.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	/* At any place, and more than once. */
	ck_assert_int_eq(boot_file_read(&file, amount / 2, got, amount - amount / 2), 0);
	ck_assert_mem_eq(got, data + amount / 2, amount - amount / 2);
	ck_assert_int_eq(boot_file_read(&file, 0, got, amount), 0);
	ck_assert_mem_eq(got, data, amount);
	boot_file_close(&file);
}
END_TEST

START_TEST(a_pipe_without_end_is_bounded)
{
	struct boot_file file;
	pthread_t thread;
	signal(SIGPIPE, SIG_IGN);
	amount = SIZE;
	pthread_create(&thread, NULL, writer, NULL);
	ck_assert_int_eq(take(&file, 100000), -EFBIG);
	ck_assert_ptr_nonnull(strstr(said, "larger than the guest's memory"));
	ck_assert_uint_le(file.size, 100000);
	boot_file_close(&file);
	close(ends[0]);
	pthread_join(thread, NULL);
	ends[0] = -1;
}
END_TEST

/* Has @number wait, blocked. */
static void send(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(number);
}

/* A large initrd, whose storage may be slow; a small file is read whole, and then ebb ends as it does later. */
START_TEST(a_signal_ends_a_long_read)
{
	static const size_t sizes[] = {1 << 20, 40 << 20};
	struct boot_file file = {"file", "initrd", memfd_create("file", MFD_CLOEXEC), 0};
	char *to = malloc(sizes[_i]);

	ck_assert(to && file.fd >= 0 && ftruncate(file.fd, sizes[_i]) == 0);
	ck_assert_int_eq(boot_file_read(&file, 0, to, sizes[_i]), 0);
	send(SIGTERM);
	ck_assert_int_eq(boot_file_read(&file, 0, to, sizes[_i]), _i ? -EINTR : 0);
	boot_file_close(&file);
	free(to);
}
END_TEST

START_TEST(a_signal_ends_the_wait)
{
	struct boot_file file;
	send(_i);
	ck_assert_int_eq(take(&file, SIZE), -EINTR); /* nobody writes */
	ck_assert_ptr_nonnull(strstr(said, "a signal came"));
	boot_file_close(&file);
	close(ends[1]);
}
END_TEST

START_TEST(other_kinds_of_file_are_refused)
{
	static const char *const others[] = {"/", "/dev/null", "/dev/zero"};
	struct boot_file file;
	strcpy(path, others[_i]);
	ck_assert_int_eq(take(&file, SIZE), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said, "neither a regular file nor a pipe"));
	boot_file_close(&file);
	close(ends[1]);
}
END_TEST

/* --- compressed ones ---------------------------------------------------------------------------- */

/* Packs with the program itself where it is installed: the head of what it makes is called by its name. */
static void check_packed(const char *command, const char *name, const char *unpack)
{
	char text[256] = "", line[256];
	uint8_t head[64] = {0};
	snprintf(line, sizeof(line), "%.60s >/dev/null 2>&1 </dev/null && echo kernel | %.60s",
		 command, command);
	FILE *pipe = popen(line, "r");
	ck_assert_ptr_nonnull(pipe);
	size_t size = fread(head, 1, sizeof(head), pipe);
	pclose(pipe);
	if (size == 0) {
		printf("SKIPPED: the_usual_ways_are_told: '%s' is not installed\n", command);
		return;
	}
	ck_assert_msg(packing_advice(text, sizeof(text), head, size), "%s is not known", name);
	ck_assert_msg(strstr(text, name) && strstr(text, unpack), "%s: %s", name, text);
}

START_TEST(the_usual_ways_are_told)
{
	check_packed("gzip -c", "with gzip", "gzip -dc");
	check_packed("xz -c", "with xz", "xz -dc");
	check_packed("xz -c --format=lzma", "with lzma", "xz -dc");
	check_packed("zstd -c", "with zstd", "zstd -dc");
	check_packed("bzip2 -c", "with bzip2", "bzip2 -dc");
	check_packed("lz4 -c", "with lz4", "lz4 -dc");
	check_packed("lz4 -l -c", "with lz4", "lz4 -dc");
	check_packed("lzop -c", "with lzo", "lzop -dc");
}
END_TEST

START_TEST(magic_numbers)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *name;
	} cases[] = {
		{"\x1f\x8b", 2, "gzip"},	 {"\xfd\x37zXZ\0", 6, "xz"},
		{"\x28\xb5\x2f\xfd", 4, "zstd"}, {"BZh", 3, "bzip2"},
		{"\x04\x22\x4d\x18", 4, "lz4"},	 {"\x02\x21\x4c\x18", 4, "lz4"},
		{"\x89LZO", 4, "lzo"},		 {"\x5d\x00\x00", 3, "lzma"},
	};
	char text[256];
	uint8_t head[64] = {0};
	memcpy(head, cases[_i].bytes, cases[_i].size);
	ck_assert(packing_advice(text, sizeof(text), head, sizeof(head)));
	ck_assert_ptr_nonnull(strstr(text, cases[_i].name));
	/* Not by half of it. */
	ck_assert(!packing_advice(text, sizeof(text), head, 1));
}
END_TEST

START_TEST(a_kernel_for_efi_tells_where_its_image_is)
{
	char text[256];
	uint8_t head[64] = "MZ\0\0zimg\x00\x20\0\0\x34\x12\0\0\0\0\0\0\0\0\0\0zstd22";
	ck_assert(packing_advice(text, sizeof(text), head, sizeof(head)));
	ck_assert_ptr_nonnull(strstr(text, "tail -c +8193 FILE | head -c 4660 | zstd -dc >Image"));
	memcpy(head + 24, "12345678", 8); /* not ended, not known */
	ck_assert(packing_advice(text, sizeof(text), head, sizeof(head)));
	ck_assert_ptr_nonnull(strstr(text, "EFI"));
	ck_assert(!packing_advice(text, sizeof(text), head, 31));
	memset(head, 0, sizeof(head));
	ck_assert(!packing_advice(text, sizeof(text), head, sizeof(head)));
}
END_TEST

Suite *boot_file_suite(void);
Suite *boot_file_suite(void)
{
	Suite *suite = suite_create("boot_file");
	TCase *tcase = tcase_create("boot_file");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, a_pipe_is_read_to_its_end, 0, 4);
	tcase_add_test(tcase, a_pipe_without_end_is_bounded);
	tcase_add_loop_test(tcase, a_signal_ends_the_wait, SIGINT, SIGINT + 1);
	tcase_add_loop_test(tcase, a_signal_ends_the_wait, SIGTERM, SIGTERM + 1);
	tcase_add_loop_test(tcase, a_signal_ends_a_long_read, 0, 2);
	tcase_add_loop_test(tcase, other_kinds_of_file_are_refused, 0, 3);
	tcase_add_test(tcase, the_usual_ways_are_told);
	tcase_add_loop_test(tcase, magic_numbers, 0, 8);
	tcase_add_test(tcase, a_kernel_for_efi_tells_where_its_image_is);
	suite_add_tcase(suite, tcase);
	return suite;
}
