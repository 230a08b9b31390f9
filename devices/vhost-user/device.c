// SPDX-License-Identifier: Apache-2.0
#include "devices/vhost-user/device.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "devices/vhost-user/channel.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/wake.h"

#define LIMIT_NS (10 * NS_PER_S)

static struct vhost_user_device *device_of(struct virtio_device *dev)
{
	return (struct vhost_user_device *)((char *)dev - offsetof(struct vhost_user_device, dev));
}

/* --- the backend ----------------------------------------------------------------------------- */

static void look_again(const struct vhost_user_device *device)
{
	for (unsigned int i = 0; i < device->kind->queues; i++)
		device->dev.host->defer(device->dev.host->ctx, i);
}

static const char *reason(int error)
{
	switch (error) {
	case -EPIPE:
		return "it has ended";
	case -EPROTO:
		return "it breaks the protocol";
	case -EREMOTEIO:
		return "it refuses a request";
	case -ETIMEDOUT:
		return "it does not answer";
	case -ENOTSUP:
		return "it lacks a feature";
	default:
		return strerror(-error);
	}
}

/* On the worker: it alone may stop waiting for the socket. */
static void close_backend(struct vhost_user_device *device)
{
	if (device->backend.socket < 0)
		return;
	device->config.lost(device->config.ctx);
	vhost_user_close(&device->backend);
}

static int look(struct vhost_user_device *device, unsigned int queue)
{
	return inflight_look_and_tell(&device->queue[queue].inflight, &device->dev.queue[queue],
				      &device->kind->see, device);
}

/* Ends the backend's process after @error, unless it is gone: then there may be another one, which is to stay. */
static void end_process(struct vhost_user_device *device, int error)
{
	bool stays = device->config.outlives && atomic_load(&device->next) < 0;

	if (error != -EPIPE || stays)
		device->config.end(device->config.ctx);
}

/* The device goes on without a backend. */
static void lose(struct vhost_user_device *device, int error)
{
	log_guest(&device->log, "the server of %s is lost: %s; the guest gets errors until %s",
		  device->config.name, reason(error), device->kind->until);
	end_process(device, error);
	close_backend(device);
	device->state = VHOST_USER_REFUSES;
	for (unsigned int i = 0; i < device->kind->queues; i++) {
		/* The last look: nothing but the driver's index changes from now on. */
		if (device->queue[i].handed && device->dev.queue[i].ready && look(device, i))
			device->queue[i].inflight.exact = false;
		device->queue[i].owed = device->queue[i].handed;
		device->queue[i].handed = false;
	}
	look_again(device);
}

/* Takes the newest backend, if there is one. Returns 0 or -errno. */
static int find_backend(struct vhost_user_device *device, uint64_t deadline)
{
	int fd = atomic_exchange(&device->next, -1);

	if (fd < 0)
		return vhost_user_check(&device->backend);
	device->awaited = false;
	close_backend(device);
	int error = vhost_user_open(&device->backend, fd, deadline);
	device->config.found(device->config.ctx, fd);
	if (!error && device->kind->accept)
		error = device->kind->accept(device, deadline);
	return error;
}

/* Gives all queues to a backend. */
static int hand_over(struct vhost_user_device *device)
{
	uint64_t deadline = clock_ns() + device->config.limit_ns;

	int error = find_backend(device, deadline);
	if (!error)
		error = vhost_user_set_up(&device->backend, device->dev.features,
					  device->dev.host->ram, deadline);
	for (unsigned int i = 0; i < device->kind->queues && !error; i++) {
		const struct vhost_user_queue queue = {
			i, &device->dev.queue[i], device->queue[i].kick, device->queue[i].call};
		if (!device->dev.queue[i].ready)
			continue;
		inflight_init(&device->queue[i].inflight, &device->dev.queue[i]);
		device->queue[i].handed = true;
		error = vhost_user_start(&device->backend, &queue, deadline);
		wake_ring(device->queue[i].kick);
	}
	return error;
}

static void start(struct vhost_user_device *device)
{
	device->state = VHOST_USER_SERVED;
	int error = hand_over(device);
	if (error)
		lose(device, error);
}

/* --- for the core ---------------------------------------------------------------------------- */

/* Looks at a queue that is the backend's, and passes on what one side has for the other. */
static int relay(struct vhost_user_device *device, unsigned int queue)
{
	struct inflight *inflight = &device->queue[queue].inflight;
	struct virtq *q = &device->dev.queue[queue];
	uint16_t avail = inflight->avail;

	int error = look(device, queue);
	if (error)
		return error;
	if (inflight->avail != avail)
		wake_ring(device->queue[queue].kick);
	/* The core compares it with what the driver was interrupted for. */
	q->next_avail = inflight->avail;
	q->next_used = inflight->used;
	return 0;
}

int vhost_user_device_work(struct virtio_device *dev, unsigned int queue)
{
	struct vhost_user_device *device = device_of(dev);

	/* What is in the ring stays there for the first backend: to refuse it would end the guest's mount. */
	if (device->awaited && atomic_load(&device->next) < 0)
		return 0;
	if (device->state == VHOST_USER_STOPPED)
		start(device);
	if (device->state == VHOST_USER_SERVED) {
		int error = vhost_user_check(&device->backend);
		if (!error)
			error = relay(device, queue);
		if (!error)
			return 0;
		lose(device, error);
	}
	int result = vhost_user_device_refuse(device, queue);
	if (result <= 0)
		return result;
	start(device);
	return 0;
}

/*
 * Waits until the backend has returned all chains of @queue: one that works on several at the same
 * time stops without waiting for them. Chains that the driver adds meanwhile end the wait at the
 * latest at @deadline, and the backend with it.
 */
static int wait_returned(struct vhost_user_device *device, unsigned int queue, uint64_t deadline)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = device->queue[queue].call, .events = POLLIN},
				       {.fd = device->backend.socket, .events = POLLIN}};
		int error = vhost_user_check(&device->backend);
		if (!error)
			error = relay(device, queue);
		if (!error && !device->queue[queue].inflight.exact)
			error = -EPROTO;
		if (error ||
		    !inflight_any(&device->queue[queue].inflight, &device->dev.queue[queue]))
			return error;
		uint64_t now = clock_ns();
		if (now >= deadline)
			return -ETIMEDOUT;
		poll(fds, 2, (int)((deadline - now) / NS_PER_MS) + 1);
		wake_take(device->queue[queue].call);
	}
}

bool vhost_user_device_drain(struct virtio_device *dev, unsigned int queue, uint64_t deadline)
{
	struct vhost_user_device *device = device_of(dev);
	uint64_t patience = clock_ns() + device->config.limit_ns;

	if (!device->queue[queue].handed)
		return true;
	if (patience > deadline)
		patience = deadline;
	int error = wait_returned(device, queue, patience);
	if (!error)
		error = vhost_user_stop(&device->backend, queue, patience);
	/* A backend that does not stop when it is asked to has to end. */
	if (error)
		end_process(device, error);
	if (error && !channel_wait_closed(device->backend.socket, deadline))
		return false;
	device->queue[queue].handed = false;
	return true;
}

void vhost_user_device_reset(struct virtio_device *dev)
{
	struct vhost_user_device *device = device_of(dev);

	device->state = VHOST_USER_STOPPED;
	for (unsigned int i = 0; i < device->kind->queues; i++) {
		device->queue[i].handed = false;
		device->queue[i].owed = false;
	}
}

/* --- for the machine ------------------------------------------------------------------------- */

int vhost_user_device_init(struct vhost_user_device *device, const struct virtio_device_ops *ops,
			   const struct vhost_user_kind *kind,
			   const struct vhost_user_config *config, const struct virtio_host *host)
{
	*device = (struct vhost_user_device){
		.dev = {.ops = ops,
			.host = host,
			.features_offered = VHOST_USER_FEATURES | kind->features,
			.queues = kind->queues},
		.kind = kind,
		.config = *config,
		.backend.socket = -1,
		.next = -1,
	};
	if (!device->config.limit_ns)
		device->config.limit_ns = LIMIT_NS;
	for (unsigned int i = 0; i < kind->queues; i++) {
		device->dev.queue[i].size_max = kind->queue_size;
		device->queue[i].kick = -1;
		device->queue[i].call = -1;
	}
	for (unsigned int i = 0; i < device->kind->queues; i++) {
		device->queue[i].kick = wake_open();
		device->queue[i].call = wake_open();
		if (device->queue[i].kick < 0 || device->queue[i].call < 0) {
			log_error("cannot create an eventfd for %s: %s", config->name,
				  strerror(errno));
			return -EMFILE;
		}
	}
	return 0;
}

void vhost_user_device_release(struct vhost_user_device *device)
{
	int next = atomic_exchange(&device->next, -1);

	if (next >= 0)
		close(next);
	vhost_user_close(&device->backend);
	for (unsigned int i = 0; i < device->kind->queues; i++) {
		if (device->queue[i].kick >= 0)
			close(device->queue[i].kick);
		if (device->queue[i].call >= 0)
			close(device->queue[i].call);
	}
}

int vhost_user_device_open(struct vhost_user_device *device, int fd, uint64_t deadline)
{
	int error = vhost_user_open(&device->backend, fd, deadline);
	if (error)
		return error;
	if (!(device->backend.features & (1ULL << VIRTIO_F_VERSION_1)))
		return -ENOTSUP;
	device->dev.features_offered &= device->backend.features;
	device->config.found(device->config.ctx, fd);
	return 0;
}

void vhost_user_device_await(struct vhost_user_device *device)
{
	device->awaited = true;
}

void vhost_user_device_give_up(struct vhost_user_device *device)
{
	device->awaited = false;
	look_again(device);
}

void vhost_user_device_came(struct vhost_user_device *device, int fd)
{
	int before = atomic_exchange(&device->next, fd);

	if (before >= 0)
		close(before);
}

void vhost_user_device_stirs(struct vhost_user_device *device)
{
	look_again(device);
}

int vhost_user_device_call(const struct vhost_user_device *device, unsigned int queue)
{
	return device->queue[queue].call;
}

void vhost_user_device_called(struct vhost_user_device *device, unsigned int queue)
{
	if (wake_take(device->queue[queue].call))
		device->dev.host->defer(device->dev.host->ctx, queue);
}
