/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real-time clock of riscv64 machines, Android's "goldfish". It cannot be set, the time is the
 * host's; and its alarm never comes: the interrupt that its driver insists on is never raised. What is
 * written changes nothing.
 *
 * Thread: any. Source: include/clocksource/timer-goldfish.h of Linux.
 */
#ifndef EBB_RTC_GOLDFISH_H
#define EBB_RTC_GOLDFISH_H

#include <stdatomic.h>
#include <stdint.h>

#define GOLDFISH_SIZE 0x1000 /* bytes of address space */

/* All zero to start with. */
struct goldfish {
	_Atomic uint32_t high; /* of the time, as it was when its low half was read */
};

/* The register at @offset, @ns nanoseconds after 1970 began. */
uint32_t goldfish_read(struct goldfish *clock, uint64_t offset, uint64_t ns);

#endif
