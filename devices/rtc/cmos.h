/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC's real-time clock and the memory beside it (Motorola MC146818): an index port, a data port,
 * 128 bytes behind them. It always has the host's time and cannot be set; its alarm and its periodic
 * interrupt never occur. An update is never in progress: each register is computed when it is read, so a
 * kernel gets a consistent time by its usual check of the seconds before and after.
 *
 * Thread: any; the guest itself must serialize two vCPUs that use the ports.
 * Source: MC146818 data sheet; ACPI 6.4 §5.2.9, CENTURY.
 */
#ifndef EBB_RTC_CMOS_H
#define EBB_RTC_CMOS_H

#include <stdatomic.h>
#include <stdint.h>

#include "vmm/lib/record.h"

#define CMOS_SIZE    2	  /* ports: index, data */
#define CMOS_CENTURY 0x32 /* the register that the FADT names */

struct cmos {
	_Atomic uint8_t index;
	_Atomic uint8_t byte[128]; /* the guest's data; unused for the clock's registers */
};

void cmos_init(struct cmos *cmos);

/*
 * Read or write one byte of the port at @offset (0 or 1). @seconds: the time since the start of
 * 1970.
 */
uint8_t cmos_read(struct cmos *cmos, uint64_t offset, int64_t seconds);
void cmos_write(struct cmos *cmos, uint64_t offset, uint8_t value);

/* Write and read the index and the memory. While no vCPU runs. */
void cmos_save(const struct cmos *cmos, struct record *record);
void cmos_restore(struct cmos *cmos, struct record_in *in);

#endif
