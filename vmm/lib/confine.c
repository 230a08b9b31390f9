// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifdef __SANITIZE_ADDRESS__
#define MEMORY_MAX RLIM_INFINITY /* its shadow memory counts */
#else
#define MEMORY_MAX (1ULL << 30) /* bytes: libext2fs needs some for each block it looks at */
#endif

/* To @max, or to what the user's own limit leaves, if that is less. */
static int limit(int resource, uint64_t max)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) != 0)
		return -errno;
	limit.rlim_max = max < limit.rlim_max ? max : limit.rlim_max;
	limit.rlim_cur = limit.rlim_max < limit.rlim_cur ? limit.rlim_max : limit.rlim_cur;
	return setrlimit(resource, &limit) == 0 ? 0 : -errno;
}

/*
 * What the C library needs for memory, qsort(3) (sysinfo, before glibc 2.37) and signal_waits.h
 * (rt_sigpending), and libext2fs before it asks the environment: whose the process is, and below,
 * whether it may leave a core (Debian 13's).
 */
static const int allowed[] = {
	SCMP_SYS(pread64), SCMP_SYS(read),	    SCMP_SYS(write),	 SCMP_SYS(lseek),
	SCMP_SYS(brk),	   SCMP_SYS(munmap),	    SCMP_SYS(mremap),	 SCMP_SYS(madvise),
	SCMP_SYS(sysinfo), SCMP_SYS(clock_gettime), SCMP_SYS(getrandom), SCMP_SYS(rt_sigpending),
	SCMP_SYS(getuid),  SCMP_SYS(geteuid),	    SCMP_SYS(getgid),	 SCMP_SYS(getegid),
	SCMP_SYS(exit),	   SCMP_SYS(exit_group),
};

static int load_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return -ENOMEM;
	/* Memory for data only. */
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
				     SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
					 SCMP_A0(SCMP_CMP_EQ, PR_GET_DUMPABLE, 0));
	for (unsigned int i = 0; !error && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

int confine_self(uint64_t cpu_s, uint64_t file_max)
{
	/* A process that reaches a limit is killed; let it leave no core. */
	int error = limit(RLIMIT_CORE, 0);
	if (!error)
		error = limit(RLIMIT_CPU, cpu_s);
	if (!error)
		error = limit(RLIMIT_FSIZE, file_max);
	if (!error)
		error = limit(RLIMIT_DATA, MEMORY_MAX);
	if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		error = -errno;
	return error ? error : load_filter();
}
