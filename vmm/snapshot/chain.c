// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/chain.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/signal_waits.h"
#include "vmm/lib/zero.h"

/* Read at once. */
#define PIECE (16 * (uint64_t)SNAPSHOT_PAGE)
/* More than any machine has: each has a vCPU or a device. */
#define SECTIONS_MAX 4096U

__attribute__((format(printf, 3, 4))) static int fail(struct snapshot_chain *chain, int error,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(chain->why, sizeof(chain->why), format, args);
	va_end(args);
	return error;
}

/* --- reading one, but for the pages -------------------------------------------------------------- */

int snapshot_read_plain(void *fd, void *data, size_t len)
{
	ssize_t got;

	if (signal_waits())
		return -EINTR;
	do
		got = read(*(int *)fd, data, len < INT_MAX ? len : INT_MAX);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : (int)got;
}

/* Leaves out the pages, which come next. */
static int skip_pages(struct snapshot_layer *layer, struct snapshot_reader *reader)
{
	uint64_t len = layer->memory.pages * SNAPSHOT_PAGE;
	off_t end = lseek(layer->fd, 0, SEEK_END);

	if (end < 0 || (uint64_t)end < layer->offset || (uint64_t)end - layer->offset < len ||
	    lseek(layer->fd, (off_t)(layer->offset + len), SEEK_SET) < 0)
		return snapshot_bad(reader, "it is cut short");
	reader->offset += len;
	return 0;
}

int snapshot_layer_take(struct snapshot_layer *layer, struct snapshot_reader *reader,
			const struct snapshot_section *section, const struct ram *ram)
{
	struct snapshot_section next = *section;
	int error = 0;

	if (section->type == SNAPSHOT_BASE) {
		layer->is_increment = true;
		layer->before = section->checksum;
		error = snapshot_list_read(reader, section, ram, &layer->base, &layer->zeros);
		if (!error)
			error = snapshot_next(reader, &next);
	}
	if (!error && next.type != SNAPSHOT_MEMORY)
		error = snapshot_bad(reader, "it has no list of memory");
	if (!error)
		error = snapshot_memory_read(reader, &next, ram, &layer->memory,
					     layer->is_increment ? &layer->before : NULL);
	layer->offset = reader->offset;
	return error;
}

static int read_section(struct snapshot_layer *layer, struct snapshot_reader *reader,
			const struct snapshot_section *section, const struct ram *ram)
{
	uint8_t room[SNAPSHOT_PAYLOAD_MAX];
	int error;

	switch (section->type) {
	case SNAPSHOT_BASE:
	case SNAPSHOT_MEMORY:
		if (layer->offset)
			break;
		error = snapshot_layer_take(layer, reader, section, ram);
		return error ? error : skip_pages(layer, reader);
	case SNAPSHOT_PAGES:
		break;
	case SNAPSHOT_MACHINE:
	case SNAPSHOT_PLATFORM:
	case SNAPSHOT_CPU:
	case SNAPSHOT_SERIAL:
	case SNAPSHOT_DEVICE:
		return snapshot_payload(reader, section, room, sizeof(room));
	case SNAPSHOT_PAUSED:
		if (layer->is_paused)
			return snapshot_bad(reader, "it says twice that its guest was paused");
		layer->is_paused = true;
		return snapshot_payload(reader, section, room, 0);
	case SNAPSHOT_WRITTEN:
		return snapshot_bad(reader, "it was sent while its guest ran (--live): \"ebb run "
					    "--restore-all\" alone reads it");
	default:
		return snapshot_bad(reader,
				    "it has a section of type %u, which this ebb does not know",
				    section->type);
	}
	return snapshot_bad(reader, "its memory is not where its list says");
}

/* Takes the id from the end of the file, which snapshot_close() has checked. */
static int take_id(struct snapshot_layer *layer, struct snapshot_reader *reader)
{
	struct record_in end = {layer->id.bytes + SNAPSHOT_END_SIZE - 4, 4, false};

	off_t at = (off_t)(reader->offset - sizeof(layer->id));
	if (pread(layer->fd, &layer->id, sizeof(layer->id), at) != sizeof(layer->id))
		return snapshot_bad(reader, "it is cut short");
	layer->checksum = record_take_u32(&end);
	return 0;
}

static int read_layer(struct snapshot_layer *layer, struct snapshot_reader *reader,
		      const struct ram *ram)
{
	struct snapshot_section section;

	int error = snapshot_open(reader);
	while (!error && reader->sections < SECTIONS_MAX) {
		error = snapshot_next(reader, &section);
		if (!error && section.type == SNAPSHOT_END) {
			error = snapshot_close(reader, &section, layer->memory.pages, NULL);
			return error ? error : take_id(layer, reader);
		}
		if (!error)
			error = read_section(layer, reader, &section, ram);
	}
	return error ? error : snapshot_bad(reader, "it has too many sections");
}

/* --- the chain ----------------------------------------------------------------------------------- */

int snapshot_chain_add(struct snapshot_chain *chain, int fd, const struct ram *ram)
{
	struct snapshot_layer *layer = calloc(1, sizeof(*layer));

	if (!layer) {
		close(fd);
		return fail(chain, -ENOMEM, "the host has no memory left");
	}
	layer->fd = fd;
	chain->layer[chain->count++] = layer;
	struct snapshot_reader reader = {.read = snapshot_read_plain, .ctx = &layer->fd};
	int error = read_layer(layer, &reader, ram);
	return error ? fail(chain, error, "%s", reader.why) : 0;
}

static int add_base(struct snapshot_chain *chain, struct snapshot_files *files,
		    const struct ram *ram)
{
	const struct snapshot_id *id = &chain->layer[chain->count - 1]->base;
	char name[SNAPSHOT_BASE_NAME], why[sizeof(chain->why)];

	if (chain->count == SNAPSHOT_CHAIN_MAX)
		return fail(chain, -EINVAL, "it is based on more than %d others, one on another",
			    SNAPSHOT_CHAIN_MAX - 1);
	snapshot_base_name(id, name);
	int fd = snapshot_files_take_base(files, id);
	if (fd == -ENOENT)
		return fail(chain, fd,
			    "'%s', which it is based on, is missing: copy all files of the folder "
			    "that it was saved in",
			    name);
	if (fd < 0)
		return fail(chain, fd, "'%s' %s", name,
			    fd == -EINVAL  ? "is no plain file"
			    : fd == -EPERM ? "is of another user than its folder"
					   : strerror(-fd));
	int error = snapshot_chain_add(chain, fd, ram);
	memcpy(why, chain->why, sizeof(why));
	if (error)
		return fail(chain, error, "its base '%s': %.160s", name, why);
	if (memcmp(&chain->layer[chain->count - 1]->id, id, sizeof(*id)) != 0)
		return fail(chain, -EINVAL,
			    "'%s' is not the snapshot that it is based on: copy all files of the "
			    "folder that it was saved in",
			    name);
	return 0;
}

int snapshot_chain_add_bases(struct snapshot_chain *chain, struct snapshot_files *files,
			     const struct ram *ram)
{
	int error = 0;

	while (!error && chain->layer[chain->count - 1]->is_increment)
		error = add_base(chain, files, ram);
	return error;
}

int snapshot_chain_files(struct snapshot_chain *chain, struct snapshot_files *files, int folder)
{
	int error = snapshot_files_open(files, folder);

	*chain = (struct snapshot_chain){0};
	if (error == -E2BIG)
		return fail(chain, error, SNAPSHOT_BASES_TOO_MANY);
	if (error)
		return fail(chain, error, "its file 'snapshot': %s",
			    error == -EINVAL ? "no plain file" : strerror(-error));
	return 0;
}

int snapshot_chain_open(struct snapshot_chain *chain, struct snapshot_files *files,
			const struct ram *ram)
{
	int fd = files->snapshot;

	*chain = (struct snapshot_chain){0};
	files->snapshot = -1;
	int error = snapshot_chain_add(chain, fd, ram);
	return error ? error : snapshot_chain_add_bases(chain, files, ram);
}

void snapshot_chain_release(struct snapshot_chain *chain)
{
	for (unsigned int i = 0; i < chain->count; i++) {
		if (chain->layer[i]->fd >= 0)
			close(chain->layer[i]->fd);
		free(chain->layer[i]);
	}
	*chain = (struct snapshot_chain){0};
}

/* --- what is the guest's memory ------------------------------------------------------------------ */

/* Returns the first run that ends after @gpa, or NULL. */
static const struct gpa_range *first_after(const struct snapshot_memory *list, uint64_t gpa)
{
	unsigned int from = 0, to = list->runs;

	while (from < to) {
		unsigned int middle = from + (to - from) / 2;
		if (list->run[middle].gpa + list->run[middle].len > gpa)
			to = middle;
		else
			from = middle + 1;
	}
	return from < list->runs ? &list->run[from] : NULL;
}

/* Cuts [*@gpa, *@end) down to what comes before the list's next run, or leaves out what is in it. */
static void leave_out(const struct snapshot_memory *list, uint64_t *gpa, uint64_t *end)
{
	const struct gpa_range *run = first_after(list, *gpa);

	if (run && run->gpa <= *gpa)
		*gpa = run->gpa + run->len;
	else if (run && run->gpa < *end)
		*end = run->gpa;
}

bool snapshot_chain_next(const struct snapshot_chain *chain, unsigned int n,
			 const struct gpa_range *run, struct gpa_range *piece)
{
	uint64_t gpa = piece->len ? piece->gpa + piece->len : run->gpa, from, end;

	/* Until a turn leaves out nothing: each run can be left out once. */
	do {
		from = gpa;
		end = run->gpa + run->len;
		for (unsigned int i = 0; i < n; i++) {
			leave_out(&chain->layer[i]->memory, &gpa, &end);
			leave_out(&chain->layer[i]->zeros, &gpa, &end);
		}
	} while (gpa != from && gpa < run->gpa + run->len);
	*piece = (struct gpa_range){gpa, end - gpa};
	return gpa < run->gpa + run->len;
}

/* --- reading the pages --------------------------------------------------------------------------- */

/* Copies what is the guest's memory of @len bytes at @gpa, which are a part of a run of layer @n. */
static void copy(const struct snapshot_chain *chain, unsigned int n, const struct ram *ram,
		 uint64_t gpa, const uint8_t *bytes, uint64_t len)
{
	const struct gpa_range part = {gpa, len};
	struct gpa_range piece = {0};

	while (snapshot_chain_next(chain, n, &part, &piece)) {
		uint8_t *hva = ram_at(ram, piece.gpa, piece.len);
		for (uint64_t at = 0; at < piece.len; at += SNAPSHOT_PAGE) {
			const uint8_t *page = bytes + (piece.gpa - gpa) + at;
			if (!is_zero(page, SNAPSHOT_PAGE))
				memcpy(hva + at, page, SNAPSHOT_PAGE);
		}
	}
}

int snapshot_chain_read(struct snapshot_chain *chain, unsigned int n, const struct ram *ram)
{
	const struct snapshot_layer *layer = chain->layer[n];
	uint32_t checksum = layer->before;
	uint64_t offset = layer->offset;
	uint8_t bytes[PIECE];

	for (unsigned int i = 0; i < layer->memory.runs; i++) {
		const struct gpa_range *run = &layer->memory.run[i];
		for (uint64_t at = 0; at < run->len; at += PIECE) {
			uint64_t len = run->len - at < PIECE ? run->len - at : PIECE;
			if (signal_waits())
				return fail(chain, -EINTR, "%s", strerror(EINTR));
			ssize_t got = pread(layer->fd, bytes, len, (off_t)offset);
			if (got != (ssize_t)len)
				return fail(chain, got < 0 ? -errno : -EIO, "it cannot be read: %s",
					    got < 0 ? strerror(errno) : "it is cut short");
			checksum = snapshot_checksum(checksum, bytes, len);
			if (ram)
				copy(chain, n, ram, run->gpa + at, bytes, len);
			offset += len;
		}
	}
	return checksum == layer->checksum ? 0
					   : fail(chain, -EINVAL, "%s memory is damaged",
						  n == 0 ? "its" : "its base's");
}
