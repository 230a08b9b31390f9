// SPDX-License-Identifier: Apache-2.0
/* Increments and what they are based on: what of them is the guest's memory, read or merged. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/snapshot/merge.h"

#define PAGE  4096ULL
#define LOW   0x10000ULL
#define HIGH  0x100000000ULL
#define PAGES 64 /* of each region */

static const struct gpa_range region[] = {{LOW, PAGES *PAGE}, {HIGH, PAGES *PAGE}};
static uint8_t low[PAGES * PAGE], high[PAGES * PAGE];
static const struct ram ram = {.region = {{LOW, sizeof(low), low}, {HIGH, sizeof(high), high}},
			       .regions = 2};
static char folder[] = "/tmp/ebb-chain-XXXXXX";
static int dir;
static struct snapshot_chain chain;

/* One that is written: its lists, and what all of its pages have. */
static struct {
	struct snapshot_memory memory, zeros;
	struct snapshot_id id;
} made;

static int file_write(void *ctx, const void *data, size_t len)
{
	return write(*(int *)ctx, data, len) == (ssize_t)len ? 0 : -errno;
}

static void add(struct snapshot_memory *list, uint64_t gpa, uint64_t pages)
{
	list->run[list->runs++] = (struct gpa_range){gpa, pages * PAGE};
	list->pages += pages;
}

/* Writes "snapshot": an increment of the one that is there, if @is_increment, with @fill in its pages. */
static void save(bool is_increment, int fill)
{
	struct snapshot_id base = made.id;
	char name[SNAPSHOT_BASE_NAME];
	uint8_t page[PAGE];
	int fd = openat(dir, "new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct snapshot_writer writer = {.write = file_write, .ctx = &fd};

	memset(page, fill, sizeof(page));
	snapshot_begin(&writer);
	snapshot_write(&writer, SNAPSHOT_MACHINE, 0, "machine", 7);
	if (is_increment)
		snapshot_base_write(&writer, &base, &made.zeros);
	snapshot_memory_write(&writer, &made.memory);
	for (uint64_t i = 0; i < made.memory.pages; i++)
		snapshot_pages_write(&writer, page, 1);
	snapshot_write(&writer, SNAPSHOT_CPU, 0, "cpu", 3);
	ck_assert_int_eq(snapshot_end(&writer), 0);
	ck_assert_int_eq(pread(fd, &made.id, sizeof(made.id), (off_t)(writer.offset - 16)), 16);
	close(fd);
	if (is_increment) {
		snapshot_base_name(&base, name);
		ck_assert_int_eq(renameat(dir, "snapshot", dir, name), 0);
	}
	ck_assert_int_eq(renameat(dir, "new", dir, "snapshot"), 0);
	made.memory = made.zeros = (struct snapshot_memory){0};
}

static void setup(void)
{
	strcpy(strrchr(folder, '-'), "-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* 16 pages, of which the first increment changes 4, gives 4 back, and has 2 more. */
	add(&made.memory, LOW, 16);
	add(&made.memory, HIGH, 2);
	save(false, 0x11);
	add(&made.memory, LOW + 2 * PAGE, 4);
	add(&made.memory, LOW + 32 * PAGE, 2);
	add(&made.zeros, LOW + 8 * PAGE, 4);
	add(&made.zeros, HIGH + PAGE, PAGES - 1);
	save(true, 0x22);
	/* The second one uses one of those again, and gives one of its own back. */
	add(&made.memory, LOW + 9 * PAGE, 1);
	add(&made.zeros, LOW + 3 * PAGE, 1);
	save(true, 0x33);
}

static void teardown(void)
{
	DIR *entries = fdopendir(dir);
	const struct dirent *entry;

	snapshot_chain_release(&chain);
	while ((entry = readdir(entries)))
		unlinkat(dir, entry->d_name, 0);
	closedir(entries);
	rmdir(folder);
}

static const char low_is[] = "1120221103001111000000000000000022";

static uint8_t byte_of(unsigned int page)
{
	uint8_t digit = page < sizeof(low_is) - 1 ? (uint8_t)(low_is[page] - '0') : 0;
	return (uint8_t)(digit * 0x11);
}

static void is_restored(void)
{
	for (unsigned int page = 0; page < PAGES; page++)
		for (unsigned int at = 0; at < PAGE; at += PAGE - 1) {
			ck_assert_msg(low[page * PAGE + at] == byte_of(page), "page %u", page);
			ck_assert_uint_eq(high[page * PAGE + at], page ? 0 : 0x11);
		}
}

static int open_chain(void)
{
	snapshot_chain_release(&chain);
	return snapshot_chain_open(&chain, dir, &ram);
}

static int read_chain(void)
{
	int error = open_chain();

	memset(low, 0, sizeof(low));
	memset(high, 0, sizeof(high));
	for (unsigned int n = 0; n < chain.count && !error; n++)
		error = snapshot_chain_read(&chain, n, &ram);
	return error;
}

static int merge(void)
{
	int error = open_chain();
	int fd = openat(dir, "new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct snapshot_writer writer = {.write = file_write, .ctx = &fd};

	if (!error)
		error = snapshot_merge(&chain, region, 2, &writer);
	close(fd);
	return error;
}

static void fails(int (*way)(void), const char *why)
{
	ck_assert_int_lt(way(), 0);
	ck_assert_msg(strstr(chain.why, why), "\"%s\" instead of \"%s\"", chain.why, why);
}

START_TEST(all_comes_back)
{
	ck_assert_int_eq(read_chain(), 0);
	ck_assert_uint_eq(chain.count, 3);
	is_restored();
}
END_TEST

START_TEST(merged_it_is_the_same)
{
	ck_assert_int_eq(merge(), 0);
	/* Its bases are not needed. */
	ck_assert_int_eq(renameat(dir, "new", dir, "snapshot"), 0);
	ck_assert_int_eq(read_chain(), 0);
	ck_assert_uint_eq(chain.count, 1);
	is_restored();
	ck_assert_uint_eq(chain.layer[0]->memory.pages, 14 + 1);
}
END_TEST

/* The control: who forgets what reads as zero finds the base's bytes there. */
START_TEST(without_the_zeros_the_base_comes_back)
{
	ck_assert_int_eq(open_chain(), 0);
	for (unsigned int n = 0; n < chain.count; n++)
		chain.layer[n]->zeros.runs = 0;
	memset(low, 0, sizeof(low));
	for (unsigned int n = 0; n < chain.count; n++)
		ck_assert_int_eq(snapshot_chain_read(&chain, n, &ram), 0);
	ck_assert_uint_eq(low[8 * PAGE], 0x11);
	ck_assert_uint_eq(low[3 * PAGE], 0x22);
	ck_assert_uint_eq(low[9 * PAGE], 0x33);
}
END_TEST

/* A page of zeros in an increment hides the base's, too. */
START_TEST(zeros_among_its_pages)
{
	add(&made.memory, LOW, 1);
	save(true, 0);
	ck_assert_int_eq(read_chain(), 0);
	ck_assert_uint_eq(low[0], 0);
	ck_assert_uint_eq(low[PAGE], 0x11);
	ck_assert_int_eq(merge(), 0);
	ck_assert_int_eq(renameat(dir, "new", dir, "snapshot"), 0);
	ck_assert_int_eq(read_chain(), 0);
	ck_assert_uint_eq(low[0], 0);
	ck_assert_uint_eq(low[PAGE], 0x11);
}
END_TEST

/* Runs at random, against the naive way. */
START_TEST(each_page_has_one_owner)
{
	srand(_i + 1);
	ck_assert_int_eq(open_chain(), 0);
	for (unsigned int n = 0; n < 3; n++)
		for (unsigned int list = 0; list < 2; list++) {
			struct snapshot_memory *memory =
				list ? &chain.layer[n]->zeros : &chain.layer[n]->memory;
			memory->runs = 0;
			for (uint64_t page = (uint64_t)rand() % 9; page < PAGES;) {
				uint64_t pages = 1 + (uint64_t)rand() % 5;
				if (pages > PAGES - page)
					pages = PAGES - page;
				add(memory, LOW + page * PAGE, pages);
				page += pages + (uint64_t)rand() % 9;
			}
		}
	for (unsigned int n = 0; n < 3; n++) {
		static bool found[PAGES];
		memset(found, 0, sizeof(found));
		for (unsigned int i = 0; i < chain.layer[n]->memory.runs; i++) {
			struct gpa_range piece = {0};
			while (snapshot_chain_next(&chain, n, &chain.layer[n]->memory.run[i],
						   &piece))
				for (uint64_t at = 0; at < piece.len; at += PAGE)
					found[(piece.gpa + at - LOW) / PAGE] = true;
		}
		for (uint64_t page = 0; page < PAGES; page++) {
			bool has = false, hidden = false;
			for (unsigned int up = 0; up <= n; up++)
				for (unsigned int list = 0; list < 2; list++) {
					const struct snapshot_memory *memory =
						list ? &chain.layer[up]->zeros
						     : &chain.layer[up]->memory;
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

	ck_assert_int_eq(open_chain(), 0);
	if (n)
		snapshot_base_name(&chain.layer[n]->id, name);
	return openat(dir, name, O_RDWR | O_CLOEXEC);
}

/* Each bit and each length of all that is no page, and some of the pages, of each of the three. */
START_TEST(damage_is_found)
{
	int (*const way)(void) = _i / 3 ? merge : read_chain;
	int fd = open_layer((unsigned int)_i % 3);
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	uint8_t *bytes = malloc((size_t)st.st_size);
	ck_assert_int_eq(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	for (off_t at = 0; at < st.st_size;
	     at += at < 300 || st.st_size - at < 300 ? (at % 3 ? 1 : 2) : 97) {
		uint8_t flipped = bytes[at] ^ (uint8_t)(1 << at % 8);
		ck_assert_int_eq(pwrite(fd, &flipped, 1, at), 1);
		ck_assert_msg(way() < 0 && chain.why[0], "byte %lld", (long long)at);
		ck_assert_int_eq(pwrite(fd, &bytes[at], 1, at), 1);
	}
	for (off_t len = 0; len < st.st_size;
	     len += len < 300 || st.st_size - len < 300 ? 5 : 997) {
		ck_assert_int_eq(ftruncate(fd, len), 0);
		fails(way, "cut short");
		ck_assert_int_eq(pwrite(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	}
	ck_assert_int_eq(way(), 0);
	free(bytes);
	close(fd);
}
END_TEST

static void base_name(unsigned int n, char name[SNAPSHOT_BASE_NAME])
{
	ck_assert_int_eq(open_chain(), 0);
	snapshot_base_name(&chain.layer[n]->id, name);
}

START_TEST(another_base_is_refused)
{
	char first[SNAPSHOT_BASE_NAME], last[SNAPSHOT_BASE_NAME];

	base_name(1, first);
	base_name(2, last);
	/* It leads to itself. */
	ck_assert_int_eq(renameat(dir, last, dir, "right"), 0);
	ck_assert_int_eq(linkat(dir, first, dir, last, 0), 0);
	fails(open_chain, "is not the snapshot that it is based on: copy all files");
	ck_assert_int_eq(unlinkat(dir, last, 0), 0);
	fails(open_chain, "is missing: copy all files");
	ck_assert_int_eq(mkfifoat(dir, last, 0600), 0);
	fails(open_chain, "is no plain file");
	/* A link, though it leads to the right file. */
	ck_assert_int_eq(unlinkat(dir, last, 0), 0);
	ck_assert_int_eq(renameat(dir, "right", dir, last), 0);
	ck_assert_int_eq(open_chain(), 0);
	ck_assert_int_eq(renameat(dir, last, dir, "right"), 0);
	ck_assert_int_eq(symlinkat("right", dir, last), 0);
	fails(open_chain, "is no plain file");
}
END_TEST

/* What a stranger's links lead to is not open where the snapshot is read. The control: the files themselves are. */
START_TEST(links_are_not_followed)
{
	char base[SNAPSHOT_BASE_NAME];
	struct snapshot_files files;

	base_name(1, base);
	for (int links = 0; links <= 1; links++) {
		const char *const names[] = {"working-set", base};
		for (unsigned int i = 0; i < 2; i++) {
			unlinkat(dir, names[i], 0);
			ck_assert_int_eq(links ? symlinkat("snapshot", dir, names[i])
					       : linkat(dir, "snapshot", dir, names[i], 0),
					 0);
		}
		ck_assert_int_eq(snapshot_files_open(&files, dir), 0);
		ck_assert_int_eq(files.working_set < 0, links);
		unsigned int opened = 0;
		for (unsigned int i = 0; i < files.bases; i++)
			opened += files.base[i].fd >= 0;
		ck_assert_uint_eq(opened, files.bases - (unsigned int)links);
		snapshot_files_close(&files);
	}
	ck_assert_int_eq(renameat(dir, "snapshot", dir, "elsewhere"), 0);
	ck_assert_int_eq(symlinkat("elsewhere", dir, "snapshot"), 0);
	ck_assert_int_eq(snapshot_files_open(&files, dir), -EINVAL);
	snapshot_files_close(&files);
}
END_TEST

/* Files can be opened there, names not be read: without bases, a snapshot is. The control: else they are found. */
START_TEST(a_folder_that_shows_no_names)
{
	struct snapshot_files files;
	const bool is_root = geteuid() == 0;

	ck_assert_int_eq(snapshot_files_open(&files, dir), 0);
	ck_assert_uint_eq(files.bases, 2);
	snapshot_files_close(&files);
	ck_assert_int_eq(fchmodat(dir, "snapshot", 0644, 0), 0);
	ck_assert_int_eq(fchmod(dir, is_root ? 0711 : 0311), 0);
	ck_assert(!is_root || seteuid(12345) == 0);
	int path = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error = snapshot_files_open(&files, path);
	ck_assert(!is_root || seteuid(0) == 0);
	ck_assert_int_eq(error, 0);
	ck_assert_uint_eq(files.bases, 0);
	ck_assert_int_ge(files.snapshot, 0);
	snapshot_files_close(&files);
	close(path);
	ck_assert_int_eq(fchmod(dir, 0700), 0);
}
END_TEST

/* Who may write to the folder as well adds no base to it. The control: root, or the folder's owner, does. */
START_TEST(a_base_of_another_user_is_refused)
{
	char base[SNAPSHOT_BASE_NAME];

	if (geteuid() != 0)
		return;
	base_name(1, base);
	ck_assert_int_eq(fchownat(dir, base, 12345, -1, 0), 0);
	fails(open_chain, "is of another user than its folder");
	ck_assert_int_eq(fchown(dir, 12345, -1), 0);
	ck_assert_int_eq(open_chain(), 0);
	ck_assert_int_eq(fchown(dir, 0, -1), 0);
	ck_assert_int_eq(fchownat(dir, base, 0, -1, 0), 0);
	ck_assert_int_eq(open_chain(), 0);
}
END_TEST

/* What a save to the folder does as soon as the snapshot there is opened. */
struct replacing {
	int opened; /* inotify's */
	const char *name, *old_base;
};

static void *replace(void *arg)
{
	const struct replacing *replacing = arg;
	char event[256];

	if (read(replacing->opened, event, sizeof(event)) <= 0 ||
	    renameat(dir, replacing->name, dir, "snapshot") < 0 ||
	    unlinkat(dir, replacing->old_base, 0) < 0)
		abort();
	return NULL;
}

/* Opens "old", which is replaced by "new" meanwhile. Returns whether it was before its base was opened. */
static bool open_replaced(const char *old_base, const struct snapshot_id *id)
{
	char path[64];
	struct replacing replacing = {inotify_init1(IN_CLOEXEC), "next", old_base};
	pthread_t thread;

	linkat(dir, "old_base", dir, old_base, 0);
	linkat(dir, "new", dir, "next", 0);
	ck_assert_int_eq(linkat(dir, "old", dir, "opened", 0), 0);
	ck_assert_int_eq(renameat(dir, "opened", dir, "snapshot"), 0);
	snprintf(path, sizeof(path), "%s/snapshot", folder);
	ck_assert_int_ge(inotify_add_watch(replacing.opened, path, IN_OPEN), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, replace, &replacing), 0);
	int error = open_chain();
	pthread_join(thread, NULL);
	close(replacing.opened);
	ck_assert_msg(error == 0, "%s", chain.why);
	return memcmp(&chain.layer[0]->id, id, sizeof(*id)) == 0;
}

/* Files that are named like bases, and are none: from the @first on, @count of them. */
static void add_bases(unsigned int first, unsigned int count)
{
	char name[64];

	for (unsigned int i = first; i < first + count; i++) {
		snprintf(name, sizeof(name), SNAPSHOT_BASE_PREFIX "%032x", i);
		ck_assert_int_eq(linkat(dir, "snapshot", dir, name, 0), 0);
	}
}

/* A reader begins anew. It has many names to look at, so that it is not the faster one each time. */
START_TEST(a_snapshot_is_replaced_meanwhile)
{
	char base[SNAPSHOT_BASE_NAME], name[16];

	for (unsigned int i = 0; i < 2; i++) {
		add(&made.memory, LOW, 1);
		save(false, 0x10 + (int)i);
		if (i == 0)
			snapshot_base_name(&made.id, base);
		add(&made.memory, LOW + PAGE, 1);
		save(true, 0x20 + (int)i);
		ck_assert_int_eq(linkat(dir, "snapshot", dir, i ? "kept" : "old", 0), 0);
	}
	ck_assert_int_eq(renameat(dir, "kept", dir, "new"), 0);
	ck_assert_int_eq(linkat(dir, base, dir, "old_base", 0), 0);
	add_bases(0, SNAPSHOT_BASES_MAX / 2);
	for (unsigned int i = 0; i < 4000; i++) {
		snprintf(name, sizeof(name), "other-%u", i);
		ck_assert_int_eq(linkat(dir, "snapshot", dir, name, 0), 0);
	}
	for (unsigned int i = 0; i < 1000; i++)
		if (open_replaced(base, &made.id))
			return;
	ck_abort_msg("it was never replaced in time");
}
END_TEST

/* What is there beside the bases that are needed is opened, and not read: so many at most. */
START_TEST(other_bases_do_no_harm)
{
	add_bases(0, SNAPSHOT_BASES_MAX - 2);
	ck_assert_int_eq(mkfifoat(dir, SNAPSHOT_BASE_PREFIX "of-another-kind", 0600), 0);
	ck_assert_int_eq(read_chain(), 0);
	is_restored();
	add_bases(SNAPSHOT_BASES_MAX, 1);
	fails(open_chain, "too many files");
}
END_TEST

START_TEST(a_chain_has_an_end)
{
	for (unsigned int n = 3; n < SNAPSHOT_CHAIN_MAX; n++) {
		add(&made.memory, LOW, 1);
		save(true, (int)n);
	}
	ck_assert_int_eq(open_chain(), 0);
	ck_assert_uint_eq(chain.count, SNAPSHOT_CHAIN_MAX);
	add(&made.memory, LOW, 1);
	save(true, 0x77);
	fails(open_chain, "more than 7 others");
}
END_TEST

/* As a stranger would make it, with right checksums. */
START_TEST(forged_lists_are_refused)
{
	static const struct gpa_range forged[] = {
		{LOW - PAGE, 1}, {LOW, PAGES + 1}, {LOW + 1, 1}, {LOW, 0}, {HIGH, 1ULL << 51}};

	add(&made.zeros, forged[_i].gpa, forged[_i].len);
	add(&made.memory, LOW, 1);
	save(true, 0x44);
	fails(open_chain, "where the guest has none");
}
END_TEST

/* Merging knows no mapped RAM, but where it is: from the first list to the last. */
START_TEST(only_ram_is_merged)
{
	static const struct gpa_range forged[] = {
		{LOW - PAGE, 1}, {LOW, PAGES + 1}, {HIGH + PAGE, 1ULL << 40}};
	struct snapshot_writer writer = {.write = file_write};

	ck_assert_int_eq(snapshot_chain_open(&chain, dir, NULL), 0);
	struct snapshot_memory *list = _i / 3 ? &chain.layer[1]->zeros : &chain.layer[2]->memory;
	list->runs = 0;
	add(list, forged[_i % 3].gpa, forged[_i % 3].len);
	ck_assert_int_eq(snapshot_merge(&chain, region, 2, &writer), -EINVAL);
	ck_assert_str_eq(chain.why, "it has memory where the guest has none");
}
END_TEST

/* Two lists of either kind; a list behind the pages. */
START_TEST(forged_sections_are_refused)
{
	int fd = openat(dir, "snapshot", O_RDWR | O_TRUNC | O_CLOEXEC);
	struct snapshot_writer writer = {.write = file_write, .ctx = &fd};
	static struct snapshot_memory none;

	snapshot_begin(&writer);
	if (_i < 2)
		snapshot_base_write(&writer, &made.id, &none);
	if (_i == 1)
		snapshot_base_write(&writer, &made.id, &none);
	snapshot_memory_write(&writer, &none);
	if (_i == 0)
		snapshot_memory_write(&writer, &none);
	if (_i == 2)
		snapshot_base_write(&writer, &made.id, &none);
	if (_i == 3)
		snapshot_write_head(&writer, SNAPSHOT_PAGES, 0, 0, 0);
	snapshot_end(&writer);
	close(fd);
	fails(open_chain, _i == 1 ? "no list of memory" : "not where its list says");
}
END_TEST

/* Of a type that may say something of memory; in the base, too, of which only the memory counts. */
START_TEST(unknown_sections_are_refused)
{
	int fd = openat(dir, "snapshot", O_RDWR | O_TRUNC | O_CLOEXEC);
	struct snapshot_writer writer = {.write = file_write, .ctx = &fd};
	static struct snapshot_memory none;

	snapshot_begin(&writer);
	snapshot_memory_write(&writer, &none);
	snapshot_write(&writer, _i % 2 ? SNAPSHOT_WRITTEN + 1 : SNAPSHOT_WORKING_SET, 0, "new", 3);
	ck_assert_int_eq(snapshot_end(&writer), 0);
	if (_i / 2) {
		ck_assert_int_eq(pread(fd, &made.id, sizeof(made.id), (off_t)(writer.offset - 16)),
				 16);
		add(&made.memory, LOW, 1);
		save(true, 1);
	}
	close(fd);
	fails(open_chain, "which this ebb does not know");
}
END_TEST

/* The same pages elsewhere are another snapshot. */
START_TEST(the_id_tells_where_pages_are)
{
	const struct snapshot_id base = made.id;
	struct snapshot_id id[2];

	for (unsigned int i = 0; i < 2; i++) {
		made.id = base;
		add(&made.memory, LOW + i * PAGE, 1);
		if (i)
			ck_assert_int_eq(renameat(dir, "base", dir, "snapshot"), 0);
		else
			ck_assert_int_eq(linkat(dir, "snapshot", dir, "base", 0), 0);
		save(true, 0x55);
		id[i] = made.id;
		ck_assert_int_eq(read_chain(), 0);
		ck_assert_uint_eq(low[i * PAGE], 0x55);
	}
	ck_assert_mem_ne(&id[0], &id[1], sizeof(id[0]));
}
END_TEST

START_TEST(sections_without_end_are_refused)
{
	int fd = openat(dir, "snapshot", O_RDWR | O_TRUNC | O_CLOEXEC);
	struct snapshot_writer writer = {.write = file_write, .ctx = &fd};

	snapshot_begin(&writer);
	for (unsigned int i = 0; i < 5000; i++)
		snapshot_write(&writer, SNAPSHOT_SERIAL, 0, NULL, 0);
	snapshot_end(&writer);
	close(fd);
	fails(open_chain, "too many sections");
}
END_TEST

/* Merges what is in the folder, and opens that. */
static int merge_large(const struct gpa_range *begin, unsigned int regions, const struct ram *large)
{
	int fd = openat(dir, "new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct snapshot_writer writer = {.write = file_write, .ctx = &fd};

	snapshot_chain_release(&chain);
	ck_assert_int_eq(snapshot_chain_open(&chain, dir, large), 0);
	ck_assert_int_eq(snapshot_merge(&chain, begin, regions, &writer), 0);
	ck_assert_int_eq(linkat(dir, "snapshot", dir, "kept", 0), 0);
	ck_assert_int_eq(renameat(dir, "new", dir, "snapshot"), 0);
	snapshot_chain_release(&chain);
	int error = snapshot_chain_open(&chain, dir, large);
	if (!error)
		error = snapshot_chain_read(&chain, 0, large);
	ck_assert_int_eq(renameat(dir, "kept", dir, "snapshot"), 0);
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
			add(&made.memory, (4 * n + 2 * i) * PAGE, 1);
		save(i == 1, i ? 0x22 : 0x11);
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

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, all_comes_back);
	tcase_add_test(tcase, merged_it_is_the_same);
	tcase_add_test(tcase, without_the_zeros_the_base_comes_back);
	tcase_add_test(tcase, zeros_among_its_pages);
	tcase_add_loop_test(tcase, each_page_has_one_owner, 0, 20);
	tcase_add_loop_test(tcase, damage_is_found, 0, 6);
	tcase_add_test(tcase, another_base_is_refused);
	tcase_add_test(tcase, links_are_not_followed);
	tcase_add_test(tcase, a_base_of_another_user_is_refused);
	tcase_add_test(tcase, a_folder_that_shows_no_names);
	tcase_add_test(tcase, a_snapshot_is_replaced_meanwhile);
	tcase_add_test(tcase, other_bases_do_no_harm);
	tcase_add_test(tcase, a_chain_has_an_end);
	tcase_add_loop_test(tcase, forged_lists_are_refused, 0, 5);
	tcase_add_loop_test(tcase, only_ram_is_merged, 0, 6);
	tcase_add_loop_test(tcase, forged_sections_are_refused, 0, 4);
	tcase_add_loop_test(tcase, unknown_sections_are_refused, 0, 4);
	tcase_add_test(tcase, the_id_tells_where_pages_are);
	tcase_add_test(tcase, sections_without_end_are_refused);
	tcase_add_test(tcase, too_many_pieces_are_joined);
	suite_add_tcase(suite, tcase);
	return suite;
}
