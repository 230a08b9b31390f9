// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-fs/fs.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <unistd.h>

#include "devices/vhost-user/channel.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/wake.h"

#define LIMIT_NS (10 * NS_PER_S)

/* Rings without event indices: then each chain that is added or returned makes the device look (inflight.h). */
#define FEATURES ((1ULL << VIRTIO_F_VERSION_1) | (1ULL << VIRTIO_RING_F_INDIRECT_DESC))

static struct fs *fs_of(struct virtio_device *dev)
{
	return (struct fs *)((char *)dev - offsetof(struct fs, dev));
}

/* --- the backend ----------------------------------------------------------------------------- */

static void look_again(const struct fs *fs)
{
	for (unsigned int i = 0; i < FS_QUEUES; i++)
		fs->dev.host->defer(fs->dev.host->ctx, i);
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
static void close_backend(struct fs *fs)
{
	if (fs->backend.socket < 0)
		return;
	fs->config.lost(fs->config.ctx);
	vhost_user_close(&fs->backend);
}

/* The device goes on without a backend. */
static void lose(struct fs *fs, int error)
{
	log_guest(&fs->log,
		  "the server of folder \"%s\" is lost: %s; the guest gets errors until it "
		  "unmounts the folder and mounts it again",
		  fs->config.tag, reason(error));
	/* If it has ended by itself, there may be another one, which is to stay. */
	if (error != -EPIPE)
		fs->config.end(fs->config.ctx);
	close_backend(fs);
	fs->state = FS_REFUSES;
	for (unsigned int i = 0; i < FS_QUEUES; i++) {
		/* The last look: nothing but the driver's index changes from now on. */
		if (fs->queue[i].handed && fs->dev.queue[i].ready &&
		    inflight_look(&fs->queue[i].inflight, &fs->dev.queue[i]))
			fs->queue[i].inflight.exact = false;
		fs->queue[i].owed = fs->queue[i].handed;
		fs->queue[i].handed = false;
	}
	look_again(fs);
}

/* Takes the newest backend, if there is one. Returns 0 or -errno. */
static int find_backend(struct fs *fs, uint64_t deadline)
{
	int fd = atomic_exchange(&fs->next, -1);

	if (fd < 0)
		return vhost_user_check(&fs->backend);
	close_backend(fs);
	int error = vhost_user_open(&fs->backend, fd, deadline);
	fs->config.found(fs->config.ctx, fd);
	return error;
}

/* Gives all queues to a backend. */
static int hand_over(struct fs *fs)
{
	uint64_t deadline = clock_ns() + fs->config.limit_ns;

	int error = find_backend(fs, deadline);
	if (!error)
		error = vhost_user_set_up(&fs->backend, fs->dev.features, fs->dev.host->ram,
					  deadline);
	for (unsigned int i = 0; i < FS_QUEUES && !error; i++) {
		const struct vhost_user_queue queue = {i, &fs->dev.queue[i], fs->queue[i].kick,
						       fs->queue[i].call};
		if (!fs->dev.queue[i].ready)
			continue;
		inflight_init(&fs->queue[i].inflight, &fs->dev.queue[i]);
		fs->queue[i].handed = true;
		error = vhost_user_start(&fs->backend, &queue, deadline);
		wake_ring(fs->queue[i].kick);
	}
	return error;
}

static void start(struct fs *fs)
{
	fs->state = FS_SERVED;
	int error = hand_over(fs);
	if (error)
		lose(fs, error);
}

/* --- for the core ---------------------------------------------------------------------------- */

/* Looks at a queue that is the backend's, and passes on what one side has for the other. */
static int relay(struct fs *fs, unsigned int queue)
{
	struct inflight *inflight = &fs->queue[queue].inflight;
	struct virtq *q = &fs->dev.queue[queue];
	uint16_t avail = inflight->avail;

	int error = inflight_look(inflight, q);
	if (error)
		return error;
	if (inflight->avail != avail)
		wake_ring(fs->queue[queue].kick);
	/* The core compares it with what the driver was interrupted for. */
	q->next_avail = inflight->avail;
	q->next_used = inflight->used;
	return 0;
}

static int fs_work(struct virtio_device *dev, unsigned int queue)
{
	struct fs *fs = fs_of(dev);

	if (fs->state == FS_STOPPED)
		start(fs);
	if (fs->state == FS_SERVED) {
		int error = vhost_user_check(&fs->backend);
		if (!error)
			error = relay(fs, queue);
		if (!error)
			return 0;
		lose(fs, error);
	}
	int result = fs_refuse(fs, queue);
	if (result <= 0)
		return result;
	start(fs);
	return 0;
}

static bool fs_drain(struct virtio_device *dev, unsigned int queue, uint64_t deadline)
{
	struct fs *fs = fs_of(dev);
	uint64_t patience = clock_ns() + fs->config.limit_ns;

	if (!fs->queue[queue].handed)
		return true;
	if (patience > deadline)
		patience = deadline;
	int error = vhost_user_stop(&fs->backend, queue, patience);
	/* A backend that does not stop when it is asked to has to end. */
	if (error && error != -EPIPE)
		fs->config.end(fs->config.ctx);
	if (error && !channel_wait_closed(fs->backend.socket, deadline))
		return false;
	fs->queue[queue].handed = false;
	return true;
}

static void fs_reset(struct virtio_device *dev)
{
	struct fs *fs = fs_of(dev);

	fs->state = FS_STOPPED;
	for (unsigned int i = 0; i < FS_QUEUES; i++) {
		fs->queue[i].handed = false;
		fs->queue[i].owed = false;
	}
}

static void fs_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	const char *tag = fs_of(dev)->config.tag;
	struct virtio_fs_config config = {.num_request_queues = htole32(FS_QUEUES - 1)};

	memcpy(config.tag, tag, strlen(tag));
	memcpy(data, (const uint8_t *)&config + offset, len);
}

static const struct virtio_device_ops fs_ops = {
	.id = VIRTIO_ID_FS,
	.name = "fs",
	.drain = fs_drain,
	.reset = fs_reset,
	.work = fs_work,
	.config_size = sizeof(struct virtio_fs_config),
	.config_read = fs_config_read,
};

/* --- for the machine ------------------------------------------------------------------------- */

int fs_init(struct fs *fs, const struct fs_config *config, const struct virtio_host *host)
{
	*fs = (struct fs){
		.dev = {.ops = &fs_ops,
			.host = host,
			.features_offered = FEATURES,
			.queues = FS_QUEUES},
		.config = *config,
		.backend.socket = -1,
		.next = -1,
	};
	if (!fs->config.limit_ns)
		fs->config.limit_ns = LIMIT_NS;
	for (unsigned int i = 0; i < FS_QUEUES; i++) {
		fs->dev.queue[i].size_max = FS_QUEUE_SIZE;
		fs->queue[i].kick = -1;
		fs->queue[i].call = -1;
	}
	for (unsigned int i = 0; i < FS_QUEUES; i++) {
		fs->queue[i].kick = wake_open();
		fs->queue[i].call = wake_open();
		if (fs->queue[i].kick < 0 || fs->queue[i].call < 0) {
			log_error("cannot create an eventfd for a folder: %s", strerror(errno));
			return -EMFILE;
		}
	}
	return 0;
}

void fs_release(struct fs *fs)
{
	int next = atomic_exchange(&fs->next, -1);

	if (next >= 0)
		close(next);
	vhost_user_close(&fs->backend);
	for (unsigned int i = 0; i < FS_QUEUES; i++) {
		if (fs->queue[i].kick >= 0)
			close(fs->queue[i].kick);
		if (fs->queue[i].call >= 0)
			close(fs->queue[i].call);
	}
}

int fs_open(struct fs *fs, int fd, uint64_t deadline)
{
	int error = vhost_user_open(&fs->backend, fd, deadline);
	if (error)
		return error;
	if (!(fs->backend.features & (1ULL << VIRTIO_F_VERSION_1)))
		return -ENOTSUP;
	fs->dev.features_offered &= fs->backend.features;
	fs->config.found(fs->config.ctx, fd);
	return 0;
}

void fs_backend_came(struct fs *fs, int fd)
{
	int before = atomic_exchange(&fs->next, fd);

	if (before >= 0)
		close(before);
}

void fs_backend_stirs(struct fs *fs)
{
	look_again(fs);
}

int fs_call(const struct fs *fs, unsigned int queue)
{
	return fs->queue[queue].call;
}

void fs_called(struct fs *fs, unsigned int queue)
{
	if (wake_take(fs->queue[queue].call))
		fs->dev.host->defer(fs->dev.host->ctx, queue);
}
