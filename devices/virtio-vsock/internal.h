/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this folder. Thread: any, with vsock->lock held, unless said otherwise. */
#ifndef EBB_VIRTIO_VSOCK_INTERNAL_H
#define EBB_VIRTIO_VSOCK_INTERNAL_H

#include <sys/uio.h>

#include "devices/virtio-vsock/vsock.h"

#define SHUT_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

static inline struct vsock *vsock_of(struct virtio_device *dev)
{
	return (struct vsock *)((char *)dev - offsetof(struct vsock, dev));
}

/* connection.c: the table. */

/* Returns a connection in @state, or NULL if there are too many. */
struct vsock_connection *vsock_take(struct vsock *vsock, enum vsock_state state);
/* Ends it without a word to the guest. */
void vsock_drop(struct vsock_connection *connection);
/* Ends it, and resets the guest's end if the guest knows of it. */
void vsock_break(struct vsock_connection *connection);
/* The ring for bytes that the socket does not take yet. Returns 0 or -errno. */
int vsock_make_buffer(struct vsock_connection *connection);
void vsock_free_buffer(struct vsock_connection *connection);
struct vsock_connection *vsock_find(struct vsock *vsock, uint32_t guest_port, uint32_t host_port);
void vsock_set_limit(struct vsock_connection *connection);
/* Remembers that it has something for the guest, if it does. */
void vsock_wake(struct vsock_connection *connection);
/* Returns a connection that may have a packet for the guest, in turn, or NULL. */
struct vsock_connection *vsock_next(struct vsock *vsock);
/* It has no packet for the guest now. */
void vsock_rest(struct vsock_connection *connection);
void vsock_add_reset(struct vsock *vsock, const struct vsock_reset *reset);

/* host.c: the sockets. */

/* vsock->listener: a program of the host connects. Takes the lock itself. */
void vsock_listener_rang(void *ctx);
/* vsock->timer. Takes the lock itself. */
void vsock_timer_rang(void *ctx);
/* Makes @fd its socket. Returns 0, or -errno with @fd closed. */
int vsock_adopt(struct vsock_connection *connection, int fd);
/* The guest has accepted the program's connection. */
void vsock_accepted(struct vsock_connection *connection);
/* Passes @len bytes, for which the guest had credit, on to the socket, or keeps them; may end the connection. */
void vsock_pass_on(struct vsock_connection *connection, struct iovec *iov, unsigned int n,
		   uint32_t len);
/* The guest does what @flags say no more (VIRTIO_VSOCK_SHUTDOWN_*); may end the connection. */
void vsock_shut(struct vsock_connection *connection, unsigned int flags);
/* The program of the host has written its last. */
void vsock_heard_end(struct vsock_connection *connection);

/* event.c: virtio_device_ops of the same names, without the lock; and work of the event queue. */
void vsock_save(struct virtio_device *dev, struct record *record);
int vsock_restore(struct virtio_device *dev, struct record_in *in);
int vsock_tell_event(struct vsock *vsock, struct virtq *q);

/* transmit.c, receive.c: virtio_device_ops.work of each queue. */
int vsock_transmit(struct vsock *vsock, struct virtq *q);
int vsock_receive(struct vsock *vsock, struct virtq *q);

#endif
