/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console device with a console and two named ports, the guest's side of it, and the host's. The buffer n of queue q lies at
 * VC_AT(q, n), VC_BUFFER bytes each.
 */
#ifndef EBB_TEST_FAKE_VCON_H
#define EBB_TEST_FAKE_VCON_H

#include <linux/virtio_console.h>

#include "devices/virtio-console/vcon.h"
#include "tests/unit/fake_driver.h"

#define VC_V1	     (1ULL << 32)
#define VC_SIZE	     (1ULL << VIRTIO_CONSOLE_F_SIZE)
#define VC_MULTIPORT (1ULL << VIRTIO_CONSOLE_F_MULTIPORT)
#define VC_BUFFER    4096U
#define VC_AT(q, n)  (BLOCKS_GPA + ((q)*64ULL + (n)) * VC_BUFFER)
#define VC_RING	     16
#define VC_TX(port)  ((port) ? 2 * (port) + 3 : 1)
#define VC_RX(port)  ((port) ? 2 * (port) + 2 : 0)

extern struct fake_driver vc_guest;
extern struct vcon vcon;

/* The host's side: what came, how much it takes yet, and how often it was asked for more input. */
struct vc_host {
	char got[3][65536];
	size_t len[3];
	size_t room; /* bytes; then -EAGAIN */
	unsigned int asked;
};
extern struct vc_host vc_host;

void vc_setup(void); /* with several ports, and a driver that has started */
void vc_setup_single(void);
void vc_teardown(void);
/* A new device in place of the one that is there; no driver. @first: the name of port 1. */
void vc_plug(bool several, const char *first);
void vc_start(uint64_t features, unsigned int queues);
bool vc_needs_reset(void);

/* Makes a buffer of @len bytes available for the device to write, and rings. */
void vc_give(unsigned int queue, uint32_t len);
/* Takes a chain that the device wrote. Returns its length, or -1; @data has room for VC_BUFFER bytes. */
int vc_take(unsigned int queue, void *data);

/* Sends bytes on a queue in a buffer of their own. Returns whether the chain came back at once. */
bool vc_send(unsigned int queue, const void *data, uint32_t len);
void vc_control(uint32_t id, uint16_t event, uint16_t value);
/* The next control message is this one, with a body of @len bytes. */
void vc_told(uint32_t id, uint16_t event, uint16_t value, const void *body, size_t len);
void vc_told_nothing(void);

/* The driver gets to know all ports, and opens them. */
void vc_introduce(void);

#endif
