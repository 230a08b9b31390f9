// SPDX-License-Identifier: Apache-2.0
/* The option that shows the guest folders of the host. */
#include <stdio.h>
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

enum { FOLDER };

static const struct option options[] = {
	{FOLDER | OPTION_AGAIN, 0, "fs", "DIR[,tag=T][,ro]",
	 "share a folder of the host by virtiofsd, which\nmust be installed: the guest mounts it by its\ntag with \"mount -t virtiofs T PLACE\"; ro: it\ncannot change it; give up to 2 of them\n[tag=fs0, fs1]",
	 false},
};

enum { TAG, READ_ONLY };

static const struct option_key keys[] = {
	{TAG, "tag", "T", false},
	{READ_ONLY, "ro", NULL, false},
};

static const struct option_keys folder_keys = {"folder", "DIR", keys,
					       sizeof(keys) / sizeof(keys[0])};

static int apply_key(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_folder *folder = ctx;

	switch (id) {
	case TAG:
		if (!*value || strlen(value) > VM_TAG_MAX)
			return options_fail(error,
					    "the tag \"%s\" of a folder must have 1 to %d bytes",
					    value, VM_TAG_MAX);
		snprintf(folder->tag, sizeof(folder->tag), "%s", value);
		return 0;
	case READ_ONLY:
		folder->read_only = true;
		return 0;
	default:
		if (!*value)
			return options_fail(error, "a folder's name is empty; name the folder");
		snprintf(folder->dir, sizeof(folder->dir), "%s", value); /* a part fits */
		return 0;
	}
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_folders *folders = &((struct vm_config *)ctx)->folders;
	(void)id;

	if (folders->count == VM_FOLDERS_MAX)
		return options_fail(error, "the folder \"%s\" is one too many; a guest can have %d",
				    value, VM_FOLDERS_MAX);
	struct vm_folder *folder = &folders->folder[folders->count];
	*folder = (struct vm_folder){0};
	snprintf(folder->tag, sizeof(folder->tag), "fs%u", folders->count++);
	return option_keys_parse(&folder_keys, value, apply_key, folder, error);
}

static void defaults(void *ctx)
{
	((struct vm_config *)ctx)->folders.count = 0;
}

static int check(void *ctx, struct option_error *error)
{
	const struct vm_folders *folders = &((const struct vm_config *)ctx)->folders;

	for (unsigned int i = 1; i < folders->count; i++)
		for (unsigned int j = 0; j < i; j++)
			if (strcmp(folders->folder[i].tag, folders->folder[j].tag) == 0)
				return options_fail(
					error,
					"two folders have the tag \"%s\"; give one another tag=",
					folders->folder[i].tag);
	return 0;
}

const struct option_group config_folders = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.defaults = defaults,
	.check = check,
};
