/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a payload is made of: a tiny guest without a kernel, whose C code runs in ring 3 with all
 * memory mapped one to one and all ports open (start.S).
 *
 * A payload is a table of tests; `test=NAME` on its command line picks one, else all run. Each says
 * "ok NAME" or "FAIL NAME: why" on the serial port; at the end the machine is powered off.
 */
#ifndef EBB_TESTS_PAYLOAD_H
#define EBB_TESTS_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB  (1ULL << 10)
#define MIB  (1ULL << 20)
#define GIB  (1ULL << 30)
#define PAGE 4096ULL

/* The PC, as its drivers know it; not taken from the VMM's headers: this is the other opinion. */
#define PORT_SERIAL	 0x3f8
#define PORT_RESET	 0x64
#define PORT_PVPANIC	 0x505
#define PORT_PM1_EVENT	 0x600
#define PORT_PM1_CONTROL 0x604
#define HOLE		 (3 * GIB)
#define HOLE_END	 (4 * GIB)

/* --- the tests -------------------------------------------------------------------------------- */

struct test {
	const char *name;
	void (*run)(void);
};

/* By each payload: ends with a test without a name. */
extern const struct test tests[];

/* By a payload that has something to do in ring 0, at the very start of each CPU; emulated on some hosts. */
void ring0_hook(unsigned int cpu);

/* Ends the test that it is in, with the reason, unless @condition holds. In void functions. */
#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			test_fail(__VA_ARGS__);                                                    \
			return;                                                                    \
		}                                                                                  \
	} while (0)

/* The test has failed; the first reason is said. */
__attribute__((format(printf, 1, 2))) void test_fail(const char *format, ...);
bool test_failed(void);

/* --- the console ------------------------------------------------------------------------------ */

/* Knows %s, %c, %d, %u, %x, %lu, %lx and %%. */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);

/* Says "wait WHAT" and waits until the host sends a byte: it may look at us meanwhile. */
void wait_for_host(const char *what);

/* Whether the host has sent a byte, which is taken. */
bool host_sent(void);

/* --- what it was started with ----------------------------------------------------------------- */

const char *command_line(void);

/* The value of `NAME=` on the command line up to the next space; NULL where there is none. */
const char *parameter(const char *name);
bool parameter_is(const char *name, const char *value);
uint64_t parameter_number(const char *name, uint64_t otherwise);

/* Reads a number, decimal or 0x…; *@text goes on to what follows. */
uint64_t number_at(const char **text);

struct memory {
	uint64_t gpa, size;
};

/* RAM as the memory map has it: entry @i, from 0 on. Returns false where there are no more. */
bool memory_map(unsigned int i, struct memory *ram);

/* All of the payload lies below; from there to the first RAM region's end, memory is free. */
uint64_t memory_free(void);

/* --- the machine ------------------------------------------------------------------------------ */

_Noreturn void poweroff(void);

/* How often the device's interrupt came since the start. */
extern volatile uint32_t interrupts;

/* How often it came while an earlier one was still being handled, which it must not. */
extern volatile uint32_t interrupts_nested;

/* How many ticks of the clock its handler lasts, with interrupts disabled; 0 at the start. */
extern volatile uint32_t interrupt_length;

/* Has the I/O APIC deliver @gsi, as an edge. */
void interrupt_enable(unsigned int gsi);

/* Starts the second CPU, in @run. Returns false where it does not come. */
bool cpu1_run(void (*run)(void));

/*
 * A clock that has a limit: false, once some 10 seconds have passed since *@start was 0, or so many
 * ticks as `limit=` says.
 */
bool in_time(uint64_t *start);

/* Waits for @condition; ends the test where it does not come true in time. In void functions. */
#define WAIT_FOR(condition, ...)                                                                   \
	do {                                                                                       \
		uint64_t wait_start = 0;                                                           \
		while (!(condition))                                                               \
			CHECK(in_time(&wait_start), __VA_ARGS__);                                  \
	} while (0)

#define barrier() __asm__ volatile("" ::: "memory")
#define fence()	  __sync_synchronize()

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "d"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" ::"a"(value), "d"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "d"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "d"(port));
	return value;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;
	__asm__ volatile("inw %1, %0" : "=a"(value) : "d"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
	return value;
}

/* Plain moves, whatever the compiler would make of it: not every instruction can be an MMIO access. */
static inline void mmio_write32(uint64_t gpa, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" ::"r"(value), "r"(gpa) : "memory");
}

static inline uint32_t mmio_read32(uint64_t gpa)
{
	uint32_t value;
	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
	return value;
}

static inline uint64_t load64(uint64_t gpa)
{
	return *(volatile uint64_t *)gpa;
}

static inline void store64(uint64_t gpa, uint64_t value)
{
	*(volatile uint64_t *)gpa = value;
}

static inline uint64_t clock_ticks(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

void *memset(void *to, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);

#endif
