/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of vhost-user that a front end needs: between a VMM and another process that serves
 * the queues of one device (the backend). Pure: bytes in, bytes out.
 *
 * A message is a header of 12 bytes and a payload, all in the host's byte order. The backend is not
 * trusted: a reply is accepted only with the request's number, version 1 and the exact size.
 *
 * Source: QEMU's docs/interop/vhost-user.rst. Thread: any.
 */
#ifndef EBB_VHOST_USER_MESSAGE_H
#define EBB_VHOST_USER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_GET_CONFIG = 24,
};

/* Among the device's feature bits: the backend has protocol features. It is never the driver's. */
#define VHOST_USER_F_PROTOCOL_FEATURES	30
#define VHOST_USER_PROTOCOL_F_REPLY_ACK 3
#define VHOST_USER_PROTOCOL_F_CONFIG	9

#define VHOST_USER_HEADER_SIZE 12
#define VHOST_USER_REPLY_MAX   (VHOST_USER_HEADER_SIZE + 8)
/* Before the configuration space in a message: offset, size, flags. */
#define VHOST_USER_CONFIG_HEADER 12
#define VHOST_USER_CONFIG_MAX	 256
#define VHOST_USER_MESSAGE_MAX                                                                     \
	(VHOST_USER_HEADER_SIZE + VHOST_USER_CONFIG_HEADER + VHOST_USER_CONFIG_MAX)
_Static_assert(8 + 32 * RAM_REGIONS_MAX <= VHOST_USER_CONFIG_HEADER + VHOST_USER_CONFIG_MAX,
	       "a message with all regions fits");

struct vhost_user_message {
	size_t len;
	uint8_t data[VHOST_USER_MESSAGE_MAX];
};

/* A queue's rings, at addresses of this process. */
struct vhost_user_ring {
	uint64_t desc, avail, used;
};

/*
 * Make a message. @ack: the backend is to reply whether it succeeded (only once REPLY_ACK is
 * negotiated).
 */
void vhost_user_encode(struct vhost_user_message *message, enum vhost_user_request request,
		       bool ack);
void vhost_user_encode_u64(struct vhost_user_message *message, enum vhost_user_request request,
			   bool ack, uint64_t value);
/* For SET_VRING_NUM, _BASE and _ENABLE, and GET_VRING_BASE. */
void vhost_user_encode_state(struct vhost_user_message *message, enum vhost_user_request request,
			     bool ack, uint32_t queue, uint32_t value);
void vhost_user_encode_ring(struct vhost_user_message *message, bool ack, uint32_t queue,
			    const struct vhost_user_ring *ring);
/* The descriptors of @share go with it, in order. @n: RAM_REGIONS_MAX at most. */
void vhost_user_encode_memory(struct vhost_user_message *message, bool ack,
			      const struct ram_share *share, unsigned int n);

/*
 * Returns how many bytes of payload follow @header in the reply to @request, or -EPROTO if that is
 * no reply to it.
 */
int vhost_user_decode_header(const uint8_t header[VHOST_USER_HEADER_SIZE],
			     enum vhost_user_request request);
/* For GET_CONFIG: asks for the first @len bytes, VHOST_USER_CONFIG_MAX at most. */
void vhost_user_encode_config(struct vhost_user_message *message, uint32_t len);
/*
 * Check the reply to that: its header, and the VHOST_USER_CONFIG_HEADER bytes behind it. Return 0 if
 * @len bytes of configuration space follow, or -EPROTO.
 */
int vhost_user_decode_config_header(const uint8_t header[VHOST_USER_HEADER_SIZE], uint32_t len);
int vhost_user_decode_config(const uint8_t payload[VHOST_USER_CONFIG_HEADER], uint32_t len);
uint64_t vhost_user_decode_u64(const uint8_t payload[8]);
/* Returns 0 with *@value set, or -EPROTO if the reply is about another queue. */
int vhost_user_decode_state(const uint8_t payload[8], uint32_t queue, uint32_t *value);

#endif
