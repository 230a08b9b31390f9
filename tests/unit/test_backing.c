// SPDX-License-Identifier: Apache-2.0
/* Guest RAM that is not the usual anonymous memory: what it is, and what a discard of it frees. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/memory.h"
#include "vmm/mem/discard.h"

#define MIB (1ULL << 20)
#define P   4096ULL
#define H   (2 * MIB)

static const struct ram_config memfd = {.backing = RAM_MEMFD, .numa_node = -1};
static const struct ram_config hugetlbfs = {.backing = RAM_HUGETLBFS, .numa_node = -1};

static struct ram ram;

static void teardown(void)
{
	ram_release(&ram);
}

/* Descriptors and mappings that are there now: what a mistake must not add to. */
static unsigned int open_files(void)
{
	unsigned int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static struct discard_result discard(uint64_t gpa, uint64_t len, struct discard_step *step)
{
	const struct gpa_range range = {gpa, len};
	struct discard_result result;
	ram_discard(&ram, &range, 1, step, &result);
	return result;
}

/* --- memfd ----------------------------------------------------------------------------------- */

/* Two regions with a hole; the second lies beyond 4 GiB, and not on a huge page's boundary. */
#define A 0
#define B ((4ULL << 30) + 3 * P)

static void memfd_setup(void)
{
	const struct gpa_range span[] = {{A, 4 * MIB}, {B, 8 * P}};
	ck_assert_int_eq(ram_init(&ram, &memfd, span, 2), 0);
}

static uint64_t blocks(void)
{
	struct stat stat;
	ck_assert_int_eq(fstat(ram.file, &stat), 0);
	return stat.st_blocks * 512;
}

START_TEST(memfd_is_shared_unnamed_and_costs_nothing)
{
	struct stat stat;

	ck_assert_int_eq(fstat(ram.file, &stat), 0);
	ck_assert_uint_eq(stat.st_nlink, 0);
	ck_assert(fcntl(ram.file, F_GETFD) & FD_CLOEXEC);
	ck_assert_uint_eq(ram.page_size, sysconf(_SC_PAGESIZE));
	ck_assert_uint_eq(blocks(), 0);
	for (unsigned int i = 0; i < 2; i++) {
		const struct ram_region *region = &ram.region[i];
		ck_assert(memory_flag(region->hva, region->size, "sh"));
		ck_assert(memory_flag(region->hva, region->size, "dd"));
		ck_assert_uint_eq((uintptr_t)region->hva % H, region->gpa % H);
		/* Where it lies in the file: at its gpa. */
		region->hva[P] = 0x77;
		uint8_t byte = 0;
		ck_assert_int_eq(pread(ram.file, &byte, 1, region->gpa + P), 1);
		ck_assert_uint_eq(byte, 0x77);
	}
}
END_TEST

START_TEST(memfd_discard_frees_the_file)
{
	struct discard_step step[DISCARD_STEPS(1)];

	memset(ram.region[0].hva, 0xa5, ram.region[0].size);
	memset(ram.region[1].hva, 0xa5, ram.region[1].size);
	uint64_t full = blocks();
	ck_assert_uint_ge(full, 4 * MIB + 8 * P);

	struct discard_result result = discard(A + MIB, 2 * MIB + 100, step);
	ck_assert_uint_eq(result.bytes, 2 * MIB);
	ck_assert_uint_eq(result.failures, 0);
	ck_assert(step[0].done && step[0].zero);
	ck_assert_uint_eq(full - blocks(), 2 * MIB);
	ck_assert_uint_eq(memory_smaps(ram.region[0].hva, 4 * MIB, "Rss"), 2 * MIB);
	discard(B + 2 * P, P, step);
	ck_assert_uint_eq(full - blocks(), 2 * MIB + P);

	ck_assert(memory_is(ram.region[0].hva, MIB, 0xa5));
	ck_assert(memory_is(ram.region[0].hva + MIB, 2 * MIB, 0));
	ck_assert(memory_is(ram.region[0].hva + 3 * MIB, MIB, 0xa5));
	ck_assert(memory_is(ram.region[1].hva, 2 * P, 0xa5));
	ck_assert(memory_is(ram.region[1].hva + 2 * P, P, 0));
	ck_assert(memory_is(ram.region[1].hva + 3 * P, 5 * P, 0xa5));
}
END_TEST

/* As a process does that was handed the descriptors: what either writes the other reads. */
static void shares_are_the_guests(unsigned int regions)
{
	struct ram_share share[RAM_REGIONS_MAX];
	struct discard_step step[DISCARD_STEPS(1)];

	ck_assert_int_eq(ram_shares(&ram, share), (int)regions);
	for (unsigned int i = 0; i < regions; i++) {
		const struct ram_region *region = &ram.region[i];
		ck_assert_uint_eq(share[i].gpa, region->gpa);
		ck_assert_uint_eq(share[i].size, region->size);
		ck_assert_ptr_eq(share[i].hva, region->hva);
		uint8_t *theirs = mmap(NULL, share[i].size, PROT_READ | PROT_WRITE, MAP_SHARED,
				       share[i].fd, share[i].offset);
		ck_assert_ptr_ne(theirs, MAP_FAILED);

		uint64_t last = region->size - 1;
		memset(region->hva, 0x11 + i, region->size);
		ck_assert(memory_is(theirs, region->size, 0x11 + i));
		theirs[last] = 0x77;
		ck_assert_uint_eq(region->hva[last], 0x77);
		discard(region->gpa, region->size, step);
		ck_assert(memory_is(theirs, region->size, 0));
		munmap(theirs, share[i].size);
	}
}

START_TEST(memfd_can_be_mapped_by_others)
{
	shares_are_the_guests(2);
}
END_TEST

START_TEST(release_gives_all_back)
{
	unsigned int files = open_files();
	int file = ram.file;

	ram_release(&ram);
	ck_assert_int_lt(fcntl(file, F_GETFD), 0);
	/* The file, and the process's smaps. */
	ck_assert_uint_eq(open_files(), files - 2);
	ram_release(&ram); /* of nothing */
	ck_assert_uint_eq(open_files(), files - 2);
	ck_assert_int_ge(fcntl(0, F_GETFD), 0);
}
END_TEST

/* --- hugetlbfs: loudly skipped where the host has no pool of huge pages ---------------------- */

#define HUGE_A 4 /* pages of each region */
#define HUGE_B 2

static bool huge_setup(const char *test, const char *path)
{
	const struct gpa_range span[] = {{0, HUGE_A * H}, {4ULL << 30, HUGE_B * H}};
	struct ram_config config = hugetlbfs;

	if (!memory_hugepages(test, HUGE_A + HUGE_B))
		return false;
	config.path = path;
	ck_assert_int_eq(ram_init(&ram, &config, span, 2), 0);
	return true;
}

static uint64_t available(void)
{
	return memory_host("HugePages_Free") - memory_host("HugePages_Rsvd");
}

START_TEST(huge_pages_are_reserved_and_given_back)
{
	uint64_t free = memory_host("HugePages_Free"), others = available();
	struct discard_step step[DISCARD_STEPS(1)];

	if (!huge_setup(__func__, NULL))
		return;
	ck_assert_uint_eq(ram.page_size, H);
	ck_assert_uint_eq(memory_host("HugePages_Free"), free);
	ck_assert_uint_eq(available(), others - HUGE_A - HUGE_B);
	for (unsigned int i = 0; i < 2; i++)
		memset(ram.region[i].hva, 0xa5, ram.region[i].size);
	ck_assert_uint_eq(memory_host("HugePages_Free"), free - HUGE_A - HUGE_B);

	/* Half a page, a whole one, half a page: the whole one is anybody's now. */
	struct discard_result result = discard(H / 2, 2 * H, step);
	ck_assert_uint_eq(result.bytes, H);
	ck_assert(step[0].done && step[0].zero);
	ck_assert_uint_eq(memory_host("HugePages_Free"), free - HUGE_A - HUGE_B + 1);
	ck_assert_uint_eq(available(), others - HUGE_A - HUGE_B + 1);
	discard(4ULL << 30, HUGE_B * H, step);
	ck_assert_uint_eq(available(), others - HUGE_A + 1);

	ck_assert(memory_is(ram.region[0].hva, H, 0xa5));
	ck_assert(memory_is(ram.region[0].hva + H, H, 0));
	ck_assert(memory_is(ram.region[0].hva + 2 * H, 2 * H, 0xa5));
	ck_assert(memory_is(ram.region[1].hva, HUGE_B * H, 0));
	ram_release(&ram);
	ck_assert_uint_eq(available(), others);
}
END_TEST

/* Sets how many pages the pool may get beyond those that it has. Returns false if we may not. */
static bool overcommit(const char *pages)
{
	int fd =
		open("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", O_WRONLY);
	ssize_t n = write(fd, pages, strlen(pages));
	close(fd);
	return n == (ssize_t)strlen(pages);
}

/* By default they are given back only where others can have pages without taking these. */
START_TEST(huge_pages_are_kept_without_one_to_spare)
{
	if (!huge_setup(__func__, NULL))
		return;
	uint64_t left = available() * H;
	ck_assert_uint_gt(left, 0);
	ck_assert_ptr_null(ram_why_keep(&ram));

	/* All that are left are promised to somebody. */
	void *rest = mmap(NULL, left, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	ck_assert_ptr_ne(rest, MAP_FAILED);
	ck_assert_ptr_nonnull(strstr(ram_why_keep(&ram), "no huge page to spare"));
	if (overcommit("1")) {
		ck_assert_ptr_null(ram_why_keep(&ram));
		ck_assert(overcommit("0"));
	}
	munmap(rest, left);
	ck_assert_ptr_null(ram_why_keep(&ram));
}
END_TEST

START_TEST(huge_pages_can_be_mapped_by_others)
{
	if (huge_setup(__func__, NULL))
		shares_are_the_guests(2);
}
END_TEST

/* Reserved for the guest, reported by it: others can have it. Once more: nothing changes. */
START_TEST(a_page_that_was_never_touched_goes_too)
{
	uint64_t free = memory_host("HugePages_Free"), others = available();
	struct discard_step step[DISCARD_STEPS(1)];

	if (!huge_setup(__func__, NULL))
		return;
	ram.region[0].hva[0] = 1;
	ck_assert_uint_eq(available(), others - HUGE_A - HUGE_B);
	for (int i = 0; i < 2; i++) {
		struct discard_result result = discard(H, 2 * H, step);
		ck_assert_uint_eq(result.bytes, 2 * H);
		ck_assert_uint_eq(memory_host("HugePages_Free"), free - 1);
		ck_assert_uint_eq(available(), others - HUGE_A - HUGE_B + 2);
	}
	discard(4ULL << 30, HUGE_B * H, step);
	ck_assert_uint_eq(available(), others - HUGE_A + 2);
	discard(0, HUGE_A * H, step);
	ck_assert_uint_eq(available(), others);
	ck_assert_uint_eq(memory_host("HugePages_Free"), free);
	/* It can be had again, and was forgotten. */
	ck_assert(memory_is(ram.region[0].hva, H, 0));
	ck_assert_uint_eq(memory_host("HugePages_Free"), free - 1);
}
END_TEST

static void unmount(void)
{
	umount("/tmp/ebb-test-hugetlbfs");
	rmdir("/tmp/ebb-test-hugetlbfs");
}

static const char *mount_hugetlbfs(const char *options)
{
	static const char path[] = "/tmp/ebb-test-hugetlbfs";
	mkdir(path, 0700);
	atexit(unmount);
	ck_assert_int_eq(mount("none", path, "hugetlbfs", 0, options), 0);
	return path;
}

START_TEST(a_mounted_hugetlbfs)
{
	uint64_t others = available();
	if (!memory_hugepages(__func__, HUGE_A + HUGE_B))
		return;
	const char *path = mount_hugetlbfs(NULL);
	ck_assert(huge_setup(__func__, path));
	struct stat stat;
	ck_assert_int_eq(fstat(ram.file, &stat), 0);
	ck_assert_uint_eq(stat.st_nlink, 0);
	memset(ram.region[0].hva, 0xa5, ram.region[0].size);
	ram_release(&ram);
	ck_assert_uint_eq(available(), others);
	unmount();
}
END_TEST

START_TEST(a_mount_that_is_too_small)
{
	const struct gpa_range span = {0, 4 * H};
	struct ram_config config = hugetlbfs;
	unsigned int files = open_files();

	if (!memory_hugepages(__func__, 4))
		return;
	config.path = mount_hugetlbfs("size=4M");
	const char *said = memory_init_says(&config, &span, 1, -ENOMEM);
	ck_assert_msg(strstr(said, "needs 4 huge pages of 2M") && strstr(said, "mount"), "%s",
		      said);
	ck_assert_uint_eq(open_files(), files);
	unmount();
}
END_TEST

/* --- mistakes -------------------------------------------------------------------------------- */

static const struct {
	struct ram_config config;
	uint64_t size;
	int error;
	const char *says[3];
} mistakes[] = {
	{{.backing = RAM_MEMFD, .discard = DISCARD_FREE},
	 H,
	 -EINVAL,
	 {"needs anonymous memory", "--discard dontneed"}},
	{{.backing = RAM_HUGETLBFS, .discard = DISCARD_FREE},
	 H,
	 -EINVAL,
	 {"needs anonymous memory"}},
	{{.backing = RAM_ANON, .path = "/tmp"}, H, -EINVAL, {"only hugetlbfs", "/tmp"}},
	{{.backing = RAM_MEMFD, .path = "/tmp"}, H, -EINVAL, {"only hugetlbfs", "/tmp"}},
	{{.backing = RAM_HUGETLBFS, .path = "/no/such"},
	 H,
	 -ENOENT,
	 {"/no/such", "No such file", "hugetlbfs"}},
	{{.backing = RAM_HUGETLBFS, .path = "/tmp"}, H, -EINVAL, {"/tmp is not in", "mount -t"}},
	{{.backing = RAM_HUGETLBFS}, H + MIB, -EINVAL, {"-m must be a multiple of 2M"}},
	{{.backing = RAM_HUGETLBFS},
	 H << 20,
	 -ENOMEM,
	 {"needs 1048576 huge pages of 2M", "are free", "vm.nr_hugepages"}},
};

START_TEST(a_mistake_is_said_and_leaves_nothing)
{
	const struct gpa_range span = {0, mistakes[_i].size};
	struct ram_config config = mistakes[_i].config;
	unsigned int files = open_files();
	uint64_t reserved = memory_host("HugePages_Rsvd");

	config.numa_node = -1;
	const char *said = memory_init_says(&config, &span, 1, mistakes[_i].error);
	for (int i = 0; i < 3 && mistakes[_i].says[i]; i++)
		ck_assert_msg(strstr(said, mistakes[_i].says[i]) != NULL, "%s", said);
	ck_assert_uint_eq(open_files(), files);
	ck_assert_uint_eq(memory_host("HugePages_Rsvd"), reserved);
}
END_TEST

START_TEST(huge_pages_do_not_fit_the_address_space)
{
	const struct gpa_range span[] = {{0, MIB}, {4 * MIB, MIB}};
	const char *said = memory_init_says(&hugetlbfs, span, 2, -EINVAL);
	ck_assert_msg(strstr(said, "use smaller ones") != NULL, "%s", said);
}
END_TEST

START_TEST(a_file_can_be_too_large)
{
	const struct gpa_range span = {0, 64 * MIB};
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = 32 * MIB;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	const char *said = memory_init_says(&memfd, &span, 1, -EFBIG);
	ck_assert_msg(strstr(said, "RLIMIT_FSIZE") && strstr(said, "ulimit -f"), "%s", said);
}
END_TEST

START_TEST(files_can_run_out)
{
	const struct gpa_range span = {0, H};
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Two for catching what is said; the third is not to be had. */
	int next = dup(0);
	close(next);
	limit.rlim_cur = next + 2;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	const char *said = memory_init_says(&memfd, &span, 1, -EMFILE);
	ck_assert_msg(strstr(said, "Too many open files") != NULL, "%s", said);
}
END_TEST

Suite *backing_suite(void);
Suite *backing_suite(void)
{
	Suite *suite = suite_create("backing");
	TCase *tcase = tcase_create("memfd");
	tcase_add_checked_fixture(tcase, memfd_setup, teardown);
	tcase_add_test(tcase, memfd_is_shared_unnamed_and_costs_nothing);
	tcase_add_test(tcase, memfd_discard_frees_the_file);
	tcase_add_test(tcase, memfd_can_be_mapped_by_others);
	tcase_add_test(tcase, release_gives_all_back);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("hugetlbfs");
	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, huge_pages_are_reserved_and_given_back);
	tcase_add_test(tcase, huge_pages_are_kept_without_one_to_spare);
	tcase_add_test(tcase, huge_pages_can_be_mapped_by_others);
	tcase_add_test(tcase, a_page_that_was_never_touched_goes_too);
	tcase_add_test(tcase, a_mounted_hugetlbfs);
	tcase_add_test(tcase, a_mount_that_is_too_small);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("mistakes");
	tcase_add_loop_test(tcase, a_mistake_is_said_and_leaves_nothing, 0,
			    sizeof(mistakes) / sizeof(mistakes[0]));
	tcase_add_test(tcase, huge_pages_do_not_fit_the_address_space);
	tcase_add_test(tcase, a_file_can_be_too_large);
	tcase_add_test(tcase, files_can_run_out);
	suite_add_tcase(suite, tcase);
	return suite;
}
