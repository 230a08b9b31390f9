// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/own_cgroup.h"

#include <string.h>

char *own_cgroup(char *text)
{
	char *own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");

	own = own ? strchr(own, '/') : NULL;
	if (!own || strncmp(own, "/..", 3) == 0)
		return NULL;
	own[strcspn(own, "\n")] = '\0';
	return own;
}
