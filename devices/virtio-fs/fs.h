/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio file system device (virtio 1.2 §5.11): a folder of the host, which a backend serves, a
 * process of its own (virtiofsd), by vhost-user. README.md beside this file tells the theory of
 * operation.
 *
 * Threads: as vhost_user_device, which has all but the device's beginning.
 */
#ifndef EBB_VIRTIO_FS_H
#define EBB_VIRTIO_FS_H

#include <linux/virtio_fs.h>

#include "devices/vhost-user/device.h"

/* Requests that must not wait behind others; all others. Debian 12's virtiofsd has no further queue. */
enum fs_queue { FS_HIGH_PRIORITY, FS_REQUESTS, FS_QUEUES };

#define FS_QUEUE_SIZE 256
#define FS_TAG_MAX    36 /* bytes, without an end */

/* Owner: its creator. */
struct fs {
	struct vhost_user_device served;
	const char *tag; /* 1 to FS_TAG_MAX bytes, which the guest mounts by */
};

/*
 * @tag and @host outlive the device; the name in @config is set here. Returns 0, or -errno after an
 * error message.
 */
int fs_init(struct fs *fs, const char *tag, const struct vhost_user_config *config,
	    const struct virtio_host *host);
void fs_release(struct fs *fs);

#endif
