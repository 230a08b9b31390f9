/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Report now (README.md, "Reclaim: the specification"): the layouts on the reclaim queue, and the
 * feature bits. All little-endian.
 */
#ifndef EBB_VIRTIO_BALLOON_RECLAIM_H
#define EBB_VIRTIO_BALLOON_RECLAIM_H

#include <assert.h>
#include <linux/virtio_balloon.h>
#include <stdint.h>

/* The used length of a report is a promise of zeros (issue 244 of the specification). */
#ifndef VIRTIO_BALLOON_F_DEVICE_INIT_REPORTED
#define VIRTIO_BALLOON_F_DEVICE_INIT_REPORTED 6
#endif

/* ebb's own, one of the bits 50 to 127 for the device type (virtio 1.2 §2.2). */
#define VIRTIO_BALLOON_F_EBB_RECLAIM 58

/* The queue exists only with both: reclaim asks for reports. */
#define BALLOON_RECLAIM_FEATURES                                                                   \
	(1ULL << VIRTIO_BALLOON_F_REPORTING | 1ULL << VIRTIO_BALLOON_F_EBB_RECLAIM)

#define RECLAIM_COMPACT 1u /* reclaim_request.flags */

/* Written by the device, into the chain's second buffer. */
struct reclaim_request {
	uint32_t id;	     /* never 0 */
	uint32_t flags;	     /* the driver ignores unknown bits */
	uint32_t timeout_ms; /* 0: 1000 */
	uint32_t reserved;
	uint64_t cache; /* bytes */
};
static_assert(sizeof(struct reclaim_request) == 24, "as on the wire");

enum { RECLAIM_DONE, RECLAIM_TIMEOUT, RECLAIM_FAILED };

/* Written by the driver, in the chain's first buffer. */
struct reclaim_response {
	uint32_t id; /* of the request answered; 0: none, and all other fields are 0, too */
	uint32_t status;
	uint64_t drained, cache, compacted, reported, free; /* bytes */
	uint32_t elapsed_ms;
	uint32_t reserved;
};
static_assert(sizeof(struct reclaim_response) == 56, "as on the wire");

#endif
