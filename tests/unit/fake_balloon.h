/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon with a guest for it, whose discards can be watched, refused and held up: what the tests
 * of the balloon share.
 */
#ifndef EBB_TEST_FAKE_BALLOON_H
#define EBB_TEST_FAKE_BALLOON_H

#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <semaphore.h>

#include "devices/virtio-balloon/balloon.h"
#include "devices/virtio-balloon/reclaim.h"
#include "tests/unit/fake_driver.h"

#define V1	  (1ULL << VIRTIO_F_VERSION_1)
#define TELL	  (1ULL << VIRTIO_BALLOON_F_MUST_TELL_HOST)
#define STATS	  (1ULL << VIRTIO_BALLOON_F_STATS_VQ)
#define OOM	  (1ULL << VIRTIO_BALLOON_F_DEFLATE_ON_OOM)
#define POISON	  (1ULL << VIRTIO_BALLOON_F_PAGE_POISON)
#define REPORTING (1ULL << VIRTIO_BALLOON_F_REPORTING)
#define ZEROES	  (1ULL << VIRTIO_BALLOON_F_DEVICE_INIT_REPORTED)
#define RECLAIM	  (1ULL << VIRTIO_BALLOON_F_EBB_RECLAIM)
#define INFLATE_Q 0
#define DEFLATE_Q 1
#define SIZE	  128
#define GUEST	  0xa5 /* what the guest's memory is full of */
#define K(n)	  (4 * KIB * (n))
#define AT(n)	  (BLOCKS_GPA + K(n))

/* The discard hook: what it was asked for last, and what it is to do. */
struct discard_hook {
	struct gpa_range range[1024];
	size_t ranges;
	unsigned int calls;
	int refuse;   /* the step to refuse, or -1 */
	bool inhibit; /* hold all back */
	bool lazy;    /* done, but not read as zero (as MADV_FREE) */
	bool blocks;  /* stop until told to go on */
	sem_t within; /* it has stopped */
	sem_t go_on;
};

extern struct fake_driver guest;
extern struct balloon balloon;
extern struct discard_hook hook;

/* The fixture: RAM, a host with the hook, and the balloon plugged in. */
void balloon_plug(const struct balloon_config *config);
void balloon_unplug(void);
/* A driver that takes @features and has all queues that go with them. */
void balloon_start(uint64_t features);

/* Guest memory: filled with GUEST; all of one value; in the host's memory (its first page). */
void fill(uint64_t gpa, uint64_t len);
bool holds(uint64_t gpa, uint64_t len, uint8_t value);
bool resident(uint64_t gpa);

bool needs_reset(void);

/* One chain, one doorbell, and the used length that came of it; it must come back. */
uint32_t serve_chain(unsigned int queue, const struct gpa_range *buffer, unsigned int n,
		     unsigned int readable);

#define COUNTED(half, counter, n) ck_assert_uint_eq(atomic_load(&balloon.counters.half.counter), n)

#endif
