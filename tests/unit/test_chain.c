// SPDX-License-Identifier: Apache-2.0
/* Increments and what they are based on: what of them is the guest's memory, read or merged. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fake_chain.h"

START_TEST(all_comes_back)
{
	ck_assert_int_eq(fc_read(), 0);
	ck_assert_uint_eq(fc_chain.count, 3);
	fc_is_restored();
}
END_TEST

START_TEST(merged_it_is_the_same)
{
	ck_assert_int_eq(fc_merge(), 0);
	/* Its bases are not needed. */
	ck_assert_int_eq(renameat(fc_dir, "new", fc_dir, "snapshot"), 0);
	ck_assert_int_eq(fc_read(), 0);
	ck_assert_uint_eq(fc_chain.count, 1);
	fc_is_restored();
	ck_assert_uint_eq(fc_chain.layer[0]->memory.pages, 14 + 1);
}
END_TEST

/* The control: who forgets what reads as zero finds the base's bytes there. */
START_TEST(without_the_zeros_the_base_comes_back)
{
	ck_assert_int_eq(fc_open(), 0);
	for (unsigned int n = 0; n < fc_chain.count; n++)
		fc_chain.layer[n]->zeros.runs = 0;
	memset(fc_low, 0, sizeof(fc_low));
	for (unsigned int n = 0; n < fc_chain.count; n++)
		ck_assert_int_eq(snapshot_chain_read(&fc_chain, n, &fc_ram), 0);
	ck_assert_uint_eq(fc_low[8 * PAGE], 0x11);
	ck_assert_uint_eq(fc_low[3 * PAGE], 0x22);
	ck_assert_uint_eq(fc_low[9 * PAGE], 0x33);
}
END_TEST

/* A page of zeros in an increment hides the base's, too. */
START_TEST(zeros_among_its_pages)
{
	fc_add(&fc_made.memory, LOW, 1);
	fc_save(true, 0);
	ck_assert_int_eq(fc_read(), 0);
	ck_assert_uint_eq(fc_low[0], 0);
	ck_assert_uint_eq(fc_low[PAGE], 0x11);
	ck_assert_int_eq(fc_merge(), 0);
	ck_assert_int_eq(renameat(fc_dir, "new", fc_dir, "snapshot"), 0);
	ck_assert_int_eq(fc_read(), 0);
	ck_assert_uint_eq(fc_low[0], 0);
	ck_assert_uint_eq(fc_low[PAGE], 0x11);
}
END_TEST

/* Runs at random, against the naive way. */
START_TEST(each_page_has_one_owner)
{
	srand(_i + 1);
	ck_assert_int_eq(fc_open(), 0);
	for (unsigned int n = 0; n < 3; n++)
		for (unsigned int list = 0; list < 2; list++) {
			struct snapshot_memory *memory =
				list ? &fc_chain.layer[n]->zeros : &fc_chain.layer[n]->memory;
			memory->runs = 0;
			for (uint64_t page = (uint64_t)rand() % 9; page < PAGES;) {
				uint64_t pages = 1 + (uint64_t)rand() % 5;
				if (pages > PAGES - page)
					pages = PAGES - page;
				fc_add(memory, LOW + page * PAGE, pages);
				page += pages + (uint64_t)rand() % 9;
			}
		}
	for (unsigned int n = 0; n < 3; n++) {
		static bool found[PAGES];
		memset(found, 0, sizeof(found));
		for (unsigned int i = 0; i < fc_chain.layer[n]->memory.runs; i++) {
			struct gpa_range piece = {0};
			while (snapshot_chain_next(&fc_chain, n, &fc_chain.layer[n]->memory.run[i],
						   &piece))
				for (uint64_t at = 0; at < piece.len; at += PAGE)
					found[(piece.gpa + at - LOW) / PAGE] = true;
		}
		for (uint64_t page = 0; page < PAGES; page++) {
			bool has = false, hidden = false;
			for (unsigned int up = 0; up <= n; up++)
				for (unsigned int list = 0; list < 2; list++) {
					const struct snapshot_memory *memory =
						list ? &fc_chain.layer[up]->zeros
						     : &fc_chain.layer[up]->memory;
					bool in = false;
					for (unsigned int i = 0; i < memory->runs; i++)
						in |= LOW + page * PAGE - memory->run[i].gpa <
						      memory->run[i].len;
					hidden |= in && up < n;
					has |= in && up == n && !list;
				}
			ck_assert_msg(found[page] == (has && !hidden), "layer %u, page %u", n,
				      (unsigned int)page);
		}
	}
}
END_TEST

/* Returns the file of layer @n. */
static int open_layer(unsigned int n)
{
	char name[SNAPSHOT_BASE_NAME] = "snapshot";

	ck_assert_int_eq(fc_open(), 0);
	if (n)
		snapshot_base_name(&fc_chain.layer[n]->id, name);
	return openat(fc_dir, name, O_RDWR | O_CLOEXEC);
}

/* Each bit and each length of all that is no page, and some of the pages, of each of the three. */
START_TEST(damage_is_found)
{
	int (*const way)(void) = _i / 3 ? fc_merge : fc_read;
	int fd = open_layer((unsigned int)_i % 3);
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	uint8_t *bytes = malloc((size_t)st.st_size);
	ck_assert_int_eq(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	for (off_t at = 0; at < st.st_size;
	     at += at < 300 || st.st_size - at < 300 ? (at % 3 ? 1 : 2) : 97) {
		uint8_t flipped = bytes[at] ^ (uint8_t)(1 << at % 8);
		ck_assert_int_eq(pwrite(fd, &flipped, 1, at), 1);
		ck_assert_msg(way() < 0 && fc_chain.why[0], "byte %lld", (long long)at);
		ck_assert_int_eq(pwrite(fd, &bytes[at], 1, at), 1);
	}
	for (off_t len = 0; len < st.st_size;
	     len += len < 300 || st.st_size - len < 300 ? 5 : 997) {
		ck_assert_int_eq(ftruncate(fd, len), 0);
		fc_fails(way, "cut short");
		ck_assert_int_eq(pwrite(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	}
	ck_assert_int_eq(way(), 0);
	free(bytes);
	close(fd);
}
END_TEST

START_TEST(another_base_is_refused)
{
	char first[SNAPSHOT_BASE_NAME], last[SNAPSHOT_BASE_NAME];

	fc_base_name(1, first);
	fc_base_name(2, last);
	/* It leads to itself. */
	ck_assert_int_eq(renameat(fc_dir, last, fc_dir, "right"), 0);
	ck_assert_int_eq(linkat(fc_dir, first, fc_dir, last, 0), 0);
	fc_fails(fc_open, "is not the snapshot that it is based on: copy all files");
	ck_assert_int_eq(unlinkat(fc_dir, last, 0), 0);
	fc_fails(fc_open, "is missing: copy all files");
	ck_assert_int_eq(mkfifoat(fc_dir, last, 0600), 0);
	fc_fails(fc_open, "is no plain file");
	/* A link, though it leads to the right file. */
	ck_assert_int_eq(unlinkat(fc_dir, last, 0), 0);
	ck_assert_int_eq(renameat(fc_dir, "right", fc_dir, last), 0);
	ck_assert_int_eq(fc_open(), 0);
	ck_assert_int_eq(renameat(fc_dir, last, fc_dir, "right"), 0);
	ck_assert_int_eq(symlinkat("right", fc_dir, last), 0);
	fc_fails(fc_open, "is no plain file");
}
END_TEST

START_TEST(a_chain_has_an_end)
{
	for (unsigned int n = 3; n < SNAPSHOT_CHAIN_MAX; n++) {
		fc_add(&fc_made.memory, LOW, 1);
		fc_save(true, (int)n);
	}
	ck_assert_int_eq(fc_open(), 0);
	ck_assert_uint_eq(fc_chain.count, SNAPSHOT_CHAIN_MAX);
	fc_add(&fc_made.memory, LOW, 1);
	fc_save(true, 0x77);
	fc_fails(fc_open, "more than 7 others");
}
END_TEST

/* As a stranger would make it, with right checksums. */
START_TEST(forged_lists_are_refused)
{
	static const struct gpa_range forged[] = {
		{LOW - PAGE, 1}, {LOW, PAGES + 1}, {LOW + 1, 1}, {LOW, 0}, {HIGH, 1ULL << 51}};

	fc_add(&fc_made.zeros, forged[_i].gpa, forged[_i].len);
	fc_add(&fc_made.memory, LOW, 1);
	fc_save(true, 0x44);
	fc_fails(fc_open, "where the guest has none");
}
END_TEST

/* Merging knows no mapped RAM, but where it is: from the first list to the last. */
START_TEST(only_ram_is_merged)
{
	static const struct gpa_range forged[] = {
		{LOW - PAGE, 1}, {LOW, PAGES + 1}, {HIGH + PAGE, 1ULL << 40}};
	struct snapshot_writer writer = {.write = fc_write};

	ck_assert_int_eq(fc_open_with(NULL), 0);
	struct snapshot_memory *list =
		_i / 3 ? &fc_chain.layer[1]->zeros : &fc_chain.layer[2]->memory;
	list->runs = 0;
	fc_add(list, forged[_i % 3].gpa, forged[_i % 3].len);
	ck_assert_int_eq(snapshot_merge(&fc_chain, fc_region, 2, &writer), -EINVAL);
	ck_assert_str_eq(fc_chain.why, "it has memory where the guest has none");
}
END_TEST

/* Two lists of either kind; a list behind the pages. */
START_TEST(forged_sections_are_refused)
{
	int fd = openat(fc_dir, "snapshot", O_RDWR | O_TRUNC | O_CLOEXEC);
	struct snapshot_writer writer = {.write = fc_write, .ctx = &fd};
	static struct snapshot_memory none;

	snapshot_begin(&writer);
	if (_i < 2)
		snapshot_base_write(&writer, &fc_made.id, &none);
	if (_i == 1)
		snapshot_base_write(&writer, &fc_made.id, &none);
	snapshot_memory_write(&writer, &none);
	if (_i == 0)
		snapshot_memory_write(&writer, &none);
	if (_i == 2)
		snapshot_base_write(&writer, &fc_made.id, &none);
	if (_i == 3)
		snapshot_write_head(&writer, SNAPSHOT_PAGES, 0, 0, 0);
	snapshot_end(&writer);
	close(fd);
	fc_fails(fc_open, _i == 1 ? "no list of memory" : "not where its list says");
}
END_TEST

/* Of a type that may say something of memory; in the base, too, of which only the memory counts. */
START_TEST(unknown_sections_are_refused)
{
	int fd = openat(fc_dir, "snapshot", O_RDWR | O_TRUNC | O_CLOEXEC);
	struct snapshot_writer writer = {.write = fc_write, .ctx = &fd};
	static struct snapshot_memory none;

	snapshot_begin(&writer);
	snapshot_memory_write(&writer, &none);
	snapshot_write(&writer, _i % 2 ? SNAPSHOT_PAUSED + 1 : SNAPSHOT_WORKING_SET, 0, "new", 3);
	ck_assert_int_eq(snapshot_end(&writer), 0);
	if (_i / 2) {
		ck_assert_int_eq(
			pread(fd, &fc_made.id, sizeof(fc_made.id), (off_t)(writer.offset - 16)),
			16);
		fc_add(&fc_made.memory, LOW, 1);
		fc_save(true, 1);
	}
	close(fd);
	fc_fails(fc_open, "which this ebb does not know");
}
END_TEST

/* Once, and without a number and bytes, is the control. */
START_TEST(forged_pauses_are_refused)
{
	static const struct {
		unsigned int times;
		uint32_t number;
		size_t len;
		const char *why;
	} forged[] = {
		{1, 0, 0, NULL},
		{2, 0, 0, "says twice that its guest was paused"},
		{1, 1, 0, "that this ebb does not know"},
		{1, 0, 1, "a section of type 13 is too long"},
	};
	int fd = openat(fc_dir, "snapshot", O_RDWR | O_TRUNC | O_CLOEXEC);
	struct snapshot_writer writer = {.write = fc_write, .ctx = &fd};
	static struct snapshot_memory none;

	snapshot_begin(&writer);
	snapshot_memory_write(&writer, &none);
	for (unsigned int i = 0; i < forged[_i].times; i++)
		snapshot_write(&writer, SNAPSHOT_PAUSED, forged[_i].number, "x", forged[_i].len);
	ck_assert_int_eq(snapshot_end(&writer), 0);
	close(fd);
	if (forged[_i].why)
		fc_fails(fc_open, forged[_i].why);
	else
		ck_assert_int_eq(fc_open(), 0);
}
END_TEST

/* The same pages elsewhere are another snapshot. */
START_TEST(the_id_tells_where_pages_are)
{
	const struct snapshot_id base = fc_made.id;
	struct snapshot_id id[2];

	for (unsigned int i = 0; i < 2; i++) {
		fc_made.id = base;
		fc_add(&fc_made.memory, LOW + i * PAGE, 1);
		if (i)
			ck_assert_int_eq(renameat(fc_dir, "base", fc_dir, "snapshot"), 0);
		else
			ck_assert_int_eq(linkat(fc_dir, "snapshot", fc_dir, "base", 0), 0);
		fc_save(true, 0x55);
		id[i] = fc_made.id;
		ck_assert_int_eq(fc_read(), 0);
		ck_assert_uint_eq(fc_low[i * PAGE], 0x55);
	}
	ck_assert_mem_ne(&id[0], &id[1], sizeof(id[0]));
}
END_TEST

START_TEST(sections_without_end_are_refused)
{
	int fd = openat(fc_dir, "snapshot", O_RDWR | O_TRUNC | O_CLOEXEC);
	struct snapshot_writer writer = {.write = fc_write, .ctx = &fd};

	snapshot_begin(&writer);
	for (unsigned int i = 0; i < 5000; i++)
		snapshot_write(&writer, SNAPSHOT_SERIAL, 0, NULL, 0);
	snapshot_end(&writer);
	close(fd);
	fc_fails(fc_open, "too many sections");
}
END_TEST

/* Merges what is in the folder, and opens that. */
static int merge_large(const struct gpa_range *begin, unsigned int regions, const struct ram *large)
{
	int fd = openat(fc_dir, "new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct snapshot_writer writer = {.write = fc_write, .ctx = &fd};

	ck_assert_int_eq(fc_open_with(large), 0);
	ck_assert_int_eq(snapshot_merge(&fc_chain, begin, regions, &writer), 0);
	ck_assert_int_eq(linkat(fc_dir, "snapshot", fc_dir, "kept", 0), 0);
	ck_assert_int_eq(renameat(fc_dir, "new", fc_dir, "snapshot"), 0);
	int error = fc_open_with(large);
	if (!error)
		error = snapshot_chain_read(&fc_chain, 0, large);
	ck_assert_int_eq(renameat(fc_dir, "kept", fc_dir, "snapshot"), 0);
	close(fd);
	return error;
}

/*
 * More pieces than a snapshot can have: gaps are filled, but not that between two regions. The control: who does not know
 * the regions fills that, too.
 */
START_TEST(too_many_pieces_are_joined)
{
	enum { COUNT = 2 * SNAPSHOT_RUNS_MAX };
	const size_t size = 2 * COUNT * PAGE;
	const uint64_t second = (SNAPSHOT_RUNS_MAX + 2) * PAGE;
	const struct gpa_range one = {0, size},
			       begin[] = {{0, second - PAGE}, {second, size - second}};
	uint8_t *hva = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const struct ram large = {
		.region = {{0, second - PAGE, hva}, {second, size - second, hva + second}},
		.regions = 2};

	ck_assert_ptr_ne(hva, MAP_FAILED);
	/* Every second page, by turns of the one and the other. */
	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int n = 0; n < SNAPSHOT_RUNS_MAX; n++)
			fc_add(&fc_made.memory, (4 * n + 2 * i) * PAGE, 1);
		fc_save(i == 1, i ? 0x22 : 0x11);
	}
	ck_assert_int_eq(merge_large(&one, 1, &large), -EINVAL);
	memset(hva, 0, size);
	ck_assert_int_eq(merge_large(begin, 2, &large), 0);
	for (unsigned int n = 0; n < COUNT; n++) {
		ck_assert_uint_eq(hva[2 * n * PAGE], n % 2 ? 0x22 : 0x11);
		ck_assert_uint_eq(hva[(2 * n + 1) * PAGE], 0);
	}
	munmap(hva, size);
}
END_TEST

Suite *chain_suite(void);
Suite *chain_suite(void)
{
	Suite *suite = suite_create("chain");
	TCase *tcase = tcase_create("increments");

	tcase_add_checked_fixture(tcase, fc_setup, fc_teardown);
	tcase_add_test(tcase, all_comes_back);
	tcase_add_test(tcase, merged_it_is_the_same);
	tcase_add_test(tcase, without_the_zeros_the_base_comes_back);
	tcase_add_test(tcase, zeros_among_its_pages);
	tcase_add_loop_test(tcase, each_page_has_one_owner, 0, 20);
	tcase_add_loop_test(tcase, damage_is_found, 0, 6);
	tcase_add_test(tcase, another_base_is_refused);
	tcase_add_test(tcase, a_chain_has_an_end);
	tcase_add_loop_test(tcase, forged_lists_are_refused, 0, 5);
	tcase_add_loop_test(tcase, only_ram_is_merged, 0, 6);
	tcase_add_loop_test(tcase, forged_sections_are_refused, 0, 4);
	tcase_add_loop_test(tcase, unknown_sections_are_refused, 0, 4);
	tcase_add_loop_test(tcase, forged_pauses_are_refused, 0, 4);
	tcase_add_test(tcase, the_id_tells_where_pages_are);
	tcase_add_test(tcase, sections_without_end_are_refused);
	tcase_add_test(tcase, too_many_pieces_are_joined);
	suite_add_tcase(suite, tcase);
	return suite;
}
