// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mmio.h"

#include <endian.h>
#include <linux/virtio_mmio.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define MAGIC	      0x74726976 /* "virt" */
#define VERSION	      2
#define VENDOR	      0x20626265 /* "ebb " */
#define NO_SHM_REGION 0xffffffff /* length and base of a shared memory region that does not exist */

/*
 * A server of lent queues interrupts the driver without coming by here: then every interrupt may be for a
 * queue. The driver finds out which by looking at the rings, as it does anyway.
 */
static uint32_t interrupt_causes(const struct virtio_mmio *mmio)
{
	return mmio->interrupt_status | (mmio->core.dev->lent ? VIRTIO_MMIO_INT_VRING : 0);
}

/* Registers that are write-only, legacy or undefined read as 0. */
static uint32_t register_read(struct virtio_mmio *mmio, uint64_t offset)
{
	struct virtio_core *core = &mmio->core;

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return core->dev->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_core_features(core, mmio->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return virtio_core_queue_size_max(core, mmio->queue_sel);
	case VIRTIO_MMIO_QUEUE_READY:
		return virtio_core_queue_ready(core, mmio->queue_sel);
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return interrupt_causes(mmio);
	case VIRTIO_MMIO_STATUS:
		return virtio_core_status(core);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return NO_SHM_REGION;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return virtio_core_config_generation(core);
	default:
		return 0;
	}
}

/* Sets the size and addresses of the selected queue. */
static void queue_write(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	static const struct {
		uint64_t offset;
		enum virtio_ring_part part;
		bool high;
	} half[] = {
		{VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_RING_DESC, false},
		{VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_RING_DESC, true},
		{VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_RING_AVAIL, false},
		{VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_RING_AVAIL, true},
		{VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_RING_USED, false},
		{VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_RING_USED, true},
	};
	struct virtio_core *core = &mmio->core;
	uint32_t queue = mmio->queue_sel;

	if (offset == VIRTIO_MMIO_QUEUE_NUM)
		virtio_core_set_queue_size(core, queue, value);
	for (size_t i = 0; i < sizeof(half) / sizeof(half[0]); i++)
		if (half[i].offset == offset)
			virtio_core_set_queue_address(core, queue, half[i].part, half[i].high,
						      value);
}

static void register_write(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct virtio_core *core = &mmio->core;

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_core_set_features(core, mmio->driver_features_sel, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_core_set_queue_ready(core, mmio->queue_sel, value != 0);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_core_notify(core, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and(&mmio->interrupt_status, ~value);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_core_set_status(core, value);
		break;
	default:
		queue_write(mmio, offset, value);
		break;
	}
}

void virtio_mmio_read(struct virtio_mmio *mmio, uint64_t offset, void *data, unsigned int len)
{
	if (offset >= VIRTIO_MMIO_CONFIG) {
		virtio_core_config_read(&mmio->core, offset - VIRTIO_MMIO_CONFIG, data, len);
		return;
	}
	memset(data, 0, len);
	/* Other widths and offsets are not defined (§4.2.2.2). */
	if (len != 4 || offset % 4)
		return;
	uint32_t value = htole32(register_read(mmio, offset));
	memcpy(data, &value, sizeof(value));
}

static uint32_t register_value(const void *data)
{
	uint32_t value;
	memcpy(&value, data, sizeof(value));
	return le32toh(value);
}

void virtio_mmio_write(struct virtio_mmio *mmio, uint64_t offset, const void *data,
		       unsigned int len)
{
	if (offset >= VIRTIO_MMIO_CONFIG) {
		virtio_core_config_write(&mmio->core, offset - VIRTIO_MMIO_CONFIG, data, len);
		return;
	}
	if (len == 4 && offset % 4 == 0)
		register_write(mmio, offset, register_value(data));
}

bool virtio_mmio_starts_or_stops(uint64_t offset, const void *data, unsigned int len)
{
	if (len != 4)
		return false; /* nothing is written */
	uint32_t value = register_value(data);
	if (offset == VIRTIO_MMIO_STATUS)
		return value == 0 || value & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED);
	return offset == VIRTIO_MMIO_QUEUE_READY && value == 0;
}

/* --- for the core ---------------------------------------------------------------------------- */

static struct virtio_mmio *mmio_of(struct virtio_core *core)
{
	return (struct virtio_mmio *)((char *)core - offsetof(struct virtio_mmio, core));
}

/* All sources share one line: the status tells a queue from the configuration, not which queue. */
static void mmio_interrupt(struct virtio_core *core, int source)
{
	const struct virtio_host *host = core->dev->host;

	atomic_fetch_or(&mmio_of(core)->interrupt_status, source == VIRTIO_INTERRUPT_CONFIG
								  ? VIRTIO_MMIO_INT_CONFIG
								  : VIRTIO_MMIO_INT_VRING);
	host->interrupt(host->ctx, source);
}

static void mmio_reset(struct virtio_core *core)
{
	struct virtio_mmio *mmio = mmio_of(core);

	mmio->device_features_sel = 0;
	mmio->driver_features_sel = 0;
	mmio->queue_sel = 0;
	mmio->interrupt_status = 0;
}

static const struct virtio_transport mmio_transport = {
	.interrupt = mmio_interrupt,
	.reset = mmio_reset,
};

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *dev)
{
	*mmio = (struct virtio_mmio){0};
	virtio_core_init(&mmio->core, dev, &mmio_transport);
}

void virtio_mmio_release(struct virtio_mmio *mmio)
{
	virtio_core_release(&mmio->core);
}

/* --- snapshots --------------------------------------------------------------------------------- */

void virtio_mmio_save(struct virtio_mmio *mmio, struct record *record)
{
	record_u32(record, mmio->device_features_sel);
	record_u32(record, mmio->driver_features_sel);
	record_u32(record, mmio->queue_sel);
	record_u32(record, mmio->interrupt_status);
	virtio_core_save(&mmio->core, record);
}

int virtio_mmio_restore(struct virtio_mmio *mmio, struct record_in *in, struct why *why)
{
	const struct virtio_host *host = mmio->core.dev->host;

	mmio->device_features_sel = record_take_u32(in);
	mmio->driver_features_sel = record_take_u32(in);
	mmio->queue_sel = record_take_u32(in);
	mmio->interrupt_status =
		record_take_u32(in) & (VIRTIO_MMIO_INT_CONFIG | VIRTIO_MMIO_INT_VRING);
	int error = virtio_core_restore(&mmio->core, in, why);
	if (!error && mmio->interrupt_status)
		host->interrupt(host->ctx, VIRTIO_INTERRUPT_CONFIG);
	return error;
}
