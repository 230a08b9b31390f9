// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-vsock/packet.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

void vsock_packet_parse(struct vsock_packet *packet, const struct virtio_vsock_hdr *header)
{
	*packet = (struct vsock_packet){
		.src_cid = le64toh(header->src_cid),
		.dst_cid = le64toh(header->dst_cid),
		.src_port = le32toh(header->src_port),
		.dst_port = le32toh(header->dst_port),
		.len = le32toh(header->len),
		.type = le16toh(header->type),
		.op = le16toh(header->op),
		.flags = le32toh(header->flags),
		.room = le32toh(header->buf_alloc),
		.forwarded = le32toh(header->fwd_cnt),
	};
}

void vsock_packet_write(const struct vsock_packet *packet, struct virtio_vsock_hdr *header)
{
	*header = (struct virtio_vsock_hdr){
		.src_cid = htole64(packet->src_cid),
		.dst_cid = htole64(packet->dst_cid),
		.src_port = htole32(packet->src_port),
		.dst_port = htole32(packet->dst_port),
		.len = htole32(packet->len),
		.type = htole16(packet->type),
		.op = htole16(packet->op),
		.flags = htole32(packet->flags),
		.buf_alloc = htole32(packet->room),
		.fwd_cnt = htole32(packet->forwarded),
	};
}

/* Parses the digits before the line's end. */
static int parse_port(const char *text, size_t len, uint32_t *port)
{
	uint64_t number = 0;

	if (len == 0 || len > 10)
		return -EPROTO;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EPROTO;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	if (number > UINT32_MAX)
		return -EPROTO;
	*port = (uint32_t)number;
	return 0;
}

ssize_t vsock_line_parse(const char *text, size_t len, uint32_t *port)
{
	static const char word[] = "CONNECT ";
	const size_t start = sizeof(word) - 1;
	size_t same = len < start ? len : start;

	if (memcmp(text, word, same) != 0)
		return -EPROTO;
	const char *end = memchr(text, '\n', len < VSOCK_LINE_MAX ? len : VSOCK_LINE_MAX);
	if (!end)
		return len < VSOCK_LINE_MAX ? 0 : -EPROTO;
	/* A line's end within the word has failed above. */
	if (parse_port(text + start, (size_t)(end - text) - start, port) < 0)
		return -EPROTO;
	return end - text + 1;
}
