/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's side of a guest's socket: connects to a port of the guest (devices/virtio-vsock/README.md has the protocol,
 * which is Firecracker's).
 *
 * Thread: any; each call waits, up to its limit.
 */
#ifndef EBB_VSOCK_CLIENT_H
#define EBB_VSOCK_CLIENT_H

#include <stdint.h>

/*
 * Connects to the port @port of the guest whose socket is @path, which may be longer than a socket's address. Returns a
 * non-blocking stream, the caller's, or -errno: -ECONNRESET if nothing listens at that port of the guest; -ETIMEDOUT if
 * clock_ms() is @deadline before there is an answer; -EPROTO if @path is not a guest's; or what connect(2) says of @path.
 */
int vsock_client_connect(const char *path, uint32_t port, int64_t deadline);

#endif
