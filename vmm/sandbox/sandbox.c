// SPDX-License-Identifier: Apache-2.0
/*
 * Phases, each of which makes the next ones harder to undo:
 *
 *   1. no core dumps: they would hold what the guest has in its memory
 *   2. no capability is left in any set, so that root can do no more than own its files
 *   3. no_new_privs: no program that we might be made to run gets more than we have
 *
 * Next to come, in this order: namespaces, and a filter of system calls.
 */
#include "vmm/sandbox/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "vmm/lib/log.h"

static int drop_core_dumps(void)
{
	const struct rlimit none = {0, 0};
	return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

static int drop_capabilities(void)
{
	if (capng_get_caps_process() < 0)
		return -EPERM;
	/* Only who may set capabilities can empty the bounding set; no_new_privs makes up for it. */
	bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT |
			(bounds ? CAPNG_SELECT_BOUNDS : 0)) < 0)
		return -EPERM;
	/* What counts is what the kernel says is left. */
	if (capng_get_caps_process() < 0 ||
	    capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return -EPERM;
	return 0;
}

static int forbid_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int sandbox_enter(void)
{
	static const struct {
		int (*run)(void);
		const char *what;
	} phases[] = {
		{drop_core_dumps, "core dumps"},
		{drop_capabilities, "capabilities"},
		{forbid_new_privileges, "the way to new privileges"},
	};
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		int error = phases[i].run();
		if (error) {
			log_error("cannot give up %s: %s", phases[i].what, strerror(-error));
			return error;
		}
	}
	return 0;
}
