// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/run_boot.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/bootdisk/seed.h"
#include "vmm/images/images.h"
#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/storage/storage.h"

#define POLL_MS 100 /* between two checks for signals */

static int add_disks_params(struct vm_boot *boot, const char *disk)
{
	if (config_params_before(boot, disk))
		return 0;
	log_error(
		"the kernel parameters are too long; write %zu bytes or less beside the disk's own",
		sizeof(boot->params) - 2 - strlen(disk));
	return -E2BIG;
}

/* Returns 0 when the program has said something, or -errno after an error message. */
static int wait_until_it_serves(int server, struct backend *backend, const char *file)
{
	struct pollfd said = {.fd = server, .events = POLLIN};
	char why[BACKEND_WHY_SIZE] = "it takes too long", byte;

	for (unsigned int i = 0; i < BACKEND_READY_MS / POLL_MS && poll(&said, 1, POLL_MS) == 0;
	     i++)
		if (signal_waits()) {
			log_error("a signal came while the disk '%s' was read", file);
			return -EINTR;
		}
	if (said.revents && recv(server, &byte, 1, MSG_PEEK) == 1)
		return 0;
	if (said.revents)
		backend_wait(backend, why, BACKEND_WHY_MS);
	log_error("%s cannot serve the disk '%s': %s", storage_program.name, file, why);
	return -EIO;
}

/* Another program reads what is no raw disk, until the kernel has been found. */
static int find_served(struct bootdisk *disk, const struct vm_disk *first,
		       struct storage_config *config)
{
	const struct storage_image image = {.file = first->file,
					    .is_nbd = first->format == VM_DISK_NBD,
					    .read_only = true,
					    .said = first->said,
					    .backing = first->backing[0] ? first->backing : NULL};
	struct backend backend = {.control = -1};
	struct storage_locks locks = {0};
	struct storage_nbd nbd;
	char why[BACKEND_WHY_SIZE];

	config->by_nbd = true;
	int error = storage_find(&image, config, &nbd, &locks);
	if (error)
		goto out;
	int server = backend_start(&backend, &storage_program, config, why);
	if (server < 0) {
		log_error("cannot start %s for the disk '%s': %s", storage_program.name,
			  first->file, why);
		error = server;
		goto out;
	}
	error = wait_until_it_serves(server, &backend, first->file);
	if (!error)
		error = bootdisk_find_served(disk, first->file, server);
	close(server);
out:
	backend_stop(&backend);
	storage_locks_release(&locks);
	return error;
}

static int find_in(struct bootdisk *disk, const struct vm_disk *first)
{
	if (!vm_disk_served(first))
		return bootdisk_find(disk, first->file, first->raw);
	struct storage_config *config = calloc(1, sizeof(*config));
	int error = config ? find_served(disk, first, config) : -ENOMEM;
	if (!config)
		log_error("cannot look for a kernel in '%s': %s", first->file, strerror(ENOMEM));
	free(config);
	return error;
}

static int boot_from_disk(struct bootdisk *disk, struct vm_config *config)
{
	int error = find_in(disk, &config->disks.disk[0]);
	if (error)
		return error;
	config->boot.kernel = disk->kernel_file;
	config->boot.initrd = disk->initrd_file[0] ? disk->initrd_file : NULL;
	config->boot.kernel_name = disk->kernel_name;
	config->boot.initrd_name = disk->initrd_name;
	return add_disks_params(&config->boot, disk->params);
}

/* Adds the disk of --user-data; config_parse() has checked that there is room for it. */
static int add_seed(struct run_boot *boot, struct vm_config *config)
{
	struct vm_disks *disks = &config->disks;
	struct vm_disk *disk = &disks->disk[disks->count];

	boot->seed = seed_make(disks->user_data, config->machine.name);
	if (boot->seed < 0)
		return boot->seed;
	*disk = (struct vm_disk){.name = disks->user_data, .read_only = true, .raw = true};
	snprintf(disk->file, sizeof(disk->file), "/proc/self/fd/%d", boot->seed);
	disks->count++;
	return 0;
}

/* Says what is booted: who names nothing has to know what it was. */
static void say_image(const char *name, const char *file)
{
	json_t *image = image_describe(name);
	const char *suite = json_string_value(json_object_get(image, "suite"));
	const char *kernel = json_string_value(json_object_get(image, "kernel"));

	log_info("the image \"%s\" of Debian's %s, made with Linux %s: %s", name,
		 suite ? suite : "?", kernel ? kernel : "?", file);
	json_decref(image);
}

/* Puts the image before the other disks; config_parse() has checked that there is room for it. */
static int add_image(struct vm_config *config)
{
	struct vm_disks *disks = &config->disks;
	struct vm_disk disk = {.raw = true};

	int error = image_disk(disks->image, disk.file);
	if (error == -ENOENT && strcmp(disks->image, VM_IMAGE_DEFAULT) == 0)
		log_error(
			"no kernel given, and there is no image \"%s\": name a kernel with -k FILE, or a disk that "
			"has one with -d FILE, or make an image with \"ebb setup\"",
			disks->image);
	else if (error == -ENOENT)
		log_error(
			"there is no image \"%s\"; \"ebb images\" lists them, and \"ebb setup %s\" "
			"makes it",
			disks->image, disks->image);
	if (error)
		return error;
	memmove(&disks->disk[1], &disks->disk[0], disks->count * sizeof(disks->disk[0]));
	disks->disk[0] = disk;
	disks->count++;
	say_image(disks->image, disk.file);
	return 0;
}

int run_boot_init(struct run_boot *boot, struct vm_config *config)
{
	*boot = (struct run_boot)RUN_BOOT_NONE;
	bool needs_disk = !config->boot.kernel && !config->boot.restore;
	int error = config->disks.image ? add_image(config) : 0;
	if (!error && needs_disk)
		error = boot_from_disk(&boot->disk, config);
	if (!error && config->disks.user_data)
		error = add_seed(boot, config);
	return error;
}

void run_boot_release(struct run_boot *boot)
{
	bootdisk_release(&boot->disk);
	if (boot->seed >= 0)
		close(boot->seed);
	boot->seed = -1;
}
