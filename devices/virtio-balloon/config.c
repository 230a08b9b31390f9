// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration space: the host sets num_pages, the driver actual and poison_val. Also the
 * functions that set and show the balloon's size.
 */
#include <endian.h>
#include <string.h>

#include "devices/virtio-balloon/internal.h"
#include "vmm/lib/clock.h"

#define SHIFT VIRTIO_BALLOON_PFN_SHIFT

/* Returns @bytes in pages, bounded by the register's width and the guest's RAM. */
static uint32_t pages_of(const struct balloon *balloon, uint64_t bytes)
{
	uint64_t pages = bytes >> SHIFT;
	return pages < balloon->pages_max ? pages : balloon->pages_max;
}

void balloon_config_init(struct balloon *balloon, uint64_t target)
{
	balloon->registers.num_pages = htole32(pages_of(balloon, target));
	balloon->moved = clock_ns();
}

/* --- the driver's side ----------------------------------------------------------------------- */

/* poison_val has a meaning with PAGE_POISON only. */
static bool poison_negotiated(const struct balloon *balloon)
{
	return balloon->dev.features & 1ULL << VIRTIO_BALLOON_F_PAGE_POISON;
}

void balloon_config_read(struct virtio_device *dev, size_t offset, void *data, size_t len)
{
	struct balloon *balloon = balloon_of(dev);

	pthread_mutex_lock(&balloon->lock);
	struct virtio_balloon_config registers = balloon->registers;
	pthread_mutex_unlock(&balloon->lock);

	if (!poison_negotiated(balloon))
		registers.poison_val = 0;
	memcpy(data, (uint8_t *)&registers + offset, len);
}

/*
 * The driver cannot have more pages in the balloon than there are. poison_val is written after
 * FEATURES_OK and before DRIVER_OK (Linux, virtballoon_probe()).
 */
void balloon_config_write(struct virtio_device *dev, size_t offset, const void *data, size_t len)
{
	struct balloon *balloon = balloon_of(dev);

	pthread_mutex_lock(&balloon->lock);
	struct virtio_balloon_config *registers = &balloon->registers;
	struct virtio_balloon_config written = *registers;
	memcpy((uint8_t *)&written + offset, data, len);

	if (poison_negotiated(balloon))
		registers->poison_val = written.poison_val;
	uint32_t actual = le32toh(written.actual);
	if (actual > balloon->pages_max)
		actual = balloon->pages_max;
	bool changed = registers->actual != htole32(actual);
	if (changed) {
		registers->actual = htole32(actual);
		balloon->moved = clock_ns();
	}
	pthread_mutex_unlock(&balloon->lock);

	if (changed && balloon->changed)
		balloon->changed(balloon->changed_ctx);
}

void balloon_config_driver(struct balloon *balloon, bool driver)
{
	pthread_mutex_lock(&balloon->lock);
	balloon->driver = driver;
	balloon->moved = clock_ns();
	/*
	 * The target stays for the next driver. So does poison_val: Linux writes it once,
	 * and not again when it resets the device to wake from hibernation
	 * (virtballoon_restore()). A driver that negotiates PAGE_POISON writes it; other
	 * drivers are not affected.
	 */
	if (!driver)
		balloon->registers.actual = 0;
	pthread_mutex_unlock(&balloon->lock);
}

bool balloon_poisoned(struct balloon *balloon)
{
	pthread_mutex_lock(&balloon->lock);
	bool poisoned = poison_negotiated(balloon) && balloon->registers.poison_val != 0;
	pthread_mutex_unlock(&balloon->lock);
	return poisoned;
}

/* --- the host's side ------------------------------------------------------------------------- */

uint64_t balloon_set_target(struct balloon *balloon, uint64_t bytes)
{
	uint32_t pages = pages_of(balloon, bytes);

	pthread_mutex_lock(&balloon->lock);
	bool changed = balloon->registers.num_pages != htole32(pages);
	if (changed) {
		balloon->registers.num_pages = htole32(pages);
		balloon->moved = clock_ns();
		atomic_fetch_add(&balloon->dev.config_generation, 1);
	}
	pthread_mutex_unlock(&balloon->lock);

	if (changed)
		virtio_config_changed(&balloon->dev);
	return (uint64_t)pages << SHIFT;
}

enum balloon_state balloon_state(bool driver, uint32_t target, uint32_t actual, uint64_t idle)
{
	if (!driver)
		return BALLOON_NO_DRIVER;
	if (target == actual)
		return BALLOON_REACHED;
	return idle < BALLOON_STUCK_NS ? BALLOON_MOVING : BALLOON_STUCK;
}

struct balloon_view balloon_view(struct balloon *balloon, uint64_t now)
{
	pthread_mutex_lock(&balloon->lock);
	uint32_t target = le32toh(balloon->registers.num_pages);
	uint32_t actual = le32toh(balloon->registers.actual);
	/* @now may have been read before something moved. */
	uint64_t idle = now > balloon->moved ? now - balloon->moved : 0;
	struct balloon_view view = {
		.state = balloon_state(balloon->driver, target, actual, idle),
		.target = (uint64_t)target << SHIFT,
		.actual = (uint64_t)actual << SHIFT,
	};
	pthread_mutex_unlock(&balloon->lock);
	return view;
}
