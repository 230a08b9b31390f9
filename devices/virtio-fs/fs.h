/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio file system device (virtio 1.2 §5.11): a folder of the host, which a backend serves, a
 * process of its own (virtiofsd), by vhost-user. README.md beside this file tells the theory of
 * operation.
 *
 * Threads: init and open on the main thread, with no other in the device; fs_backend_came() on any
 * thread; the rest is the worker's.
 */
#ifndef EBB_VIRTIO_FS_H
#define EBB_VIRTIO_FS_H

#include <linux/virtio_fs.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/vhost-user/frontend.h"
#include "devices/vhost-user/inflight.h"
#include "devices/virtio/device.h"
#include "vmm/lib/log.h"

/* Requests that must not wait behind others; all others. Debian 12's virtiofsd has no further queue. */
enum fs_queue { FS_HIGH_PRIORITY, FS_REQUESTS, FS_QUEUES };

#define FS_QUEUE_SIZE 256
#define FS_TAG_MAX    36 /* bytes, without an end */

struct fs_config {
	const char *tag; /* 1 to FS_TAG_MAX bytes, which the guest mounts by */
	/*
	 * The device uses a backend's socket from now on, or no longer: the machine has to call
	 * fs_backend_stirs() when the socket becomes readable. On the worker with the device's lock
	 * held, or by fs_open().
	 */
	void (*found)(void *ctx, int socket);
	void (*lost)(void *ctx);
	/* Ends the backend's process, by force. Any thread. */
	void (*end)(void *ctx);
	void *ctx;
	/* What a backend may take to begin, or to finish what it has; then it is ended. 0: ten seconds. */
	uint64_t limit_ns;
};

enum fs_state {
	FS_STOPPED, /* the driver has not started the device, or its backend was not asked to serve */
	FS_SERVED,  /* the rings are the backend's */
	FS_REFUSES, /* there is no backend: the device answers every request with an error */
};

/* Owner: its creator; all is internal but fs->dev. */
struct fs {
	struct virtio_device dev;
	struct fs_config config;
	struct log_limit log;
	struct vhost_user backend;
	atomic_int next; /* the socket to a backend that is not in use yet, or -1 */
	enum fs_state state;
	struct {
		int kick, call; /* eventfds that the backend has */
		bool handed;	/* the backend may use this queue's rings */
		bool owed;	/* chains are out at a backend that is gone */
		struct inflight inflight;
	} queue[FS_QUEUES];
};

/* @host outlives the device. Returns 0, or -errno after an error message. */
int fs_init(struct fs *fs, const struct fs_config *config, const struct virtio_host *host);
void fs_release(struct fs *fs);

/*
 * Begins with the first backend, at the socket @fd, before the device is plugged in: what it cannot
 * do is not offered. Waits until @deadline (clock_ns()). Returns 0 or -errno, as
 * vhost_user_open(). The socket is the device's in either case.
 */
int fs_open(struct fs *fs, int fd, uint64_t deadline);

/* There is another backend, at the socket @fd, which is the device's from now on. */
void fs_backend_came(struct fs *fs, int fd);

/* The backend's socket has become readable, or its end was closed. */
void fs_backend_stirs(struct fs *fs);

/* Returns the eventfd by which the backend says that it has returned chains of @queue; and what to call then. */
int fs_call(const struct fs *fs, unsigned int queue);
void fs_called(struct fs *fs, unsigned int queue);

/* Shared by fs.c and refuse.c. */

/*
 * Answers the chains of @queue that a lost backend had, and those that wait, with errors: as many
 * as the queue has entries. Stops before a request that begins a mount if there is a new backend.
 * Returns as virtio_device_ops.work, or 1 if such a request waits.
 */
int fs_refuse(struct fs *fs, unsigned int queue);

#endif
