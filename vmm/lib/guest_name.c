// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/guest_name.h"

#include <ctype.h>
#include <string.h>

#include "vmm/lib/text.h"

const char *vm_name_lookup_error(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) > VM_NAME_MAX)
		return "is too long";
	if (strchr(name, '/'))
		return "contains a slash";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "names a directory";
	return NULL;
}

const char *vm_name_error(const char *name)
{
	const char *wrong = vm_name_lookup_error(name);
	if (wrong)
		return wrong;
	for (const char *c = name; *c; c++)
		if (iscntrl((unsigned char)*c))
			return "contains a control character";
	return text_is_utf8(name) ? NULL : "is not UTF-8";
}
