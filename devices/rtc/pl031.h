/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real-time clock of arm64 machines: what its registers read as at a given time. It cannot be set,
 * the time is the host's; and it has no alarm. What is written changes nothing.
 *
 * Pure. Thread: any. Source: ARM PrimeCell Real Time Clock (PL031) Technical Reference Manual, chapter 3.
 */
#ifndef EBB_RTC_PL031_H
#define EBB_RTC_PL031_H

#include <stdint.h>

#define PL031_SIZE 0x1000 /* bytes of address space */

/* The register at @offset, @seconds after 1970 began. */
uint32_t pl031_read(uint64_t offset, uint32_t seconds);

#endif
