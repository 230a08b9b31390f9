// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>

#include "payload.h"

#define SERIAL_DATA	   (PORT_SERIAL + 0)
#define SERIAL_LINE_STATUS (PORT_SERIAL + 5)
#define LINE_RECEIVED	   0x01

/* Of struct boot_params (Documentation/arch/x86/zero-page.rst). */
#define PARAMS_MAP_ENTRIES  0x1e8
#define PARAMS_COMMAND_LINE 0x228
#define PARAMS_MAP	    0x2d0
#define MAP_ENTRY_SIZE	    20
#define MAP_RAM		    1

#define IOAPIC		    0xfec00000ULL
#define IOAPIC_SELECT	    (IOAPIC + 0x00)
#define IOAPIC_WINDOW	    (IOAPIC + 0x10)
#define IOAPIC_REDIRECTION  0x10 /* two registers a line */
#define LOCAL_APIC	    0xfee00000ULL
#define APIC_SPURIOUS	    (LOCAL_APIC + 0xf0)
#define APIC_COMMAND	    (LOCAL_APIC + 0x300)
#define APIC_COMMAND_TARGET (LOCAL_APIC + 0x310)
#define APIC_ENABLED	    0x100
#define APIC_INIT	    0x4500
#define APIC_STARTUP	    0x4600

#define VECTOR_PROTECTION 13
#define VECTOR_INTERRUPT  0x30
#define VECTOR_SPURIOUS	  0xff
#define EXCEPTIONS	  32
#define EXCEPTION_STEP	  16

#define TRAMPOLINE 0x10000 /* see start.S */

/* Of the slowest clock that counts: nothing here is about time, only about not waiting for ever. */
#define TICKS_MAX 20000000000ULL

struct exception_frame {
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct discard_gate {
	uint16_t offset_low, selector, type, offset_middle;
	uint32_t offset_high, reserved;
};

/* Shared with start.S. */
extern struct discard_gate idt[256];
extern char payload_end[], interrupt_entry[], protection_entry[], exception_entries[];
extern char trampoline[], trampoline_end[];
const uint8_t *boot_params;
volatile uint32_t interrupts, interrupts_nested, interrupt_length;
_Noreturn void payload_start(void);
_Noreturn void payload_cpu1(void);
_Noreturn void exception(const struct exception_frame *frame);

static const char *current; /* the test that runs */
static bool failed;
static void (*volatile cpu1_function)(void);
static volatile bool cpu1_runs;

/* --- C's own ----------------------------------------------------------------------------------- */

void *memset(void *to, int value, size_t size)
{
	void *at = to;
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	void *at = to;
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size)::"memory");
	return to;
}

static size_t length(const char *text)
{
	size_t n = 0;
	while (text[n])
		n++;
	return n;
}

/* Whether @text begins with @with. */
static bool begins(const char *text, const char *with)
{
	while (*with && *text == *with)
		text++, with++;
	return !*with;
}

/* --- the console ------------------------------------------------------------------------------- */

static void put(char c)
{
	out8(SERIAL_DATA, c);
}

static void put_number(uint64_t value, unsigned int base)
{
	char digits[24];
	unsigned int n = 0;
	do
		digits[n++] = "0123456789abcdef"[value % base];
	while ((value /= base) != 0);
	while (n > 0)
		put(digits[--n]);
}

/* One of print()'s: returns how many characters of @format it was. */
static unsigned int put_conversion(const char *format, va_list *args)
{
	bool wide = *format == 'l';
	unsigned int n = wide;
	switch (format[n]) {
	case 's':
		for (const char *text = va_arg(*args, const char *); *text; text++)
			put(*text);
		break;
	case 'c':
		put(va_arg(*args, int));
		break;
	case 'd':
	case 'u':
		put_number(wide ? va_arg(*args, uint64_t) : va_arg(*args, unsigned int), 10);
		break;
	case 'x':
		put('0');
		put('x');
		put_number(wide ? va_arg(*args, uint64_t) : va_arg(*args, unsigned int), 16);
		break;
	default:
		put(format[n]);
	}
	return n + 1;
}

static void print_list(const char *format, va_list *args)
{
	while (*format) {
		if (*format != '%')
			put(*format++);
		else
			format += 1 + put_conversion(format + 1, args);
	}
}

void print(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	print_list(format, &args);
	va_end(args);
}

void wait_for_host(const char *what)
{
	print("wait %s\n", what);
	while (!host_sent())
		__asm__ volatile("pause");
}

bool host_sent(void)
{
	if (!(in8(SERIAL_LINE_STATUS) & LINE_RECEIVED))
		return false;
	in8(SERIAL_DATA);
	return true;
}

/* --- what it was started with ------------------------------------------------------------------- */

const char *command_line(void)
{
	uint32_t gpa;
	memcpy(&gpa, boot_params + PARAMS_COMMAND_LINE, sizeof(gpa));
	return (const char *)(uintptr_t)gpa;
}

const char *parameter(const char *name)
{
	for (const char *at = command_line(); *at; at++) {
		if (begins(at, name) && at[length(name)] == '=')
			return at + length(name) + 1;
		while (*at && *at != ' ')
			at++;
		if (!*at)
			break;
	}
	return NULL;
}

bool parameter_is(const char *name, const char *value)
{
	const char *given = parameter(name);
	if (!given || !begins(given, value))
		return false;
	char end = given[length(value)];
	return end == '\0' || end == ' ';
}

uint64_t number_at(const char **text)
{
	unsigned int base = begins(*text, "0x") ? 16 : 10;
	uint64_t value = 0;
	if (base == 16)
		*text += 2;
	for (;; ++*text) {
		char c = **text;
		unsigned int digit = 16;
		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

uint64_t parameter_number(const char *name, uint64_t otherwise)
{
	const char *text = parameter(name);
	return text ? number_at(&text) : otherwise;
}

bool memory_map(unsigned int i, struct memory *ram)
{
	for (unsigned int entry = 0; entry < boot_params[PARAMS_MAP_ENTRIES]; entry++) {
		const uint8_t *at = boot_params + PARAMS_MAP + entry * MAP_ENTRY_SIZE;
		uint32_t type;
		memcpy(ram, at, sizeof(*ram));
		memcpy(&type, at + sizeof(*ram), sizeof(type));
		if (type == MAP_RAM && i-- == 0)
			return true;
	}
	return false;
}

uint64_t memory_free(void)
{
	return ((uint64_t)payload_end + 2 * MIB - 1) & ~(2 * MIB - 1);
}

/* --- interrupts, the other CPU, time ------------------------------------------------------------ */

static void gate_set(unsigned int vector, const char *entry)
{
	uint64_t offset = (uint64_t)entry;
	idt[vector] = (struct discard_gate){
		.offset_low = offset,
		.selector = 0x10,
		.type = 0x8e00, /* present, an interrupt gate, not for ring 3 to call */
		.offset_middle = offset >> 16,
		.offset_high = offset >> 32,
	};
}

static void gates_set(void)
{
	for (unsigned int i = 0; i < EXCEPTIONS; i++)
		gate_set(i, exception_entries + (size_t)i * EXCEPTION_STEP);
	gate_set(VECTOR_PROTECTION, protection_entry);
	gate_set(VECTOR_INTERRUPT, interrupt_entry);
	/* The two 8259s are not used. */
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

void interrupt_enable(unsigned int gsi)
{
	mmio_write32(APIC_SPURIOUS, APIC_ENABLED | VECTOR_SPURIOUS);
	mmio_write32(IOAPIC_SELECT, IOAPIC_REDIRECTION + 2 * gsi + 1);
	mmio_write32(IOAPIC_WINDOW, 0); /* to the CPU with the APIC id 0 */
	mmio_write32(IOAPIC_SELECT, IOAPIC_REDIRECTION + 2 * gsi);
	mmio_write32(IOAPIC_WINDOW, VECTOR_INTERRUPT);
}

void exception(const struct exception_frame *frame)
{
	print("\nFAIL %s: exception %lu, error %lx, at %lx\n", current ? current : "(start)",
	      frame->vector, frame->error, frame->rip);
	poweroff();
}

void payload_cpu1(void)
{
	cpu1_runs = true;
	cpu1_function();
	for (;;)
		__asm__ volatile("pause");
}

bool cpu1_run(void (*run)(void))
{
	uint64_t start = 0;

	memcpy((void *)TRAMPOLINE, trampoline, trampoline_end - trampoline);
	cpu1_function = run;
	fence();
	mmio_write32(APIC_SPURIOUS, APIC_ENABLED | VECTOR_SPURIOUS);
	mmio_write32(APIC_COMMAND_TARGET, 1U << 24);
	mmio_write32(APIC_COMMAND, APIC_INIT);
	mmio_write32(APIC_COMMAND_TARGET, 1U << 24);
	mmio_write32(APIC_COMMAND, APIC_STARTUP | TRAMPOLINE >> 12);
	while (!cpu1_runs)
		if (!in_time(&start))
			return false;
	return true;
}

bool in_time(uint64_t *start)
{
	uint64_t now = clock_ticks();
	if (*start == 0)
		*start = now;
	__asm__ volatile("pause");
	return now - *start < parameter_number("limit", TICKS_MAX);
}

_Noreturn void poweroff(void)
{
	out16(PORT_PM1_CONTROL, 5 << 10 | 1 << 13);
	for (;;)
		__asm__ volatile("pause");
}

/* --- the tests ---------------------------------------------------------------------------------- */

void test_fail(const char *format, ...)
{
	va_list args;
	if (!failed) {
		print("FAIL %s: ", current);
		va_start(args, format);
		print_list(format, &args);
		va_end(args);
		print("\n");
	}
	failed = true;
}

bool test_failed(void)
{
	return failed;
}

void payload_start(void)
{
	gates_set();
	for (const struct test *test = tests; test->name; test++) {
		if (parameter("test") && !parameter_is("test", test->name))
			continue;
		current = test->name;
		failed = false;
		test->run();
		if (!failed)
			print("ok %s\n", current);
	}
	poweroff();
}
