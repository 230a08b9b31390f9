// SPDX-License-Identifier: Apache-2.0
/* The PC's power, reset and panic ports, driven as a kernel does. */
#include <check.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/layout.h"

struct fixture {
	struct bus pio, mmio;
	struct arch_platform platform;
	int calls;
	enum arch_power last;
	int level; /* of the power interrupt */
};

static struct fixture f;

static void power(void *ctx, enum arch_power what)
{
	struct fixture *fixture = ctx;
	fixture->calls++;
	fixture->last = what;
}

static void interrupt(void *ctx, int level)
{
	struct fixture *fixture = ctx;
	fixture->level = level;
}

static void setup(void)
{
	memset(&f, 0, sizeof(f));
	f.platform.ctx = &f;
	f.platform.power = power;
	f.platform.interrupt = interrupt;
	ck_assert_int_eq(arch_platform_init(&f.platform, &f.pio, &f.mmio), 0);
}

static void teardown(void)
{
	arch_platform_release(&f.platform);
}

static void out(uint16_t port, uint32_t value, unsigned int len)
{
	bus_write(&f.pio, port, &value, len);
}

static uint32_t in(uint16_t port, unsigned int len)
{
	uint32_t value = 0;
	bus_read(&f.pio, port, &value, len);
	return value;
}

START_TEST(poweroff_is_s5_with_sleep_enable)
{
	out(0x604, 5 << 10, 2); /* ACPICA writes the type first, */
	ck_assert_int_eq(f.calls, 0);
	out(0x604, 4 << 10 | 1 << 13, 2); /* another state is not off */
	ck_assert_int_eq(f.calls, 0);
	out(0x604, 5 << 10 | 1 << 13, 2);
	ck_assert_int_eq(f.calls, 1);
	ck_assert_int_eq(f.last, ARCH_POWEROFF);
	ck_assert_uint_eq(in(0x604, 2), 1); /* ACPI is on */
}
END_TEST

START_TEST(reset_is_the_keyboard_controllers)
{
	ck_assert_uint_eq(in(0x64, 1) & 2, 0); /* ready for a command */
	out(0x64, 0xd1, 1);
	ck_assert_int_eq(f.calls, 0);
	out(0x64, 0xfe, 1);
	ck_assert_int_eq(f.calls, 1);
	ck_assert_int_eq(f.last, ARCH_RESET);
}
END_TEST

START_TEST(reset_is_the_chipsets)
{
	/* As Linux does it (reboot=pci): the kind first, then the reset; warm and cold. */
	for (unsigned int kind = 0x06; kind <= 0x0e; kind += 0x08) {
		f.calls = 0;
		uint32_t before = in(0xcf9, 1) & ~kind;
		out(0xcf9, before | 2, 1);
		ck_assert_int_eq(f.calls, 0);
		out(0xcf9, before | kind, 1);
		ck_assert_int_eq(f.calls, 1);
		ck_assert_int_eq(f.last, ARCH_RESET);
	}
	/* The PCI ports that it lies among. */
	f.calls = 0;
	out(0xcf8, 0x80000004, 4);
	ck_assert_uint_eq(in(0xcf8, 4), 0xffffffff);
	ck_assert_int_eq(f.calls, 0);
}
END_TEST

START_TEST(panic_is_told)
{
	ck_assert_uint_eq(in(0x505, 1), 1); /* the event that it takes */
	out(0x505, 2, 1);		    /* a crash kernel will do the rest */
	ck_assert_int_eq(f.calls, 0);
	out(0x505, 1, 1);
	ck_assert_int_eq(f.calls, 1);
	ck_assert_int_eq(f.last, ARCH_PANIC);
}
END_TEST

START_TEST(enabled_events_read_back)
{
	ck_assert_uint_eq(in(0x600, 4), 0);
	out(0x602, 0x0020, 2);
	ck_assert_uint_eq(in(0x602, 2), 0x0020);
	ck_assert_uint_eq(in(0x600, 4), 0x00200000);
	out(0x600, 0xffff, 2); /* acknowledges events, of which there are none */
	ck_assert_uint_eq(in(0x600, 2), 0);
	ck_assert_uint_eq(in(0x602, 2), 0x0020);
}
END_TEST

START_TEST(power_button_interrupts_who_listens)
{
	arch_power_button(&f.platform);
	ck_assert_uint_eq(in(0x600, 2), 0x0100);
	ck_assert_int_eq(f.level, 0); /* nobody asked for it yet */
	out(0x602, 0x0100, 2);
	ck_assert_int_eq(f.level, 1);
	out(0x600, 0x0020, 2); /* another event is acknowledged */
	ck_assert_int_eq(f.level, 1);
	out(0x600, 0x0100, 2);
	ck_assert_int_eq(f.level, 0);
	ck_assert_uint_eq(in(0x600, 4), 0x01000000);

	arch_power_button(&f.platform);
	ck_assert_int_eq(f.level, 1);
	out(0x602, 0, 2); /* a level: it goes when it is switched off, and is there again after */
	ck_assert_int_eq(f.level, 0);
	out(0x602, 0x0100, 2);
	ck_assert_int_eq(f.level, 1);
}
END_TEST

/* Low memory, of which only the firmware's is used here. */
static uint8_t low[LAYOUT_HIGH];
static const struct ram low_ram = {.region = {{0, sizeof(low), low}},
				   .regions = 1,
				   .page_size = 4096,
				   .file = -1,
				   .smaps = -1};

START_TEST(a_new_generation_interrupts_who_listens)
{
	uint8_t before[16];
	struct why why = {""};

	for (unsigned int i = 0; i < 2; i++) {
		memcpy(before, low + LAYOUT_GENERATION, sizeof(before));
		ck_assert_int_eq(arch_new_generation(&f.platform, &low_ram, &why), 0);
		ck_assert_mem_ne(before, low + LAYOUT_GENERATION, sizeof(before));
	}
	ck_assert_int_eq(f.level, 0); /* nobody asked for it yet */
	ck_assert_uint_eq(in(0x608, 1), 1);
	out(0x609, 0xff, 1);
	ck_assert_int_eq(f.level, 1);
	ck_assert_uint_eq(in(0x609, 1), 0xff);
	ck_assert_uint_eq(in(0x608, 2), 0xff01);
	/* The power button has the same line. */
	out(0x602, 0x0100, 2);
	arch_power_button(&f.platform);
	out(0x608, 0xfe, 1);
	out(0x600, 0x0100, 2);
	ck_assert_int_eq(f.level, 1);
	out(0x608, 1, 1);
	ck_assert_int_eq(f.level, 0);
	ck_assert_uint_eq(in(0x608, 1), 0);
}
END_TEST

Suite *platform_suite(void);
Suite *platform_suite(void)
{
	Suite *suite = suite_create("platform");
	TCase *tcase = tcase_create("platform");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, poweroff_is_s5_with_sleep_enable);
	tcase_add_test(tcase, reset_is_the_keyboard_controllers);
	tcase_add_test(tcase, reset_is_the_chipsets);
	tcase_add_test(tcase, panic_is_told);
	tcase_add_test(tcase, enabled_events_read_back);
	tcase_add_test(tcase, power_button_interrupts_who_listens);
	tcase_add_test(tcase, a_new_generation_interrupts_who_listens);
	suite_add_tcase(suite, tcase);
	return suite;
}
