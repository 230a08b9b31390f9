/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of an image come from: a file that can be read at any place, or a server that speaks
 * NBD, for an image that is no raw one. Nothing that a server says is trusted but the bytes.
 *
 * Thread: the reader's only one. Source: the NBD project's doc/proto.md (fixed newstyle handshake, NBD_OPT_EXPORT_NAME,
 * NBD_CMD_READ).
 */
#ifndef EBB_BOOTDISK_SOURCE_H
#define EBB_BOOTDISK_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#define SOURCE_AHEAD 262144 /* bytes that are asked of a server at once */

struct source {
	int fd;
	uint64_t size; /* bytes of the image */
	/* Of a server: what was read last. NULL: a file. */
	uint8_t *ahead;
	uint64_t from, len;
};

/* Begins with the server at the socket @fd: its only export. Returns 0 or -errno. */
int source_connect(struct source *source, int fd);
void source_release(struct source *source);

/* Reads @size bytes at @offset, all of them. Returns 0 or -EIO. */
int source_read(struct source *source, uint64_t offset, void *to, size_t size);

#endif
