// SPDX-License-Identifier: Apache-2.0
/*
 * Privilege narrows in phases, none of which can be undone:
 *
 *   1. no core dumps: they would hold the guest's memory
 *   2. no capability in any set: even root can then do no more than the owner of its files
 *   3. no_new_privs: a program that ebb is made to run gets no more privileges than ebb has
 *
 * Still missing, in this order: namespaces, and a filter for system calls.
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

int sandbox_enter(void)
{
	static const struct {
		int (*run)(void);
		const char *what;
	} phases[] = {
		{drop_core_dumps, "turn off core dumps"},
		{drop_capabilities, "drop capabilities"},
		{forbid_new_privileges, "set no_new_privs"},
	};
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		int error = phases[i].run();
		if (error) {
			log_error("cannot %s: %s", phases[i].what, strerror(-error));
			return error;
		}
	}
	return 0;
}
