/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device with nothing to it, and a driver for it: what the tests of the transport share.
 */
#ifndef EBB_TEST_TOY_H
#define EBB_TEST_TOY_H

#include <linux/virtio_config.h>
#include <pthread.h>
#include <semaphore.h>

#include "tests/unit/fake_driver.h"

#define V1	(1ULL << VIRTIO_F_VERSION_1)
#define IND	(1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT	(1ULL << VIRTIO_RING_F_EVENT_IDX)
#define OFFERED (V1 | IND | EVENT | 1ULL << 3)
#define SIZE	16

#define ACK	    VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	    VIRTIO_CONFIG_S_DRIVER
#define OK	    VIRTIO_CONFIG_S_DRIVER_OK
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define FAILED	    VIRTIO_CONFIG_S_FAILED

/* A device that gives every chain back as it came, and remembers what it was asked. */
struct toy {
	struct virtio_device dev;
	unsigned int activated, resets, worked;
	int activate_error; /* what activate() returns */
	uint64_t features_at_activate;
	pthread_mutex_t lock; /* guards config */
	uint8_t config[8];
	bool busy; /* always says that there may be more */
	/* Called by work() when it has found nothing, or NULL. */
	void (*idle)(unsigned int queue);
	bool blocks;  /* the next work() stops until told to go on */
	sem_t within; /* it has stopped */
	sem_t go_on;
};

extern struct toy toy;
extern struct fake_driver driver;

/* The fixture: the toy is made and plugged in, and nobody has touched it. */
void toy_setup(void);
void toy_teardown(void);

/* A register, and the one that is looked at most. */
uint32_t toy_get(uint64_t offset);
void toy_set(uint64_t offset, uint32_t value);
uint32_t status(void);

/* Makes a chain available; and how many came back since this was last asked. */
void chain_add(unsigned int queue);
unsigned int chains_done(unsigned int queue);

#endif
