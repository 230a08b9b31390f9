/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device whose queues a backend serves, another process, by vhost-user: it gives the queues
 * to the backend, passes on notifications, takes the queues back, and answers requests with errors
 * while there is no backend. Each kind (virtio-fs, virtio-blk) adds its configuration space, and says
 * what an error looks like. README.md beside this file tells the whole.
 *
 * Threads: init, open and await on the main thread, with no other in the device; _came() on any thread; the
 * rest is the worker's.
 */
#ifndef EBB_VHOST_USER_DEVICE_H
#define EBB_VHOST_USER_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/vhost-user/frontend.h"
#include "devices/vhost-user/inflight.h"
#include "devices/virtio/device.h"
#include "vmm/lib/log.h"

#define VHOST_USER_QUEUES_MAX 2

struct vhost_user_device;

/* A constant for each kind of device. */
struct vhost_user_kind {
	unsigned int queues;
	uint16_t queue_size;
	uint64_t features;	   /* of the kind's own, offered where the backend has them */
	const char *until;	   /* how long the guest gets errors: for the message */
	struct inflight_hooks see; /* the kind counts the chains; the context is the device */
	/* Answers @chain with an error. Returns how many bytes it wrote. */
	uint32_t (*refuse)(const struct ram *ram, const struct virtq_chain *chain);
	/*
	 * Returns whether the request begins anew, so that a backend which knows nothing of those before
	 * can serve it and all after it. NULL: only a reset does.
	 */
	bool (*begins)(const struct ram *ram, const struct virtq_chain *chain);
	/* A later backend is there: returns 0, or -errno if it cannot take the place. May be NULL. */
	int (*accept)(struct vhost_user_device *device, uint64_t deadline);
};

struct vhost_user_config {
	char name[64]; /* in messages */
	/*
	 * The device uses a backend's socket from now on, or no longer: the machine has to call
	 * vhost_user_device_stirs() when the socket becomes readable. On the worker with the device's
	 * lock held, or by vhost_user_device_open().
	 */
	void (*found)(void *ctx, int socket);
	void (*lost)(void *ctx);
	/* Ends the backend's process, by force. Any thread. */
	void (*end)(void *ctx);
	void *ctx;
	bool outlives; /* the backend's process does not end when its connection does */
	/* What a backend may take to begin, or to finish what it has; then it is ended. 0: ten seconds. */
	uint64_t limit_ns;
};

enum vhost_user_state {
	VHOST_USER_STOPPED, /* the driver has not started the device, or its backend was not asked to serve */
	VHOST_USER_SERVED,  /* the rings are the backend's */
	VHOST_USER_REFUSES, /* there is no backend: the device answers every request with an error */
};

/* Owner: its creator, in whose struct it is the first member; all is internal but ->dev. */
struct vhost_user_device {
	struct virtio_device dev;
	const struct vhost_user_kind *kind;
	struct vhost_user_config config;
	struct log_limit log;
	struct vhost_user backend;
	bool awaited;	 /* the first backend comes while the guest runs */
	atomic_int next; /* the socket to a backend that is not in use yet, or -1 */
	enum vhost_user_state state;
	struct {
		int kick, call; /* eventfds that the backend has */
		bool handed;	/* the backend may use this queue's rings */
		bool owed;	/* chains are out at a backend that is gone */
		struct inflight inflight;
	} queue[VHOST_USER_QUEUES_MAX];
};

/* @ops has the three functions below. @host outlives the device. Returns 0, or -errno after an error message. */
int vhost_user_device_init(struct vhost_user_device *device, const struct virtio_device_ops *ops,
			   const struct vhost_user_kind *kind,
			   const struct vhost_user_config *config, const struct virtio_host *host);
void vhost_user_device_release(struct vhost_user_device *device);

/* For virtio_device_ops. */
bool vhost_user_device_drain(struct virtio_device *dev, unsigned int queue, uint64_t deadline);
void vhost_user_device_reset(struct virtio_device *dev);
int vhost_user_device_work(struct virtio_device *dev, unsigned int queue);

/*
 * Begins with the first backend, at the socket @fd, before the device is plugged in: what it cannot
 * do is not offered. Waits until @deadline (clock_ns()). Returns 0 or -errno, as
 * vhost_user_open(). The socket is the device's in either case.
 */
int vhost_user_device_open(struct vhost_user_device *device, int fd, uint64_t deadline);

/*
 * In place of it: the first backend comes later. Until then requests wait. What is offered is what all backends can do; one
 * that cannot is refused.
 */
void vhost_user_device_await(struct vhost_user_device *device);

/* None comes: from now on requests are refused, and those that wait, too. */
void vhost_user_device_give_up(struct vhost_user_device *device);

/* There is another backend, at the socket @fd, which is the device's from now on. */
void vhost_user_device_came(struct vhost_user_device *device, int fd);

/* The backend's socket has become readable, or its end was closed. */
void vhost_user_device_stirs(struct vhost_user_device *device);

/* Returns the eventfd by which the backend says that it has returned chains of @queue; and what to call then. */
int vhost_user_device_call(const struct vhost_user_device *device, unsigned int queue);
void vhost_user_device_called(struct vhost_user_device *device, unsigned int queue);

/*
 * Shared by device.c and refuse.c. Answers the chains of @queue that a lost backend had, and those
 * that wait, with errors: as many as the queue has entries. Stops before a request that begins anew
 * if there is a new backend. Returns as virtio_device_ops.work, or 1 if such a request waits.
 */
int vhost_user_device_refuse(struct vhost_user_device *device, unsigned int queue);

#endif
