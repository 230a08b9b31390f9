// SPDX-License-Identifier: Apache-2.0
/* --cgroup auto: where there is a cgroup to use, or who makes one. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/cgroup/cgroup.h"
#include "vmm/lib/find_program.h"
#include "vmm/lib/guest_name.h"
#include "vmm/lib/log.h"
#include "vmm/lib/own_cgroup.h"

#define ROOT "/sys/fs/cgroup"
/* The number of the process that systemd-run has put into a scope: it stays the same. */
#define IN_SCOPE  "EBB_CGROUP_SCOPE"
#define OWN_WORDS 20 /* before those of ebb */

/* Sets @path to this process's own cgroup. Returns 0 or -ENOENT. */
static int find_own(char path[PATH_MAX])
{
	char text[CGROUP_TEXT_MAX];
	const char *own = cgroup_read(-1, "/proc/self/cgroup", text) ? NULL : own_cgroup(text);

	return own && snprintf(path, PATH_MAX, ROOT "%s", own) < PATH_MAX ? 0 : -ENOENT;
}

/* Returns whether @path is a socket of this user's: another's manager makes no scopes for it. */
static bool is_own_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid();
}

/* Returns the option that names the manager of systemd which makes scopes for this user, or NULL. */
static const char *find_manager(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/systemd/private", runtime ? runtime : "");
	if (runtime && is_own_socket(path))
		return "--user";
	return geteuid() == 0 && is_own_socket("/run/systemd/private") ? "--system" : NULL;
}

/* systemd marks the cgroups that it leaves alone: one of them is that of a user's manager, which is a systemd, too. */
static bool is_systemds(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char mark = '0';

	if (fnmatch("user@*.service", name, 0) == 0)
		return true;
	if (access("/run/systemd/system", F_OK) != 0 && !find_manager())
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

bool cgroup_is_in_scope(void)
{
	const char *word = getenv(IN_SCOPE);
	bool is = word && strtol(word, NULL, 10) == getpid();

	unsetenv(IN_SCOPE);
	return is;
}

/* Becomes systemd-run, which becomes ebb. Returns -errno. */
static int become(const char *runner, const char *self, const char *manager, char *const *argv,
		  const char *guest, const struct cgroup_limits *limits)
{
	char what[64 + VM_NAME_MAX], memory[48], swap[48], tasks[32], cpu[32], pid[16];
	size_t words = 0, n = 0;

	while (argv[words])
		words++;
	const char **word = calloc(OWN_WORDS + words + 1, sizeof(*word));
	if (!word)
		return -ENOMEM;
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
	if (guest) {
		snprintf(what, sizeof(what), "--description=ebb guest %s", guest);
		word[n++] = what;
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

/* Returns whether the value @text of a cgroup's file allows no more than @limit: a number each, or a time and its period. */
static bool is_within(const char *text, const char *limit)
{
	char *end;
	long double has = strtold(text, &end), may;

	if (end == text || *text < '0' || *text > '9')
		return false; /* "max" */
	if (*end == ' ')
		has /= strtold(end, NULL);
	may = strtold(limit, &end);
	if (*end == ' ')
		may /= strtold(end, NULL);
	return has <= may;
}

const char *cgroup_lacks(int directory, const struct cgroup_limits *limits)
{
	struct cgroup_setting setting[CGROUP_SETTINGS_MAX];
	size_t count = cgroup_settings(limits, setting);
	char text[CGROUP_TEXT_MAX];

	for (size_t i = 0; i < count; i++) {
		int error = cgroup_read(directory, setting[i].file, text);
		bool is_limit = strcmp(setting[i].file, "memory.oom.group") != 0;
		bool may_lack = error == -ENOENT && setting[i].optional;
		if (is_limit && !may_lack && (error || !is_within(text, setting[i].text)))
			return setting[i].file;
	}
	return NULL;
}

/* The variable may be another's word, and a manager without controllers sets no limits: the cgroup itself tells. */
static int check_scope(const struct cgroup_limits *limits, char path[PATH_MAX])
{
	int directory = find_own(path) ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *file = directory < 0 ? "memory.max" : cgroup_lacks(directory, limits);

	if (file)
		log_error(
			"the scope that systemd made for --cgroup auto does not limit the guest (%s): its manager needs the controllers memory, pids and cpu, as Delegate=yes of user@.service gives them; or name a cgroup",
			file);
	else /* older ones of systemd do not */
		cgroup_write(directory, "memory.oom.group", "1");
	if (directory >= 0)
		close(directory);
	return file ? -EOPNOTSUPP : 0;
}

int cgroup_scope(char *const *argv, const char *guest, bool is_in_one,
		 const struct cgroup_limits *limits, char path[PATH_MAX])
{
	char runner[PATH_MAX], self[PATH_MAX] = "";
	const char *manager = find_manager();

	if (is_in_one)
		return check_scope(limits, path);
	if (!manager || !find_program(getenv("PATH"), "systemd-run", runner)) {
		log_error(
			"--cgroup auto finds no cgroup for the guest: ebb was not started in one that is delegated to this user, and %s; 'ebb doctor' tells what helps",
			manager ? "there is no systemd-run"
				: "no systemd makes scopes for this user (by a socket in $XDG_RUNTIME_DIR/systemd, as a login has it)");
		return -ENOENT;
	}
	int error = readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 ? -errno : 0;
	if (!error)
		error = become(runner, self, manager, argv, guest, limits);
	log_error("cannot execute %s for --cgroup auto: %s", runner, strerror(-error));
	return error;
}
