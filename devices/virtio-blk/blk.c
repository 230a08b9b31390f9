// SPDX-License-Identifier: Apache-2.0
/* The disk's features and configuration space; requests.c serves its requests. */
#include "devices/virtio-blk/internal.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "devices/virtio-blk/ring.h"
#include "vmm/lib/log.h"

#define FEATURE(bit) (1ULL << (bit))
/* The host's page cache writes whole pages: for less it reads the page first. */
#define PHYSICAL_BLOCK 4096U

static int blk_activate(struct virtio_device *dev)
{
	const struct virtio_host *host = dev->host;
	struct blk *blk = blk_of(dev);
	int error = 0;

	for (unsigned int i = 0; i < dev->queues && !error; i++)
		if (blk->queue[i].ring)
			error = ring_set_bell(blk->queue[i].ring, host->doorbell(host->ctx, i));
	return error;
}

static bool blk_drain(struct virtio_device *dev, unsigned int queue, uint64_t deadline)
{
	struct blk_queue *bq = &blk_of(dev)->queue[queue];
	return !bq->ring || blk_flight_drain(bq, deadline);
}

static void blk_reset(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->queues; i++)
		blk_work_reset(&blk_of(dev)->queue[i]);
}

static void blk_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	memcpy(data, (const uint8_t *)&blk_of(dev)->registers + offset, len);
}

static bool blk_settled(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->queues; i++)
		if (blk_of(dev)->queue[i].busy || blk_of(dev)->queue[i].flying)
			return false;
	return true;
}

/* What the driver has read of the disk must still be true. */
static void blk_save(struct virtio_device *dev, struct record *record)
{
	const struct virtio_blk_config *registers = &blk_of(dev)->registers;

	record_u64(record, le64toh(registers->capacity));
	record_u32(record, le32toh(registers->blk_size));
}

static int blk_restore(struct virtio_device *dev, struct record_in *in)
{
	const struct virtio_blk_config *registers = &blk_of(dev)->registers;

	if (record_take_u64(in) != le64toh(registers->capacity) ||
	    record_take_u32(in) != le32toh(registers->blk_size))
		return -ESTALE;
	for (unsigned int i = 0; i < dev->queues; i++)
		if (!virtio_queues_hold(dev, i, 0))
			return -EINVAL;
	return 0;
}

/* The driver cannot set anything in the configuration: CONFIG_WCE is not offered. */
static const struct virtio_device_ops blk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.name = "blk",
	.activate = blk_activate,
	.drain = blk_drain,
	.reset = blk_reset,
	.work = blk_work,
	.config_size = sizeof(struct virtio_blk_config),
	.config_read = blk_config_read,
	.settled = blk_settled,
	.save = blk_save,
	.restore = blk_restore,
};

static uint64_t features_of(const struct image *image)
{
	uint64_t features = VIRTIO_FEATURES | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
			    FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
			    FEATURE(VIRTIO_BLK_F_TOPOLOGY) | FEATURE(VIRTIO_BLK_F_FLUSH);

	if (image->read_only)
		return features | FEATURE(VIRTIO_BLK_F_RO);
	features |= FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	/* Do not let a guest trim in vain. */
	if (image->discards)
		features |= FEATURE(VIRTIO_BLK_F_DISCARD);
	return features;
}

/* Returns how many @block fit into @physical, as the exponent of a power of two. */
static uint8_t exponent(unsigned int physical, unsigned int block)
{
	uint8_t exp = 0;
	while (block << exp < physical)
		exp++;
	return exp;
}

/* Fields of features that are not offered have no meaning. Counts are in sectors unless said otherwise. */
static void fill_registers(struct virtio_blk_config *registers, const struct image *image)
{
	uint32_t aligned = image->block_size > PHYSICAL_BLOCK ? image->block_size : PHYSICAL_BLOCK;

	*registers = (struct virtio_blk_config){
		.capacity = htole64(image->size / BLK_SECTOR),
		.seg_max = htole32(BLK_SEGMENTS_MAX),
		.blk_size = htole32(image->block_size),
		.physical_block_exp = exponent(PHYSICAL_BLOCK, image->block_size),
		.wce = 1,
		.num_queues = htole16(1),
		.max_discard_sectors = htole32(BLK_RANGE_BYTES_MAX / BLK_SECTOR),
		.max_discard_seg = htole32(BLK_RANGES_MAX),
		.discard_sector_alignment = htole32(aligned / BLK_SECTOR),
		.max_write_zeroes_sectors = htole32(BLK_RANGE_BYTES_MAX / BLK_SECTOR),
		.max_write_zeroes_seg = htole32(BLK_RANGES_MAX),
		.write_zeroes_may_unmap = image->discards,
	};
}

static int init_queue(struct blk *blk, unsigned int number, const struct blk_config *config)
{
	struct blk_queue *bq = &blk->queue[number];

	blk->dev.queue[number].size_max = VIRTIO_QUEUE_SIZE_MAX;
	bq->blk = blk;
	bq->virtq = &blk->dev.queue[number];
	return config->one_by_one ? 0 : blk_flight_init(bq);
}

int blk_init(struct blk *blk, const struct blk_config *config, const struct virtio_host *host)
{
	*blk = (struct blk){.file = config->name ? config->name : config->file};
	int error = image_open(&blk->image, config->file,
			       (config->read_only ? IMAGE_READ_ONLY : 0) |
				       (config->raw ? IMAGE_RAW : 0) |
				       (config->direct ? IMAGE_DIRECT : 0));
	if (error)
		return error;
	blk->dev = (struct virtio_device){
		.ops = &blk_ops,
		.host = host,
		.features_offered = features_of(&blk->image),
		.queues = 1,
	};
	for (unsigned int i = 0; i < blk->dev.queues && !error; i++)
		error = init_queue(blk, i, config);
	/*
	 * An old or locked down host (kernel.io_uring_disabled, a container's filter): a disk works
	 * without.
	 */
	if (error && config->explain)
		log_warn(
			"disks do one request at a time: the host's kernel refuses io_uring (%s); to allow "
			"it, see sysctl kernel.io_uring_disabled and the container's filter of system "
			"calls; write FILE,aio=sync to do without it",
			strerror(-error));
	fill_registers(&blk->registers, &blk->image);
	memcpy(blk->id, config->id, strnlen(config->id, sizeof(blk->id)));
	return 0;
}

void blk_release(struct blk *blk)
{
	for (unsigned int i = 0; i < blk->dev.queues; i++)
		blk_flight_release(&blk->queue[i]);
	image_close(&blk->image);
}
