// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-blk/served.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"

#define FEATURE(bit) (1ULL << (bit))
/* The fields up to write-zeroes' own, which QEMU 7.2 has: it answers no longer request. */
#define CONFIG_SIZE (offsetof(struct virtio_blk_config, write_zeroes_may_unmap) + 4)
#define BLOCK_MAX   65536U

static struct blk_served *blk_of_device(struct virtio_device *dev)
{
	return (struct blk_served *)((char *)dev - offsetof(struct blk_served, served.dev));
}

static void config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	memcpy(data, (const uint8_t *)&blk_of_device(dev)->registers + offset, len);
}

static void reset(struct virtio_device *dev)
{
	struct blk_served *blk = blk_of_device(dev);

	for (unsigned int head = 0; head < VIRTIO_QUEUE_SIZE_MAX; head++)
		blk->request[head].out = false;
	vhost_user_device_reset(dev);
}

static const struct virtio_device_ops ops = {
	.id = VIRTIO_ID_BLOCK,
	.name = "blk",
	.drain = vhost_user_device_drain,
	.reset = reset,
	.work = vhost_user_device_work,
	.config_size = sizeof(struct virtio_blk_config),
	.config_read = config_read,
};

/* --- counting -------------------------------------------------------------------------------- */

static void account(struct blk_served *blk, uint16_t head, uint8_t status)
{
	enum blk_kind kind = blk->request[head].kind;

	blk->request[head].out = false;
	if (kind >= BLK_COUNTED) {
		if (kind == BLK_UNKNOWN)
			atomic_fetch_add(&blk->unknown, 1);
		return;
	}
	struct blk_counters *counters = &blk->counters[kind];
	atomic_fetch_add(&counters->ns, clock_ns() - blk->request[head].started);
	if (status != VIRTIO_BLK_S_OK) {
		atomic_fetch_add(&counters->failed, 1);
		return;
	}
	atomic_fetch_add(&counters->operations, 1);
	atomic_fetch_add(&counters->bytes, blk->request[head].bytes);
}

/* The backend reads the chain itself, and is its judge: this only counts. */
static void added(void *ctx, uint16_t head)
{
	struct blk_served *blk = ctx;
	const struct virtq *q = &blk->served.dev.queue[0];
	uint64_t features = blk->served.dev.features;
	const struct blk_limits limits = {.size = blk->size,
					  .read_only = blk->read_only,
					  .discard = features & FEATURE(VIRTIO_BLK_F_DISCARD),
					  .zero = features & FEATURE(VIRTIO_BLK_F_WRITE_ZEROES)};
	struct virtq_chain chain;
	struct blk_request request;

	/* It came back and went out again between two looks. */
	if (blk->request[head].out)
		account(blk, head, VIRTIO_BLK_S_OK);
	if (virtq_chain_at(q, head, &chain) || blk_request_parse(q->ram, &chain, &limits, &request))
		return;
	uint64_t bytes = request.len;
	for (unsigned int i = 0; i < request.ranges; i++)
		bytes += request.range[i].len;
	blk->request[head].out = true;
	blk->request[head].kind = request.kind;
	blk->request[head].status_gpa = request.status_gpa;
	blk->request[head].bytes = bytes;
	blk->request[head].started = clock_ns();
}

static void returned(void *ctx, uint16_t head)
{
	struct blk_served *blk = ctx;

	if (!blk->request[head].out)
		return;
	const uint8_t *status = ram_at(blk->served.dev.host->ram, blk->request[head].status_gpa, 1);
	account(blk, head, status ? *status : VIRTIO_BLK_S_IOERR);
}

/* --- without a backend ----------------------------------------------------------------------- */

/* Returns how many bytes it wrote: the status is the last that the device may write. */
static uint32_t refuse(const struct ram *ram, const struct virtq_chain *chain)
{
	const struct blk_limits limits = {.size = UINT64_MAX, .discard = true, .zero = true};
	struct blk_request request;

	if (blk_request_parse(ram, chain, &limits, &request))
		return 0;
	uint8_t *status = ram_at(ram, request.status_gpa, 1);
	if (status)
		*status = VIRTIO_BLK_S_IOERR;
	/* Of what lies before the status nothing was written. */
	return request.writable == 0 && status ? 1 : 0;
}

/* --- the configuration space ----------------------------------------------------------------- */

/* Copies what the driver is to see. Returns -EPROTO if it makes no sense. */
static int check(struct virtio_blk_config *registers, const struct virtio_blk_config *said)
{
	uint64_t sectors = le64toh(said->capacity);
	uint32_t block = le32toh(said->blk_size), segments = le32toh(said->seg_max);

	if (sectors == 0 || sectors > INT64_MAX / BLK_SECTOR)
		return -EPROTO;
	if (block < BLK_SECTOR || block > BLOCK_MAX || block & (block - 1))
		return -EPROTO;
	if (segments == 0)
		return -EPROTO;
	*registers = *said;
	if (segments > BLK_SEGMENTS_MAX)
		registers->seg_max = htole32(BLK_SEGMENTS_MAX);
	registers->num_queues = htole16(1);
	return 0;
}

static int get_config(struct blk_served *blk, struct virtio_blk_config *registers,
		      uint64_t deadline)
{
	struct virtio_blk_config said = {0};

	int error = vhost_user_get_config(&blk->served.backend, &said, CONFIG_SIZE, deadline);
	return error ? error : check(registers, &said);
}

int blk_served_configure(struct blk_served *blk, bool read_only, uint64_t deadline)
{
	bool says = blk->served.dev.features_offered & FEATURE(VIRTIO_BLK_F_RO);

	int error = get_config(blk, &blk->registers, deadline);
	if (error)
		return error;
	/* A disk that is to be read-only is so by the backend's own files. */
	if (says != read_only)
		return -EPROTO;
	blk->read_only = read_only;
	blk->size = le64toh(blk->registers.capacity) * BLK_SECTOR;
	return 0;
}

/* The driver knows the disk already: another one cannot take its place. */
static int accept_next(struct vhost_user_device *device, uint64_t deadline)
{
	struct blk_served *blk = (struct blk_served *)device;
	struct virtio_blk_config registers;

	int error = get_config(blk, &registers, deadline);
	if (!error && (registers.capacity != blk->registers.capacity ||
		       registers.blk_size != blk->registers.blk_size))
		error = -EPROTO;
	return error;
}

static const struct vhost_user_kind kind = {
	.queues = 1,
	.queue_size = VIRTIO_QUEUE_SIZE_MAX,
	.features = FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		    FEATURE(VIRTIO_BLK_F_TOPOLOGY) | FEATURE(VIRTIO_BLK_F_FLUSH) |
		    FEATURE(VIRTIO_BLK_F_RO) | FEATURE(VIRTIO_BLK_F_DISCARD) |
		    FEATURE(VIRTIO_BLK_F_WRITE_ZEROES),
	.until = "it binds the disk's driver again, or is restarted",
	.see = {added, returned},
	.refuse = refuse,
	.accept = accept_next,
};

int blk_served_init(struct blk_served *blk, const struct vhost_user_config *config,
		    const struct virtio_host *host)
{
	struct vhost_user_config own = *config;

	/* qemu-storage-daemon waits for the next connection. */
	own.outlives = true;
	int error = vhost_user_device_init(&blk->served, &ops, &kind, &own, host);
	blk->request = calloc(VIRTIO_QUEUE_SIZE_MAX, sizeof(*blk->request));
	if (!error && !blk->request) {
		log_error("cannot set up a disk: %s", strerror(ENOMEM));
		error = -ENOMEM;
	}
	return error;
}

void blk_served_release(struct blk_served *blk)
{
	vhost_user_device_release(&blk->served);
	free(blk->request);
}
