// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_fs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/virtio-fs/fs.h"
#include "vmm/lib/log.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/served.h"
#include "vmm/virtiofsd/virtiofsd.h"

struct folder {
	struct device device;
	struct fs fs;
	struct served served;
	char dir[PATH_MAX];
};

static unsigned int folders_count(const struct vm_config *config)
{
	return config->folders.count;
}

/* Finds the folder: virtiofsd is started elsewhere, so its name has to be absolute. */
static int find_dir(struct folder *folder, const char *dir)
{
	struct stat about;

	if (!realpath(dir, folder->dir) || stat(folder->dir, &about) < 0) {
		int error = errno;
		log_error("cannot share the folder %s: %s", dir, strerror(error));
		return -error;
	}
	if (S_ISDIR(about.st_mode))
		return 0;
	log_error("cannot share %s: it is not a folder; name one with --fs", dir);
	return -ENOTDIR;
}

static int folder_init(struct device *device, const struct vm_config *config)
{
	struct folder *folder = (struct folder *)device;
	const struct vm_folder *wanted = &config->folders.folder[device->number];
	const struct virtiofsd_config server = {
		.dir = folder->dir, .read_only = wanted->read_only, .parts = wanted->parts};
	char what[PATH_MAX + 16];

	device->virtio = &folder->fs.served.dev;
	struct vhost_user_config fs =
		served_init(&folder->served, &folder->fs.served, &device->slot.worker.loop);
	int error = fs_init(&folder->fs, wanted->tag, &fs, &device->slot.host);
	if (!error && wanted->later)
		return served_await(&folder->served, &virtiofsd_program, wanted->server);
	if (!error)
		error = find_dir(folder, wanted->dir);
	if (error)
		return error;
	snprintf(what, sizeof(what), "the folder %s", folder->dir);
	return served_start(&folder->served, &virtiofsd_program, &server, what);
}

static void folder_release(struct device *device)
{
	struct folder *folder = (struct folder *)device;

	fs_release(&folder->fs);
	served_release(&folder->served);
}

/* `ebb sandbox`, which makes its folder of parts, always shares it: its users are told by the manual, not at each command. */
static const char *folder_shares_ram(const struct device *device)
{
	return device->machine->config->folders.folder[device->number].parts ? NULL : "--fs";
}

const struct device_kind device_fs = {
	.name = "folder",
	.size = sizeof(struct folder),
	.count = folders_count,
	.init = folder_init,
	.release = folder_release,
	.shares_ram = folder_shares_ram,
};
