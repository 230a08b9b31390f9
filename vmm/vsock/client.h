/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's side of a guest's socket: connects to a port of the guest (devices/virtio-vsock/README.md has the protocol,
 * which is Firecracker's), or by AF_VSOCK, where the host's kernel connects them.
 *
 * Thread: any; each call waits, up to its limit.
 */
#ifndef EBB_VSOCK_CLIENT_H
#define EBB_VSOCK_CLIENT_H

#include <stdint.h>

/*
 * Connects to the port @port of the guest at @address: the whole path of its socket, which may be longer than a socket's
 * address; or its CID in decimal, if the host's kernel serves its sockets. Returns a non-blocking stream, the caller's, or
 * -errno: -ECONNRESET if nothing listens at that port of the guest; -ETIMEDOUT if clock_ms() is @deadline before there is an
 * answer; -EPROTO if a path is not a guest's; or what connect(2) says of @address.
 */
int vsock_client_connect(const char *address, uint32_t port, int64_t deadline);

#endif
