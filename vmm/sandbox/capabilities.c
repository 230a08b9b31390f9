// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/capabilities.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From the kernel: libcap-ng looks only at those in use. */
bool capabilities_left(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct set[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, set) < 0)
		return true;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (set[i].effective | set[i].permitted | set[i].inheritable)
			return true;
	return false;
}

int capabilities_drop(void)
{
	if (capng_get_caps_process() < 0)
		return -EPERM;
	/* Emptying the bounding set needs CAP_SETPCAP; no_new_privs makes up for it. */
	bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT |
			(bounds ? CAPNG_SELECT_BOUNDS : 0)) < 0)
		return -EPERM;
	return capabilities_left() ? -EPERM : 0;
}
