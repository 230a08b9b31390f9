// SPDX-License-Identifier: Apache-2.0
/*
 * The ways in which a guest ends. Each says "ending" and is then gone; what ebb makes of it is for
 * the host to see: test_ends.py
 */
#include "payload.h"

extern uint8_t idt[4096];

/* Waits for an end that may take a moment; whoever is still here after that has failed. */
static void expect_end(void)
{
	WAIT_FOR(false, "still running");
}

static void test_poweroff(void)
{
	print("ending\n");
	poweroff();
}

static void test_reset(void)
{
	print("ending\n");
	out8(PORT_RESET, 0xfe);
	expect_end();
}

/* As Linux does with panic=-1: it reports the panic, writes what it has not written yet, and resets. */
static void test_panic(void)
{
	out8(PORT_PVPANIC, 1);
	print("ending\n");
	out8(PORT_RESET, 0xfe);
	expect_end();
}

/* With panic=0 it stays as it is. */
static void test_panic_stands(void)
{
	print("ending\n");
	for (;;)
		out8(PORT_PVPANIC, 1);
}

/* No handler for the exception, none for what that raises, none for what that raises in turn. */
static void test_triple_fault(void)
{
	print("ending\n");
	memset(idt, 0, sizeof(idt));
	__asm__ volatile("mov $0x1234567, %%eax\n\tud2" ::: "rax");
}

/* The same of a kernel that can take interrupts: it means to reset. */
static void test_triple_fault_reset(void)
{
	interrupt_enable(16);
	test_triple_fault();
}

/* Handled in ring 0, before the tests: see below. */
static void test_unknown_instruction(void)
{
	test_fail("it was executed");
}

void ring0_hook(unsigned int cpu)
{
	(void)cpu;
	if (!parameter_is("test", "unknown-instruction"))
		return;
	print("ending\n");
	__asm__ volatile("int3");
}

const struct test tests[] = {
	{"poweroff", test_poweroff},
	{"reset", test_reset},
	{"panic", test_panic},
	{"panic-stands", test_panic_stands},
	{"triple-fault", test_triple_fault},
	{"triple-fault-reset", test_triple_fault_reset},
	{"unknown-instruction", test_unknown_instruction},
	{0},
};
