// SPDX-License-Identifier: Apache-2.0
/*
 * For a ring of 1, 2 or 4 entries, whose contents the guest changes at any time, chains and indirect tables of any
 * lengths, and any place of the device in the ring: taking a chain ends, reads nothing outside of rings and
 * tables, and returns no more buffers than there is room for, the readable ones first, of 4 GiB in all at most.
 *
 * Chains have 4 buffers at most here, in place of 256.
 *
 * Source: devices/virtio/queue.c
 * Unwind: 7
 * Options: -DVIRTIO_QUEUE_SIZE_MAX=4
 * Planted: s/if (index >= walk.size)/if (index > walk.size)/
 */
#include <endian.h>

#include "tests/prove/prove.h"

/* Each reading of a guest's field finds any value, also where the same was read before. */
#undef le16toh
#undef le32toh
#undef le64toh
#define le16toh(field) ((void)(field), nondet_u16())
#define le32toh(field) ((void)(field), nondet_u32())
#define le64toh(field) ((void)(field), nondet_u64())
#include "devices/virtio/queue.c"

int ram_read(const struct ram *ram, uint64_t gpa, void *data, size_t len)
{
	(void)ram, (void)gpa;
	PROVE(len > 0 && len <= VIRTIO_QUEUE_SIZE_MAX * sizeof(struct vring_desc));
	((uint8_t *)data)[0] = nondet_u8();
	((uint8_t *)data)[len - 1] = nondet_u8();
	return nondet_bool() ? 0 : -1;
}

int main(void)
{
	struct virtq q = {.size = nondet_u8(), .ready = true, .indirect = nondet_bool()};
	struct virtq_chain chain;
	struct vring_desc desc[4];
	struct {
		struct vring_avail avail;
		__virtio16 ring[5];
	} avail;
	uint64_t bytes = 0;

	ASSUME(q.size == 1 || q.size == 2 || q.size == 4);
	/* Of the size that the driver has given them: what lies behind is not the queue's. */
	q.desc = desc + 4 - q.size;
	q.avail = &avail.avail;
	q.next_avail = nondet_u16();
	q.next_used = nondet_u16();
	ASSUME((uint16_t)(q.next_avail - q.next_used) <= q.size);
	uint16_t next = q.next_avail;

	int got = virtq_pop(&q, &chain);
	PROVE(got == 1 || got == 0 || got == -EPROTO);
	PROVE(q.next_avail == (uint16_t)(next + (got == 1)));
	PROVE((uint16_t)(q.next_avail - q.next_used) <= q.size);
	if (got != 1)
		return 0;
	PROVE(chain.buffers > 0 && chain.buffers <= VIRTIO_QUEUE_SIZE_MAX);
	PROVE(chain.readable <= chain.buffers);
	for (unsigned int i = 0; i < chain.buffers; i++)
		bytes += chain.buffer[i].len;
	PROVE(bytes <= 1ULL << 32);
}
