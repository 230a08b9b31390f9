// SPDX-License-Identifier: Apache-2.0
/* What a riscv64 guest is told of its machine, beside what all with a device tree are. */
#include <check.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tree.h"
#include "vmm/arch/fdt/layout.h"
#include "vmm/arch/riscv64/state.h"

#define GIB 0x40000000ULL

/* rv64imafdc with Zicsr, Zifencei and Sstc, by KVM's numbers. */
static struct arch_state *state_of(unsigned int cpus, int aia)
{
	static const unsigned int has[] = {5, 6, 0, 3, 2, 1, 20, 21, 8};
	struct arch_state *state = calloc(1, sizeof(*state));
	state->cpus = cpus;
	state->aia = aia;
	state->ids = 255;
	state->cpu = (struct riscv64_cpu){.timebase = 10000000, .satp = 9, .cboz = 64};
	for (unsigned int i = 0; i < sizeof(has) / sizeof(has[0]); i++)
		state->cpu.has[has[i]] = true;
	return state;
}

START_TEST(every_tree_pleases_dtc)
{
	static const unsigned int cpus[] = {1, 2, 17, RISCV64_CPUS_MAX};
	for (int aia = -1; aia <= 0; aia++) {
		struct arch_state *state = state_of(cpus[_i], aia);
		/* All that a processor can have, and that it has room. */
		memset(state->cpu.has, 1, sizeof(state->cpu.has));
		const struct fdt_arch arch = riscv64_tree(state);
		void *tree = tree_of(GIB, state->cpus, &arch);
		tree_check(tree);
		free(tree);
		free(state);
	}
}
END_TEST

START_TEST(the_isa_is_spelled_in_order)
{
	struct arch_state *state = state_of(1, -1);
	char text[1024];

	riscv64_isa(&state->cpu, text, sizeof(text));
	ck_assert_str_eq(text, "rv64imafdc_sstc_zicsr_zifencei");
	state->cpu.has[15] = state->cpu.has[4] = true; /* V; H is not told to a guest */
	riscv64_isa(&state->cpu, text, sizeof(text));
	ck_assert_str_eq(text, "rv64imafdcv_sstc_zicsr_zifencei");
	memset(state->cpu.has, 1, sizeof(state->cpu.has));
	size_t whole = riscv64_isa(&state->cpu, text, sizeof(text));
	ck_assert_uint_lt(whole, sizeof(text));
	for (size_t size = 1; size < 64; size++) {
		memset(text, 0x55, sizeof(text));
		riscv64_isa(&state->cpu, text, size);
		ck_assert_uint_lt(strlen(text), size);
		ck_assert_int_eq(text[size], 0x55);
	}
	free(state);
}
END_TEST

START_TEST(a_plic_is_told_of)
{
	struct arch_state *state = state_of(2, -1);
	const struct fdt_arch arch = riscv64_tree(state);
	void *tree = tree_of(GIB, 2, &arch);
	int len;

	TREE_CELLS(tree, "/cpus", "timebase-frequency", 10000000);
	TREE_CELLS(tree, "/cpus/cpu@1", "reg", 1);
	tree_has_text(tree, "/cpus/cpu@1", "mmu-type", "riscv,sv48");
	TREE_CELLS(tree, "/cpus/cpu@1", "riscv,cboz-block-size", 64);
	tree_has_text(tree, "/cpus/cpu@1", "riscv,isa", "rv64imafdc_sstc_zicsr_zifencei");
	int cpu = fdt_path_offset(tree, "/cpus/cpu@0");
	ck_assert_int_eq(fdt_stringlist_search(tree, cpu, "riscv,isa-extensions", "zicsr"), 7);
	ck_assert_ptr_null(fdt_getprop(tree, cpu, "riscv,cbom-block-size", &len));
	TREE_CELLS(tree, "/cpus/cpu@1/interrupt-controller", "phandle", FDT_PHANDLE_CPU(1));
	/* It would be its own ancestor's child: Linux finds no controller then. */
	ck_assert_ptr_null(fdt_getprop(tree, 0, "interrupt-parent", &len));

	tree_has_text(tree, "/interrupt-controller@c000000", "compatible", "sifive,plic-1.0.0");
	TREE_CELLS(tree, "/interrupt-controller@c000000", "reg", 0, RISCV64_PLIC, 0, 0x202000);
	TREE_CELLS(tree, "/interrupt-controller@c000000", "interrupts-extended", FDT_PHANDLE_CPU(0),
		   9, FDT_PHANDLE_CPU(1), 9);
	TREE_CELLS(tree, "/interrupt-controller@c000000", "riscv,ndev", 31);
	TREE_CELLS(tree, "/serial@1000000", "interrupts", FDT_GSI_SERIAL);
	tree_has_text(tree, "/rtc@1002000", "compatible", "google,goldfish-rtc");
	TREE_CELLS(tree, "/rtc@1002000", "reg", 0, FDT_CLOCK, 0, 0x1000);
	TREE_CELLS(tree, "/rtc@1002000", "interrupts", FDT_GSI_CLOCK);
	free(tree);
	free(state);
}
END_TEST

START_TEST(an_aia_is_told_of)
{
	struct arch_state *state = state_of(2, 0);
	const struct fdt_arch arch = riscv64_tree(state);
	void *tree = tree_of(GIB, 2, &arch);

	tree_has_text(tree, "/interrupt-controller@28000000", "compatible", "riscv,imsics");
	TREE_CELLS(tree, "/interrupt-controller@28000000", "reg", 0, RISCV64_IMSIC, 0, 0x2000);
	TREE_CELLS(tree, "/interrupt-controller@28000000", "riscv,num-ids", 255);
	tree_has_text(tree, "/interrupt-controller@d000000", "compatible", "riscv,aplic");
	TREE_CELLS(tree, "/interrupt-controller@d000000", "msi-parent", FDT_PHANDLE_MSI);
	TREE_CELLS(tree, "/virtio_mmio@2000000", "interrupts", FDT_GSI_VIRTIO, 1);
	TREE_CELLS(tree, "/serial@1000000", "interrupts", FDT_GSI_SERIAL, 4);
	TREE_CELLS(tree, "/rtc@1002000", "interrupts", FDT_GSI_CLOCK, 4);
	free(tree);
	free(state);
}
END_TEST

Suite *riscv64_tree_suite(void);
Suite *riscv64_tree_suite(void)
{
	Suite *suite = suite_create("riscv64_tree");
	TCase *tcase = tcase_create("riscv64_tree");
	tcase_add_loop_test(tcase, every_tree_pleases_dtc, 0, 4);
	tcase_add_test(tcase, the_isa_is_spelled_in_order);
	tcase_add_test(tcase, a_plic_is_told_of);
	tcase_add_test(tcase, an_aia_is_told_of);
	suite_add_tcase(suite, tcase);
	return suite;
}
