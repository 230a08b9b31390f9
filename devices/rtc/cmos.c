// SPDX-License-Identifier: Apache-2.0
#include "devices/rtc/cmos.h"

#include <string.h>
#include <time.h>

enum {
	SECONDS = 0x00,
	MINUTES = 0x02,
	HOURS = 0x04,
	WEEKDAY = 0x06,
	DAY = 0x07,
	MONTH = 0x08,
	YEAR = 0x09,
	REGISTER_A = 0x0a,
	REGISTER_B = 0x0b,
	REGISTER_C = 0x0c,
	REGISTER_D = 0x0d,
};

#define INDEX_MASK 0x7f /* the highest bit of the index port masks the NMI */

#define A_UPDATES 0x80 /* an update is in progress */
#define A_RESET	  0x26 /* 32768 Hz, 1024 interrupts a second */
#define B_24_HOUR 0x02
#define B_BINARY  0x04
#define D_VALID	  0x80
#define PM	  0x80

void cmos_init(struct cmos *cmos)
{
	memset(cmos, 0, sizeof(*cmos));
	cmos->byte[REGISTER_A] = A_RESET;
	cmos->byte[REGISTER_B] = B_24_HOUR;
	/* The C library's first conversion reads a file, which a vCPU's thread may not. */
	tzset();
}

static uint8_t number(int value, uint8_t control)
{
	return control & B_BINARY ? value : value / 10 << 4 | value % 10;
}

static uint8_t hours(int hour, uint8_t control)
{
	if (control & B_24_HOUR)
		return number(hour, control);
	int twelve = hour % 12 ? hour % 12 : 12;
	return number(twelve, control) | (hour >= 12 ? PM : 0);
}

static uint8_t read_register(const struct cmos *cmos, uint8_t index, int64_t seconds)
{
	uint8_t control = cmos->byte[REGISTER_B];
	time_t now = seconds;
	struct tm time;
	if (!gmtime_r(&now, &time))
		memset(&time, 0, sizeof(time));
	int year = time.tm_year + 1900;

	switch (index) {
	case SECONDS:
		return number(time.tm_sec, control);
	case MINUTES:
		return number(time.tm_min, control);
	case HOURS:
		return hours(time.tm_hour, control);
	case WEEKDAY:
		return number(time.tm_wday + 1, control);
	case DAY:
		return number(time.tm_mday, control);
	case MONTH:
		return number(time.tm_mon + 1, control);
	case YEAR:
		return number(year % 100, control);
	case CMOS_CENTURY:
		return number(year / 100 % 100, control);
	case REGISTER_A:
		return cmos->byte[index] & ~A_UPDATES;
	case REGISTER_C:
		return 0; /* no interrupt has occurred */
	case REGISTER_D:
		return D_VALID;
	default:
		return cmos->byte[index];
	}
}

uint8_t cmos_read(struct cmos *cmos, uint64_t offset, int64_t seconds)
{
	return offset == 0 ? cmos->index : read_register(cmos, cmos->index, seconds);
}

void cmos_write(struct cmos *cmos, uint64_t offset, uint8_t value)
{
	if (offset == 0)
		cmos->index = value & INDEX_MASK;
	else
		cmos->byte[cmos->index] = value;
}

void cmos_save(const struct cmos *cmos, struct record *record)
{
	record_u8(record, cmos->index);
	for (size_t i = 0; i < sizeof(cmos->byte); i++)
		record_u8(record, cmos->byte[i]);
}

void cmos_restore(struct cmos *cmos, struct record_in *in)
{
	cmos->index = record_take_u8(in) & INDEX_MASK;
	for (size_t i = 0; i < sizeof(cmos->byte); i++)
		cmos->byte[i] = record_take_u8(in);
}
