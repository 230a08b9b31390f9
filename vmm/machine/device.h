/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a machine. To add one, add a folder under devices/, a device_NAME.c here that
 * creates the device from the options, and a row in devices.c.
 *
 * A device's address depends only on its kind and its number, not on the other devices or on the order
 * of the options. Its interrupt line is the next one that is free.
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

/* The guest starts without the device. */
#define DEVICE_LEFT_OUT 1

/* A constant for each kind. */
struct device_kind {
	const char *name; /* in messages */
	size_t size;	  /* bytes of the struct that begins with a struct device */
	/* Returns the number of these devices that @config asks for. */
	unsigned int (*count)(const struct vm_config *config);
	/*
	 * Creates device @device->number of its kind, with &@device->slot.host for its host side,
	 * and sets @device->virtio. Returns 0, -errno after an error message, or DEVICE_LEFT_OUT
	 * after a warning.
	 */
	int (*init)(struct device *device, const struct vm_config *config);
	/* Called after the device's worker has ended, or after init() returned anything but 0. */
	void (*release)(struct device *device);
	/* Stops what may still access guest RAM while the vCPUs are paused, or lets it go on; may be NULL. */
	void (*hold)(struct device *device, bool held);
	/*
	 * Returns the option that has guest RAM shared with another process, in the words of a warning, or NULL. May be
	 * NULL.
	 */
	const char *(*shares_ram)(const struct device *device);
	/* Returns whether this device is why the guest crashed, after an error message that says so; may be NULL. */
	bool (*explain_crash)(const struct device *device);
	/* Logs the device's counters at the end of a run with --debug; may be NULL. */
	void (*summary)(const struct device *device);
};

/* Owner: the list. */
struct device {
	const struct device_kind *kind;
	unsigned int number; /* within its kind, from 0 on */
	struct machine *machine;
	struct virtio_device *virtio;
	struct mmio_slot slot;
};

/* No architecture has interrupt lines for more. */
#define DEVICES_MAX 28

struct device_list {
	struct device *device[DEVICES_MAX];
	unsigned int count;
};

/*
 * Creates the devices that the machine's config asks for and plugs them in. Returns 0, or -errno
 * after an error message. Call devices_release() in either case.
 */
int devices_init(struct machine *machine);
void devices_release(struct machine *machine);

/* Starts the devices' workers, which serve nothing until devices_begin(). Returns 0, or -errno after an error message. */
int devices_start(struct device_list *list, const struct worker_guard *guard);
/* Lets those that were started begin; or end, if @stop. */
void devices_begin(struct device_list *list, bool stop);
/*
 * Ends the workers, and with them all work of the devices. Waits for requests in progress until
 * @deadline (clock_ns()). Returns false, after a warning, if a worker hangs: then nothing that it
 * uses may be released.
 */
bool devices_stop(struct device_list *list, uint64_t deadline);

/* Call after the vCPUs have been paused, and before they are resumed. Returns at once. */
void devices_hold(struct device_list *list, bool held);

/* Returns whether one of the devices explains the guest's crash, after its error message. */
bool devices_explain_crash(const struct device_list *list);
void devices_summarize(const struct device_list *list);

/* Returns device @number of a kind, counted from 0, or NULL if the machine does not have it. */
struct device *machine_find(const struct machine *machine, const struct device_kind *kind,
			    unsigned int number);

#endif
