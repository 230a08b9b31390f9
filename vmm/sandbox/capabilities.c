// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* Not by libcap-ng, which asks for each of some 40 in each set, several times: that takes 250 calls. */
int capabilities_drop(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	/* Until there are no more. Who has not CAP_SETPCAP may not; no_new_privs makes up for it. */
	for (int i = 0; prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0;)
		i++;
	/* The ambient ones go with those that are permitted. */
	if (syscall(SYS_capset, &head, none) < 0)
		return -errno;
	return capabilities_left() ? -EPERM : 0;
}
