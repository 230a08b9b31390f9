// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/arm64/state.h"

#include "devices/rtc/pl031.h"
#include "vmm/arch/fdt/layout.h"

#define IRQ_SPI	       0
#define IRQ_PPI	       1
#define IRQ_EDGE       1 /* rising */
#define IRQ_LEVEL_HIGH 4

static void write_cpus(struct fdt_tree *tree, const struct arch_state *state)
{
	fdt_node(tree, "cpus");
	fdt_u32(tree, "#address-cells", 2);
	fdt_u32(tree, "#size-cells", 0);
	for (unsigned int i = 0; i < state->cpus; i++) {
		fdt_node_at(tree, "cpu", state->mpidr[i]);
		fdt_text(tree, "device_type", "cpu");
		fdt_text(tree, "compatible", "arm,armv8");
		fdt_text(tree, "enable-method", "psci");
		fdt_u64(tree, "reg", state->mpidr[i]);
		fdt_end(tree);
	}
	fdt_end(tree);
}

static void write_gic(struct fdt_tree *tree, const struct arch_state *state)
{
	const struct gpa_range v2[] = {{ARM64_GICD, ARM64_GICD_SIZE},
				       {ARM64_GICC, ARM64_GICC_SIZE}};
	const struct gpa_range v3[] = {{ARM64_GICD, ARM64_GICD_SIZE},
				       {ARM64_GICR, (uint64_t)state->cpus * ARM64_GICR_SIZE}};

	fdt_node_at(tree, "interrupt-controller", ARM64_GICD);
	fdt_text(tree, "compatible", state->gic_version == 3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
	fdt_reg(tree, state->gic_version == 3 ? v3 : v2, 2);
	fdt_flag(tree, "interrupt-controller");
	fdt_u32(tree, "#interrupt-cells", 3);
	fdt_u32(tree, "#address-cells", 0);
	fdt_u32(tree, "phandle", FDT_PHANDLE_IRQ);
	fdt_end(tree);
}

/* For a GICv2 the flags name the target CPUs: all of the eight that it can have. */
static uint32_t ppi_flags(const struct arch_state *state)
{
	return IRQ_LEVEL_HIGH | (state->gic_version == 2 ? 0xff00 : 0);
}

static void write_timer(struct fdt_tree *tree, const struct arch_state *state)
{
	/* The private interrupts of the secure, non-secure, virtual and hypervisor timers. */
	static const uint32_t ppi[] = {13, 14, 11, 10};
	uint32_t flags = ppi_flags(state);
	uint32_t cell[12];

	for (unsigned int i = 0; i < 4; i++) {
		cell[3 * i] = IRQ_PPI;
		cell[3 * i + 1] = ppi[i];
		cell[3 * i + 2] = flags;
	}
	fdt_node(tree, "timer");
	fdt_text(tree, "compatible", "arm,armv8-timer");
	fdt_u32(tree, "interrupt-parent", FDT_PHANDLE_IRQ);
	fdt_cells(tree, "interrupts", cell, 12);
	fdt_flag(tree, "always-on");
	fdt_end(tree);
}

static void write_pmu(struct fdt_tree *tree, const struct arch_state *state)
{
	const uint32_t line[] = {IRQ_PPI, ARM64_PPI_PMU, ppi_flags(state)};
	fdt_node(tree, "pmu");
	fdt_text(tree, "compatible", "arm,armv8-pmuv3");
	fdt_u32(tree, "interrupt-parent", FDT_PHANDLE_IRQ);
	fdt_cells(tree, "interrupts", line, 3);
	fdt_end(tree);
}

static void write_psci(struct fdt_tree *tree)
{
	static const char compatible[] = "arm,psci-1.0\0arm,psci-0.2";
	fdt_node(tree, "psci");
	fdt_bytes(tree, "compatible", compatible, sizeof(compatible));
	fdt_text(tree, "method", "hvc");
	fdt_end(tree);
}

/* Linux finds a PrimeCell only if its node names the clock of its registers; any clock does. */
static void write_clock(struct fdt_tree *tree)
{
	static const char compatible[] = "arm,pl031\0arm,primecell";
	const struct gpa_range place = {FDT_CLOCK, PL031_SIZE};

	fdt_node(tree, "apb-pclk");
	fdt_text(tree, "compatible", "fixed-clock");
	fdt_u32(tree, "#clock-cells", 0);
	fdt_u32(tree, "clock-frequency", 24000000);
	fdt_u32(tree, "phandle", FDT_PHANDLE_CLOCK);
	fdt_end(tree);

	fdt_node_at(tree, "rtc", place.gpa);
	fdt_bytes(tree, "compatible", compatible, sizeof(compatible));
	fdt_reg(tree, &place, 1);
	fdt_u32(tree, "clocks", FDT_PHANDLE_CLOCK);
	fdt_text(tree, "clock-names", "apb_pclk");
	fdt_end(tree);
}

static void nodes(struct fdt_tree *tree, void *ctx)
{
	const struct arch_state *state = ctx;
	write_cpus(tree, state);
	write_gic(tree, state);
	write_timer(tree, state);
	if (state->pmu)
		write_pmu(tree, state);
	write_psci(tree);
	write_clock(tree);
}

static unsigned int irq(void *ctx, unsigned int gsi, bool edge, uint32_t *cell)
{
	(void)ctx;
	cell[0] = IRQ_SPI;
	cell[1] = gsi;
	cell[2] = edge ? IRQ_EDGE : IRQ_LEVEL_HIGH;
	return 3;
}

struct fdt_arch arm64_tree(struct arch_state *state)
{
	return (struct fdt_arch){state, nodes, irq};
}
