/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that a backend serves by vhost-user, in the machine: the process (vmm/backend), and what the
 * device's worker waits for.
 *
 * Thread: main, except the callbacks, which the worker calls.
 */
#ifndef EBB_MACHINE_SERVED_H
#define EBB_MACHINE_SERVED_H

#include "devices/vhost-user/device.h"
#include "vmm/backend/backend.h"
#include "vmm/config/config.h"
#include "vmm/lib/log.h"
#include "vmm/lib/loop.h"

/* The backend has rung for a queue. */
struct served_call {
	struct loop_source source;
	struct vhost_user_device *device;
	unsigned int queue;
};

/* Owner: the device's struct. */
struct served {
	struct vhost_user_device *device;
	struct loop *loop; /* the worker's */
	const struct backend_program *program;
	struct backend backend;
	struct log_limit log;
	/* The backend's socket, the keeper's (before: where the backend is awaited), and what the backend rings. */
	struct loop_source socket, news;
	struct served_call call[VHOST_USER_QUEUES_MAX];
};

/* Before all else. Returns what the device's init needs; its name is left to the caller. */
struct vhost_user_config served_init(struct served *served, struct vhost_user_device *device,
				     struct loop *loop);
/*
 * Starts @program with @config, waits until it answers, and waits for it from then on. @what: in
 * messages, as "the folder /srv". Returns 0, or -errno after an error message.
 */
int served_start(struct served *served, const struct backend_program *program, const void *config,
		 const char *what);
/*
 * Likewise, but another process starts @program, and gives it to this one by the socket @from, which stays the caller's
 * (backend_give()). Until then the guest's requests wait.
 */
int served_await(struct served *served, const struct backend_program *program, int from);
/* After the device's own release. */
void served_release(struct served *served);

#endif
