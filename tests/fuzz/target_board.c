// SPDX-License-Identifier: Apache-2.0
/*
 * The board's small devices: the serial port with its terminal's side, the clock chips, the PLIC. Records
 * of 8 bytes: the device and what is done, the width, an offset, a value.
 */
#include <string.h>

#include "devices/rtc/cmos.h"
#include "devices/rtc/goldfish.h"
#include "devices/rtc/pl031.h"
#include "devices/serial/serial.h"
#include "tests/fuzz/host.h"
#include "vmm/arch/riscv64/plic.h"
#include "vmm/lib/clock.h"

#define CONTEXTS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct record {
	uint8_t what, width;
	uint16_t offset;
	uint32_t value;
};

static int line, level[CONTEXTS];

static void interrupt(void *ctx, int to)
{
	(void)ctx;
	MUST(to == 0 || to == 1);
	line = to;
}

static void transmit(void *ctx, const uint8_t *bytes, size_t len)
{
	(void)ctx;
	MUST(len > 0 && memchr(bytes, bytes[len - 1], len));
}

static void receive_ready(void *ctx)
{
	(void)ctx;
}

static void plic_interrupt(void *ctx, unsigned int context, bool to)
{
	(void)ctx;
	MUST(context < CONTEXTS && level[context] != to);
	level[context] = to;
}

static const struct serial_host serial_host = {NULL, interrupt, transmit, receive_ready};

/* 64 KiB of offsets reach all of the PLIC's 2 MiB in steps of 64; the width has the word. */
static uint64_t plic_offset(const struct record *record)
{
	return (record->offset * 64ULL + record->width / 4 * 4) % PLIC_SIZE(CONTEXTS);
}

static void step(const struct record *record, struct serial *serial, struct cmos *cmos,
		 struct goldfish *goldfish, struct plic *plic)
{
	unsigned int len = 1u << record->width % 4;
	uint8_t bytes[8] = {0};

	memcpy(bytes, &record->value, sizeof(record->value));
	switch (record->what % 9) {
	case 0:
		serial_write(serial, record->offset % SERIAL_SIZE, bytes, len);
		break;
	case 1:
		serial_read(serial, record->offset % SERIAL_SIZE, bytes, len);
		break;
	case 2:
		MUST(serial_receive(serial, bytes, record->offset % 8) <= 8);
		break;
	case 3:
		serial_break(serial, bytes[0]);
		break;
	case 4:
		cmos_write(cmos, record->offset % CMOS_SIZE, bytes[0]);
		cmos_read(cmos, record->offset / 2 % CMOS_SIZE,
			  (int64_t)record->value << record->width % 32);
		break;
	case 5:
		goldfish_read(goldfish, record->offset % GOLDFISH_SIZE, record->value);
		pl031_read(record->offset % PL031_SIZE, record->value);
		break;
	case 6:
		plic_line(plic, record->offset, record->value & 1);
		break;
	case 7:
		plic_write(plic, plic_offset(record), bytes, len);
		break;
	default:
		plic_read(plic, plic_offset(record), bytes, len);
	}
	MUST(serial->count <= SERIAL_FIFO && serial->first < SERIAL_FIFO);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serial serial;
	struct cmos cmos;
	struct goldfish goldfish = {0};
	struct plic plic;
	struct record record;

	host_reset();
	memset(level, 0, sizeof(level));
	serial_init(&serial, &serial_host);
	cmos_init(&cmos);
	MUST(plic_init(&plic, CONTEXTS, plic_interrupt, NULL) == 0);
	for (; size >= sizeof(record); data += sizeof(record), size -= sizeof(record)) {
		memcpy(&record, data, sizeof(record));
		step(&record, &serial, &cmos, &goldfish, &plic);
	}
	plic_release(&plic);
	serial_release(&serial);
	return 0;
}
