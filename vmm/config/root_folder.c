// SPDX-License-Identifier: Apache-2.0
/* A folder in the place of the first disk, as kvmtool has it: the guest's root file system, by virtiofs. */
#include <string.h>
#include <sys/stat.h>

#include "vmm/config/part.h"

#define TAG    "root"
#define PARAMS "root=" TAG " rootfstype=virtiofs"

static bool is_folder(const char *file)
{
	struct stat about;
	return stat(file, &about) == 0 && S_ISDIR(about.st_mode);
}

static int take_first(struct vm_config *config, struct option_error *error)
{
	struct vm_folders *folders = &config->folders;
	struct vm_disks *disks = &config->disks;
	struct vm_disk *disk = &disks->disk[0];
	struct vm_folder *folder = &folders->folder[folders->count];

	if (!config->boot.kernel)
		return options_fail(
			error, "the folder \"%s\" has no boot loader: name a kernel with -k FILE",
			disk->file);
	if (disk->said || disk->raw || disk->sync || disk->direct || disk->backing[0])
		return options_fail(
			error, "\"%s\" is a folder: of the options of a disk it takes \",ro\" only",
			disk->file);
	if (folders->count == VM_FOLDERS_MAX)
		return options_fail(error, "the folder \"%s\" is one too many; a guest can have %d",
				    disk->file, VM_FOLDERS_MAX);
	*folder = (struct vm_folder){.tag = TAG, .read_only = disk->read_only};
	memcpy(folder->dir, disk->file, sizeof(folder->dir));
	folders->count++;
	disks->count--;
	for (unsigned int i = 0; i < disks->count; i++)
		disks->disk[i] = disks->disk[i + 1];
	if (config_params_before(&config->boot, folder->read_only ? PARAMS " ro" : PARAMS " rw"))
		return 0;
	return options_fail(error,
			    "the kernel parameters are too long beside those for the folder");
}

int config_root_folder(struct vm_config *config, struct option_error *error)
{
	const struct vm_disks *disks = &config->disks;

	for (unsigned int i = disks->image ? 0 : 1; i < disks->count; i++)
		if (is_folder(disks->disk[i].file))
			return options_fail(
				error,
				"\"%s\" is a folder, and only the first disk can be one, the guest's "
				"root; share it with --fs",
				disks->disk[i].file);
	return !disks->image && disks->count && is_folder(disks->disk[0].file)
		       ? take_first(config, error)
		       : 0;
}
