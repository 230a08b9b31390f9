// SPDX-License-Identifier: Apache-2.0
/* Options of a guest's memory: its size and its kind, the balloon, reports. */
#include <check.h>
#include <string.h>

#include "tests/unit/config_words.h"

#define DEFAULT VM_REPORTING_DEFAULT
#define ON	VM_REPORTING_ON
#define OFF	VM_REPORTING_OFF

/* A guest has a balloon and reports, unless it is told not to, or to have nothing that was not asked for. */
static const struct {
	const char *words[WORDS_MAX + 1];
	struct vm_balloon want;
} balloons[] = {
	{{"K"}, {.wanted = true}},
	{{"K", "--balloon"}, {.wanted = true}},
	{{"--balloon", "K"}, {.wanted = true}},
	{{"K", "--balloon=0"}, {.wanted = true}},
	{{"K", "--balloon=64"}, {.wanted = true, .size = 64 * MIB}},
	{{"K", "--balloon=64M"}, {.wanted = true, .size = 64 * MIB}},
	{{"K", "--balloon=240M"}, {.wanted = true, .size = 240 * MIB}},
	{{"K", "--balloon=1008M", "-m1G"}, {.wanted = true, .size = 1008 * MIB}},
	{{"K", "--deflate-on-oom"}, {.wanted = true, .deflate_on_oom = true}},
	{{"K", "--free-page-reporting"}, {.wanted = true, .reporting = ON}},
	{{"--free-page-reporting", "K"}, {.wanted = true, .reporting = ON}},
	{{"K", "--free-page-reporting=on"}, {.wanted = true, .reporting = ON}},
	{{"K", "--free-page-reporting=off"}, {.wanted = true, .reporting = OFF}},
	{{"K", "--free-page-reporting=off", "--balloon=64M"},
	 {.wanted = true, .size = 64 * MIB, .reporting = OFF}},
	{{"K", "--no-balloon"}, {.unwanted = true}},
	{{"K", "--no-balloon", "--free-page-reporting=off"}, {.unwanted = true, .reporting = OFF}},
	{{"K", "--nodefaults"}, {.reporting = OFF}},
	{{"K", "--nodefaults", "--no-balloon"}, {.unwanted = true, .reporting = OFF}},
	{{"K", "--nodefaults", "--free-page-reporting=off"}, {.reporting = OFF}},
	{{"K", "--nodefaults", "--balloon"}, {.wanted = true, .reporting = OFF}},
	{{"K", "--deflate-on-oom", "--nodefaults"},
	 {.wanted = true, .deflate_on_oom = true, .reporting = OFF}},
	{{"K", "--free-page-reporting", "--nodefaults"}, {.wanted = true, .reporting = ON}},
};

START_TEST(test_balloons)
{
	struct vm_config config;
	const struct vm_balloon *got = &config.balloon, *want = &balloons[_i].want;
	ck_assert_msg(config_words(&config, balloons[_i].words) == CONFIG_RUN, "%s", config_error);
	ck_assert_int_eq(got->wanted, want->wanted);
	ck_assert_int_eq(got->unwanted, want->unwanted);
	ck_assert_uint_eq(got->size, want->size);
	ck_assert_int_eq(got->deflate_on_oom, want->deflate_on_oom);
	ck_assert_int_eq(got->reporting, want->reporting);
}
END_TEST

/* What guests are seldom given, each with a kernel and 256 MiB. */
static const struct {
	const char *words[WORDS_MAX + 1];
	struct vm_config want;
} memory[] = {
	{{"K", "--mem-backing", "anon"}, {.memory.backing = RAM_ANON}},
	{{"K", "--mem-backing=memfd"}, {.memory.backing = RAM_MEMFD}},
	{{"K", "--mem-backing=hugetlbfs"}, {.memory.backing = RAM_HUGETLBFS}},
	{{"K", "--mem-backing", "hugetlbfs:/a:b"},
	 {.memory.backing = RAM_HUGETLBFS, .memory.hugetlbfs = "/a:b"}},
	{{"K", "--mem-prealloc"}, {.memory.prealloc = true}},
	{{"K", "--mem-lock", "--discard=dontneed"}, {.memory.lock = true}},
	{{"K", "--discard", "free"}, {.memory.discard = DISCARD_FREE}},
	{{"K", "--admit=strict"}, {.memory.admit = VM_ADMIT_STRICT}},
	{{"K", "--admit", "off"}, {.memory.admit = VM_ADMIT_OFF}},
	{{"K", "--admit=warn"}, {.memory.admit = VM_ADMIT_WARN}},
	{{"K", "--discard", "dontneed", "--mem-backing=memfd"}, {.memory.backing = RAM_MEMFD}},
	{{"K", "--numa-node", "0"}, {.memory.numa_node = 0 + 1}},
	{{"K", "--numa-node=1023"}, {.memory.numa_node = 1023 + 1}},
	{{"K", "--vcpu-affinity", "1-3,5"}, {.machine.vcpu_affinity = {{0x2e}, 4}}},
	{{"K", "--vcpu-affinity=0"}, {.machine.vcpu_affinity = {{1}, 1}}},
};

START_TEST(test_memory)
{
	struct vm_config config;
	const struct vm_config *want = &memory[_i].want;
	ck_assert_msg(config_words(&config, memory[_i].words) == CONFIG_RUN, "%s", config_error);
	ck_assert_str_eq(config.boot.kernel, "K");
	ck_assert_int_eq(config.balloon.reporting, DEFAULT);
	ck_assert_int_eq(config.memory.backing, want->memory.backing);
	ck_assert_pstr_eq(config.memory.hugetlbfs, want->memory.hugetlbfs);
	ck_assert_int_eq(config.memory.prealloc, want->memory.prealloc);
	ck_assert_int_eq(config.memory.lock, want->memory.lock);
	ck_assert_int_eq(config.memory.discard, want->memory.discard);
	ck_assert_int_eq(config.memory.admit, want->memory.admit);
	ck_assert_int_eq(config.memory.numa_node,
			 want->memory.numa_node - 1); /* none when left out above */
	ck_assert_mem_eq(&config.machine.vcpu_affinity, &want->machine.vcpu_affinity,
			 sizeof(struct cpulist));
	ck_assert_int_eq(config.machine.debug, false);
}
END_TEST

static const struct config_mistake bad[] = {
	{{"K", "-m", "0"}, {"memory \"0\"", "too little", "16M"}},
	{{"K", "-m", "15M"}, {"memory \"15M\"", "too little", "16M"}},
	{{"K", "-m", "16777215B"}, {"too little", "16M"}},
	{{"K", "-m", "-1"}, {"memory \"-1\"", "not a size", "512M"}},
	{{"K", "-m", "+512"}, {"not a size"}},
	{{"K", "-m", " 512"}, {"not a size"}},
	{{"K", "-m", ""}, {"memory \"\"", "not a size"}},
	{{"K", "--mem="}, {"memory \"\"", "not a size"}},
	{{"K", "-m=512"}, {"memory \"=512\"", "not a size"}},
	{{"K", "-m", "2X"}, {"memory \"2X\"", "not a size"}},
	{{"K", "-m", "2GG"}, {"memory \"2GG\"", "not a size"}},
	{{"K", "-m", "G"}, {"not a size"}},
	{{"K", "-m", "0x100M"}, {"not a size"}},
	{{"K", "-m", "1.5G"}, {"not a size"}},
	{{"K", "-m", "16777217B"}, {"memory \"16777217B\"", "whole number of MiB", "17M"}},
	{{"K", "-m", "16385P"}, {"too large", "2G"}},
	{{"K", "-m", "17592186044416"}, {"too large"}},
	{{"K", "-m", "99999999999999999999B"}, {"too large"}},
	{{"K", "-m", "99999999999999999999X"}, {"not a size"}},
	{{"K", "--balloon=512X"}, {"the balloon \"512X\"", "not a size"}},
	{{"K", "--balloon="}, {"the balloon \"\"", "not a size"}},
	{{"K", "--balloon=1K"}, {"the balloon \"1K\"", "whole number of MiB", "1M"}},
	{{"K", "--balloon=241M"}, {"241M is too large", "with 256M", "240M or less"}},
	{{"K", "--balloon=1M", "-m", "16M"}, {"1M is too large", "with 16M", "0M or less"}},
	{{"K", "--balloon=16T", "-m", "32T"}, {"16777216M is too large", "16777215M or less"}},
	{{"K", "--balloon", "64M"}, {"two kernels"}},
	{{"K", "-m", "1G", "--mem=2G"}, {"--mem is given twice"}},
	{{"K", "--balloon=64M", "--balloon"}, {"--balloon is given twice"}},
	{{"K", "--free-page-reporting", "--free-page-reporting=off"}, {"is given twice"}},
	{{"K", "--free-page-reporting=no"}, {"on or off", "\"no\""}},
	{{"K", "--free-page-reporting="}, {"on or off", "\"\""}},
	{{"K", "--no-balloon", "--balloon"}, {"--no-balloon cannot be combined"}},
	{{"K", "--balloon=64M", "--no-balloon"}, {"--no-balloon cannot be combined"}},
	{{"K", "--deflate-on-oom", "--no-balloon"}, {"--no-balloon cannot be combined"}},
	{{"K", "--no-balloon", "--free-page-reporting"}, {"--no-balloon cannot be combined"}},
	{{"K", "--discard", "free", "--discard=dontneed"}, {"--discard is given twice"}},
	{{"K", "--mem-backing=memfd", "--mem-backing=anon"}, {"--mem-backing is given twice"}},
	{{"K", "--deflate-on-oom=1"}, {"takes no value"}},
	{{"K", "--mem-backing", "shm"}, {"kind of memory \"shm\"", "anon, memfd, hugetlbfs"}},
	{{"K", "--mem-backing", "hugetlb"}, {"kind of memory \"hugetlb\""}},
	{{"K", "--mem-backing", "memfd:/x"}, {"memfd takes no path", "write memfd"}},
	{{"K", "--mem-backing", "hugetlbfs:"}, {"\"hugetlbfs:\"", "empty path", "hugetlbfs:PATH"}},
	{{"K", "--mem-backing", ""}, {"kind of memory \"\""}},
	{{"K", "--admit", "yes"}, {"\"yes\"", "warn, strict or off"}},
	{{"K", "--discard", "never"}, {"\"never\"", "dontneed or free"}},
	{{"K", "--discard=free", "--mem-backing=memfd"}, {"--discard free", "anon only", "leave"}},
	{{"K", "--mem-backing=hugetlbfs", "--discard=free"}, {"--discard free", "anon only"}},
	{{"K", "--discard=free", "--mem-lock"}, {"--discard free", "locked", "--mem-lock"}},
	{{"K", "--numa-node", "-1"}, {"\"-1\"", "NUMA node", "0 to 1023"}},
	{{"K", "--numa-node=1024"}, {"\"1024\"", "NUMA node"}},
	{{"K", "--numa-node=0x"}, {"\"0x\"", "NUMA node"}},
};

START_TEST(test_bad)
{
	config_mistaken(&bad[_i]);
}
END_TEST

Suite *config_memory_suite(void);
Suite *config_memory_suite(void)
{
	Suite *suite = suite_create("config, memory");
	TCase *tcase = tcase_create("config, memory");
	tcase_add_loop_test(tcase, test_balloons, 0, COUNT(balloons));
	tcase_add_loop_test(tcase, test_memory, 0, COUNT(memory));
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	suite_add_tcase(suite, tcase);
	return suite;
}
