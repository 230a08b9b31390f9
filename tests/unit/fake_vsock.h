/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket device, the guest's side of it, and programs of the host. Buffers for receiving lie from VS_RX on, VS_BUFFER
 * bytes each; what is sent lies from VS_TX on.
 */
#ifndef EBB_TEST_FAKE_VSOCK_H
#define EBB_TEST_FAKE_VSOCK_H

#include "devices/virtio-vsock/vsock.h"
#include "tests/unit/fake_driver.h"

#define VS_V1	  (1ULL << 32)
#define VS_CID	  7
#define VS_RX	  BLOCKS_GPA
#define VS_BUFFER 4096U
#define VS_TX	  (BLOCKS_GPA + 16 * MIB)
#define VS_RING	  128
/* The credit that the guest gives. */
#define VS_ROOM 65536U

extern struct fake_driver vs_guest;
extern struct vsock vs;
extern struct loop vs_loop;

/* The connections that the guest's requests have asked for. */
struct vs_dialled {
	uint64_t call;
	uint32_t port;
};
extern struct vs_dialled vs_dialled[2 * VSOCK_CONNECTIONS_MAX];
extern unsigned int vs_dials;
extern int vs_dial_error; /* what the next ones return */

void vs_setup(void); /* with a driver, and buffers for it */
void vs_teardown(void);
void vs_plug(uint64_t cid); /* a new device, in place of none */
void vs_start(void);
bool vs_needs_reset(void);

/* Makes @n receive buffers available, and rings. */
void vs_give(unsigned int n);
/* Has the worker do all there is to do. */
void vs_work(void);

/* A packet of the guest's with the usual values, to be changed. */
struct vsock_packet vs_packet(uint16_t op, uint32_t guest_port, uint32_t host_port);
/* Sends it with @data, which is packet->len bytes in @pieces buffers; and the device takes it. */
void vs_send_packet(const struct vsock_packet *packet, const void *data, unsigned int pieces);
void vs_send(uint16_t op, uint32_t guest_port, uint32_t host_port);
void vs_send_data(uint32_t guest_port, uint32_t host_port, const void *data, uint32_t len);
void vs_send_shutdown(uint32_t guest_port, uint32_t host_port, uint32_t flags);

/* Takes the next packet for the guest, and gives its buffer again. Returns false if there is none. @data may be NULL. */
bool vs_get(struct vsock_packet *packet, uint8_t *data);
/* The next packet is @op of this connection. */
void vs_got(uint16_t op, uint32_t guest_port, uint32_t host_port, struct vsock_packet *packet);
void vs_got_nothing(void);

/* A program of the host that connects, without a word. Returns its socket, non-blocking. */
int vs_connect(void);
/* A program that is connected with the guest's @guest_port; sets *@host_port. */
int vs_connected(uint32_t guest_port, uint32_t *host_port);
/* The program that serves @host_port, and has accepted the guest's connection. */
int vs_served(uint32_t guest_port, uint32_t host_port);
/* Asserts that the program finds its connection ended. */
void vs_ended(int fd);
/* Reads up to @len bytes while the device works. Returns how many came. */
size_t vs_read(int fd, void *data, size_t len);

unsigned int vs_count(void); /* connections of all states */

#endif
