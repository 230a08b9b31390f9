/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses a descriptor chain as a request to a disk: checks whether it is well-formed and allowed,
 * and finds its data. Touches no file. Source: virtio 1.2 §5.2.6.
 *
 * Pure, except that it reads guest RAM, once. Thread: the caller's.
 */
#ifndef EBB_VIRTIO_BLK_REQUEST_H
#define EBB_VIRTIO_BLK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/virtio/queue.h"
#include "vmm/mem/ram.h"

#define BLK_SECTOR 512 /* bytes: the protocol's unit, independent of the disk's block size */
/* Data buffers that a request may have: with header and status it fits into half a ring. */
#define BLK_SEGMENTS_MAX 126
/* Ranges that one discard or write-zeroes may name, and bytes that each may have. */
#define BLK_RANGES_MAX	    32
#define BLK_RANGE_BYTES_MAX (1ULL << 30)

/* The first five are counted. */
enum blk_kind { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_ZERO, BLK_ID, BLK_UNKNOWN };
#define BLK_COUNTED (BLK_ZERO + 1)

/* A disk's abilities for its driver. */
struct blk_limits {
	uint64_t size; /* bytes */
	bool read_only;
	bool discard; /* VIRTIO_BLK_F_DISCARD was negotiated */
	bool zero;    /* VIRTIO_BLK_F_WRITE_ZEROES was negotiated */
};

/* A range of the disk, in bytes. */
struct blk_range {
	uint64_t offset;
	uint64_t len;
	bool unmap; /* write-zeroes: the host may free the space */
};

struct blk_request {
	enum blk_kind kind;
	uint8_t status; /* VIRTIO_BLK_S_OK if the request is allowed, otherwise the answer */
	uint64_t status_gpa;
	uint64_t writable;	  /* bytes that the device may write before the status */
	uint64_t offset;	  /* READ, WRITE: where on the disk, in bytes */
	uint64_t len;		  /* READ, WRITE, ID: bytes of data */
	struct virtq_cursor data; /* where in the chain the data begins */
	unsigned int ranges;	  /* DISCARD, ZERO */
	struct blk_range range[BLK_RANGES_MAX];
};

/*
 * Returns 0 with @request filled in, each range and each buffer checked; or -EPROTO if the chain is
 * not a request: no whole header, no room for a status, a buffer that is not RAM.
 */
int blk_request_parse(const struct ram *ram, const struct virtq_chain *chain,
		      const struct blk_limits *limits, struct blk_request *request);

/*
 * Fills @iov with up to @len bytes of @chain's memory from @at on, which blk_request_parse() found to be RAM.
 * @iov has room for VIRTIO_QUEUE_SIZE_MAX elements. Returns how many were filled in, none of them empty.
 */
unsigned int blk_iov(const struct ram *ram, const struct virtq_chain *chain,
		     const struct virtq_cursor *at, uint64_t len, struct iovec *iov);

/* Advances @at by @len bytes, or to the chain's end. */
void blk_advance(const struct virtq_chain *chain, struct virtq_cursor *at, uint64_t len);

#endif
