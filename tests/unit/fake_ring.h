/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An io_uring that is none (the runner is linked with --wrap): jobs are done by the calls of the disk's image, which a
 * test can make fail, and come back when and in the order that the test says.
 */
#ifndef EBB_TEST_FAKE_RING_H
#define EBB_TEST_FAKE_RING_H

#include <stdbool.h>

struct fake_ring {
	bool on;	/* otherwise rings are real */
	bool refused;	/* with @on: the host has none */
	bool holds;	/* what was done does not come back yet */
	bool late;	/* what is held comes back as the turn ends, while the bell is still off */
	bool backwards; /* what was done last comes back first */
	unsigned int most_out; /* jobs that were out at once */
	unsigned int patient;  /* jobs for a thread that may wait */
};

extern struct fake_ring fake_ring;

/* Lets what is held come back, and rings the bell. */
void fake_ring_let_go(void);

#endif
