/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves a stream of bytes from one descriptor to another through a bounded buffer: reads only while
 * there is room, so that a slow reader slows the writer, and never waits. Used on the host and, in
 * the agent, in the guest: it includes nothing of ebb's. Thread: any, one at a time.
 */
#ifndef EBB_AGENT_PUMP_H
#define EBB_AGENT_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PUMP_SIZE 65536

/* Returns the bytes written, or -errno; must not wait. */
typedef ssize_t pump_write(void *ctx, int fd, const void *data, size_t size);

struct pump {
	int from, to; /* the owner's; -1: none, and the pump stands still */
	bool ended;   /* nothing more comes from @from */
	bool broken;  /* nothing more goes to @to */
	size_t head, size;
	pump_write *write;
	void *ctx;
	char data[PUMP_SIZE];
};

/* @write: NULL for write(2). Both descriptors must not block, or only after poll(2) says otherwise. */
void pump_init(struct pump *pump, int from, int to, pump_write *write, void *ctx);

/* Whether all that came has gone, or cannot go. */
bool pump_done(const struct pump *pump);

/* Fills in what to wait for: two entries. */
void pump_wait(const struct pump *pump, struct pollfd poll[2]);

/* Moves what can be moved, after poll(2) with these entries. Returns the bytes read, which begin at *@read. */
size_t pump_move(struct pump *pump, const struct pollfd poll[2], const char **read);

#endif
