// SPDX-License-Identifier: Apache-2.0
/* Hosts made of files, and what is found on them. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/doctor/doctor.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define THP	     "/sys/kernel/mm/transparent_hugepage/"
#define FILES_MAX    6

static char root[] = "/tmp/ebb-test-XXXXXX"; /* of each test's own process */

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
	char command[96];
	snprintf(command, sizeof(command), "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *path, const char *text)
{
	char whole[256];
	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = whole + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(whole, 0700);
		*slash = '/';
	}
	FILE *file = fopen(whole, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* A host on which nothing is wrong, and of which nothing else is known. */
static struct doctor_host good_host(void)
{
	struct doctor_host host = {
		.root = root,
		.x86 = true,
		.kvm = {.version = 12,
			.version_wanted = 12,
			.cpus_max = 8,
			.needs = 2,
			.need = {{"KVM_CAP_ONE", true}, {"KVM_CAP_TWO", true}}},
		.sandbox = {.landlock = 3, .cores = -ENODEV},
		.limit_memlock = UINT64_MAX,
		.limit_as = UINT64_MAX,
		.limit_data = UINT64_MAX,
	};
	return host;
}

/* The first finding about @about, or NULL. */
static const struct finding *find(const struct findings *findings, const char *about)
{
	for (unsigned int i = 0; i < findings->count; i++)
		if (strcmp(findings->finding[i].about, about) == 0)
			return &findings->finding[i];
	return NULL;
}

static unsigned int count_level(const struct findings *findings, enum finding_level level)
{
	unsigned int count = 0;
	for (unsigned int i = 0; i < findings->count; i++)
		count += findings->finding[i].level == level;
	return count;
}

#define AMD                                                                                        \
	{"/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm nx\n\n"},                            \
	{                                                                                          \
		"/sys/module/kvm_amd/initstate", "live\n"                                          \
	}

#define CPU "/sys/devices/system/cpu/"

/* Files of a host that is good otherwise, and one of the things found there. */
static const struct {
	struct {
		const char *path, *text;
	} file[FILES_MAX];
	const char *about; /* what is looked for */
	enum finding_level level;
	const char *what;   /* part of it; NULL: there is no such finding */
	const char *change; /* part of it; NULL: nothing to change */
} cases[] = {
	{{{CPU "smt/active", "0\n"}}, "SMT", FINDING_OK, "off, or not there", NULL},
	{{{CPU "smt/active", "1\n"}},
	 "SMT",
	 FINDING_WARN,
	 "without core scheduling",
	 "smt/control"},
	{{{CPU "vulnerabilities/mds", "Not affected\n"},
	  {CPU "vulnerabilities/l1tf", "Mitigation: PTE Inversion; VMX: vulnerable\n"}},
	 "vulnerabilities",
	 FINDING_OK,
	 "none of the 2",
	 NULL},
	{{{CPU "vulnerabilities/mds", "Vulnerable: Clear CPU buffers attempted, no microcode\n"},
	  {CPU "vulnerabilities/l1tf", "Not affected\n"}},
	 "vulnerabilities",
	 FINDING_WARN,
	 "mds",
	 "microcode"},
	{{AMD}, "processor", FINDING_OK, "svm", NULL},
	{{{"/proc/cpuinfo", "flags\t\t: vmx\n"},
	  {"/sys/module/kvm_intel/parameters/nested", "Y\n"}},
	 "processor",
	 FINDING_OK,
	 "vmx",
	 NULL},
	{{{"/proc/cpuinfo", "flags\t\t: fpu vmx\n"}, {"/sys/module/kvm_amd/initstate", "live\n"}},
	 "processor",
	 FINDING_WARN,
	 "not from kvm_intel",
	 NULL},
	{{{"/proc/cpuinfo", "flags\t\t: fpu svm_lock xsvm vmxx\nother\t: svm\n"}},
	 "processor",
	 FINDING_FAIL,
	 "does not virtualize",
	 "nested"},
	{{{"/proc/cpuinfo", ""}}, "processor", FINDING_FAIL, "does not virtualize", "nested"},
	{{AMD}, "KVM", FINDING_OK, "the 2 capabilities that ebb needs; 8 CPUs", NULL},
	{{AMD}, "KVM's API", FINDING_OK, "12", NULL},

	{{{"/proc/meminfo", "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n"}},
	 "memory",
	 FINDING_OK,
	 "2.0 MiB, of which 1.0 MiB",
	 NULL},
	{{{"/proc/meminfo", "MemTotal:  x kB\n"}}, "memory", FINDING_OK, NULL, NULL},
	{{{"/proc/sys/vm/overcommit_memory", "0\n"}}, "overcommit", FINDING_OK, "0", NULL},
	{{{"/proc/sys/vm/overcommit_memory", "1\n"}}, "overcommit", FINDING_OK, "1", NULL},
	{{{"/proc/sys/vm/overcommit_memory", "2\n"}},
	 "overcommit",
	 FINDING_WARN,
	 "is 2",
	 "sysctl vm.overcommit_memory=0"},
	{{{"/proc/sys/vm/overcommit_memory", "two\n"}}, "overcommit", FINDING_OK, NULL, NULL},
	{{{"/proc/swaps", "Filename Type Size Used Priority\n"}},
	 "swap",
	 FINDING_WARN,
	 "none",
	 "zram"},
	{{{"/proc/swaps", "Filename Type\n/dev/sda2 partition\n"}},
	 "swap",
	 FINDING_OK,
	 "1 area, 0 of them zram",
	 NULL},
	{{{"/proc/swaps", "Filename Type\n/dev/zram0 partition\n/dev/sda2 partition\n"}},
	 "swap",
	 FINDING_OK,
	 "2 areas, 1 of them zram",
	 NULL},
	{{{"/sys/kernel/mm/ksm/run", "1\n"}}, "KSM", FINDING_OK, "on", NULL},
	{{{"/sys/kernel/mm/ksm/run", "2\n"}}, "KSM", FINDING_OK, "off", NULL},

	{{{"/proc/self/cgroup", "0::/a/b\n"}}, "cgroup", FINDING_OK, "does not control", NULL},
	{{{"/sys/fs/cgroup/cgroup.controllers", "cpu memory\n"},
	  {"/proc/self/cgroup", "0::/a/b\n"},
	  {"/sys/fs/cgroup/a/b/memory.max", "max\n"}},
	 "cgroup",
	 FINDING_OK,
	 "no memory limit",
	 NULL},
	{{{"/sys/fs/cgroup/cgroup.controllers", "cpu memory\n"},
	  {"/proc/self/cgroup", "1:name=systemd:/x\n0::/a/b\n"},
	  {"/sys/fs/cgroup/a/b/memory.max", "max\n"},
	  {"/sys/fs/cgroup/a/memory.max", "1073741824\n"}},
	 "cgroup",
	 FINDING_WARN,
	 "/sys/fs/cgroup/a/memory.max is 1024.0 MiB",
	 "echo max"},
	{{{"/sys/fs/cgroup/cgroup.controllers", "memory\n"},
	  {"/proc/self/cgroup", "0::/a\x1b[2J\n"},
	  {"/sys/fs/cgroup/a\x1b[2J/memory.high", "0\n"}},
	 "cgroup",
	 FINDING_WARN,
	 "/a\\x1b[2J/memory.high is 0.0 MiB",
	 "echo max"},
	{{{"/sys/fs/cgroup/cgroup.controllers", "memory\n"},
	  {"/proc/self/cgroup", "0::/\n"},
	  {"/sys/fs/cgroup/memory.max", "5\n"}},
	 "cgroup",
	 FINDING_OK,
	 "no memory limit",
	 NULL},
	{{{"/sys/fs/cgroup/cgroup.controllers", "memory\n"},
	  {"/proc/self/cgroup", "0::/a\n"},
	  {"/sys/fs/cgroup/a/memory.swap.max", "1048576\n"}},
	 "cgroup",
	 FINDING_WARN,
	 "memory.swap.max is 1.0 MiB",
	 "echo max"},

	{{{"/sys/devices/system/node/online", "0\n"}, {"/proc/sys/kernel/numa_balancing", "1\n"}},
	 "NUMA",
	 FINDING_OK,
	 "one node",
	 NULL},
	{{{"/sys/devices/system/node/online", "0-1,4\n"},
	  {"/proc/sys/kernel/numa_balancing", "1\n"}},
	 "NUMA",
	 FINDING_WARN,
	 "3 nodes, with",
	 "numa_balancing=0"},
	{{{"/sys/devices/system/node/online", "0-1\n"}, {"/proc/sys/kernel/numa_balancing", "0\n"}},
	 "NUMA",
	 FINDING_OK,
	 "2 nodes, without",
	 NULL},
	{{{"/sys/devices/system/node/online", "?\n"}}, "NUMA", FINDING_OK, NULL, NULL},

	{{{THP "enabled", "[always] madvise never\n"}}, "huge pages", FINDING_OK, "always", NULL},
	{{{THP "enabled", "always [madvise] never\n"}}, "huge pages", FINDING_OK, "madvise", NULL},
	{{{THP "enabled", "always madvise [never]\n"}},
	 "huge pages",
	 FINDING_WARN,
	 "never",
	 "echo madvise > " THP "enabled"},
	{{{THP "enabled", "always madvise never\n"}}, "huge pages", FINDING_OK, NULL, NULL},
	{{{THP "enabled", "[]\n"}}, "huge pages", FINDING_OK, NULL, NULL},
	{{{THP "defrag", "always defer defer+madvise madvise [never]\n"}},
	 "defragmentation",
	 FINDING_WARN,
	 "never",
	 "echo madvise"},
	{{{THP "defrag", "always [defer+madvise] never\n"}},
	 "defragmentation",
	 FINDING_OK,
	 "defer+madvise",
	 NULL},
	{{{THP "shmem_enabled", "always advise [never] deny\n"}},
	 "shared huge pages",
	 FINDING_OK,
	 "never",
	 "echo advise"},
	{{{THP "shmem_enabled", "always [advise] never deny\n"}},
	 "shared huge pages",
	 FINDING_OK,
	 "advise",
	 NULL},
	{{{THP "khugepaged/defrag", "1\n"}, {THP "khugepaged/max_ptes_none", "511\n"}},
	 "khugepaged",
	 FINDING_OK,
	 "511",
	 "echo 0 >"},
	{{{THP "khugepaged/defrag", "0\n"}, {THP "khugepaged/max_ptes_none", "511\n"}},
	 "khugepaged",
	 FINDING_OK,
	 "holes alone",
	 NULL},
	{{{THP "khugepaged/defrag", "1\n"}, {THP "khugepaged/max_ptes_none", "0\n"}},
	 "khugepaged",
	 FINDING_OK,
	 "holes alone",
	 NULL},
	{{{"/proc/meminfo", "HugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 kB\n"}},
	 "huge page pool",
	 FINDING_OK,
	 "0 of 0 pages of 2.0 MiB",
	 "nr_hugepages"},
	{{{"/proc/meminfo", "HugePages_Total: 8\nHugePages_Free: 3\nHugepagesize: 2048 kB\n"}},
	 "huge page pool",
	 FINDING_OK,
	 "3 of 8 pages",
	 NULL},

	{{{"/proc/self/status", "Name:\tx\nCapEff:\t0000000000000000\n"}},
	 "privileges",
	 FINDING_OK,
	 "none",
	 NULL},
	{{{"/proc/self/status", "CapEff:\t000001ffffffffff\n"}},
	 "privileges",
	 FINDING_OK,
	 "41 capabilities",
	 "group kvm"},
	{{{"/proc/self/status", "XCapEff:\t1\n"}}, "privileges", FINDING_OK, NULL, NULL},
	{{{NULL, NULL}}, "runtime directory", FINDING_OK, "0 guests running", NULL},
	{{{NULL, NULL}}, "RLIMIT_AS", FINDING_OK, "no limit", NULL},
	{{{NULL, NULL}}, "/dev/kvm", FINDING_OK, "opens", NULL},
};

START_TEST(test_files)
{
	struct findings findings;
	struct doctor_host host = good_host();
	for (int i = 0; i < FILES_MAX && cases[_i].file[i].path; i++)
		write_file(cases[_i].file[i].path, cases[_i].file[i].text);
	doctor_look(&findings, &host);
	const struct finding *finding = find(&findings, cases[_i].about);
	if (!cases[_i].what) {
		ck_assert_ptr_null(finding);
		return;
	}
	ck_assert_ptr_nonnull(finding);
	ck_assert_int_eq(finding->level, cases[_i].level);
	ck_assert_msg(strstr(finding->what, cases[_i].what), "\"%s\" lacks \"%s\"", finding->what,
		      cases[_i].what);
	ck_assert_int_eq(finding->change == NULL, cases[_i].change == NULL);
	if (finding->change)
		ck_assert_ptr_nonnull(strstr(finding->change, cases[_i].change));
	ck_assert(*finding->means);
}
END_TEST

/* No file is there: nothing is made up of that but what KVM needs. */
START_TEST(test_nothing)
{
	struct findings findings;
	struct doctor_host host = good_host();
	host.x86 = false;
	doctor_look(&findings, &host);
	ck_assert_uint_eq(count_level(&findings, FINDING_FAIL), 0);
	ck_assert_uint_eq(count_level(&findings, FINDING_WARN), 0);
}
END_TEST

START_TEST(test_kvm)
{
	static const struct {
		int error;
		const char *what, *change;
	} errors[] = {
		{ENOENT, "no KVM: No such file", "modprobe"},
		{ENODEV, "no KVM", "firmware"},
		{EACCES, "no permission", "usermod -aG kvm"},
		{ENOTTY, "another file is in its place", "umount /dev/kvm"},
		{EMFILE, "Too many open files", NULL},
	};
	struct findings findings;
	for (int i = 0; i < COUNT(errors); i++) {
		struct doctor_host host = good_host();
		host.kvm = (struct vm_probe){.error = errors[i].error};
		doctor_look(&findings, &host);
		const struct finding *finding = find(&findings, "/dev/kvm");
		ck_assert_int_eq(finding->level, FINDING_FAIL);
		ck_assert_ptr_nonnull(strstr(finding->what, errors[i].what));
		if (errors[i].change)
			ck_assert_ptr_nonnull(strstr(finding->change, errors[i].change));
		ck_assert_ptr_null(find(&findings, "processor"));
	}
}
END_TEST

START_TEST(test_abilities)
{
	struct findings findings;
	struct doctor_host host = good_host();
	host.x86 = false;
	host.kvm.need[1].there = false;
	host.kvm.version = 11;
	doctor_look(&findings, &host);
	ck_assert_uint_eq(count_level(&findings, FINDING_FAIL), 2);
	ck_assert_ptr_nonnull(strstr(find(&findings, "KVM")->what, "lacks KVM_CAP_TWO"));
	ck_assert_ptr_nonnull(strstr(find(&findings, "KVM's API")->what, "version 11, not 12"));
}
END_TEST

START_TEST(test_isolation)
{
	struct findings findings;
	struct doctor_host host = good_host();
	host.sandbox = (struct sandbox_host){-EPERM, -EOPNOTSUPP, -EINVAL, 0};
	write_file("/proc/sys/user/max_user_namespaces", "63000\n");
	write_file(CPU "smt/active", "1\n");
	doctor_look(&findings, &host);
	ck_assert_int_eq(find(&findings, "namespaces")->level, FINDING_WARN);
	ck_assert_ptr_nonnull(strstr(find(&findings, "namespaces")->change, "in a container"));
	ck_assert_int_eq(find(&findings, "Landlock")->level, FINDING_WARN);
	ck_assert_ptr_nonnull(strstr(find(&findings, "Landlock")->means, "remove your files"));
	ck_assert_int_eq(find(&findings, "seccomp")->level, FINDING_FAIL);
	ck_assert_str_eq(find(&findings, "SMT")->what, "on, with core scheduling");

	/* The setting that forbids them is the one to change. */
	write_file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
	doctor_look(&findings, &host);
	ck_assert_ptr_nonnull(strstr(find(&findings, "namespaces")->change, "apparmor"));
	write_file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0\n");
	write_file("/proc/sys/user/max_user_namespaces", "0\n");
	doctor_look(&findings, &host);
	ck_assert_ptr_nonnull(strstr(find(&findings, "namespaces")->change, "sysctl user."));
	host.sandbox.namespaces = 0;
	doctor_look(&findings, &host);
	ck_assert_int_eq(find(&findings, "namespaces")->level, FINDING_OK);
	ck_assert_ptr_null(strstr(find(&findings, "Landlock")->means, "remove your files"));
}
END_TEST

static void look_at_own_cgroup(const struct doctor_host *host, enum finding_level level,
			       const char *change)
{
	struct findings findings;
	doctor_look(&findings, host);
	const struct finding *finding = find(&findings, "own cgroup");
	ck_assert_int_eq(finding->level, level);
	ck_assert_ptr_nonnull(strstr(finding->change, change));
}

/* Which command gives a guest a cgroup of its own, if one does. */
START_TEST(test_own_cgroup)
{
	struct findings findings;
	struct doctor_host host = good_host();

	doctor_look(&findings, &host);
	ck_assert_ptr_null(find(&findings, "own cgroup"));
	write_file("/sys/fs/cgroup/memory/tasks", "");
	look_at_own_cgroup(&host, FINDING_WARN, "mount cgroup");
	write_file("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
	look_at_own_cgroup(&host, FINDING_WARN, "can be written");
	write_file("/sys/fs/cgroup/cgroup.procs", "");
	look_at_own_cgroup(&host, FINDING_WARN, "can be written");
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "");
	look_at_own_cgroup(&host, FINDING_OK, "--cgroup=/sys");
	host.user = 1000;
	look_at_own_cgroup(&host, FINDING_WARN, "let root give you");
	write_file("/proc/self/cgroup", "0::/user/shell\n");
	look_at_own_cgroup(&host, FINDING_WARN, "let root give you");
	write_file("/sys/fs/cgroup/user/shell/cgroup.procs", "");
	write_file("/sys/fs/cgroup/user/shell/cgroup.subtree_control", "");
	look_at_own_cgroup(&host, FINDING_OK, "delegated");
	write_file("/run/systemd/system/there", "");
	look_at_own_cgroup(&host, FINDING_OK, "--cgroup auto");
}
END_TEST

START_TEST(test_limits)
{
	struct findings findings;
	struct doctor_host host = good_host();
	host.limit_as = host.limit_data = 512 << 20;
	host.limit_memlock = 8 << 20;
	host.runtime_error = -EACCES;
	doctor_look(&findings, &host);
	ck_assert_int_eq(find(&findings, "RLIMIT_AS")->level, FINDING_WARN);
	ck_assert_str_eq(find(&findings, "RLIMIT_AS")->what, "512.0 MiB");
	ck_assert_str_eq(find(&findings, "RLIMIT_AS")->change, "ulimit -v unlimited");
	ck_assert_str_eq(find(&findings, "RLIMIT_DATA")->change, "ulimit -d unlimited");
	ck_assert_int_eq(find(&findings, "RLIMIT_MEMLOCK")->level, FINDING_OK);
	ck_assert_ptr_nonnull(strstr(find(&findings, "RLIMIT_MEMLOCK")->change, "ulimit -l"));
	ck_assert_int_eq(find(&findings, "runtime directory")->level, FINDING_FAIL);

	/* Whoever has CAP_IPC_LOCK has no such limit. */
	write_file("/proc/self/status", "CapEff:\t0000000000004000\n");
	doctor_look(&findings, &host);
	ck_assert_ptr_null(find(&findings, "RLIMIT_MEMLOCK")->change);
}
END_TEST

/* A cgroup path as deep as the kernel allows has more limits than there is room for. */
START_TEST(test_depth)
{
	struct findings findings;
	struct doctor_host host = good_host();
	char text[4200] = "0::";
	write_file("/sys/fs/cgroup/cgroup.controllers", "memory");
	while (strlen(text) < 4100)
		strcat(text, "/aaaaaaaaaaaaaaa");
	write_file("/proc/self/cgroup", text);
	doctor_look(&findings, &host);
	strcpy(text, "/sys/fs/cgroup");
	for (int i = 0; i < 20; i++) {
		char file[256];
		strcat(text, "/a");
		for (int kind = 0; kind < 3; kind++) {
			static const char *const kinds[] = {"max", "high", "swap.max"};
			snprintf(file, sizeof(file), "%.200s/memory.%s", text, kinds[kind]);
			write_file(file, "1");
		}
	}
	char cgroup[256];
	snprintf(cgroup, sizeof(cgroup), "0::%.200s", text + strlen("/sys/fs/cgroup"));
	write_file("/proc/self/cgroup", cgroup);
	doctor_look(&findings, &host);
	ck_assert_uint_eq(findings.count, FINDINGS_MAX);
}
END_TEST

Suite *doctor_suite(void);
Suite *doctor_suite(void)
{
	Suite *suite = suite_create("doctor");
	TCase *tcase = tcase_create("doctor");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_files, 0, COUNT(cases));
	tcase_add_test(tcase, test_nothing);
	tcase_add_test(tcase, test_kvm);
	tcase_add_test(tcase, test_abilities);
	tcase_add_test(tcase, test_isolation);
	tcase_add_test(tcase, test_limits);
	tcase_add_test(tcase, test_own_cgroup);
	tcase_add_test(tcase, test_depth);
	suite_add_tcase(suite, tcase);
	return suite;
}
