/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets between the guest and programs of the host. The option is in vsock.c. */
#ifndef EBB_CONFIG_VSOCK_H
#define EBB_CONFIG_VSOCK_H

#include <stdbool.h>
#include <stdint.h>

/* A path that, with "_" and ten digits behind it, still is a socket's address. */
#define VM_VSOCK_PATH_MAX 96
/* 0 to 2 and 2^32 - 1 have meanings of their own (virtio 1.2 §5.10.4). */
#define VM_VSOCK_CID_MIN 3
#define VM_VSOCK_CID_MAX (UINT32_MAX - 1)

struct vm_vsock {
	bool wanted;
	bool login; /* for `ebb ssh`: without a path, it is in the runtime directory; and a key for root */
	const char *key; /* the key's file, or NULL: the user's own */
	uint32_t cid;
	char path[VM_VSOCK_PATH_MAX + 1]; /* or "" */
	bool vhost;			  /* the host's kernel serves the sockets; no path */
};

#endif
