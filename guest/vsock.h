/* SPDX-License-Identifier: Apache-2.0 */
/* What guest programs need for sockets to the host: as in the kernel's <linux/vm_sockets.h>, which musl does not bring. */
#ifndef EBB_GUEST_VSOCK_H
#define EBB_GUEST_VSOCK_H

#include <sys/socket.h>

#define VSOCK_CID_ANY  0xffffffffU
#define VSOCK_CID_HOST 2U
/* An option of AF_VSOCK: a struct timeval. The kernel's own limit is two seconds, and a busy host may take longer. */
#define VSOCK_CONNECT_TIMEOUT 6
#define VSOCK_CONNECT_SECONDS 100

struct vsock_address {
	sa_family_t family;
	unsigned short reserved;
	unsigned int port, cid;
	unsigned char flags, zero[3];
};

#endif
