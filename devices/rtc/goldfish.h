/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real-time clock of riscv64 machines, Android's "goldfish". It always has the host's time and
 * cannot be set. It has no alarm: the interrupt that its driver requires is never raised. Writes have no
 * effect.
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
	_Atomic uint32_t high; /* high half of the time whose low half was read last */
};

/* Returns the register at @offset. @ns: the time since the start of 1970. */
uint32_t goldfish_read(struct goldfish *clock, uint64_t offset, uint64_t ns);

#endif
