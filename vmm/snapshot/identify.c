// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/identify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CPU_S	 60
#define LIMIT_MS 120000
#define FAILED	 "the process that reads it failed"

/* What is read there: @fd alone, or all of @files. */
struct request {
	struct snapshot_files *files; /* or NULL */
	int fd;
};

struct reply {
	int error;
	char why[256];
	unsigned int count;
	struct {
		struct snapshot_id id, base;
		uint8_t is_increment, is_paused;
	} layer[SNAPSHOT_CHAIN_MAX];
};

static void identify(void *ctx, void *data)
{
	const struct request *request = ctx;
	struct reply *reply = data;
	struct snapshot_chain chain = {0};

	reply->error = request->files ? snapshot_chain_open(&chain, request->files, NULL)
				      : snapshot_chain_add(&chain, request->fd, NULL);
	memcpy(reply->why, chain.why, sizeof(reply->why));
	reply->count = chain.count;
	for (unsigned int i = 0; i < chain.count; i++) {
		const struct snapshot_layer *layer = chain.layer[i];
		reply->layer[i].id = layer->id;
		reply->layer[i].base = layer->base;
		reply->layer[i].is_increment = layer->is_increment;
		reply->layer[i].is_paused = layer->is_paused;
	}
}

static int fail(struct snapshot_chain *chain, int error, const char *why)
{
	snprintf(chain->why, sizeof(chain->why), "%s", why);
	return error;
}

static int take_layer(struct snapshot_chain *chain, const struct reply *reply, unsigned int i)
{
	struct snapshot_layer *layer = calloc(1, sizeof(*layer));

	if (!layer)
		return fail(chain, -ENOMEM, "the host has no memory left");
	layer->fd = -1;
	layer->id = reply->layer[i].id;
	layer->base = reply->layer[i].base;
	layer->is_increment = reply->layer[i].is_increment;
	layer->is_paused = reply->layer[i].is_paused;
	chain->layer[chain->count++] = layer;
	return 0;
}

static int take(struct snapshot_chain *chain, struct reply *reply)
{
	int error = 0;

	reply->why[sizeof(reply->why) - 1] = '\0';
	if (confined_is_error(reply->error))
		return fail(chain, reply->error, reply->why);
	if (reply->error || reply->count == 0 || reply->count > SNAPSHOT_CHAIN_MAX)
		return fail(chain, -EINVAL, FAILED);
	for (unsigned int i = 0; i < reply->count && !error; i++)
		error = take_layer(chain, reply, i);
	return error;
}

static int run(struct snapshot_chain *chain, struct confined *confined)
{
	struct reply reply;

	confined->work = identify;
	confined->size = sizeof(reply);
	confined->cpu_s = CPU_S;
	confined->limit_ms = LIMIT_MS;
	*chain = (struct snapshot_chain){0};
	int error = confined_run(confined, &reply);
	if (!error)
		return take(chain, &reply);
	snprintf(chain->why, sizeof(chain->why), "the process that reads it %s",
		 confined_error(error));
	return error;
}

void snapshot_files_keep(const struct snapshot_files *files, struct confined *confined)
{
	_Static_assert(SNAPSHOT_BASES_MAX + 2 <= CONFINED_FDS_MAX, "all are kept, and one more");

	confined->fd[confined->fds++] = files->snapshot;
	for (unsigned int i = 0; i < files->bases; i++)
		confined->fd[confined->fds++] = files->base[i].fd;
}

int snapshot_identify(struct snapshot_chain *chain, int fd)
{
	struct request request = {.fd = fd};
	struct confined confined = {.ctx = &request, .fd = {fd}, .fds = 1};

	return run(chain, &confined);
}

/* By the names that the files have: who reads them says only which. */
static int take_files(struct snapshot_chain *chain, struct snapshot_files *files)
{
	chain->layer[0]->fd = files->snapshot;
	files->snapshot = -1;
	for (unsigned int i = 1; i < chain->count; i++) {
		struct snapshot_layer *layer = chain->layer[i];
		layer->fd = snapshot_files_take_base(files, &layer->id);
		if (layer->fd < 0)
			return fail(chain, -EINVAL, FAILED);
	}
	return 0;
}

int snapshot_chain_identify(struct snapshot_chain *chain, int folder)
{
	struct snapshot_files files;
	struct request request = {.files = &files};
	struct confined confined = {.ctx = &request};

	int error = snapshot_chain_files(chain, &files, folder);
	if (!error) {
		snapshot_files_keep(&files, &confined);
		error = run(chain, &confined);
	}
	if (!error)
		error = take_files(chain, &files);
	snapshot_files_close(&files);
	return error;
}
