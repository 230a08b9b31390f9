// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/find_program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool find_program(const char *dirs, const char *name, char path[PATH_MAX])
{
	for (const char *dir = dirs; dir && *dir; dir += strspn(dir, ":")) {
		size_t len = strcspn(dir, ":");
		int n = snprintf(path, PATH_MAX, "%.*s/%s", (int)len, dir, name);
		if (len > 0 && n < PATH_MAX && access(path, X_OK) == 0)
			return true;
		dir += len;
	}
	return false;
}
