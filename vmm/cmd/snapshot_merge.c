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
#include "vmm/cmd/snapshot_file.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"
#include "vmm/snapshot/merge.h"
#include "vmm/snapshot/saved_machine.h"

/* About 256 KiB. */
struct merging {
	struct saved_machine saved;
	struct snapshot_chain chain;
	struct snapshot_file file;
};

static int file_write(void *ctx, const void *data, size_t len)
{
	struct snapshot_file *file = ctx;
	const uint8_t *from = data;
	int error = 0;

	while (len > 0 && !error) {
		size_t room = sizeof(file->data) - file->held;
		size_t some = len < room ? len : room;
		memcpy(file->data + file->held, from, some);
		file->held += some;
		from += some;
		len -= some;
		if (file->held == sizeof(file->data))
			error = snapshot_file_write(file);
	}
	return error;
}

static int open_chain(struct merging *merging, const char *folder)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		log_error("cannot open the folder '%s': %s", folder, strerror(errno));
		return -1;
	}
	int error = snapshot_chain_open(&merging->chain, dir, NULL);
	close(dir);
	if (error == -ENOENT && !merging->chain.count)
		log_error("there is no snapshot in '%s'", folder);
	else if (error)
		log_error("cannot merge the snapshot in '%s': %s", folder, merging->chain.why);
	else if (merging->chain.count == 1)
		log_error("the snapshot in '%s' is whole: there is nothing to merge", folder);
	return error || merging->chain.count == 1 ? -1 : 0;
}

static int write_merged(struct merging *merging, const char *folder)
{
	struct snapshot_writer writer = {.write = file_write, .ctx = &merging->file};
	const struct saved_machine *saved = &merging->saved;
	char size[TEXT_SIZE_MAX];

	int error = snapshot_merge(&merging->chain, saved->region, saved->regions, &writer);
	if (!error)
		error = snapshot_file_write(&merging->file);
	if (!error)
		error = snapshot_file_write_rest(&merging->file);
	if (error && merging->chain.why[0]) {
		log_error("cannot merge the snapshot in '%s': %s", folder, merging->chain.why);
		return error;
	}
	if (error) {
		log_error("the merged snapshot cannot be written to '%s': %s", merging->file.folder,
			  strerror(-error));
		return error;
	}
	error = snapshot_file_publish(&merging->file);
	text_size(size, writer.offset);
	if (!error)
		printf("merged %u snapshots, %s, in %s\n", merging->chain.count, size,
		       merging->file.folder);
	return error;
}

int snapshot_merge_folders(const char *folder, const char *out)
{
	struct merging *merging = calloc(1, sizeof(*merging));

	if (!merging) {
		log_error("cannot merge snapshots: the host has no memory left");
		return EXIT_FAILED;
	}
	merging->file =
		(struct snapshot_file){.folder = out, .name = SNAPSHOT_FILE, .dir = -1, .fd = -1};
	int error = open_chain(merging, folder);
	if (!error)
		error = saved_machine_find_in(merging->chain.layer[0]->fd, folder, arch_map.name,
					      &merging->saved);
	if (!error)
		error = snapshot_file_begin(&merging->file);
	if (!error)
		error = write_merged(merging, folder);
	snapshot_file_end(&merging->file, !error);
	snapshot_chain_release(&merging->chain);
	free(merging);
	return error ? EXIT_FAILED : EXIT_DONE;
}
