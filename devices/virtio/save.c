// SPDX-License-Identifier: Apache-2.0
/* A device stands still, is saved and goes on; or is restored. */
#include <errno.h>

#include "devices/virtio/internal.h"
#include "vmm/lib/clock.h"

#define SAME_OPTIONS ": give the guest the options that it was started with"

bool virtio_queues_hold(const struct virtio_device *dev, unsigned int queue, unsigned int chains)
{
	const struct virtq *q = &dev->queue[queue];
	const uint32_t stopped = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;

	/* A device that the driver must reset leaves its rings alone, whatever it had of them. */
	return !q->ready || dev->core->status & stopped ||
	       (uint16_t)(q->next_avail - q->next_used) == chains;
}

bool virtio_core_can_save(const struct virtio_core *core)
{
	return core->dev->ops->save && core->dev->ops->restore && !core->dev->save_advice;
}

static bool settled(struct virtio_core *core, uint64_t deadline)
{
	struct virtio_device *dev = core->dev;

	/* The worker does no more for a stopped device: its chains are dropped, as the reset will do. */
	if (!running(core))
		return virtio_core_drain_all(core, deadline);
	return !dev->ops->settled || dev->ops->settled(dev);
}

bool virtio_core_freeze(struct virtio_core *core, uint64_t deadline)
{
	while (virtio_core_lock_until(core, deadline)) {
		if (settled(core, deadline))
			return true;
		device_unlock(core);
		/* The worker goes on by itself, and ends: no vCPU adds anything. */
		clock_sleep_ms(1);
	}
	return false;
}

void virtio_core_thaw(struct virtio_core *core)
{
	device_unlock(core);
	for (unsigned int i = 0; i < core->dev->queues; i++)
		defer(core, i);
}

void virtio_core_save(struct virtio_core *core, struct record *record)
{
	struct virtio_device *dev = core->dev;

	record_u32(record, dev->ops->id);
	record_u32(record, dev->queues);
	state_lock(core);
	record_u64(record, core->driver_features);
	record_u64(record, dev->features);
	record_u32(record, core->status);
	record_u32(record, dev->config_generation);
	for (unsigned int i = 0; i < dev->queues; i++)
		virtq_save(&dev->queue[i], record);
	state_unlock(core);
	dev->ops->save(dev, record);
}

/* Whether this device could have come into the state that was read. */
static bool is_possible(const struct virtio_core *core)
{
	const struct virtio_device *dev = core->dev;
	const uint32_t known = STATUS_DRIVER_BITS | VIRTIO_CONFIG_S_NEEDS_RESET;

	if (core->status & ~known)
		return false;
	if (core->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return dev->features == core->driver_features &&
		       !(dev->features & ~dev->features_offered) &&
		       dev->features & FEATURE(VIRTIO_F_VERSION_1);
	return dev->features == 0 && !(core->status & VIRTIO_CONFIG_S_DRIVER_OK);
}

static int restore_queues(struct virtio_core *core, struct record_in *in)
{
	struct virtio_device *dev = core->dev;
	int error = 0;

	for (unsigned int i = 0; i < dev->queues && !error; i++) {
		error = virtq_restore(&dev->queue[i], dev->host->ram, queue_flags(dev), in);
		if (dev->queue[i].ready && !(core->status & VIRTIO_CONFIG_S_FEATURES_OK))
			error = -EINVAL;
	}
	return error;
}

int virtio_core_restore(struct virtio_core *core, struct record_in *in, struct why *why)
{
	struct virtio_device *dev = core->dev;
	const char *name = dev->ops->name;

	if (!virtio_core_can_save(core))
		return why_set(why, -EINVAL, "virtio-%s cannot be restored yet", name);
	bool same = record_take_u32(in) == dev->ops->id;
	same = record_take_u32(in) == dev->queues && same;
	core->driver_features = record_take_u64(in);
	dev->features = record_take_u64(in);
	core->status = record_take_u32(in);
	dev->config_generation = record_take_u32(in);
	if (in->bad || !same || !is_possible(core))
		return why_set(
			why, -EINVAL,
			"its virtio-%s has features that this one does not have" SAME_OPTIONS,
			name);
	int error = restore_queues(core, in);
	if (!error && running(core) && dev->ops->activate)
		error = dev->ops->activate(dev);
	if (!error)
		error = dev->ops->restore(dev, in);
	if (error == -ESTALE && !in->bad)
		return why_set(why, -EINVAL, "its virtio-%s has other properties" SAME_OPTIONS,
			       name);
	if (error || !record_complete(in))
		return why_set(why, -EINVAL, "the state of its virtio-%s is malformed", name);
	for (unsigned int i = 0; i < dev->queues; i++)
		defer(core, i);
	return 0;
}
