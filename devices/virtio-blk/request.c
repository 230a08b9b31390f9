// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-blk/request.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>

static enum blk_kind kind_of(uint32_t type, const struct blk_limits *limits)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return BLK_READ;
	case VIRTIO_BLK_T_OUT:
		return BLK_WRITE;
	case VIRTIO_BLK_T_FLUSH:
		return BLK_FLUSH;
	case VIRTIO_BLK_T_GET_ID:
		return BLK_ID;
	case VIRTIO_BLK_T_DISCARD:
		return limits->discard ? BLK_DISCARD : BLK_UNKNOWN;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return limits->zero ? BLK_ZERO : BLK_UNKNOWN;
	default:
		return BLK_UNKNOWN;
	}
}

/* Counts the bytes in each part of the chain, and checks that all are RAM. They stay RAM. */
static int measure(const struct ram *ram, const struct virtq_chain *chain, uint64_t *readable,
		   uint64_t *writable)
{
	*readable = *writable = 0;
	for (unsigned int i = 0; i < chain->buffers; i++) {
		const struct gpa_range *buffer = &chain->buffer[i];
		if (buffer->len && !ram_buffer_at(ram, buffer->gpa, buffer->len))
			return -EPROTO;
		*(i < chain->readable ? readable : writable) += buffer->len;
	}
	return 0;
}

/* Returns the last byte that the device may write; there is one. */
static uint64_t last_byte(const struct virtq_chain *chain)
{
	unsigned int i = chain->buffers - 1;
	while (chain->buffer[i].len == 0)
		i--;
	return chain->buffer[i].gpa + chain->buffer[i].len - 1;
}

/* In sectors, as the driver wrote them: any number is possible. */
static bool on_disk(const struct blk_limits *limits, uint64_t sector, uint64_t sectors)
{
	uint64_t all = limits->size / BLK_SECTOR;
	return sector <= all && sectors <= all - sector;
}

static uint8_t check_data(const struct blk_limits *limits, struct blk_request *request,
			  uint64_t sector)
{
	if (request->kind == BLK_WRITE && limits->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (request->len % BLK_SECTOR || !on_disk(limits, sector, request->len / BLK_SECTOR))
		return VIRTIO_BLK_S_IOERR;
	request->offset = sector * BLK_SECTOR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t check_range(const struct blk_limits *limits, enum blk_kind kind,
			   const struct virtio_blk_discard_write_zeroes *entry,
			   struct blk_range *range)
{
	uint64_t sector = le64toh(entry->sector);
	uint64_t sectors = le32toh(entry->num_sectors);
	uint32_t flags = le32toh(entry->flags);
	uint32_t known = kind == BLK_ZERO ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	if (flags & ~known)
		return VIRTIO_BLK_S_UNSUPP;
	if (!on_disk(limits, sector, sectors) || sectors * BLK_SECTOR > BLK_RANGE_BYTES_MAX)
		return VIRTIO_BLK_S_IOERR;
	*range = (struct blk_range){sector * BLK_SECTOR, sectors * BLK_SECTOR, flags != 0};
	return VIRTIO_BLK_S_OK;
}

/* Checks all ranges before the first is executed. */
static uint8_t check_ranges(const struct ram *ram, const struct virtq_chain *chain,
			    const struct blk_limits *limits, struct blk_request *request,
			    uint64_t len)
{
	struct virtio_blk_discard_write_zeroes entry[BLK_RANGES_MAX];
	struct virtq_cursor cursor = request->data;
	uint8_t status = VIRTIO_BLK_S_OK;

	if (limits->read_only || len % sizeof(entry[0]) || len > sizeof(entry))
		return VIRTIO_BLK_S_IOERR;
	if (virtq_read(ram, chain, &cursor, entry, len) != (ssize_t)len)
		return VIRTIO_BLK_S_IOERR;
	request->ranges = len / sizeof(entry[0]);
	for (unsigned int i = 0; i < request->ranges && status == VIRTIO_BLK_S_OK; i++)
		status = check_range(limits, request->kind, &entry[i], &request->range[i]);
	return status;
}

int blk_request_parse(const struct ram *ram, const struct virtq_chain *chain,
		      const struct blk_limits *limits, struct blk_request *request)
{
	struct virtio_blk_outhdr header;
	struct virtq_cursor cursor = {0};
	uint64_t readable, writable;

	int error = measure(ram, chain, &readable, &writable);
	if (error)
		return error;
	if (writable == 0 || readable < sizeof(header))
		return -EPROTO;
	if (virtq_read(ram, chain, &cursor, &header, sizeof(header)) != sizeof(header))
		return -EPROTO;

	*request = (struct blk_request){
		.kind = kind_of(le32toh(header.type), limits),
		.status = VIRTIO_BLK_S_OK,
		.status_gpa = last_byte(chain),
		.writable = writable - 1,
		.data = cursor,
	};
	switch (request->kind) {
	case BLK_WRITE:
		request->len = readable - sizeof(header);
		request->status = check_data(limits, request, le64toh(header.sector));
		break;
	case BLK_READ:
		request->len = request->writable;
		request->data = (struct virtq_cursor){.buffer = chain->readable};
		request->status = check_data(limits, request, le64toh(header.sector));
		break;
	case BLK_ID:
		request->len = request->writable;
		if (request->len > VIRTIO_BLK_ID_BYTES)
			request->len = VIRTIO_BLK_ID_BYTES;
		request->data = (struct virtq_cursor){.buffer = chain->readable};
		break;
	case BLK_DISCARD:
	case BLK_ZERO:
		request->status =
			check_ranges(ram, chain, limits, request, readable - sizeof(header));
		break;
	case BLK_FLUSH:
		break;
	default:
		request->status = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	return 0;
}

unsigned int blk_iov(const struct ram *ram, const struct virtq_chain *chain,
		     const struct virtq_cursor *at, uint64_t len, struct iovec *iov)
{
	unsigned int filled = 0;
	uint64_t offset = at->offset;

	for (unsigned int i = at->buffer; i < chain->buffers && len > 0; i++, offset = 0) {
		uint64_t n = chain->buffer[i].len - offset;
		if (n > len)
			n = len;
		if (n == 0)
			continue;
		void *base = ram_buffer_at(ram, chain->buffer[i].gpa + offset, n);
		if (!base)
			break;
		iov[filled++] = (struct iovec){base, n};
		len -= n;
	}
	return filled;
}

void blk_advance(const struct virtq_chain *chain, struct virtq_cursor *at, uint64_t len)
{
	while (at->buffer < chain->buffers) {
		uint64_t left = chain->buffer[at->buffer].len - at->offset;
		if (len < left) {
			at->offset += len;
			return;
		}
		len -= left;
		*at = (struct virtq_cursor){.buffer = at->buffer + 1};
	}
}
