// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mmio.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdbool.h>
#include <string.h>

#define MAGIC	      0x74726976 /* "virt" */
#define VERSION	      2
#define VENDOR	      0x20626265 /* "ebb " */
#define NO_SHM_REGION 0xffffffff /* length and base of a shared memory region that is not there */

#define FEATURE(bit) (1ULL << (bit))

#define STATUS_DRIVER_BITS                                                                         \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

/* --- locks, in the order of mmio.h ----------------------------------------------------------- */

static void device_lock(struct virtio_mmio *mmio)
{
	pthread_mutex_lock(&mmio->next);
	pthread_mutex_lock(&mmio->device);
	pthread_mutex_unlock(&mmio->next);
}

static void device_unlock(struct virtio_mmio *mmio)
{
	pthread_mutex_unlock(&mmio->device);
}

static void registers_lock(struct virtio_mmio *mmio)
{
	pthread_mutex_lock(&mmio->registers);
}

static void registers_unlock(struct virtio_mmio *mmio)
{
	pthread_mutex_unlock(&mmio->registers);
}

/* --- what the registers do ------------------------------------------------------------------- */

/* The device may use its queues. */
static bool running(const struct virtio_mmio *mmio)
{
	const uint32_t stopped = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;
	return (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK) && !(mmio->status & stopped);
}

/* The driver may set up queues: features are agreed upon, the device is not yet in use. */
static bool setting_up(const struct virtio_mmio *mmio)
{
	const uint32_t over =
		VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;
	return (mmio->status & VIRTIO_CONFIG_S_FEATURES_OK) && !(mmio->status & over);
}

/* With the registers' lock held. */
static void interrupt(struct virtio_mmio *mmio, uint32_t cause)
{
	mmio->interrupt_status |= cause;
	mmio->dev->host->interrupt(mmio->dev->host->ctx);
}

/* The driver broke the rules: nothing is touched until it resets. With both locks held. */
static void fail(struct virtio_mmio *mmio, const char *what, unsigned int queue)
{
	mmio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
	log_guest(&mmio->log, "virtio-%s: %s of queue %u; the device stops until it is reset",
		  mmio->dev->ops->name, what, queue);
}

/* The selected queue, or NULL where the device has none of that number. */
static struct virtq *selected(struct virtio_mmio *mmio)
{
	return mmio->queue_sel < mmio->dev->queues ? &mmio->dev->queue[mmio->queue_sel] : NULL;
}

/* With both locks held, so no chain is in flight. */
static void reset(struct virtio_mmio *mmio)
{
	struct virtio_device *dev = mmio->dev;

	dev->ops->reset(dev);
	dev->features = 0;
	for (unsigned int i = 0; i < dev->queues; i++)
		virtq_reset(&dev->queue[i]);
	mmio->status = 0;
	mmio->interrupt_status = 0;
	mmio->device_features_sel = 0;
	mmio->driver_features_sel = 0;
	mmio->driver_features = 0;
	mmio->queue_sel = 0;
}

/*
 * Virtio 1.2 §2.1 and §3.1.1. Bits are only ever added: a reset alone clears them, and NEEDS_RESET
 * is not the driver's. With both locks held.
 */
static void status_write(struct virtio_mmio *mmio, uint32_t value)
{
	struct virtio_device *dev = mmio->dev;
	uint32_t old = mmio->status;
	uint32_t set = value & STATUS_DRIVER_BITS & ~old;

	if (value == 0) {
		reset(mmio);
		return;
	}
	if (set & VIRTIO_CONFIG_S_FEATURES_OK) {
		/* Refused by not setting it: the driver has to read it back. */
		if ((mmio->driver_features & ~dev->features_offered) ||
		    !(mmio->driver_features & FEATURE(VIRTIO_F_VERSION_1)))
			set &= ~VIRTIO_CONFIG_S_FEATURES_OK;
		else
			dev->features = mmio->driver_features;
	}
	if (!(old & VIRTIO_CONFIG_S_FEATURES_OK))
		set &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	mmio->status |= set;
	if ((set & VIRTIO_CONFIG_S_DRIVER_OK) && running(mmio)) {
		dev->ops->activate(dev);
		/* What was put on the rings before counts as announced. */
		dev->host->defer(dev->host->ctx);
	}
}

/* With both locks held. A queue can be stopped at any time (§4.2.2.2), but not started again. */
static void queue_ready_write(struct virtio_mmio *mmio, uint32_t value)
{
	struct virtq *q = selected(mmio);

	if (!q)
		return;
	if (value == 0) {
		virtq_stop(q);
	} else if (!q->ready && setting_up(mmio)) {
		bool indirect = mmio->dev->features & FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
		if (virtq_start(q, mmio->dev->host->ram, indirect))
			fail(mmio, "bad size or address", mmio->queue_sel);
	}
}

static void set_low(uint64_t *address, uint32_t value)
{
	*address = (*address & ~0xffffffffULL) | value;
}

static void set_high(uint64_t *address, uint32_t value)
{
	*address = (*address & 0xffffffffULL) | (uint64_t)value << 32;
}

/* Size and addresses, while they may change. With the registers' lock held. */
static void queue_write(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct virtq *q = selected(mmio);

	if (!q || q->ready || !setting_up(mmio))
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		set_low(&q->desc_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_high(&q->desc_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		set_low(&q->avail_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_high(&q->avail_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		set_low(&q->used_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_high(&q->used_gpa, value);
		break;
	}
}

static void driver_features_write(struct virtio_mmio *mmio, uint32_t value)
{
	if (mmio->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	if (mmio->driver_features_sel == 0)
		set_low(&mmio->driver_features, value);
	else if (mmio->driver_features_sel == 1)
		set_high(&mmio->driver_features, value);
}

/* --- the registers (virtio 1.2 §4.2.2) ------------------------------------------------------- */

/* With the registers' lock held. What is write-only, legacy or not there reads as 0. */
static uint32_t register_read(struct virtio_mmio *mmio, uint64_t offset)
{
	const struct virtio_device *dev = mmio->dev;
	const struct virtq *q = selected(mmio);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return dev->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		if (mmio->device_features_sel > 1)
			return 0;
		return dev->features_offered >> (32 * mmio->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? q->size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q && q->ready;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return mmio->interrupt_status;
	case VIRTIO_MMIO_STATUS:
		return mmio->status;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return NO_SHM_REGION;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return atomic_load(&dev->config_generation);
	default:
		return 0;
	}
}

/* Registers that need no more than the registers' lock, which is held. */
static void register_write(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		driver_features_write(mmio, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		/* Usually the doorbell's eventfd takes it; then it never comes here. */
		if (running(mmio))
			mmio->dev->host->defer(mmio->dev->host->ctx);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		mmio->interrupt_status &= ~value;
		break;
	default:
		queue_write(mmio, offset, value);
		break;
	}
}

void virtio_mmio_read(struct virtio_mmio *mmio, uint64_t offset, void *data, unsigned int len)
{
	memset(data, 0, len);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		mmio->dev->ops->config_read(mmio->dev, offset - VIRTIO_MMIO_CONFIG, data, len);
		return;
	}
	/* Other widths and places are not defined (§4.2.2.2). */
	if (len != 4 || offset % 4)
		return;
	registers_lock(mmio);
	uint32_t value = htole32(register_read(mmio, offset));
	registers_unlock(mmio);
	memcpy(data, &value, sizeof(value));
}

void virtio_mmio_write(struct virtio_mmio *mmio, uint64_t offset, const void *data,
		       unsigned int len)
{
	if (offset >= VIRTIO_MMIO_CONFIG) {
		mmio->dev->ops->config_write(mmio->dev, offset - VIRTIO_MMIO_CONFIG, data, len);
		return;
	}
	if (len != 4 || offset % 4)
		return;
	uint32_t value;
	memcpy(&value, data, sizeof(value));
	value = le32toh(value);

	/* What starts or stops the device or a queue waits for the chain in flight. */
	bool exclusive = offset == VIRTIO_MMIO_STATUS || offset == VIRTIO_MMIO_QUEUE_READY;
	if (exclusive)
		device_lock(mmio);
	registers_lock(mmio);
	if (offset == VIRTIO_MMIO_STATUS)
		status_write(mmio, value);
	else if (offset == VIRTIO_MMIO_QUEUE_READY)
		queue_ready_write(mmio, value);
	else
		register_write(mmio, offset, value);
	registers_unlock(mmio);
	if (exclusive)
		device_unlock(mmio);
}

/* --- the device's side ----------------------------------------------------------------------- */

/* Before DRIVER_OK nobody listens: a driver looks at the configuration after that. */
static void config_changed(void *transport)
{
	struct virtio_mmio *mmio = transport;

	registers_lock(mmio);
	if (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
	registers_unlock(mmio);
}

/* Lets the device serve one queue, and tells the driver. Returns whether there may be more. */
static bool queue_work(struct virtio_mmio *mmio, unsigned int i)
{
	struct virtio_device *dev = mmio->dev;
	int error = dev->ops->work(dev, i);

	registers_lock(mmio);
	if (virtq_should_interrupt(&dev->queue[i]))
		interrupt(mmio, VIRTIO_MMIO_INT_VRING);
	if (error && error != -EAGAIN)
		fail(mmio, "bad request or ring", i);
	registers_unlock(mmio);
	return error == -EAGAIN;
}

void virtio_mmio_work(struct virtio_mmio *mmio)
{
	struct virtio_device *dev = mmio->dev;
	bool more = false;

	for (unsigned int i = 0; i < dev->queues; i++) {
		/* For each queue anew: whoever waits for the device waits for one, not for all. */
		device_lock(mmio);
		if (running(mmio) && dev->queue[i].ready)
			more |= queue_work(mmio, i);
		device_unlock(mmio);
	}
	/* Not in a loop here: others that wait for the device, or for this worker, come first. */
	if (more)
		dev->host->defer(dev->host->ctx);
}

int virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *dev)
{
	*mmio = (struct virtio_mmio){.dev = dev};
	/* With default attributes none of these can fail on Linux. */
	pthread_mutex_init(&mmio->next, NULL);
	pthread_mutex_init(&mmio->device, NULL);
	pthread_mutex_init(&mmio->registers, NULL);
	dev->transport = mmio;
	dev->config_changed = config_changed;
	return 0;
}

void virtio_mmio_release(struct virtio_mmio *mmio)
{
	mmio->dev->config_changed = NULL;
	mmio->dev->transport = NULL;
	pthread_mutex_destroy(&mmio->registers);
	pthread_mutex_destroy(&mmio->device);
	pthread_mutex_destroy(&mmio->next);
}
