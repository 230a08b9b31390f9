// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/snapshot_merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/snapshot_disks.h"
#include "vmm/lib/confine.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"
#include "vmm/snapshot/identify.h"
#include "vmm/snapshot/merge.h"
#include "vmm/snapshot/saved_machine.h"

/* However long the disks take. */
#define FOREVER_MS (24 * 3600 * 1000)

/* About 256 KiB. */
struct merging {
	struct saved_machine saved;
	struct snapshot_files files;
	struct snapshot_chain chain;
	struct snapshot_file file;
};

/* --- in a process that can do nothing else ------------------------------------------------------- */

struct reply {
	int error;
	char why[256]; /* "" if @error is of writing */
	unsigned int count;
	uint64_t bytes;
};

static int fail(struct reply *reply, int error, const char *why)
{
	snprintf(reply->why, sizeof(reply->why), "%s", why);
	return error;
}

static int open_chain(struct merging *merging, struct reply *reply)
{
	struct snapshot_chain *chain = &merging->chain;
	struct why why = {""};

	int error = snapshot_chain_open(chain, &merging->files, NULL);
	reply->count = chain->count;
	if (error)
		return fail(reply, error, chain->why);
	if (chain->count == 1)
		return fail(reply, -EINVAL, "it is whole: there is nothing to merge");
	error = saved_machine_find_in(chain->layer[0]->fd, arch_map.name, &merging->saved, &why);
	return error ? fail(reply, error, why.text) : 0;
}

static void merge(void *ctx, void *data)
{
	struct merging *merging = ctx;
	struct reply *reply = data;
	struct snapshot_writer writer = {.write = snapshot_file_put, .ctx = &merging->file};
	const struct saved_machine *saved = &merging->saved;

	int error = open_chain(merging, reply);
	if (!error) {
		error = snapshot_merge(&merging->chain, saved->region, saved->regions, &writer);
		fail(reply, error, merging->chain.why);
	}
	if (!error)
		error = snapshot_file_write(&merging->file);
	if (!error)
		error = snapshot_file_write_rest(&merging->file);
	reply->error = error;
	reply->bytes = writer.offset;
}

/* --- in ebb, which reads nothing ----------------------------------------------------------------- */

static int open_files(struct merging *merging, const char *folder)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		log_error("cannot open the folder '%s': %s", folder, strerror(errno));
		return -1;
	}
	int error = snapshot_chain_files(&merging->chain, &merging->files, dir);
	close(dir);
	if (error == -ENOENT)
		log_error("there is no snapshot in '%s'", folder);
	else if (error)
		log_error("cannot merge the snapshot in '%s': %s", folder, merging->chain.why);
	return error;
}

static int run(struct merging *merging, const char *folder, struct reply *reply)
{
	struct confined confined = {.work = merge,
				    .ctx = merging,
				    .size = sizeof(*reply),
				    .cpu_s = CONFINE_NO_LIMIT,
				    .file_max = CONFINE_NO_LIMIT,
				    .limit_ms = FOREVER_MS};

	snapshot_files_keep(&merging->files, &confined);
	confined.fd[confined.fds++] = merging->file.fd;
	int error = confined_run(&confined, reply);
	reply->why[sizeof(reply->why) - 1] = '\0';
	if (!error && reply->error && !confined_is_error(reply->error))
		reply->error = -EIO;
	if (error)
		log_error("cannot merge the snapshot in '%s': the process that reads it %s", folder,
			  confined_error(error));
	else if (reply->error && reply->why[0])
		log_error("cannot merge the snapshot in '%s': %s", folder, reply->why);
	else if (reply->error)
		log_error("the merged snapshot cannot be written to '%s': %s", merging->file.folder,
			  strerror(-reply->error));
	return error ? error : reply->error;
}

static int merge_files(struct merging *merging, const char *folder)
{
	char size[TEXT_SIZE_MAX];
	struct reply reply;

	int error = run(merging, folder, &reply);
	if (!error)
		error = snapshot_disks_take_over(&merging->file, folder, merging->files.snapshot);
	if (!error)
		error = snapshot_file_publish(&merging->file);
	if (error)
		return error;
	text_size(size, reply.bytes);
	printf("merged %u snapshots, %s, in %s\n", reply.count, size, merging->file.folder);
	return 0;
}

int snapshot_merge_folders(const char *folder, const char *out)
{
	struct merging *merging = calloc(1, sizeof(*merging));

	if (!merging) {
		log_error("cannot merge snapshots: the host has no memory left");
		return EXIT_FAILED;
	}
	merging->files = (struct snapshot_files)SNAPSHOT_FILES_NONE;
	merging->file =
		(struct snapshot_file){.folder = out, .name = SNAPSHOT_FILE, .dir = -1, .fd = -1};
	int error = open_files(merging, folder);
	if (!error)
		error = snapshot_file_begin(&merging->file);
	if (!error)
		error = merge_files(merging, folder);
	snapshot_file_end(&merging->file, !error);
	snapshot_files_close(&merging->files);
	free(merging);
	return error ? EXIT_FAILED : EXIT_DONE;
}
