// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/snapshot_settle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/lib/confine.h"
#include "vmm/lib/confined.h"
#include "vmm/lib/log.h"
#include "vmm/snapshot/saved_machine.h"
#include "vmm/snapshot/settle.h"

/* However much memory it is. */
#define FOREVER_MS (24 * 3600 * 1000)

struct settling {
	struct snapshot_file *file;
	int came;
};

struct reply {
	int error;
	char why[256]; /* "" if @error is of writing */
	uint64_t bytes, memory;
};

/* In a process that can do nothing else. */
static void settle(void *ctx, void *data)
{
	const struct settling *settling = ctx;
	struct reply *reply = data;
	struct snapshot_writer writer = {.write = snapshot_file_put, .ctx = settling->file};
	struct saved_machine saved;
	struct why why = {""};

	int error = lseek(settling->came, 0, SEEK_SET) < 0 ? -errno : 0;
	if (!error)
		error = saved_machine_find_in(settling->came, arch_map.name, &saved, &why);
	snprintf(reply->why, sizeof(reply->why), "%s", why.text);
	if (!error)
		error = snapshot_settle(settling->came, saved.region, saved.regions, &writer,
					reply->why, sizeof(reply->why));
	if (!error)
		error = snapshot_file_write(settling->file);
	if (!error)
		error = snapshot_file_write_rest(settling->file);
	reply->error = error;
	reply->bytes = writer.offset;
	reply->memory = writer.pages * SNAPSHOT_PAGE;
}

static int run(struct settling *settling, const char *guest, struct reply *reply)
{
	struct confined confined = {.work = settle,
				    .ctx = settling,
				    .size = sizeof(*reply),
				    .fd = {settling->came, settling->file->fd},
				    .fds = 2,
				    .cpu_s = CONFINE_NO_LIMIT,
				    .file_max = CONFINE_NO_LIMIT,
				    .limit_ms = FOREVER_MS};

	int error = confined_run(&confined, reply);
	reply->why[sizeof(reply->why) - 1] = '\0';
	if (!error && reply->error && !confined_is_error(reply->error))
		reply->error = -EIO;
	if (error)
		log_error("guest \"%s\" is not saved: the process that reads what came %s", guest,
			  confined_error(error));
	else if (reply->error && reply->why[0])
		log_error("guest \"%s\" is not saved: what came cannot be read: %s", guest,
			  reply->why);
	else if (reply->error)
		log_error("guest \"%s\" is not saved: cannot write to '%s': %s", guest,
			  settling->file->folder, strerror(-reply->error));
	return error ? error : reply->error;
}

int snapshot_settle_file(struct snapshot_file *file, const char *guest, uint64_t *bytes,
			 uint64_t *memory)
{
	struct settling settling = {file, snapshot_file_again(file)};
	struct reply reply;

	if (settling.came < 0)
		return settling.came;
	int error = run(&settling, guest, &reply);
	close(settling.came);
	if (error)
		return error;
	*bytes = reply.bytes;
	*memory = reply.memory;
	return 0;
}
