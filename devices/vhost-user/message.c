// SPDX-License-Identifier: Apache-2.0
#include "devices/vhost-user/message.h"

#include <errno.h>
#include <string.h>

#define FLAG_VERSION	  1U
#define FLAG_VERSION_MASK 3U
#define FLAG_REPLY	  (1U << 2)
#define FLAG_NEED_REPLY	  (1U << 3)

/* Every reply that a front end of ours asks for, but one, is a number, or a queue and a number. */
#define REPLY_PAYLOAD 8

static void put(struct vhost_user_message *message, const void *data, size_t len)
{
	memcpy(message->data + message->len, data, len);
	message->len += len;
}

static void put_u32(struct vhost_user_message *message, uint32_t value)
{
	put(message, &value, sizeof(value));
}

static void put_u64(struct vhost_user_message *message, uint64_t value)
{
	put(message, &value, sizeof(value));
}

static void begin(struct vhost_user_message *message, enum vhost_user_request request, bool ack,
		  uint32_t payload)
{
	message->len = 0;
	put_u32(message, request);
	put_u32(message, FLAG_VERSION | (ack ? FLAG_NEED_REPLY : 0));
	put_u32(message, payload);
}

void vhost_user_encode(struct vhost_user_message *message, enum vhost_user_request request,
		       bool ack)
{
	begin(message, request, ack, 0);
}

void vhost_user_encode_u64(struct vhost_user_message *message, enum vhost_user_request request,
			   bool ack, uint64_t value)
{
	begin(message, request, ack, 8);
	put_u64(message, value);
}

void vhost_user_encode_state(struct vhost_user_message *message, enum vhost_user_request request,
			     bool ack, uint32_t queue, uint32_t value)
{
	begin(message, request, ack, 8);
	put_u32(message, queue);
	put_u32(message, value);
}

void vhost_user_encode_ring(struct vhost_user_message *message, bool ack, uint32_t queue,
			    const struct vhost_user_ring *ring)
{
	begin(message, VHOST_USER_SET_VRING_ADDR, ack, 40);
	put_u32(message, queue);
	put_u32(message, 0); /* flags: writes are not logged */
	put_u64(message, ring->desc);
	put_u64(message, ring->used);
	put_u64(message, ring->avail);
	put_u64(message, 0); /* the address for the log */
}

void vhost_user_encode_memory(struct vhost_user_message *message, bool ack,
			      const struct ram_share *share, unsigned int n)
{
	begin(message, VHOST_USER_SET_MEM_TABLE, ack, 8 + 32 * n);
	put_u32(message, n);
	put_u32(message, 0);
	for (unsigned int i = 0; i < n; i++) {
		put_u64(message, share[i].gpa);
		put_u64(message, share[i].size);
		put_u64(message, (uintptr_t)share[i].hva);
		put_u64(message, share[i].offset);
	}
}

void vhost_user_encode_config(struct vhost_user_message *message, uint32_t len)
{
	static const uint8_t room[VHOST_USER_CONFIG_MAX];

	begin(message, VHOST_USER_GET_CONFIG, false, VHOST_USER_CONFIG_HEADER + len);
	put_u32(message, 0); /* offset */
	put_u32(message, len);
	put_u32(message, 0); /* flags */
	put(message, room, len);
}

static bool is_reply(const uint8_t header[VHOST_USER_HEADER_SIZE], enum vhost_user_request request,
		     uint32_t payload)
{
	uint32_t field[3];

	memcpy(field, header, sizeof(field));
	return field[0] == request && (field[1] & FLAG_VERSION_MASK) == FLAG_VERSION &&
	       field[1] & FLAG_REPLY && field[2] == payload;
}

int vhost_user_decode_config_header(const uint8_t header[VHOST_USER_HEADER_SIZE], uint32_t len)
{
	return is_reply(header, VHOST_USER_GET_CONFIG, VHOST_USER_CONFIG_HEADER + len) ? 0
										       : -EPROTO;
}

int vhost_user_decode_config(const uint8_t payload[VHOST_USER_CONFIG_HEADER], uint32_t len)
{
	uint32_t field[3];

	memcpy(field, payload, sizeof(field));
	return field[0] == 0 && field[1] == len ? 0 : -EPROTO;
}

int vhost_user_decode_header(const uint8_t header[VHOST_USER_HEADER_SIZE],
			     enum vhost_user_request request)
{
	return is_reply(header, request, REPLY_PAYLOAD) ? REPLY_PAYLOAD : -EPROTO;
}

uint64_t vhost_user_decode_u64(const uint8_t payload[8])
{
	uint64_t value;

	memcpy(&value, payload, sizeof(value));
	return value;
}

int vhost_user_decode_state(const uint8_t payload[8], uint32_t queue, uint32_t *value)
{
	uint32_t field[2];

	memcpy(field, payload, sizeof(field));
	if (field[0] != queue)
		return -EPROTO;
	*value = field[1];
	return 0;
}
