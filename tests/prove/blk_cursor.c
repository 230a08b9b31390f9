// SPDX-License-Identifier: Apache-2.0
/*
 * For any chain of up to 2 buffers with lengths below 8, or all within 8 of 2^32, any place in it that is as near to the begin
 * or the end of a buffer, and any number of bytes that is as near to 0, to one or two such buffers, or to 2^64: what blk_iov()
 * gives the host is as many of the chain's bytes from that place on as there are, in order, each piece whole in one buffer;
 * blk_advance() goes on by as many, to a place that is in the chain or its end; and both end.
 *
 * Source: devices/virtio-blk/request.c
 * Unwind: 3
 * Options: -DVIRTIO_QUEUE_SIZE_MAX=4
 * Planted: s/uint64_t n = chain->buffer\[i\].len - offset;/uint64_t n = chain->buffer[i].len;/
 * Planted: s/if (n > len)$/if (n > len + 1)/
 * Planted: s/chain->buffer\[i\].gpa + offset, n)/chain->buffer[i].gpa, n)/
 * Planted: s/\*at = (struct virtq_cursor){.buffer = at->buffer + 1};/*at = (struct virtq_cursor){.buffer = at->buffer};/
 * Planted: s/if (len < left) {/if (len <= left) {/
 * Planted: s/^\t\tlen -= left;$//
 */
#include "tests/prove/prove.h"
#include "devices/virtio-blk/request.c"

#define BUFFERS 2

static const struct virtq_chain *walked;
static uint64_t due;  /* bytes of the chain before the next piece */
static uint64_t wish; /* bytes that are wanted from there on */
static bool refused;
static uint8_t memory[1];

/* Each piece is where the next byte is due, and whole in its buffer. */
void *ram_buffer_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	uint64_t before = 0;
	bool found = false;

	(void)ram;
	for (unsigned int i = 0; i < walked->buffers; i++) {
		const struct gpa_range *buffer = &walked->buffer[i];
		if (due >= before && due < before + buffer->len) {
			PROVE(gpa == buffer->gpa + (due - before));
			PROVE(len > 0 && len <= before + buffer->len - due && len <= wish);
			found = true;
		}
		before += buffer->len;
	}
	PROVE(found);
	due += len;
	wish -= len;
	refused = nondet_bool();
	return refused ? NULL : memory;
}

int ram_read(const struct ram *ram, uint64_t gpa, void *data, size_t len)
{
	(void)ram, (void)gpa, (void)data, (void)len;
	return -1;
}

/* Bytes of the chain before @at. */
static uint64_t place(const struct virtq_chain *chain, const struct virtq_cursor *at)
{
	uint64_t before = at->offset;

	for (unsigned int i = 0; i < at->buffer; i++)
		before += chain->buffer[i].len;
	return before;
}

static bool is_valid(const struct virtq_chain *chain, const struct virtq_cursor *at)
{
	return at->buffer <= chain->buffers &&
	       (at->offset == 0 ||
		(at->buffer < chain->buffers && at->offset < chain->buffer[at->buffer].len));
}

/* Lengths are @most, or a little less. */
static uint64_t nondet_up_to(uint64_t most)
{
	return most - (nondet_u8() & 7);
}

static uint64_t nondet_wish(uint64_t most)
{
	uint8_t which = nondet_u8();
	return nondet_up_to(which == 0	 ? 7
			    : which == 1 ? most
			    : which == 2 ? 2 * most
					 : UINT64_MAX);
}

static void prove(uint32_t most)
{
	struct virtq_chain chain = {.buffers = nondet_u8()};
	struct virtq_cursor at = {.buffer = nondet_u8()};
	struct iovec iov[BUFFERS];
	uint64_t len = nondet_wish(most);

	ASSUME(chain.buffers <= BUFFERS && at.buffer <= chain.buffers);
	for (unsigned int i = 0; i < BUFFERS; i++)
		chain.buffer[i] =
			(struct gpa_range){(uint64_t)i << 40, (uint32_t)nondet_up_to(most)};
	at.offset = (uint32_t)nondet_up_to(nondet_bool() ? 7 : most);
	ASSUME(is_valid(&chain, &at));
	walked = &chain;

	const struct virtq_cursor end = {.buffer = chain.buffers};
	uint64_t from = place(&chain, &at), left = place(&chain, &end) - from;
	uint64_t due_in_all = len < left ? len : left;
	due = from;
	wish = len;
	refused = false;
	unsigned int pieces = blk_iov(NULL, &chain, &at, len, iov);
	PROVE(pieces <= chain.buffers - at.buffer);
	PROVE(refused || due == from + due_in_all);
	uint64_t given = 0;
	for (unsigned int i = 0; i < pieces; i++) {
		PROVE(iov[i].iov_base == memory);
		given += iov[i].iov_len;
	}
	PROVE(refused || given == due_in_all);

	blk_advance(&chain, &at, len);
	PROVE(is_valid(&chain, &at));
	PROVE(place(&chain, &at) == from + due_in_all);
}

int main(void)
{
	prove(7);
	prove(UINT32_MAX);
}
