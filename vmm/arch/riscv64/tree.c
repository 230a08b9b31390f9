// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "vmm/arch/fdt/layout.h"
#include "vmm/arch/riscv64/state.h"

#define IRQ_EDGE	    1 /* rising */
#define IRQ_LEVEL_HIGH	    4
#define SUPERVISOR_EXTERNAL 9 /* a processor's interrupt, numbered as in scause */

#define ISA_MAX 1024

/* Indexed by enum KVM_RISCV_ISA_EXT_ID, a stable interface; guests see no other extensions. */
static const char *const names[] = {
	"a",	    "c",       "d",	    "f",	   "h",	     "i",	 "m",
	"svpbmt",   "sstc",    "svinval",   "zihintpause", "zicbom", "zicboz",	 "zbb",
	"ssaia",    "v",       "svnapot",   "zba",	   "zbs",    "zicntr",	 "zicsr",
	"zifencei", "zihpm",   "smstateen", "zicond",	   "zbc",    "zbkb",	 "zbkc",
	"zbkx",	    "zknd",    "zkne",	    "zknh",	   "zkr",    "zksed",	 "zksh",
	"zkt",	    "zvbb",    "zvbc",	    "zvkb",	   "zvkg",   "zvkned",	 "zvknha",
	"zvknhb",   "zvksed",  "zvksh",	    "zvkt",	   "zfh",    "zfhmin",	 "zihintntl",
	"zvfh",	    "zvfhmin", "zfa",	    "ztso",	   "zacas",  "sscofpmf", "zimop",
	"zca",	    "zcb",     "zcd",	    "zcf",	   "zcmop",  "zawrs",	 "smnpm",
	"ssnpm",    "svade",   "svadu",	    "svvptc",	   "zabha",  "ziccrse",	 "zaamo",
	"zalrsc",
};
const unsigned int riscv64_extensions = sizeof(names) / sizeof(names[0]);
_Static_assert(sizeof(names) / sizeof(names[0]) <= RISCV64_EXTENSIONS_MAX, "more room");

/* In the specification's order, without the hypervisor extension, which guests do not get. */
static const char letters[] = "imafdcv";

static bool has(const struct riscv64_cpu *cpu, const char *name, size_t len)
{
	for (unsigned int i = 0; i < riscv64_extensions; i++)
		if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
			return cpu->has[i];
	return false;
}

size_t riscv64_isa(const struct riscv64_cpu *cpu, char *out, size_t size)
{
	size_t used = snprintf(out, size, "rv64");
	for (const char *letter = letters; *letter; letter++)
		if (has(cpu, letter, 1) && used < size)
			used += snprintf(out + used, size - used, "%c", *letter);
	for (unsigned int i = 0; i < riscv64_extensions; i++)
		if (cpu->has[i] && names[i][1] && used < size)
			used += snprintf(out + used, size - used, "_%s", names[i]);
	return used;
}

/* Writes the same names as a list of strings, each with its final zero, for newer kernels. */
static void write_extensions(struct fdt_tree *tree, const struct riscv64_cpu *cpu)
{
	char list[ISA_MAX];
	size_t used = 0;
	for (const char *letter = letters; *letter; letter++)
		if (has(cpu, letter, 1)) {
			list[used++] = *letter;
			list[used++] = '\0';
		}
	for (unsigned int i = 0; i < riscv64_extensions; i++)
		if (cpu->has[i] && names[i][1])
			used += snprintf(list + used, sizeof(list) - used, "%s", names[i]) + 1;
	fdt_text(tree, "riscv,isa-base", "rv64i");
	fdt_bytes(tree, "riscv,isa-extensions", list, used);
}

static void write_cpu(struct fdt_tree *tree, const struct riscv64_cpu *cpu, unsigned int index)
{
	char isa[ISA_MAX];
	riscv64_isa(cpu, isa, sizeof(isa));

	fdt_node_at(tree, "cpu", index);
	fdt_text(tree, "device_type", "cpu");
	fdt_text(tree, "compatible", "riscv");
	fdt_u32(tree, "reg", index);
	fdt_text(tree, "riscv,isa", isa);
	write_extensions(tree, cpu);
	fdt_text(tree, "mmu-type",
		 cpu->satp == 10  ? "riscv,sv57"
		 : cpu->satp == 9 ? "riscv,sv48"
				  : "riscv,sv39");
	if (cpu->cbom)
		fdt_u32(tree, "riscv,cbom-block-size", (uint32_t)cpu->cbom);
	if (cpu->cboz)
		fdt_u32(tree, "riscv,cboz-block-size", (uint32_t)cpu->cboz);
	fdt_node(tree, "interrupt-controller");
	fdt_text(tree, "compatible", "riscv,cpu-intc");
	fdt_flag(tree, "interrupt-controller");
	fdt_u32(tree, "#interrupt-cells", 1);
	fdt_u32(tree, "#address-cells", 0);
	fdt_u32(tree, "phandle", FDT_PHANDLE_CPU(index));
	fdt_end(tree);
	fdt_end(tree);
}

static void write_cpus(struct fdt_tree *tree, const struct arch_state *state)
{
	fdt_node(tree, "cpus");
	fdt_u32(tree, "#address-cells", 1);
	fdt_u32(tree, "#size-cells", 0);
	fdt_u32(tree, "timebase-frequency", (uint32_t)state->cpu.timebase);
	for (unsigned int i = 0; i < state->cpus; i++)
		write_cpu(tree, &state->cpu, i);
	fdt_end(tree);
}

/* Writes that the controller interrupts each processor. */
static void write_targets(struct fdt_tree *tree, unsigned int cpus)
{
	uint32_t cell[2 * RISCV64_CPUS_MAX];
	for (unsigned int i = 0; i < cpus; i++) {
		cell[2 * i] = FDT_PHANDLE_CPU(i);
		cell[2 * i + 1] = SUPERVISOR_EXTERNAL;
	}
	fdt_cells(tree, "interrupts-extended", cell, 2 * (size_t)cpus);
}

static void write_controller(struct fdt_tree *tree, const char *compatible, struct gpa_range place,
			     uint32_t cells)
{
	fdt_node_at(tree, "interrupt-controller", place.gpa);
	fdt_text(tree, "compatible", compatible);
	fdt_reg(tree, &place, 1);
	fdt_flag(tree, "interrupt-controller");
	fdt_u32(tree, "#interrupt-cells", cells);
	fdt_u32(tree, "#address-cells", 0);
}

static void write_plic(struct fdt_tree *tree, const struct arch_state *state)
{
	write_controller(tree, "sifive,plic-1.0.0",
			 (struct gpa_range){RISCV64_PLIC, PLIC_SIZE(state->cpus)}, 1);
	write_targets(tree, state->cpus);
	fdt_u32(tree, "riscv,ndev", PLIC_SOURCES - 1);
	fdt_u32(tree, "phandle", FDT_PHANDLE_IRQ);
	fdt_end(tree);
}

static void write_aia(struct fdt_tree *tree, const struct arch_state *state)
{
	write_controller(tree, "riscv,imsics",
			 (struct gpa_range){RISCV64_IMSIC, 0x1000ULL * state->cpus}, 0);
	fdt_flag(tree, "msi-controller");
	fdt_u32(tree, "#msi-cells", 0);
	write_targets(tree, state->cpus);
	fdt_u32(tree, "riscv,num-ids", state->ids);
	fdt_u32(tree, "phandle", FDT_PHANDLE_MSI);
	fdt_end(tree);

	write_controller(tree, "riscv,aplic", (struct gpa_range){RISCV64_APLIC, 0x4000}, 2);
	fdt_u32(tree, "msi-parent", FDT_PHANDLE_MSI);
	fdt_u32(tree, "riscv,num-sources", FDT_GSI_END - 1);
	fdt_u32(tree, "phandle", FDT_PHANDLE_IRQ);
	fdt_end(tree);
}

static void write_clock(struct fdt_tree *tree, const struct arch_state *state)
{
	const struct gpa_range place = {FDT_CLOCK, GOLDFISH_SIZE};
	const uint32_t line[] = {FDT_GSI_CLOCK, IRQ_LEVEL_HIGH};

	fdt_node_at(tree, "rtc", place.gpa);
	fdt_text(tree, "compatible", "google,goldfish-rtc");
	fdt_reg(tree, &place, 1);
	fdt_u32(tree, "interrupt-parent", FDT_PHANDLE_IRQ);
	fdt_cells(tree, "interrupts", line, state->aia >= 0 ? 2 : 1);
	fdt_end(tree);
}

static void nodes(struct fdt_tree *tree, void *ctx)
{
	const struct arch_state *state = ctx;
	write_cpus(tree, state);
	if (state->aia >= 0)
		write_aia(tree, state);
	else
		write_plic(tree, state);
	write_clock(tree, state);
}

static unsigned int irq(void *ctx, unsigned int gsi, bool edge, uint32_t *cell)
{
	const struct arch_state *state = ctx;
	cell[0] = gsi;
	cell[1] = edge ? IRQ_EDGE : IRQ_LEVEL_HIGH;
	return state->aia >= 0 ? 2 : 1;
}

struct fdt_arch riscv64_tree(struct arch_state *state)
{
	return (struct fdt_arch){state, nodes, irq};
}
