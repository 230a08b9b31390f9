/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC's real-time clock and the memory beside it (Motorola MC146818): an index port, a data port,
 * 128 bytes behind them. It cannot be set, the time is the host's; and its alarm and its periodic
 * interrupt never come. An update is never in progress: each register is worked out as it is read, so
 * that a kernel's usual check, the seconds before and after, is what keeps a time together.
 *
 * Thread: any; two vCPUs that use the ports at once are the guest's to keep apart.
 * Source: MC146818 data sheet; ACPI 6.4 §5.2.9, CENTURY.
 */
#ifndef EBB_RTC_CMOS_H
#define EBB_RTC_CMOS_H

#include <stdatomic.h>
#include <stdint.h>

#define CMOS_SIZE    2	  /* ports: index, data */
#define CMOS_CENTURY 0x32 /* the register that the FADT is to name */

struct cmos {
	_Atomic uint8_t index;
	_Atomic uint8_t byte[128]; /* what was written, where that is not the clock's */
};

void cmos_init(struct cmos *cmos);

/* One byte from or to the port at @offset (0 or 1); the time is @seconds after 1970 began. */
uint8_t cmos_read(struct cmos *cmos, uint64_t offset, int64_t seconds);
void cmos_write(struct cmos *cmos, uint64_t offset, uint8_t value);

#endif
