/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real-time clock of arm64 machines: its registers at a given time. It always has the host's time and
 * cannot be set. It has no alarm. Writes have no effect.
 *
 * Pure. Thread: any. Source: ARM PrimeCell Real Time Clock (PL031) Technical Reference Manual, chapter 3.
 */
#ifndef EBB_RTC_PL031_H
#define EBB_RTC_PL031_H

#include <stdint.h>

#define PL031_SIZE 0x1000 /* bytes of address space */

/* Returns the register at @offset. @seconds: the time since the start of 1970. */
uint32_t pl031_read(uint64_t offset, uint32_t seconds);

#endif
