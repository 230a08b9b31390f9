// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_vcon.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

struct fake_driver vc_guest;
struct vcon vcon;
struct vc_host vc_host;

static ssize_t transmit(void *ctx, unsigned int port, const uint8_t *data, size_t len)
{
	(void)ctx;
	if (vc_host.room == 0)
		return -EAGAIN;
	len = len < vc_host.room ? len : vc_host.room;
	vc_host.room -= len;
	/* What is beyond is counted only. */
	if (vc_host.len[port] + len <= sizeof(vc_host.got[port]))
		memcpy(vc_host.got[port] + vc_host.len[port], data, len);
	vc_host.len[port] += len;
	return (ssize_t)len;
}

static void receive_ready(void *ctx, unsigned int port)
{
	(void)ctx, (void)port;
	vc_host.asked++;
}

static const struct vcon_host host = {NULL, transmit, receive_ready};

void vc_plug(bool several, const char *first)
{
	const struct vcon_config config = {.console = true,
					   .name = {first, "second"},
					   .names = several ? 2 : 0,
					   .host = &host};

	vcon_init(&vcon, &config, &vc_guest.host);
	fake_driver_plug(&vc_guest, &vcon.dev);
}

void vc_start(uint64_t features, unsigned int queues)
{
	fake_driver_start(&vc_guest, VC_V1 | features, queues, VC_RING);
}

static void begin(bool several)
{
	memset(&vc_host, 0, sizeof(vc_host));
	vc_host.room = SIZE_MAX;
	fake_driver_init(&vc_guest);
	vc_plug(several, "first");
}

void vc_setup(void)
{
	begin(true);
	vc_start(VC_SIZE | VC_MULTIPORT, 8);
}

void vc_setup_single(void)
{
	begin(false);
	vc_start(VC_SIZE, 2);
}

void vc_teardown(void)
{
	fake_driver_release(&vc_guest);
	vcon_release(&vcon);
}

bool vc_needs_reset(void)
{
	return fake_driver_get(&vc_guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static uint64_t next_buffer(unsigned int queue)
{
	return VC_AT(queue, vc_guest.queue[queue].avail->idx % VC_RING);
}

void vc_give(unsigned int queue, uint32_t len)
{
	const struct gpa_range buffer = {next_buffer(queue), len};

	fake_queue_add(&vc_guest.queue[queue], &buffer, 1, 0);
	fake_driver_kick(&vc_guest, queue);
}

int vc_take(unsigned int queue, void *data)
{
	struct fake_queue *ring = &vc_guest.queue[queue];
	struct vring_used_elem used;

	if (!fake_queue_used(ring, &used))
		return -1;
	uint32_t len = le32toh(used.len);
	ck_assert_uint_le(len, VC_BUFFER);
	memcpy(data, fake_driver_at(&vc_guest, ring->desc[used.id].addr, VC_BUFFER), len);
	return (int)len;
}

bool vc_send(unsigned int queue, const void *data, uint32_t len)
{
	const struct gpa_range buffer = {next_buffer(queue), len};
	struct vring_used_elem used;

	memcpy(fake_driver_at(&vc_guest, buffer.gpa, VC_BUFFER), data, len);
	fake_queue_add(&vc_guest.queue[queue], &buffer, 1, 1);
	fake_driver_kick(&vc_guest, queue);
	return fake_queue_used(&vc_guest.queue[queue], &used);
}

void vc_control(uint32_t id, uint16_t event, uint16_t value)
{
	const struct virtio_console_control message = {htole32(id), htole16(event), htole16(value)};

	vc_send(VCON_CONTROL_FROM_GUEST, &message, sizeof(message));
}

void vc_told(uint32_t id, uint16_t event, uint16_t value, const void *body, size_t len)
{
	struct {
		struct virtio_console_control head;
		uint8_t body[VC_BUFFER];
	} got;

	vc_give(VCON_CONTROL_TO_GUEST, VC_BUFFER);
	ck_assert_int_eq(vc_take(VCON_CONTROL_TO_GUEST, &got), (int)(sizeof(got.head) + len));
	ck_assert_uint_eq(le32toh(got.head.id), id);
	ck_assert_uint_eq(le16toh(got.head.event), event);
	ck_assert_uint_eq(le16toh(got.head.value), value);
	ck_assert_mem_eq(got.body, body, len);
}

void vc_told_nothing(void)
{
	struct vring_used_elem used;

	fake_driver_work(&vc_guest);
	ck_assert(!fake_queue_used(&vc_guest.queue[VCON_CONTROL_TO_GUEST], &used));
}

void vc_introduce(void)
{
	vc_control(VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned int i = 0; i < 3; i++)
		vc_told(i, VIRTIO_CONSOLE_PORT_ADD, 1, "", 0);
	vc_control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	vc_told(0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, "", 0);
	vc_told(0, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	vc_control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	vc_told(1, VIRTIO_CONSOLE_PORT_NAME, 1, "first", 5);
	vc_control(2, VIRTIO_CONSOLE_PORT_READY, 1);
	vc_told(2, VIRTIO_CONSOLE_PORT_NAME, 1, "second", 6);
	for (unsigned int i = 0; i < 3; i++)
		vc_control(i, VIRTIO_CONSOLE_PORT_OPEN, 1);
}
