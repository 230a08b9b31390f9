// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/device_fs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/virtio-fs/fs.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/loop.h"
#include "vmm/virtiofsd/virtiofsd.h"

/* virtiofsd's time to make its sandbox, and to answer. */
#define READY_NS (30 * NS_PER_S)
/* The keeper's, to say why virtiofsd has ended. */
#define WHY_MS 5000

struct folder;

/* The backend has rung for a queue. */
struct call {
	struct loop_source source;
	struct folder *folder;
	unsigned int queue;
};

struct folder {
	struct device device;
	struct fs fs;
	struct backend server;
	struct log_limit log;
	char dir[PATH_MAX];
	const char *tag;
	/* On the worker's loop: the backend's socket, the keeper's, and what the backend rings. */
	struct loop_source socket, news;
	struct call call[FS_QUEUES];
};

static unsigned int folders_count(const struct vm_config *config)
{
	return config->folders.count;
}

/* --- the backend ----------------------------------------------------------------------------- */

static void socket_ready(void *ctx)
{
	struct folder *folder = ctx;
	fs_backend_stirs(&folder->fs);
}

static void call_rang(void *ctx)
{
	struct call *call = ctx;
	fs_called(&call->folder->fs, call->queue);
}

static void found(void *ctx, int socket)
{
	struct folder *folder = ctx;

	folder->socket.fd = socket;
	/* If this fails, the backend's end is noticed with the next request. */
	loop_add_edge(&folder->device.slot.worker.loop, &folder->socket);
}

static void lost(void *ctx)
{
	struct folder *folder = ctx;
	loop_remove(&folder->device.slot.worker.loop, &folder->socket);
}

static void end(void *ctx)
{
	struct folder *folder = ctx;
	backend_end(&folder->server);
}

/* On the worker: a message from the keeper is waiting. */
static void news_ready(void *ctx)
{
	struct folder *folder = ctx;
	char why[BACKEND_WHY_SIZE];
	int fd = backend_take(&folder->server, why);

	if (fd == -EAGAIN)
		return;
	if (fd == -ENOMSG) {
		log_guest(&folder->log,
			  "virtiofsd of folder \"%s\" has ended: %s; it is started again",
			  folder->tag, why);
		return;
	}
	if (fd < 0) {
		loop_remove(&folder->device.slot.worker.loop, &folder->news);
		log_guest(&folder->log,
			  "virtiofsd cannot be started again for folder \"%s\": its keeper has "
			  "ended; restart the guest if the folder is lost",
			  folder->tag);
		return;
	}
	fs_backend_came(&folder->fs, fd);
}

/* --- the device ------------------------------------------------------------------------------ */

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

/* Says what shared memory costs, where it costs something: the host's default is no huge pages. */
static void warn_of_small_pages(void)
{
	char setting[128] = "";
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "re");

	if (!file)
		return;
	if (fgets(setting, sizeof(setting), file) &&
	    (strstr(setting, "[never]") || strstr(setting, "[deny]")))
		log_warn("with --fs guest memory is shared, and this host has no huge pages for "
			 "that: \"echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled\" "
			 "allows them");
	fclose(file);
}

/* Starts virtiofsd, and waits until it answers. */
static int start_server(struct folder *folder, bool read_only)
{
	const struct virtiofsd_config config = {.dir = folder->dir, .read_only = read_only};
	char why[BACKEND_WHY_SIZE];

	int fd = backend_start(&folder->server, &virtiofsd_program, &config, why);
	if (fd < 0) {
		log_error("cannot start virtiofsd for the folder %s: %s", folder->dir, why);
		return fd;
	}
	int error = fs_open(&folder->fs, fd, clock_ns() + READY_NS);
	if (!error)
		return 0;
	if (error == -EPIPE && backend_wait(&folder->server, why, WHY_MS) == -ENOMSG)
		log_error("virtiofsd cannot serve the folder %s: %s", folder->dir, why);
	else
		log_error("virtiofsd cannot serve the folder %s: it does not speak vhost-user as "
			  "ebb does (%s)",
			  folder->dir, strerror(-error));
	return error;
}

static int watch(struct folder *folder)
{
	struct loop *loop = &folder->device.slot.worker.loop;

	folder->news = (struct loop_source){folder->server.control, news_ready, folder};
	int error = loop_add(loop, &folder->news);
	for (unsigned int i = 0; i < FS_QUEUES && !error; i++) {
		struct call *call = &folder->call[i];
		*call = (struct call){{fs_call(&folder->fs, i), call_rang, call}, folder, i};
		error = loop_add(loop, &call->source);
	}
	if (error)
		log_error("cannot wait for virtiofsd: %s", strerror(-error));
	return error;
}

static int folder_init(struct device *device, const struct vm_config *config)
{
	struct folder *folder = (struct folder *)device;
	const struct vm_folder *wanted = &config->folders.folder[device->number];
	const struct fs_config fs = {
		.tag = wanted->tag, .found = found, .lost = lost, .end = end, .ctx = folder};

	device->virtio = &folder->fs.dev;
	folder->tag = wanted->tag;
	folder->server.control = -1;
	folder->socket = (struct loop_source){-1, socket_ready, folder};
	int error = fs_init(&folder->fs, &fs, &device->slot.host);
	if (!error)
		error = find_dir(folder, wanted->dir);
	if (!error)
		error = start_server(folder, wanted->read_only);
	if (!error)
		error = watch(folder);
	if (!error && device->number == 0 && config->memory.backing == RAM_MEMFD)
		warn_of_small_pages();
	return error;
}

static void folder_release(struct device *device)
{
	struct folder *folder = (struct folder *)device;

	fs_release(&folder->fs);
	backend_stop(&folder->server);
}

const struct device_kind device_fs = {
	.name = "folder",
	.size = sizeof(struct folder),
	.count = folders_count,
	.init = folder_init,
	.release = folder_release,
};
