// SPDX-License-Identifier: Apache-2.0
/* What an arm64 guest, and any guest with a device tree, is told of its machine. */
#include <check.h>
#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tree.h"
#include "vmm/arch/arm64/state.h"
#include "vmm/arch/fdt/layout.h"
#include "vmm/arch/fdt/platform.h"
#include "vmm/arch/platform.h"

#define GIB 0x40000000ULL

static void *arm64_tree_of(struct arch_state *state, uint64_t size, unsigned int cpus,
			   unsigned int version)
{
	state->cpus = cpus;
	state->gic_version = version;
	/* As KVM numbers them: 16 in a cluster. */
	for (unsigned int i = 0; i < cpus; i++)
		state->mpidr[i] = (i & 15) | (i >> 4) << 8;
	const struct fdt_arch arch = arm64_tree(state);
	return tree_of(size, cpus, &arch);
}

START_TEST(every_tree_pleases_dtc)
{
	static const unsigned int cpus[] = {1, 2, 8, 17, ARM64_CPUS_MAX};
	struct arch_state *state = calloc(1, sizeof(*state));
	for (unsigned int version = 2; version <= 3; version++) {
		void *tree = arm64_tree_of(state, GIB, cpus[_i], version);
		tree_check(tree);
		free(tree);
	}
	free(state);
}
END_TEST

START_TEST(the_shared_part_is_there)
{
	struct arch_state *state = calloc(1, sizeof(*state));
	void *tree = arm64_tree_of(state, 300 * GIB, 2, 3);

	TREE_CELLS(tree, "/memory@80000000", "reg", 0, 0x80000000, 300 * GIB >> 32,
		   (uint32_t)(300 * GIB));
	tree_has_text(tree, "/chosen", "bootargs", "console=ttyS0 earlycon");
	tree_has_text(tree, "/chosen", "stdout-path", "/serial@1000000");
	TREE_CELLS(tree, "/chosen", "linux,initrd-start", 0, 0x82000000);
	TREE_CELLS(tree, "/chosen", "linux,initrd-end", 0, 0x82001234);
	TREE_CELLS(tree, "/chosen", "kaslr-seed", 0x08070605, 0x04030201);
	tree_has_text(tree, "/serial@1000000", "compatible", "ns16550a");
	TREE_CELLS(tree, "/serial@1000000", "reg", 0, 0x1000000, 0, 8);
	TREE_CELLS(tree, "/serial@1000000", "interrupts", 0, FDT_GSI_SERIAL, 4);
	tree_has_text(tree, "/virtio_mmio@2001000", "compatible", "virtio,mmio");
	TREE_CELLS(tree, "/virtio_mmio@2001000", "reg", 0, 0x2001000, 0, 0x1000);
	TREE_CELLS(tree, "/virtio_mmio@2001000", "interrupts", 0, FDT_GSI_VIRTIO + 1, 1);
	TREE_CELLS(tree, "/rtc@1002000", "reg", 0, FDT_CLOCK, 0, 0x1000);
	tree_has_text(tree, "/rtc@1002000", "compatible", "arm,pl031");
	TREE_CELLS(tree, "/rtc@1002000", "clocks", FDT_PHANDLE_CLOCK);
	TREE_CELLS(tree, "/apb-pclk", "phandle", FDT_PHANDLE_CLOCK);
	TREE_CELLS(tree, "/gpio-keys/power-button", "interrupts", 0, FDT_GSI_POWER, 1);
	TREE_CELLS(tree, "/gpio-keys/power-button", "linux,code", 116);
	tree_has_text(tree, "/pvpanic@1001000", "compatible", "qemu,pvpanic-mmio");
	free(tree);
	free(state);
}
END_TEST

START_TEST(processors_and_controller_are_there)
{
	struct arch_state *state = calloc(1, sizeof(*state));
	void *tree = arm64_tree_of(state, GIB, 18, 3);

	TREE_CELLS(tree, "/cpus/cpu@101", "reg", 0, 0x101);
	tree_has_text(tree, "/cpus/cpu@101", "enable-method", "psci");
	tree_has_text(tree, "/psci", "method", "hvc");
	tree_has_text(tree, "/interrupt-controller@8000000", "compatible", "arm,gic-v3");
	TREE_CELLS(tree, "/interrupt-controller@8000000", "reg", 0, ARM64_GICD, 0, 0x10000, 0,
		   ARM64_GICR, 0, 18 * 0x20000);
	TREE_CELLS(tree, "/timer", "interrupts", 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4);
	ck_assert_int_lt(fdt_path_offset(tree, "/pmu"), 0);
	free(tree);
	state->pmu = true;
	tree = arm64_tree_of(state, GIB, 2, 3);
	TREE_CELLS(tree, "/pmu", "interrupts", 1, 7, 4);
	tree_has_text(tree, "/pmu", "compatible", "arm,armv8-pmuv3");
	free(tree);
	tree = arm64_tree_of(state, GIB, 8, 2);
	tree_has_text(tree, "/interrupt-controller@8000000", "compatible", "arm,cortex-a15-gic");
	TREE_CELLS(tree, "/interrupt-controller@8000000", "reg", 0, ARM64_GICD, 0, 0x10000, 0,
		   ARM64_GICC, 0, 0x2000);
	free(tree);
	free(state);
}
END_TEST

static void endless(struct fdt_tree *tree, void *ctx)
{
	char text[4096];
	(void)ctx;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned int i = 0; i < 1000; i++)
		fdt_text(tree, "endless", text);
}

static void scattered(struct fdt_tree *tree, void *ctx)
{
	const struct gpa_range ranges[17] = {{0}};
	(void)ctx;
	fdt_reg(tree, ranges, 17);
}

static unsigned int no_cell(void *ctx, unsigned int gsi, bool edge, uint32_t *cell)
{
	(void)ctx, (void)gsi, (void)edge, (void)cell;
	return 0;
}

START_TEST(what_does_not_fit_is_refused)
{
	const struct ram ram = {.region = {{FDT_RAM, GIB, NULL}}, .regions = 1};
	const uint8_t seed[FDT_SEED_SIZE] = {0};
	const struct fdt_machine machine = {.ram = &ram, .params = "", .seed = seed, .cpus = 1};
	void *data = malloc(FDT_TREE_SIZE(1));

	ck_assert_int_eq(fdt_tree_build(data, &machine, &(struct fdt_arch){NULL, endless, no_cell}),
			 -ENOSPC);
	ck_assert_int_eq(
		fdt_tree_build(data, &machine, &(struct fdt_arch){NULL, scattered, no_cell}),
		-EINVAL);
	free(data);
}
END_TEST

START_TEST(memory_is_one_piece_from_2_gib)
{
	struct gpa_range span[RAM_REGIONS_MAX];

	ck_assert_int_eq(fdt_ram_layout(16 << 20, 32, span), 1);
	ck_assert_uint_eq(span[0].gpa, 2 * GIB);
	ck_assert_int_eq(fdt_ram_layout(2 * GIB, 32, span), 1);
	ck_assert_int_eq(fdt_ram_layout(2 * GIB + 1, 32, span), -E2BIG);
	ck_assert_int_eq(fdt_ram_layout(1022 * GIB, 40, span), 1);
	ck_assert_uint_eq(span[0].len, 1022 * GIB);
	ck_assert_int_eq(fdt_ram_layout(1022 * GIB + 1, 40, span), -E2BIG);
	ck_assert_int_eq(fdt_ram_layout(UINT64_MAX, 64, span), -E2BIG);
	ck_assert_int_eq(fdt_ram_layout(1, 31, span), -E2BIG);

	ck_assert_uint_eq(fdt_gpa_bits_needed(16 << 20), 32);
	ck_assert_uint_eq(fdt_gpa_bits_needed(2 * GIB), 32);
	ck_assert_uint_eq(fdt_gpa_bits_needed(2 * GIB + 1), 33);
	ck_assert_uint_eq(fdt_gpa_bits_needed(1022 * GIB), 40);
	ck_assert_uint_eq(fdt_gpa_bits_needed(1022 * GIB + 1), 41);
	ck_assert_uint_eq(fdt_gpa_bits_needed(UINT64_MAX), 64);
}
END_TEST

static void powered(void *ctx, enum arch_power what)
{
	*(int *)ctx = 1 + (int)what;
}

START_TEST(panic_is_told)
{
	struct bus mmio = {0};
	int told = 0;
	struct arch_platform platform = {.ctx = &told, .power = powered};
	uint32_t value = 0;

	ck_assert_int_eq(platform_pvpanic(&platform, &mmio, FDT_PVPANIC, FDT_PVPANIC_SIZE), 0);
	bus_read(&mmio, FDT_PVPANIC, &value, 1);
	ck_assert_uint_eq(value, 1); /* the event that it takes */
	value = 2;		     /* a crash kernel will do the rest */
	bus_write(&mmio, FDT_PVPANIC, &value, 1);
	ck_assert_int_eq(told, 0);
	value = 1;
	bus_write(&mmio, FDT_PVPANIC + 1, &value, 1);
	ck_assert_int_eq(told, 0);
	bus_write(&mmio, FDT_PVPANIC, &value, 1);
	ck_assert_int_eq(told, 1 + ARCH_PANIC);
}
END_TEST

Suite *arm64_tree_suite(void);
Suite *arm64_tree_suite(void)
{
	Suite *suite = suite_create("arm64_tree");
	TCase *tcase = tcase_create("arm64_tree");
	tcase_add_loop_test(tcase, every_tree_pleases_dtc, 0, 5);
	tcase_add_test(tcase, the_shared_part_is_there);
	tcase_add_test(tcase, processors_and_controller_are_there);
	tcase_add_test(tcase, what_does_not_fit_is_refused);
	tcase_add_test(tcase, memory_is_one_piece_from_2_gib);
	tcase_add_test(tcase, panic_is_told);
	suite_add_tcase(suite, tcase);
	return suite;
}
