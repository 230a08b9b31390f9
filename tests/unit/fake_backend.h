/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend of vhost-user on a thread of its own, at one end of a pair of sockets. It serves what it
 * is given as the protocol has it, and maps guest memory by the descriptors; or it lies.
 *
 * Each chain is answered as a FUSE server would: the header of an answer, without an error. One that has a
 * configuration space is a disk's, and answers with the status byte.
 */
#ifndef EBB_TEST_FAKE_BACKEND_H
#define EBB_TEST_FAKE_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/vhost-user/message.h"

#define BACKEND_QUEUES	 2
#define BACKEND_REQUESTS 64

enum lie {
	HONEST,
	SILENT,	      /* no reply */
	CLOSES,	      /* no reply, and the end */
	HALF,	      /* half a reply, then the end */
	WRONG_SIZE,   /* a reply with a payload of another size */
	HUGE_SIZE,    /* … of 4 GiB */
	WRONG_NUMBER, /* a reply to another request */
	NO_REPLY_FLAG,
	REFUSES,  /* the reply says that it failed */
	WITH_FDS, /* the right reply, with descriptors that nobody asked for */
};

struct fake_backend {
	int socket;
	enum lie lie;
	uint32_t lies_at; /* the request that it lies at */
	uint64_t features, protocol;
	const void *config; /* NULL: it has none */
	uint32_t config_len;
	_Atomic uint8_t status; /* of a disk's answers */
	/* What it does with chains. */
	atomic_bool waits;    /* takes none, until its kick is rung without this */
	atomic_bool holds;    /* takes them, and returns none */
	atomic_bool bad_used; /* returns a head that does not exist */

	/* What it saw. */
	atomic_uint requests;
	uint32_t request[BACKEND_REQUESTS];
	unsigned int fds[BACKEND_REQUESTS];
	atomic_uint taken, returned;

	/* Its own. */
	pthread_t thread;
	bool runs;
	int stop;
	unsigned int regions;
	struct {
		uint64_t user, size;
		uint8_t *map;
		size_t map_size;
		uint64_t offset;
	} region[8];
	struct {
		uint32_t size;
		uint64_t desc, avail, used;
		uint16_t next_avail, next_used;
		int kick, call;
	} queue[BACKEND_QUEUES];
};

/* Starts it; returns the other end of its socket, which is non-blocking. */
int fake_backend_start(struct fake_backend *backend);
/* Ends it at once, as if it were killed. Harmless if it has ended. */
void fake_backend_kill(struct fake_backend *backend);

#endif
