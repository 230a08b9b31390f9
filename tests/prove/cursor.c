// SPDX-License-Identifier: Apache-2.0
/*
 * For any chain of up to 3 buffers of any lengths, read in two pieces of up to 3 bytes, and then written: nothing is
 * written outside of what the caller has given, each byte comes from where it is due to where it is due, what is
 * returned is as many as there were, and both end.
 *
 * Source: devices/virtio/queue.c
 * Unwind: 4
 * Options: -DVIRTIO_QUEUE_SIZE_MAX=4
 * Planted: s/if (n > len - copied)/if (n > len)/
 * Planted: s/while (copied < len && cursor->buffer < chain->readable)/while (copied > len)/
 * Planted: s/(uint8_t \*)data + copied,$/(uint8_t *)data,/
 * Planted: s/(const uint8_t \*)data + copied, n/(const uint8_t *)data, n/
 * Planted: s/i = chain->readable; i < chain->buffers/i = chain->readable; i + 1 < chain->buffers/
 */
#include "tests/prove/prove.h"
#include "devices/virtio/queue.c"

#define PIECE 3

static const struct virtq_chain *walked;
static uint8_t piece[PIECE];
static uint64_t due; /* bytes that were read or written before, of the part in question */
static size_t done;  /* of them by this call */
static bool writes;

static void check(uint64_t gpa, const uint8_t *data, size_t len)
{
	uint64_t before = 0;
	bool found = false;

	PROVE(len <= PIECE - done && data == piece + done);
	for (unsigned int i = writes ? walked->readable : 0; i < walked->buffers; i++) {
		const struct gpa_range *buffer = &walked->buffer[i];
		if (due < before + buffer->len) {
			PROVE(gpa == buffer->gpa + (due - before));
			PROVE(len <= before + buffer->len - due);
			PROVE(writes || i < walked->readable);
			found = true;
			break;
		}
		before += buffer->len;
	}
	PROVE(found);
	due += len;
	done += len;
}

/* Of @len bytes that were asked for, a call returned @got: fewer only if the part has no more. */
static void check_returned(ssize_t got, size_t len)
{
	uint64_t all = 0;

	for (unsigned int i = 0; i < walked->buffers; i++)
		if (writes == (i >= walked->readable))
			all += walked->buffer[i].len;
	PROVE((size_t)got == done);
	PROVE(done == len || (done < len && due == all));
	done = 0;
}

int ram_read(const struct ram *ram, uint64_t gpa, void *data, size_t len)
{
	(void)ram;
	check(gpa, data, len);
	return nondet_bool() ? 0 : -1;
}

int ram_write(const struct ram *ram, uint64_t gpa, const void *data, size_t len)
{
	(void)ram;
	check(gpa, data, len);
	return nondet_bool() ? 0 : -1;
}

int main(void)
{
	struct virtq_chain chain = {.buffers = nondet_u8(), .readable = nondet_u8()};
	struct virtq_cursor cursor = {0};

	ASSUME(chain.buffers <= 3 && chain.readable <= chain.buffers);
	for (unsigned int i = 0; i < 3; i++) {
		/* Wholly RAM, which ends below 2^56: another one is refused before. */
		chain.buffer[i] = (struct gpa_range){nondet_u64() >> 8, nondet_u32()};
	}
	walked = &chain;
	for (unsigned int i = 0; i < 2; i++) {
		size_t len = nondet_u8();
		ASSUME(len <= PIECE);
		ssize_t got = virtq_read(NULL, &chain, &cursor, piece, len);
		PROVE(got == -EFAULT || got >= 0);
		if (got < 0)
			return 0;
		check_returned(got, len);
		PROVE(cursor.buffer <= chain.readable);
		PROVE(cursor.offset == 0 || cursor.offset < chain.buffer[cursor.buffer].len);
	}
	due = 0;
	writes = true;
	ssize_t put = virtq_write(NULL, &chain, piece, PIECE);
	PROVE(put == -EFAULT || put >= 0);
	if (put >= 0)
		check_returned(put, PIECE);
}
