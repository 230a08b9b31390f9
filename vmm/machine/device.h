/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a machine. To add one: a folder under devices/, a device_NAME.c here that goes from
 * options to a plugged device, a row in devices.c.
 *
 * Where a device is, its address and its interrupt line, follows from its kind and its number alone:
 * neither from what else is plugged in nor from the order of the options.
 *
 * Thread: main.
 */
#ifndef EBB_MACHINE_DEVICE_H
#define EBB_MACHINE_DEVICE_H

#include <stddef.h>

#include "devices/virtio/device.h"
#include "vmm/config/config.h"
#include "vmm/machine/mmio_slot.h"

struct device;
struct machine;

/* One constant for each kind. */
struct device_kind {
	const char *name; /* as it is told where there is no place for one */
	size_t size;	  /* bytes of what begins with a struct device */
	/* How many of them @config asks for. */
	unsigned int (*count)(const struct vm_config *config);
	/*
	 * Makes the device, @device->number of its kind, for &@device->slot.host, and sets
	 * @device->virtio. Returns 0 or -errno having said why.
	 */
	int (*init)(struct device *device, const struct vm_config *config);
	/* Its workers have ended. Also after an init that failed. */
	void (*release)(struct device *device);
	/* Says at the end of a run with --debug what it has done; or NULL. */
	void (*summary)(const struct device *device);
};

/* Owned by the list. */
struct device {
	const struct device_kind *kind;
	unsigned int number; /* among its kind, from 0 on */
	struct virtio_device *virtio;
	struct mmio_slot slot;
};

#define DEVICES_MAX 16

struct device_list {
	struct device *device[DEVICES_MAX];
	unsigned int count;
};

/*
 * Makes what the machine's config asks for and plugs it in. Returns 0 or -errno having said why; then
 * too devices_release() is due.
 */
int devices_init(struct machine *machine);
void devices_release(struct machine *machine);

/* Starts their workers. Returns 0 or -errno having said why. */
int devices_start(struct device_list *list);
/*
 * Ends the workers: no device does anything more. What they are at is waited for, up to ten seconds each.
 * Returns false, having said so, where one hangs: then nothing that it uses may be released.
 */
bool devices_stop(struct device_list *list);

/* The @number-th device of a kind, or NULL where the machine has none. */
struct device *machine_find(const struct machine *machine, const struct device_kind *kind,
			    unsigned int number);

#endif
