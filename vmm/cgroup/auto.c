// SPDX-License-Identifier: Apache-2.0
/* --cgroup auto: where there is a cgroup to use, or who makes one. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/cgroup/cgroup.h"
#include "vmm/lib/find_program.h"
#include "vmm/lib/log.h"

#define ROOT "/sys/fs/cgroup"
/* The number of the process that systemd-run has put into a scope: it stays the same. */
#define IN_SCOPE  "EBB_CGROUP_SCOPE"
#define OWN_WORDS 16 /* before those of ebb */

const char *cgroup_of(const char *text)
{
	const char *own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");

	own = own ? strchr(own, '/') : NULL;
	/* Another namespace's: there is no path to it. */
	return own && strncmp(own, "/..", 3) != 0 ? own : NULL;
}

/* Sets @path to this process's own cgroup. Returns 0 or -ENOENT. */
static int find_own(char path[PATH_MAX])
{
	char text[CGROUP_TEXT_MAX];
	const char *own = cgroup_read(-1, "/proc/self/cgroup", text) ? NULL : cgroup_of(text);
	int len = own ? (int)strcspn(own, "\n") : PATH_MAX;

	return snprintf(path, PATH_MAX, ROOT "%.*s", len, own ? own : "") < PATH_MAX && own
		       ? 0
		       : -ENOENT;
}

/* systemd marks the cgroups that it leaves alone. */
static bool is_systemds(const char *path)
{
	char mark = '0';

	if (access("/run/systemd/system", F_OK) != 0)
		return false;
	return !(getxattr(path, "user.delegate", &mark, 1) == 1 && mark == '1') &&
	       !(getxattr(path, "trusted.delegate", &mark, 1) == 1 && mark == '1');
}

static bool may_write(const char *path, const char *file)
{
	char whole[2 * PATH_MAX];

	snprintf(whole, sizeof(whole), "%s/%s", path, file);
	return access(whole, W_OK) == 0;
}

/* The one above: only a cgroup without processes can have others with limits in it. */
int cgroup_find(char path[PATH_MAX])
{
	int error = find_own(path);
	char *last = error ? NULL : strrchr(path, '/');

	if (!last || strlen(path) <= strlen(ROOT "/"))
		return -ENOENT;
	*last = '\0';
	return may_write(path, ".") && may_write(path, "cgroup.procs") &&
			       may_write(path, "cgroup.subtree_control") && !is_systemds(path)
		       ? 0
		       : -ENOENT;
}

/* Returns the option that names the manager of systemd which makes scopes for this user, or NULL. */
static const char *find_manager(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/systemd/private", runtime ? runtime : "");
	if (runtime && access(path, F_OK) == 0)
		return "--user";
	return geteuid() == 0 && access("/run/systemd/private", F_OK) == 0 ? "--system" : NULL;
}

static bool is_in_scope(void)
{
	const char *word = getenv(IN_SCOPE);
	bool is = word && strtol(word, NULL, 10) == getpid();

	unsetenv(IN_SCOPE);
	return is;
}

/* Becomes systemd-run, which becomes ebb. Returns -errno. */
static int become(const char *runner, const char *manager, char *const *argv,
		  const struct cgroup_limits *limits)
{
	char self[PATH_MAX] = "", memory[48], swap[48], tasks[32], cpu[32], pid[16];
	size_t words = 0, n = 0;

	while (argv[words])
		words++;
	const char **word = calloc(OWN_WORDS + words + 1, sizeof(*word));
	if (!word)
		return -ENOMEM;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		strcpy(self, "ebb");
	snprintf(memory, sizeof(memory), "MemoryMax=%" PRIu64, limits->memory);
	snprintf(swap, sizeof(swap), "MemorySwapMax=%" PRIu64, limits->memory);
	snprintf(tasks, sizeof(tasks), "TasksMax=%d", CGROUP_TASKS);
	snprintf(cpu, sizeof(cpu), "CPUQuota=%u%%", limits->cpu);
	snprintf(pid, sizeof(pid), "%d", getpid());
	const char *const own[] = {"systemd-run", manager, "--scope", "--quiet", "--collect", "-p",
				   memory,	  "-p",	   swap,      "-p",	 tasks};
	for (; n < sizeof(own) / sizeof(own[0]); n++)
		word[n] = own[n];
	if (limits->cpu) {
		word[n++] = "-p";
		word[n++] = cpu;
	}
	word[n++] = "--";
	word[n++] = self;
	memcpy(&word[n], argv, words * sizeof(*word));
	setenv(IN_SCOPE, pid, 1);
	execv(runner, (char *const *)word);
	int error = -errno;
	unsetenv(IN_SCOPE);
	free(word);
	return error;
}

int cgroup_scope(char *const *argv, const struct cgroup_limits *limits, char path[PATH_MAX])
{
	char runner[PATH_MAX];
	const char *manager = find_manager();

	if (is_in_scope()) {
		if (find_own(path))
			*path = '\0';
		return 0;
	}
	if (!manager || !find_program(getenv("PATH"), "systemd-run", runner)) {
		log_error(
			"--cgroup auto finds no cgroup for the guest: ebb was not started in one that is delegated to this user, and %s; 'ebb doctor' tells what helps",
			manager ? "there is no systemd-run"
				: "no systemd makes scopes for this user");
		return -ENOENT;
	}
	int error = become(runner, manager, argv, limits);
	log_error("cannot execute %s for --cgroup auto: %s", runner, strerror(-error));
	return error;
}
