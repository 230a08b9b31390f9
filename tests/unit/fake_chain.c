// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_chain.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct gpa_range fc_region[] = {{LOW, PAGES *PAGE}, {HIGH, PAGES *PAGE}};
uint8_t fc_low[PAGES * PAGE], fc_high[PAGES * PAGE];
const struct ram fc_ram = {
	.region = {{LOW, sizeof(fc_low), fc_low}, {HIGH, sizeof(fc_high), fc_high}}, .regions = 2};
char fc_folder[] = "/tmp/ebb-chain-XXXXXX";
int fc_dir;
struct snapshot_chain fc_chain;
struct fc_made fc_made;

int fc_write(void *ctx, const void *data, size_t len)
{
	return write(*(int *)ctx, data, len) == (ssize_t)len ? 0 : -errno;
}

void fc_add(struct snapshot_memory *list, uint64_t gpa, uint64_t pages)
{
	list->run[list->runs++] = (struct gpa_range){gpa, pages * PAGE};
	list->pages += pages;
}

void fc_save(bool is_increment, int fill)
{
	struct snapshot_id base = fc_made.id;
	char name[SNAPSHOT_BASE_NAME];
	uint8_t page[PAGE];
	int fd = openat(fc_dir, "new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct snapshot_writer writer = {.write = fc_write, .ctx = &fd};

	memset(page, fill, sizeof(page));
	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7);
	if (is_increment)
		snapshot_base_write(&writer, &base, &fc_made.zeros);
	snapshot_memory_write(&writer, &fc_made.memory);
	for (uint64_t i = 0; i < fc_made.memory.pages; i++)
		snapshot_pages_write(&writer, page, 1);
	snapshot_write(&writer, SNAPSHOT_CPU, 0, "cpu", 3);
	ck_assert_int_eq(snapshot_end(&writer), 0);
	ck_assert_int_eq(pread(fd, &fc_made.id, sizeof(fc_made.id), (off_t)(writer.offset - 16)),
			 16);
	close(fd);
	if (is_increment) {
		snapshot_base_name(&base, name);
		ck_assert_int_eq(renameat(fc_dir, "snapshot", fc_dir, name), 0);
	}
	ck_assert_int_eq(renameat(fc_dir, "new", fc_dir, "snapshot"), 0);
	fc_made.memory = fc_made.zeros = (struct snapshot_memory){0};
}

void fc_setup(void)
{
	strcpy(strrchr(fc_folder, '-'), "-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fc_folder));
	fc_dir = open(fc_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* 16 pages, of which the first increment changes 4, gives 4 back, and has 2 more. */
	fc_add(&fc_made.memory, LOW, 16);
	fc_add(&fc_made.memory, HIGH, 2);
	fc_save(false, 0x11);
	fc_add(&fc_made.memory, LOW + 2 * PAGE, 4);
	fc_add(&fc_made.memory, LOW + 32 * PAGE, 2);
	fc_add(&fc_made.zeros, LOW + 8 * PAGE, 4);
	fc_add(&fc_made.zeros, HIGH + PAGE, PAGES - 1);
	fc_save(true, 0x22);
	/* The second one uses one of those again, and gives one of its own back. */
	fc_add(&fc_made.memory, LOW + 9 * PAGE, 1);
	fc_add(&fc_made.zeros, LOW + 3 * PAGE, 1);
	fc_save(true, 0x33);
}

void fc_teardown(void)
{
	DIR *entries = fdopendir(fc_dir);
	const struct dirent *entry;

	snapshot_chain_release(&fc_chain);
	while ((entry = readdir(entries)))
		unlinkat(fc_dir, entry->d_name, 0);
	closedir(entries);
	rmdir(fc_folder);
}

static const char low_is[] = "1120221103001111000000000000000022";

static uint8_t byte_of(unsigned int page)
{
	uint8_t digit = page < sizeof(low_is) - 1 ? (uint8_t)(low_is[page] - '0') : 0;
	return (uint8_t)(digit * 0x11);
}

void fc_is_restored(void)
{
	for (unsigned int page = 0; page < PAGES; page++)
		for (unsigned int at = 0; at < PAGE; at += PAGE - 1) {
			ck_assert_msg(fc_low[page * PAGE + at] == byte_of(page), "page %u", page);
			ck_assert_uint_eq(fc_high[page * PAGE + at], page ? 0 : 0x11);
		}
}

int fc_open_with(const struct ram *ram)
{
	struct snapshot_files files;

	snapshot_chain_release(&fc_chain);
	int error = snapshot_chain_files(&fc_chain, &files, fc_dir);
	if (!error)
		error = snapshot_chain_open(&fc_chain, &files, ram);
	snapshot_files_close(&files);
	return error;
}

int fc_open(void)
{
	return fc_open_with(&fc_ram);
}

int fc_read(void)
{
	int error = fc_open();

	memset(fc_low, 0, sizeof(fc_low));
	memset(fc_high, 0, sizeof(fc_high));
	for (unsigned int n = 0; n < fc_chain.count && !error; n++)
		error = snapshot_chain_read(&fc_chain, n, &fc_ram);
	return error;
}

int fc_merge(void)
{
	int error = fc_open();
	int fd = openat(fc_dir, "new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct snapshot_writer writer = {.write = fc_write, .ctx = &fd};

	if (!error)
		error = snapshot_merge(&fc_chain, fc_region, 2, &writer);
	close(fd);
	return error;
}

void fc_fails(int (*way)(void), const char *why)
{
	ck_assert_int_lt(way(), 0);
	ck_assert_msg(strstr(fc_chain.why, why), "\"%s\" instead of \"%s\"", fc_chain.why, why);
}

void fc_base_name(unsigned int n, char name[SNAPSHOT_BASE_NAME])
{
	ck_assert_int_eq(fc_open(), 0);
	snapshot_base_name(&fc_chain.layer[n]->id, name);
}
