// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/riscv64/sbi.h"

#include "vmm/arch/fdt/layout.h"

#define UART_DATA	0
#define UART_LINE	5
#define UART_LINE_READY 0x01

#define NO_CHARACTER (-1)

static void put(const struct bus *mmio, uint8_t character)
{
	bus_write(mmio, FDT_SERIAL + UART_DATA, &character, 1);
}

/* Returns the next character that has arrived, or NO_CHARACTER. */
static int get(const struct bus *mmio)
{
	uint8_t line = 0, data = 0;
	bus_read(mmio, FDT_SERIAL + UART_LINE, &line, 1);
	if (!(line & UART_LINE_READY))
		return NO_CHARACTER;
	bus_read(mmio, FDT_SERIAL + UART_DATA, &data, 1);
	return data;
}

/* Arguments: the length, and both halves of the address; only 32-bit processors use the upper. */
static struct sbi_answer through_memory(const struct sbi_call *call, const struct bus *mmio,
					const struct ram *ram)
{
	uint64_t len = call->argument[0], gpa = call->argument[1];
	uint8_t text[SBI_DEBUG_MAX];
	size_t done = 0;

	if (len == 0)
		return (struct sbi_answer){0, 0};
	if (call->argument[2] != 0 || !ram_at(ram, gpa, len))
		return (struct sbi_answer){SBI_INVALID_PARAM, 0};
	if (len > sizeof(text))
		len = sizeof(text);
	if (call->function == SBI_DEBUG_WRITE) {
		if (ram_read(ram, gpa, text, len))
			return (struct sbi_answer){SBI_INVALID_PARAM, 0};
		while (done < len)
			put(mmio, text[done++]);
		return (struct sbi_answer){0, done};
	}
	for (int character; done < len && (character = get(mmio)) != NO_CHARACTER; done++)
		text[done] = (uint8_t)character;
	if (done > 0 && ram_write(ram, gpa, text, done))
		return (struct sbi_answer){SBI_INVALID_PARAM, 0};
	return (struct sbi_answer){0, done};
}

static struct sbi_answer debug_console(const struct sbi_call *call, const struct bus *mmio,
				       const struct ram *ram)
{
	switch (call->function) {
	case SBI_DEBUG_WRITE:
	case SBI_DEBUG_READ:
		return through_memory(call, mmio, ram);
	case SBI_DEBUG_WRITE_BYTE:
		put(mmio, (uint8_t)call->argument[0]);
		return (struct sbi_answer){0, 0};
	default:
		return (struct sbi_answer){SBI_NOT_SUPPORTED, 0};
	}
}

struct sbi_answer sbi_answer(const struct sbi_call *call, const struct bus *mmio,
			     const struct ram *ram)
{
	switch (call->extension) {
	case SBI_PUTCHAR:
		put(mmio, (uint8_t)call->argument[0]);
		return (struct sbi_answer){0, 0};
	case SBI_GETCHAR:
		return (struct sbi_answer){get(mmio), 0};
	case SBI_DEBUG:
		return debug_console(call, mmio, ram);
	default:
		return (struct sbi_answer){SBI_NOT_SUPPORTED, 0};
	}
}
