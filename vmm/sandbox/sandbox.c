// SPDX-License-Identifier: Apache-2.0
/* The phases: README.md. */
#include "vmm/sandbox/sandbox.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "vmm/lib/log.h"
#include "vmm/sandbox/capabilities.h"
#include "vmm/sandbox/cores.h"
#include "vmm/sandbox/descriptors.h"
#include "vmm/sandbox/paths.h"

static int close_memory(void)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

static int drop_core_dumps(void)
{
	const struct rlimit none = {0, 0};
	return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

static int forbid_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

struct phase {
	int (*run)(void);
	const char *what;
};

static int run_phases(const struct phase *phase, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int error = phase[i].run();
		if (error) {
			log_error("cannot %s: %s; --sandbox=off does without", phase[i].what,
				  strerror(-error));
			return error;
		}
	}
	return 0;
}

static void load_filter(const struct worker_guard *guard, const char *name)
{
	const struct sandbox *sandbox = (const struct sandbox *)guard; /* its first member */
	int kind = thread_kind(name);
	int error = kind < 0 ? kind : filter_load(kind, sandbox->directory);
	if (!error)
		return;
	log_error("cannot filter the system calls of the thread %s: %s; --sandbox=off does without",
		  name, strerror(-error));
	abort();
}

/* A kernel without Landlock leaves names of files to the filters. */
static int close_paths(int directory, enum paths_left left)
{
	int error = paths_restrict(directory, left);
	if (error == -ENOSYS || error == -EOPNOTSUPP)
		return 0;
	if (error)
		log_error("cannot close the file system to ebb: %s; --sandbox=off does without",
			  strerror(-error));
	return error;
}

/* Says what the kernel means. */
static const char *refusal(int error)
{
	switch (error) {
	case -ENOSPC:
		return "a limit below /proc/sys/user is reached";
	case -ENOENT:
		return "there is no /proc";
	default:
		return strerror(-error);
	}
}

/*
 * Some hosts permit no namespaces, nor do many containers: the other phases do what they can. @left: what that comes to.
 */
static int leave_namespaces(struct sandbox *sandbox, bool required, const char *left)
{
	int error = namespaces_join(&sandbox->namespaces, sandbox->directory);
	sandbox->has_namespaces = !error;
	if (error && required)
		log_error("cannot give up the host's namespaces: %s; 'ebb doctor' tells what helps",
			  refusal(error));
	else if (error)
		log_warn(
			"this host permits no namespaces of ebb's own (%s): %s; 'ebb doctor' tells what helps",
			refusal(error), left);
	return required ? error : 0;
}

int sandbox_begin(struct sandbox *sandbox, int directory)
{
	static const struct phase phases[] = {
		{close_memory, "close ebb's memory to other processes"},
		{drop_core_dumps, "turn off core dumps"},
	};
	sandbox->guard.enter = load_filter;
	sandbox->directory = directory;
	sandbox->has_namespaces = false;
	/* First: the files in /proc of a process that is not dumpable are root's. */
	namespaces_begin(&sandbox->namespaces, directory);
	return run_phases(phases, sizeof(phases) / sizeof(phases[0]));
}

/* After the namespaces: there it has all capabilities over what is new. */
static int drop_privileges(void)
{
	static const struct phase phases[] = {
		{capabilities_drop, "drop capabilities"},
		{forbid_new_privileges, "set no_new_privs"},
	};
	return run_phases(phases, sizeof(phases) / sizeof(phases[0]));
}

int sandbox_enter(struct sandbox *sandbox, bool required)
{
	/* Before the namespaces, in which there is no /proc. */
	static const struct phase before[] = {
		{descriptors_close_inherited, "close the descriptors that ebb inherited"},
		{descriptors_limit, "limit open files and the size of files"},
	};
	int error = run_phases(before, sizeof(before) / sizeof(before[0]));
	if (!error)
		error = leave_namespaces(sandbox, required,
					 "the rest of the sandbox has to keep a guest in");
	if (!error)
		error = drop_privileges();
	if (error)
		return error;
	/* Where the kernel, or the processor, has none there is nothing to separate, or no means. */
	cores_separate();
	return close_paths(sandbox->directory, PATHS_REMOVE);
}

int sandbox_enter_keeper(struct sandbox *sandbox, bool required)
{
	static const struct phase before[] = {
		{descriptors_close_inherited, "close the descriptors that ebb inherited"},
		{descriptors_limit_sizes, "limit the size of files"},
	};
	int error = run_phases(before, sizeof(before) / sizeof(before[0]));
	if (!error)
		error = leave_namespaces(
			sandbox, required,
			"a guest that took over the keeper could connect to this user's other programs by their sockets");
	if (!error)
		error = drop_privileges();
	return error ? error : close_paths(sandbox->directory, PATHS_NAMES);
}

void sandbox_release(struct sandbox *sandbox)
{
	namespaces_release(&sandbox->namespaces);
}
