// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-fs/fs.h"

#include <endian.h>
#include <errno.h>
#include <linux/fuse.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>

static void fs_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	const struct fs *fs = (struct fs *)((char *)dev - offsetof(struct fs, served.dev));
	struct virtio_fs_config config = {.num_request_queues = htole32(FS_QUEUES - 1)};

	memcpy(config.tag, fs->tag, strlen(fs->tag));
	memcpy(data, (const uint8_t *)&config + offset, len);
}

static const struct virtio_device_ops fs_ops = {
	.id = VIRTIO_ID_FS,
	.name = "fs",
	.drain = vhost_user_device_drain,
	.reset = vhost_user_device_reset,
	.work = vhost_user_device_work,
	.config_size = sizeof(struct virtio_fs_config),
	.config_read = fs_config_read,
};

/* --- without a backend ----------------------------------------------------------------------- */

/* Copies the request's header. Returns false if there is none. */
static bool request_of(const struct ram *ram, const struct virtq_chain *chain,
		       struct fuse_in_header *in)
{
	struct virtq_cursor start = {0};

	return virtq_read(ram, chain, &start, in, sizeof(*in)) == sizeof(*in);
}

/*
 * ENOTCONN is what programs get from a FUSE server that has ended. A request that wants no answer has
 * no room for one. Source: <linux/fuse.h>; the kernel's fs/fuse/virtio_fs.c and dev.c.
 */
static uint32_t fs_refuse(const struct ram *ram, const struct virtq_chain *chain)
{
	struct fuse_in_header in;
	struct fuse_out_header out = {.len = sizeof(out), .error = -ENOTCONN};

	if (!request_of(ram, chain, &in))
		return 0;
	out.unique = in.unique;
	ssize_t n = virtq_write(ram, chain, &out, sizeof(out));
	return n == sizeof(out) ? sizeof(out) : 0;
}

/* A mount: files that were open stay unknown to the new server. */
static bool fs_begins(const struct ram *ram, const struct virtq_chain *chain)
{
	struct fuse_in_header in;

	return request_of(ram, chain, &in) && in.opcode == FUSE_INIT;
}

static const struct vhost_user_kind fs_kind = {
	.queues = FS_QUEUES,
	.queue_size = FS_QUEUE_SIZE,
	.until = "it unmounts the folder and mounts it again",
	.refuse = fs_refuse,
	.begins = fs_begins,
};

int fs_init(struct fs *fs, const char *tag, const struct vhost_user_config *config,
	    const struct virtio_host *host)
{
	struct vhost_user_config named = *config;

	fs->tag = tag;
	snprintf(named.name, sizeof(named.name), "folder \"%s\"", tag);
	return vhost_user_device_init(&fs->served, &fs_ops, &fs_kind, &named, host);
}

void fs_release(struct fs *fs)
{
	vhost_user_device_release(&fs->served);
}
