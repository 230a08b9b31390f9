// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/source.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/write_all.h"

/* proto.md: magic numbers, options and commands. */
#define SERVER_MAGIC   0x4e42444d41474943ULL
#define OPTION_MAGIC   0x49484156454f5054ULL
#define REQUEST_MAGIC  0x25609513U
#define REPLY_MAGIC    0x67446698U
#define FIXED_NEWSTYLE 1U
#define NO_ZEROES      2U
#define EXPORT_NAME    1U
#define CMD_READ       0U

struct greeting {
	uint64_t server, option;
	uint16_t flags;
} __attribute__((packed));

/* The client's flags, and the option that ends the handshake: the export without a name. */
struct choice {
	uint32_t flags;
	uint64_t magic;
	uint32_t option, len;
} __attribute__((packed));

struct export
{
	uint64_t size;
	uint16_t flags;
}
__attribute__((packed));

struct request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t len;
} __attribute__((packed));

struct reply {
	uint32_t magic, error;
	uint64_t cookie;
} __attribute__((packed));

static int receive(int fd, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, (char *)to + done, size - done);
		if (n <= 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int source_connect(struct source *source, int fd)
{
	const struct choice choice = {htobe32(FIXED_NEWSTYLE | NO_ZEROES), htobe64(OPTION_MAGIC),
				      htobe32(EXPORT_NAME), 0};
	struct greeting greeting;
	struct export export;

	*source = (struct source){.fd = fd};
	int error = receive(fd, &greeting, sizeof(greeting));
	if (!error &&
	    (be64toh(greeting.server) != SERVER_MAGIC || be64toh(greeting.option) != OPTION_MAGIC ||
	     (~be16toh(greeting.flags) & (FIXED_NEWSTYLE | NO_ZEROES))))
		error = -EPROTO;
	if (!error)
		error = write_all(fd, &choice, sizeof(choice));
	if (!error)
		error = receive(fd, &export, sizeof(export));
	if (error)
		return error;
	source->size = be64toh(export.size);
	source->ahead = malloc(SOURCE_AHEAD);
	return source->ahead ? 0 : -ENOMEM;
}

void source_release(struct source *source)
{
	free(source->ahead);
	source->ahead = NULL;
}

/* Fills ->ahead with what is around @offset, which is within the image. */
static int fetch(struct source *source, uint64_t offset)
{
	uint64_t from = offset - offset % SOURCE_AHEAD, left = source->size - from;
	uint32_t len = left < SOURCE_AHEAD ? (uint32_t)left : SOURCE_AHEAD;
	const struct request request = {.magic = htobe32(REQUEST_MAGIC),
					.type = htobe16(CMD_READ),
					.offset = htobe64(from),
					.len = htobe32(len)};
	struct reply reply;

	source->len = 0;
	int error = write_all(source->fd, &request, sizeof(request));
	if (!error)
		error = receive(source->fd, &reply, sizeof(reply));
	/* There is one request at a time: no answer can be another's. */
	if (!error && (be32toh(reply.magic) != REPLY_MAGIC || reply.error))
		error = -EIO;
	if (!error)
		error = receive(source->fd, source->ahead, len);
	if (!error) {
		source->from = from;
		source->len = len;
	}
	return error;
}

static int read_file(const struct source *source, uint64_t offset, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n =
			pread(source->fd, (char *)to + done, size - done, (off_t)(offset + done));
		if (n <= 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int source_read(struct source *source, uint64_t offset, void *to, size_t size)
{
	int error = 0;

	if (offset > source->size || size > source->size - offset)
		return -EIO;
	if (!source->ahead)
		return read_file(source, offset, to, size);
	while (size > 0 && !error) {
		uint64_t at = offset - source->from;
		if (offset < source->from || at >= source->len) {
			error = fetch(source, offset);
			continue;
		}
		size_t n = size < source->len - at ? size : (size_t)(source->len - at);
		memcpy(to, source->ahead + at, n);
		to = (char *)to + n;
		offset += n;
		size -= n;
	}
	return error;
}
