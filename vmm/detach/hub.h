/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A detached guest's console: keeps the end of its output, and passes it on to the clients that
 * `ebb console` connects; the oldest client that has not closed its side has the guest's input.
 *
 * Clients are processes of this user, but may stop to read: the output is kept once, in a ring, and
 * each client has a place in it. A client that falls behind by more than the ring misses output and
 * is told so; neither the guest nor another client waits for it.
 *
 * Each client first gets one byte: HUB_WRITES or HUB_WATCHES.
 *
 * Thread: the one of the loop.
 */
#ifndef EBB_DETACH_HUB_H
#define EBB_DETACH_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/loop.h"

#define HUB_CLIENTS_MAX 8
#define HUB_KEPT	65536 /* bytes of output that a new client is shown */
#define HUB_INPUT	4096

#define HUB_WRITES  'w' /* this client has the guest's input */
#define HUB_WATCHES 'r'

struct hub;

struct hub_client {
	struct hub *hub;
	struct loop_source source; /* fd: -1: this place is free */
	uint64_t at;		   /* its place in the output: bytes since the start */
	uint64_t serial;	   /* when it came */
	enum { HUB_IGNORED, HUB_READ, HUB_WRITTEN } waits; /* what the loop waits for */
	bool greeted;					   /* the first byte is sent */
	bool writes;					   /* it has not closed its side */
};

struct hub {
	struct loop *loop;
	struct loop_source listener;
	struct loop_source input; /* the guest's standard input: a pipe, non-blocking */
	bool input_waits;	  /* for room in the pipe */
	uint64_t clients;	  /* that ever came */
	uint64_t end;		  /* of the output: bytes since the start */
	struct hub_client client[HUB_CLIENTS_MAX];
	uint8_t held[HUB_INPUT]; /* input that the pipe has no room for */
	size_t held_count;
	uint8_t kept[HUB_KEPT]; /* byte n of the output is at n modulo HUB_KEPT */
};

/* @input: the guest's standard input, non-blocking; the hub takes it over. */
void hub_init(struct hub *hub, struct loop *loop, int input);
/* Serves the clients of a listening socket, non-blocking, which the hub takes over. Returns 0 or -errno. */
int hub_listen(struct hub *hub, int listener);
/* Sends each client as much as it takes at once, and closes. May be called twice. */
void hub_release(struct hub *hub);

/* Keeps and passes on output of the guest. */
void hub_output(struct hub *hub, const uint8_t *data, size_t len);

#endif
