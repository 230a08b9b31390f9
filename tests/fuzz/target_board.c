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

struct access {
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
static uint64_t plic_offset(const struct access *access)
{
	return (access->offset * 64ULL + access->width / 4 * 4) % PLIC_SIZE(CONTEXTS);
}

static void step(const struct access *access, struct serial *serial, struct cmos *cmos,
		 struct goldfish *goldfish, struct plic *plic)
{
	unsigned int len = 1u << access->width % 4;
	uint8_t bytes[8] = {0};

	memcpy(bytes, &access->value, sizeof(access->value));
	switch (access->what % 9) {
	case 0:
		serial_write(serial, access->offset % SERIAL_SIZE, bytes, len);
		break;
	case 1:
		serial_read(serial, access->offset % SERIAL_SIZE, bytes, len);
		break;
	case 2:
		MUST(serial_receive(serial, bytes, access->offset % 8) <= 8);
		break;
	case 3:
		serial_break(serial, bytes[0]);
		break;
	case 4:
		cmos_write(cmos, access->offset % CMOS_SIZE, bytes[0]);
		cmos_read(cmos, access->offset / 2 % CMOS_SIZE,
			  (int64_t)access->value << access->width % 32);
		break;
	case 5:
		goldfish_read(goldfish, access->offset % GOLDFISH_SIZE, access->value);
		pl031_read(access->offset % PL031_SIZE, access->value);
		break;
	case 6:
		plic_line(plic, access->offset, access->value & 1);
		break;
	case 7:
		plic_write(plic, plic_offset(access), bytes, len);
		break;
	default:
		plic_read(plic, plic_offset(access), bytes, len);
	}
	MUST(serial->count <= SERIAL_FIFO && serial->first < SERIAL_FIFO);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serial serial;
	struct cmos cmos;
	struct goldfish goldfish = {0};
	struct plic plic;
	struct access access;

	host_reset();
	memset(level, 0, sizeof(level));
	serial_init(&serial, &serial_host);
	cmos_init(&cmos);
	MUST(plic_init(&plic, CONTEXTS, plic_interrupt, NULL) == 0);
	for (; size >= sizeof(access); data += sizeof(access), size -= sizeof(access)) {
		memcpy(&access, data, sizeof(access));
		step(&access, &serial, &cmos, &goldfish, &plic);
	}
	plic_release(&plic);
	serial_release(&serial);
	return 0;
}
