// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/core.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "devices/virtio/internal.h"
#include "vmm/lib/clock.h"

/* --- the status machine ---------------------------------------------------------------------- */

/* Returns whether the driver may set up queues: after FEATURES_OK, before the device is in use. */
static bool setting_up(const struct virtio_core *core)
{
	const uint32_t over =
		VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;
	return (core->status & VIRTIO_CONFIG_S_FEATURES_OK) && !(core->status & over);
}

/* Returns queue @queue, or NULL if the device has no such queue. */
static struct virtq *queue_at(const struct virtio_core *core, uint32_t queue)
{
	return queue < core->dev->queues ? &core->dev->queue[queue] : NULL;
}

/* Leaves everything alone until the driver resets the device. With both locks held. */
static void need_reset(struct virtio_core *core)
{
	struct virtio_device *dev = core->dev;

	core->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	/*
	 * Nobody serves a stopped device: the worker takes back what is lent, once these locks are free. A vCPU, whose sandbox
	 * has no call for that, comes here only while the driver sets up queues, of which none is lent yet.
	 */
	for (unsigned int i = 0; i < dev->queues; i++)
		if (dev->queue[i].lent) {
			dev->host->lend(dev->host->ctx, i, false);
			defer(core, i);
		}
	if (core->status & VIRTIO_CONFIG_S_DRIVER_OK)
		core->transport->interrupt(core, VIRTIO_INTERRUPT_CONFIG);
}

/* Stops the device because the driver broke the rules. With both locks held. */
static void fail(struct virtio_core *core, const char *what, unsigned int queue)
{
	need_reset(core);
	log_guest(&core->log, "virtio-%s: %s of queue %u; the device stops until it is reset",
		  core->dev->ops->name, what, queue);
}

/*
 * Waits for the requests of @queue in flight outside the device. With `device` held, but not
 * `state`: a thread that reads the status need not wait.
 */
static bool drain(struct virtio_core *core, unsigned int queue, uint64_t deadline)
{
	struct virtio_device *dev = core->dev;
	return !dev->ops->drain || dev->ops->drain(dev, queue, deadline);
}

bool virtio_core_drain_all(struct virtio_core *core, uint64_t deadline)
{
	bool all = true;
	for (unsigned int i = 0; i < core->dev->queues; i++)
		all = drain(core, i, deadline) && all;
	return all;
}

/* With both locks held, so no chain is in flight. */
static void reset(struct virtio_core *core)
{
	struct virtio_device *dev = core->dev;

	if (dev->ops->reset)
		dev->ops->reset(dev);
	dev->features = 0;
	for (unsigned int i = 0; i < dev->queues; i++)
		virtq_reset(&dev->queue[i]);
	core->status = 0;
	core->driver_features = 0;
	core->transport->reset(core);
}

/* The driver has set DRIVER_OK. With both locks held. */
static void activate(struct virtio_core *core)
{
	struct virtio_device *dev = core->dev;
	int error = dev->ops->activate ? dev->ops->activate(dev) : 0;

	if (error) {
		need_reset(core);
		log_guest(&core->log,
			  "virtio-%s: cannot start the device: %s; it stops until it is reset",
			  dev->ops->name, strerror(-error));
		return;
	}
	/* Chains that are already on the rings count as announced. */
	for (unsigned int i = 0; i < dev->queues; i++)
		if (dev->queue[i].ready)
			defer(core, i);
}

/*
 * Virtio 1.2 §2.1 and §3.1.1. Bits are only ever added: only a reset clears them, and the driver
 * does not set NEEDS_RESET. With both locks held.
 */
static void status_write(struct virtio_core *core, uint32_t value)
{
	struct virtio_device *dev = core->dev;
	uint32_t old = core->status;
	uint32_t set = value & STATUS_DRIVER_BITS & ~old;

	if (value == 0) {
		reset(core);
		return;
	}
	if (set & VIRTIO_CONFIG_S_FEATURES_OK) {
		/* A bit that stays clear is the refusal: the driver has to read it back. */
		if ((core->driver_features & ~dev->features_offered) ||
		    !(core->driver_features & FEATURE(VIRTIO_F_VERSION_1)))
			set &= ~VIRTIO_CONFIG_S_FEATURES_OK;
		else
			dev->features = core->driver_features;
	}
	if (!(old & VIRTIO_CONFIG_S_FEATURES_OK))
		set &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	core->status |= set;
	if ((set & VIRTIO_CONFIG_S_DRIVER_OK) && running(core))
		activate(core);
}

uint32_t virtio_core_status(struct virtio_core *core)
{
	state_lock(core);
	uint32_t status = core->status;
	state_unlock(core);
	return status;
}

void virtio_core_set_status(struct virtio_core *core, uint32_t value)
{
	/* A write that starts or stops the device waits for the chain in flight. */
	device_lock(core);
	/* No limit: after a shorter wait the driver would use memory that the host still writes. */
	if (value == 0 || (value & VIRTIO_CONFIG_S_FAILED && core->dev->lent))
		virtio_core_drain_all(core, UINT64_MAX);
	state_lock(core);
	status_write(core, value);
	state_unlock(core);
	device_unlock(core);
}

/* --- features and queues --------------------------------------------------------------------- */

static void set_half(uint64_t *whole, bool high, uint32_t value)
{
	if (high)
		*whole = (*whole & 0xffffffffULL) | (uint64_t)value << 32;
	else
		*whole = (*whole & ~0xffffffffULL) | value;
}

uint32_t virtio_core_features(struct virtio_core *core, uint32_t word)
{
	return word > 1 ? 0 : core->dev->features_offered >> (32 * word);
}

void virtio_core_set_features(struct virtio_core *core, uint32_t word, uint32_t value)
{
	state_lock(core);
	if (!(core->status & VIRTIO_CONFIG_S_FEATURES_OK) && word <= 1)
		set_half(&core->driver_features, word == 1, value);
	state_unlock(core);
}

uint32_t virtio_core_queue_size_max(struct virtio_core *core, uint32_t queue)
{
	state_lock(core);
	const struct virtq *q = queue_at(core, queue);
	uint32_t size = q ? q->size_max : 0;
	state_unlock(core);
	return size;
}

/* Returns the queue if its size and addresses may change now, else NULL. With `state` held. */
static struct virtq *queue_to_set(struct virtio_core *core, uint32_t queue)
{
	struct virtq *q = queue_at(core, queue);
	return q && !q->ready && setting_up(core) ? q : NULL;
}

void virtio_core_set_queue_size(struct virtio_core *core, uint32_t queue, uint32_t size)
{
	state_lock(core);
	struct virtq *q = queue_to_set(core, queue);
	if (q)
		q->size = size;
	state_unlock(core);
}

void virtio_core_set_queue_address(struct virtio_core *core, uint32_t queue,
				   enum virtio_ring_part part, bool high, uint32_t value)
{
	state_lock(core);
	struct virtq *q = queue_to_set(core, queue);
	if (q) {
		uint64_t *const address[] = {
			[VIRTIO_RING_DESC] = &q->desc_gpa,
			[VIRTIO_RING_AVAIL] = &q->avail_gpa,
			[VIRTIO_RING_USED] = &q->used_gpa,
		};
		set_half(address[part], high, value);
	}
	state_unlock(core);
}

bool virtio_core_queue_ready(struct virtio_core *core, uint32_t queue)
{
	state_lock(core);
	const struct virtq *q = queue_at(core, queue);
	bool ready = q && q->ready;
	state_unlock(core);
	return ready;
}

/* With both locks held. */
static void queue_start(struct virtio_core *core, uint32_t queue)
{
	struct virtq *q = queue_to_set(core, queue);

	if (q && virtq_start(q, core->dev->host->ram, queue_flags(core->dev)))
		fail(core, "bad size or address", queue);
}

void virtio_core_set_queue_ready(struct virtio_core *core, uint32_t queue, bool ready)
{
	device_lock(core);
	if (!ready && queue_at(core, queue))
		drain(core, queue, UINT64_MAX);
	state_lock(core);
	if (ready)
		queue_start(core, queue);
	else if (queue_at(core, queue))
		virtq_stop(queue_at(core, queue));
	state_unlock(core);
	device_unlock(core);
}

void virtio_core_notify(struct virtio_core *core, uint32_t queue)
{
	state_lock(core);
	if (running(core) && queue_at(core, queue))
		defer(core, queue);
	state_unlock(core);
}

/* --- the configuration space ----------------------------------------------------------------- */

/* Returns how many of the @len bytes from @offset on are in the configuration space. */
static size_t config_overlap(const struct virtio_device *dev, uint64_t offset, size_t len)
{
	size_t size = dev->ops->config_size;
	if (offset >= size)
		return 0;
	return len < size - offset ? len : size - offset;
}

uint32_t virtio_core_config_generation(struct virtio_core *core)
{
	return atomic_load(&core->dev->config_generation);
}

void virtio_core_config_read(struct virtio_core *core, uint64_t offset, void *data, size_t len)
{
	struct virtio_device *dev = core->dev;
	size_t overlap = config_overlap(dev, offset, len);

	memset(data, 0, len);
	if (overlap)
		dev->ops->config_read(dev, offset, data, overlap);
}

void virtio_core_config_write(struct virtio_core *core, uint64_t offset, const void *data,
			      size_t len)
{
	struct virtio_device *dev = core->dev;
	size_t overlap = config_overlap(dev, offset, len);

	if (overlap && dev->ops->config_write)
		dev->ops->config_write(dev, offset, data, overlap);
}

/* --- the device's side ----------------------------------------------------------------------- */

/* Before DRIVER_OK no driver listens: it reads the configuration after that. */
void virtio_config_changed(struct virtio_device *dev)
{
	struct virtio_core *core = dev->core;

	if (!core)
		return;
	state_lock(core);
	if (core->status & VIRTIO_CONFIG_S_DRIVER_OK)
		core->transport->interrupt(core, VIRTIO_INTERRUPT_CONFIG);
	state_unlock(core);
}

void virtio_queue_lend(struct virtio_device *dev, unsigned int queue)
{
	dev->queue[queue].lent = true;
	atomic_fetch_or(&dev->lent, 1u << queue);
	dev->host->lend(dev->host->ctx, queue, true);
}

void virtio_queue_take_back(struct virtio_device *dev, unsigned int queue, uint16_t next)
{
	struct virtio_core *core = dev->core;

	virtq_take_back(&dev->queue[queue], next);
	/*
	 * The other may have interrupted the driver just now: whatever the transport showed as the
	 * cause, it shows as its own from here on.
	 */
	state_lock(core);
	core->transport->interrupt(core, (int)queue);
	atomic_fetch_and(&dev->lent, ~(1u << queue));
	state_unlock(core);
	dev->host->lend(dev->host->ctx, queue, false);
	/* Chains that were added meanwhile may not be announced again. */
	defer(core, queue);
}

void virtio_queues_broken(struct virtio_device *dev)
{
	struct virtio_core *core = dev->core;

	device_lock(core);
	/* Otherwise the driver was quicker, and has reset the device. */
	if (dev->lent) {
		virtio_core_drain_all(core, UINT64_MAX);
		state_lock(core);
		need_reset(core);
		log_guest(&core->log,
			  "virtio-%s: the host's kernel cannot use a ring; the device stops until "
			  "it is reset",
			  dev->ops->name);
		state_unlock(core);
	}
	device_unlock(core);
}

/* Lets the device serve one queue, and tells the driver. Returns whether there may be more. */
static bool queue_work(struct virtio_core *core, unsigned int queue)
{
	struct virtio_device *dev = core->dev;
	int error = dev->ops->work(dev, queue);

	/* Its rings and interrupts are another's now. */
	if (dev->queue[queue].lent)
		return false;
	state_lock(core);
	if (virtq_should_interrupt(&dev->queue[queue]))
		core->transport->interrupt(core, (int)queue);
	if (error && error != -EAGAIN)
		fail(core, "bad request or ring", queue);
	state_unlock(core);
	/* A device that is not done looks again anyway, without a notification. */
	return error == -EAGAIN || (!error && virtq_rearm(&dev->queue[queue]));
}

void virtio_core_work(struct virtio_core *core, unsigned int queue)
{
	const struct virtq *q = queue_at(core, queue);
	bool more = false;

	device_lock(core);
	if (q && q->ready && running(core))
		more = queue_work(core, queue);
	else if (q && q->lent)
		drain(core, queue, UINT64_MAX);
	device_unlock(core);
	/* No loop here: other threads that wait for the device, and this worker's other queues, go first. */
	if (more)
		defer(core, queue);
}

/* By trying: ThreadSanitizer does not know pthread_mutex_clocklock(3), and the other limit moves with the date. */
static bool lock_until(pthread_mutex_t *mutex, uint64_t deadline)
{
	while (pthread_mutex_trylock(mutex) != 0) {
		if (clock_ns() >= deadline)
			return false;
		clock_sleep_ms(1);
	}
	return true;
}

bool virtio_core_lock_until(struct virtio_core *core, uint64_t deadline)
{
	if (!lock_until(&core->next, deadline))
		return false;
	bool locked = lock_until(&core->device, deadline);
	pthread_mutex_unlock(&core->next);
	return locked;
}

bool virtio_core_stop(struct virtio_core *core, uint64_t deadline)
{
	/* If it stays held, a vCPU waits for the host, or a snapshot for its disk. */
	if (!virtio_core_lock_until(core, deadline))
		return false;
	bool all = virtio_core_drain_all(core, deadline);
	device_unlock(core);
	return all;
}

void virtio_core_init(struct virtio_core *core, struct virtio_device *dev,
		      const struct virtio_transport *transport)
{
	*core = (struct virtio_core){.dev = dev, .transport = transport};
	/* With default attributes none of these can fail on Linux. */
	pthread_mutex_init(&core->next, NULL);
	pthread_mutex_init(&core->device, NULL);
	pthread_mutex_init(&core->state, NULL);
	dev->core = core;
}

void virtio_core_release(struct virtio_core *core)
{
	core->dev->core = NULL;
	pthread_mutex_destroy(&core->state);
	pthread_mutex_destroy(&core->device);
	pthread_mutex_destroy(&core->next);
}
