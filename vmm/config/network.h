/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's networks. The option is in network.c. */
#ifndef EBB_CONFIG_NETWORK_H
#define EBB_CONFIG_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#define VM_NETWORKS_MAX 4
#define VM_FORWARDS_MAX 8
#define VM_QUEUES_MAX	4

enum vm_network_mode {
	NETWORK_USER, /* by passt, without privileges */
	NETWORK_TAP,  /* an interface of the host, by name or as a descriptor */
};

/* Forwards a port of the host to a port of the guest. */
struct vm_forward {
	bool udp;
	char host[16]; /* the host's IPv4 address to listen on, or "": on all */
	uint16_t host_port, guest_port;
};

struct vm_network {
	enum vm_network_mode mode;
	bool mac_given;
	uint8_t mac[6];
	uint16_t mtu;	       /* 0: not given */
	char tapif[16];	       /* or "": the host chooses a name */
	unsigned int queues;   /* pairs of them, at least 1 */
	unsigned int fds;      /* as many as queues, or 0 */
	int fd[VM_QUEUES_MAX]; /* of an open tap */
	bool vhost;	       /* the host's kernel passes the frames */
	unsigned int forwards;
	struct vm_forward forward[VM_FORWARDS_MAX];
};

struct vm_networks {
	bool none;	 /* "-n none" is given */
	bool by_default; /* none is given: the only one is a user network, if passt can be started */
	unsigned int count;
	struct vm_network network[VM_NETWORKS_MAX]; /* in the order of the guest's interfaces */
};

#endif
