// SPDX-License-Identifier: Apache-2.0
/* The phases: README.md. */
#include "vmm/sandbox/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "vmm/lib/log.h"
#include "vmm/sandbox/descriptors.h"

static int close_memory(void)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

static int drop_core_dumps(void)
{
	const struct rlimit none = {0, 0};
	return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

static int drop_capabilities(void)
{
	if (capng_get_caps_process() < 0)
		return -EPERM;
	/* Emptying the bounding set needs CAP_SETPCAP; no_new_privs makes up for it. */
	bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT |
			(bounds ? CAPNG_SELECT_BOUNDS : 0)) < 0)
		return -EPERM;
	/* Ask the kernel which are left: libcap-ng's own state could be wrong. */
	if (capng_get_caps_process() < 0 ||
	    capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return -EPERM;
	return 0;
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

int sandbox_begin(void)
{
	static const struct phase phases[] = {
		{close_memory, "close ebb's memory to other processes"},
		{drop_core_dumps, "turn off core dumps"},
	};
	return run_phases(phases, sizeof(phases) / sizeof(phases[0]));
}

int sandbox_enter(void)
{
	static const struct phase phases[] = {
		{descriptors_close_inherited, "close the descriptors that ebb inherited"},
		{drop_capabilities, "drop capabilities"},
		{forbid_new_privileges, "set no_new_privs"},
	};
	return run_phases(phases, sizeof(phases) / sizeof(phases[0]));
}
