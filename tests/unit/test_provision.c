// SPDX-License-Identifier: Apache-2.0
/* What the host promised for guest RAM at the start: there, locked, of a node. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/memory.h"
#include "vmm/mem/discard.h"

#define MIB (1ULL << 20)

static struct ram ram;

static const struct gpa_range span[] = {{0, 4 * MIB}, {16 * MIB, 2 * MIB}};
#define SIZE (6 * MIB)

static void teardown(void)
{
	ram_release(&ram);
}

/* Makes RAM of that kind; false, having said so, if the host has no huge pages for it. */
static bool make(const struct ram_config *config, const char *test)
{
	if (config->backing == RAM_HUGETLBFS && !memory_hugepages(test, SIZE / (2 * MIB)))
		return false;
	ck_assert_int_eq(ram_init(&ram, config, span, 2), 0);
	return true;
}

/* Bytes that the host holds for all of it: pages of hugetlbfs are not in Rss. */
static uint64_t held(void)
{
	uint64_t bytes = 0;
	for (unsigned int i = 0; i < ram.regions; i++)
		bytes += memory_smaps(ram.region[i].hva, ram.region[i].size, "Rss") +
			 memory_smaps(ram.region[i].hva, ram.region[i].size, "Private_Hugetlb");
	return bytes;
}

static const enum ram_backing backings[] = {RAM_ANON, RAM_MEMFD, RAM_HUGETLBFS};

START_TEST(preallocated_is_there_and_can_go)
{
	const struct ram_config config = {
		.backing = backings[_i], .prealloc = true, .numa_node = -1};
	const struct gpa_range range = {0, 2 * MIB};
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;

	if (!make(&config, __func__))
		return;
	ck_assert_uint_eq(held(), SIZE);
	ck_assert(memory_is(ram.region[1].hva, ram.region[1].size, 0));
	ram_discard(&ram, &range, 1, step, &result);
	ck_assert_uint_eq(result.bytes, 2 * MIB);
	ck_assert_uint_eq(held(), SIZE - 2 * MIB);
}
END_TEST

START_TEST(locked_stays)
{
	const struct ram_config config = {.backing = backings[_i], .lock = true, .numa_node = -1};
	const struct gpa_range range = {0, 2 * MIB};
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;

	if (!make(&config, __func__))
		return;
	ck_assert_uint_eq(held(), 0); /* locked is not taken */
	ck_assert_uint_eq(ram_discard_inhibits(&ram), 1);
	memset(ram.region[0].hva, 0xa5, ram.region[0].size);
	for (unsigned int i = 0; i < 2 && backings[_i] != RAM_HUGETLBFS; i++)
		ck_assert(memory_flag(ram.region[i].hva, ram.region[i].size, "lo"));
	if (backings[_i] != RAM_HUGETLBFS) /* which is never swapped, nor said to be locked */
		ck_assert_uint_eq(memory_smaps(ram.region[0].hva, 4 * MIB, "Locked"), 4 * MIB);

	ram_discard(&ram, &range, 1, step, &result);
	ck_assert(!step[0].done && !step[0].zero);
	ck_assert_uint_eq(result.held_back, 2 * MIB);
	ck_assert_uint_eq(result.failures, 0);
	ck_assert_uint_eq(held(), 4 * MIB);
	ck_assert(memory_is(ram.region[0].hva, 4 * MIB, 0xa5));
}
END_TEST

/* What speaks against giving memory back, by default: that it is locked. Not that it is all there already. */
START_TEST(why_it_is_kept)
{
	struct ram_config config = {.prealloc = true, .numa_node = -1};
	struct ram kept;

	ck_assert_int_eq(ram_init(&kept, &config, span, 2), 0);
	ck_assert_ptr_null(ram_why_keep(&kept));
	ram_release(&kept);
	config.lock = true;
	ck_assert_int_eq(ram_init(&kept, &config, span, 2), 0);
	ck_assert_ptr_nonnull(strstr(ram_why_keep(&kept), "locked memory"));
	ram_release(&kept);
}
END_TEST

START_TEST(locked_and_preallocated)
{
	const struct ram_config config = {.prealloc = true, .lock = true, .numa_node = -1};

	make(&config, __func__);
	ck_assert_uint_eq(held(), SIZE);
	ck_assert_uint_eq(memory_smaps(ram.region[1].hva, 2 * MIB, "Locked"), 2 * MIB);
}
END_TEST

/* Root may lock what it likes, so it stops being that. By seteuid() LeakSanitizer would not work. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {{0}};
	ck_assert_int_eq(syscall(SYS_capset, &header, none), 0);
}

START_TEST(locking_needs_a_limit)
{
	const struct ram_config config = {.lock = true, .numa_node = -1};
	const struct rlimit limit = {MIB, MIB};

	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	drop_capabilities();
	const char *said = memory_init_says(&config, span, 2, -ENOMEM);
	ck_assert_msg(strstr(said, "cannot lock 6 MiB") &&
			      strstr(said, "RLIMIT_MEMLOCK is 1 MiB") && strstr(said, "ulimit -l"),
		      "%s", said);
}
END_TEST

START_TEST(prealloc_of_more_than_there_is)
{
	const struct ram_config config = {.prealloc = true, .numa_node = -1};
	const struct gpa_range huge = {0, 1ULL << 44};
	const char *said = memory_init_says(&config, &huge, 1, -ENOMEM);
	ck_assert_msg(strstr(said, "16777216 MiB") && strstr(said, "the host has") &&
			      strstr(said, "--mem-prealloc"),
		      "%s", said);
}
END_TEST

/* Has @number wait, blocked. */
static void send(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	ck_assert_int_eq(raise(number), 0);
}

START_TEST(prealloc_ends_at_a_signal)
{
	const struct ram_config config = {.prealloc = true, .numa_node = -1};

	send(SIGTERM);
	const char *said = memory_init_says(&config, span, 2, -EINTR);
	ck_assert_msg(strstr(said, "a signal came while guest RAM was taken"), "%s", said);
}
END_TEST

START_TEST(prealloc_goes_on_at_the_others)
{
	const struct ram_config config = {.prealloc = true, .numa_node = -1};

	send(SIGCONT);
	make(&config, __func__);
	ck_assert_uint_eq(held(), SIZE);
}
END_TEST

static const int no_nodes[] = {-2, 1023, 1024, 1 << 30};

START_TEST(a_node_that_is_not_there)
{
	struct ram_config config = {.numa_node = no_nodes[_i]};
	char node[32];

	snprintf(node, sizeof(node), "node %d ", no_nodes[_i]);
	/* A kernel without NUMA says something else of the ones that could be. */
	const char *said = memory_init_says(
		&config, span, 2, access("/sys/devices/system/node", F_OK) ? -ENOSYS : -EINVAL);
	ck_assert_msg(strstr(said, node) != NULL, "%s", said);
}
END_TEST

/* The last of the host's nodes with memory: on most hosts that is 0. */
static int last_node(void)
{
	char text[256] = "";
	int fd = open("/sys/devices/system/node/has_memory", O_RDONLY);
	if (fd < 0)
		return -1;
	ssize_t length = read(fd, text, sizeof(text) - 1);
	close(fd);
	while (length > 0 && (text[length - 1] < '0' || text[length - 1] > '9'))
		text[--length] = '\0';
	while (length > 0 && text[length - 1] >= '0' && text[length - 1] <= '9')
		length--;
	int node = -1;
	return sscanf(text + length, "%d", &node) == 1 ? node : -1;
}

START_TEST(memory_is_of_the_node)
{
	struct ram_config config = {
		.backing = backings[_i], .prealloc = true, .numa_node = last_node()};

	if (config.numa_node < 0) {
		fprintf(stderr, "SKIPPED: %s: this host's kernel knows no nodes\n", __func__);
		return;
	}
	if (!make(&config, __func__))
		return;
	for (unsigned int i = 0; i < ram.regions; i++) {
		uint8_t *at = ram.region[i].hva;
		int mode = -1, node = -1;
		unsigned long mask[16] = {0};
		ck_assert_int_eq(syscall(SYS_get_mempolicy, &mode, mask, 1024, at, MPOL_F_ADDR), 0);
		ck_assert_int_eq(mode, MPOL_PREFERRED);
		ck_assert_uint_eq(mask[config.numa_node / 64], 1UL << config.numa_node % 64);
		ck_assert_int_eq(
			syscall(SYS_get_mempolicy, &node, NULL, 0, at, MPOL_F_ADDR | MPOL_F_NODE),
			0);
		ck_assert_int_eq(node, config.numa_node);
	}
}
END_TEST

Suite *provision_suite(void);
Suite *provision_suite(void)
{
	Suite *suite = suite_create("commit");
	TCase *tcase = tcase_create("commit");
	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_loop_test(tcase, preallocated_is_there_and_can_go, 0, 3);
	tcase_add_loop_test(tcase, locked_stays, 0, 3);
	tcase_add_test(tcase, why_it_is_kept);
	tcase_add_test(tcase, locked_and_preallocated);
	tcase_add_loop_test(tcase, memory_is_of_the_node, 0, 3);
	tcase_add_test(tcase, locking_needs_a_limit);
	tcase_add_test(tcase, prealloc_of_more_than_there_is);
	tcase_add_test(tcase, prealloc_ends_at_a_signal);
	tcase_add_test(tcase, prealloc_goes_on_at_the_others);
	tcase_add_loop_test(tcase, a_node_that_is_not_there, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite;
}
