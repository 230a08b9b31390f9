/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket to a backend: one message out, one reply in, each with a time limit. Descriptors that a
 * backend sends are refused by the host's kernel: nothing here gives it room for them.
 *
 * Thread: any, one at a time.
 */
#ifndef EBB_VHOST_USER_CHANNEL_H
#define EBB_VHOST_USER_CHANNEL_H

#include "devices/vhost-user/message.h"

/* The most descriptors that go with one message: one for each region of RAM. */
#define CHANNEL_FDS_MAX RAM_REGIONS_MAX

/*
 * Send @message, with the @fds descriptors of @fd, to the non-blocking stream socket @socket; read
 * exactly @len bytes. Both wait until @deadline (clock_ns()). They return 0, -ETIMEDOUT, -EPIPE if
 * the backend is gone, or another -errno.
 */
int channel_send(int socket, const struct vhost_user_message *message, const int *fd,
		 unsigned int fds, uint64_t deadline);
int channel_receive(int socket, uint8_t *data, size_t len, uint64_t deadline);

/*
 * Looks at a connection on which no reply is due. Returns 0, -EPIPE if the backend is gone, or
 * -EPROTO if it says something that nobody asked for. Does not wait.
 */
int channel_check(int socket);

/*
 * Waits until the backend has closed its end. What it sent is dropped. Returns false if it has not
 * at @deadline.
 */
bool channel_wait_closed(int socket, uint64_t deadline);

#endif
