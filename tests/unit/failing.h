/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations that fail: ebb's own (the linker's --wrap, see the Makefile) and jansson's. They are counted
 * together, in the order that they are made.
 *
 * Thread: any; a test that counts has one.
 */
#ifndef EBB_TESTS_FAILING_H
#define EBB_TESTS_FAILING_H

#include <stdbool.h>

/* From now on the @nth allocation (from 1) fails, once; 0: none does. Takes over jansson's allocator. */
void failing_arm(unsigned int nth);

/* Stops that. Returns whether an allocation has failed. */
bool failing_disarm(void);

#endif
