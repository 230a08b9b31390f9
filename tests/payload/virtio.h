/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver for one virtio-mmio device with the balloon's free page reporting, as small as can be
 * (virtio 1.2 §2.7, §4.2, §5.5). It plays fair by itself, and has the parts to play foul with.
 *
 * What returns bool has failed the test where it returns false.
 */
#ifndef EBB_TESTS_PAYLOAD_VIRTIO_H
#define EBB_TESTS_PAYLOAD_VIRTIO_H

#include "payload.h"

#define REG_MAGIC	     0x000
#define REG_VERSION	     0x004
#define REG_DEVICE_ID	     0x008
#define REG_VENDOR_ID	     0x00c
#define REG_DEVICE_FEATURES  0x010
#define REG_DEVICE_SELECT    0x014
#define REG_DRIVER_FEATURES  0x020
#define REG_DRIVER_SELECT    0x024
#define REG_QUEUE_SELECT     0x030
#define REG_QUEUE_SIZE_MAX   0x034
#define REG_QUEUE_SIZE	     0x038
#define REG_QUEUE_READY	     0x044
#define REG_QUEUE_NOTIFY     0x050
#define REG_INTERRUPT_STATUS 0x060
#define REG_INTERRUPT_ACK    0x064
#define REG_STATUS	     0x070
#define REG_QUEUE_DESC	     0x080 /* and its high half, as the two below */
#define REG_QUEUE_AVAIL	     0x090
#define REG_QUEUE_USED	     0x0a0
#define REG_CONFIG	     0x100

#define STATUS_ACKNOWLEDGE 0x01
#define STATUS_DRIVER	   0x02
#define STATUS_DRIVER_OK   0x04
#define STATUS_FEATURES_OK 0x08
#define STATUS_NEEDS_RESET 0x40

#define INTERRUPT_USED	 0x1
#define INTERRUPT_CONFIG 0x2

#define FEATURE_MUST_TELL_HOST (1ULL << 0)
#define FEATURE_STATS	       (1ULL << 1)
#define FEATURE_PAGE_POISON    (1ULL << 4)
#define FEATURE_REPORTING      (1ULL << 5)
#define FEATURE_INIT_REPORTED  (1ULL << 6)
#define FEATURE_EVENT_IDX      (1ULL << 29)
#define FEATURE_VERSION_1      (1ULL << 32)
#define FEATURE_RECLAIM	       (1ULL << 58) /* ebb's own */

#define QUEUE_INFLATE	0
#define QUEUE_DEFLATE	1
#define QUEUE_REPORTING 2 /* no statistics, no hints negotiated: the queues have no gaps */

#define QUEUE_SIZE 128

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

#define AVAIL_NO_INTERRUPT 1

struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags, next;
};

/* A page each, so that a report can name them. */
struct queue {
	volatile struct desc desc[QUEUE_SIZE] __attribute__((aligned(4096)));
	volatile struct {
		uint16_t flags, index, ring[QUEUE_SIZE];
	} avail __attribute__((aligned(4096)));
	volatile struct {
		uint16_t flags, index;
		struct {
			uint32_t id, len;
		} ring[QUEUE_SIZE];
	} used __attribute__((aligned(4096)));
	/* The driver's own: places in use, the next free descriptor, used elements taken. */
	uint16_t size, next_desc, seen;
} __attribute__((aligned(4096)));

struct block {
	uint64_t gpa;
	uint64_t len;
};

struct device {
	uint64_t base;
	unsigned int gsi;
};

/*
 * Where the command line says that the device is: virtio_mmio.device=SIZE@BASE:GSI. Returns its size,
 * or 0 where it does not say so.
 */
uint64_t device_at(struct device *dev);

/* The same, and it is where ebb's are, and as large. */
bool device_find(struct device *dev);

uint32_t device_read(const struct device *dev, unsigned int reg);
void device_write(const struct device *dev, unsigned int reg, uint32_t value);

uint64_t device_features(const struct device *dev);
void device_reset(const struct device *dev);

/* Resets, and goes as far as FEATURES_OK. */
bool device_negotiate(const struct device *dev, uint64_t features);

/* Hands a cleared queue over; the device may refuse: see REG_QUEUE_READY. */
void queue_place(const struct device *dev, unsigned int number, struct queue *q);

/* Finds the device, negotiates reporting, and sets up its queue: all that a report needs. */
bool reporting_start(struct device *dev, struct queue *q);

/*
 * Puts @n buffers as one chain on the ring, over descriptors in no order, each with @flags. Not
 * announced. Returns the chain's head.
 */
uint16_t queue_add(struct queue *q, const struct block *block, unsigned int n, uint16_t flags);

/* Rings the doorbell. */
void queue_notify(const struct device *dev, unsigned int number);

/* Waits for the next used element, looking at memory only. */
bool queue_take(struct queue *q, uint32_t *id, uint32_t *len);

/* Reports in one chain and waits for the answer, the used length. */
bool report(const struct device *dev, struct queue *q, const struct block *block, unsigned int n,
	    uint32_t *len);

/* Each 8 bytes of memory get a value that only this place has. */
void fill(uint64_t gpa, uint64_t size);

/* Whether that is still so; or all is zero. */
bool is_filled(uint64_t gpa, uint64_t size);
bool is_zero(uint64_t gpa, uint64_t size);

#endif
