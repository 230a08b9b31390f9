// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/x86_64/acpi.h"

#include <string.h>

#include "devices/rtc/cmos.h"
#include "vmm/arch/x86_64/layout.h"

struct table {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t checksum_all;
	uint8_t reserved[3];
} __attribute__((packed));

#define RSDP_FIRST_PART 20

struct xsdt {
	struct table head;
	uint64_t entry[2];
} __attribute__((packed));

struct generic_address {
	uint8_t space; /* 1: port */
	uint8_t bits;
	uint8_t offset;
	uint8_t access; /* 1: byte, 2: word, 3: double word */
	uint64_t address;
} __attribute__((packed));

struct fadt {
	struct table head;
	uint32_t facs32, dsdt32;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0,
		gpe1;
	uint8_t pm1_event_len, pm1_control_len, pm2_control_len, pm_timer_len, gpe0_len, gpe1_len,
		gpe1_base, cst;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct generic_address reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor_revision;
	uint64_t facs, dsdt;
	struct generic_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control,
		x_pm2_control, x_pm_timer, x_gpe0, x_gpe1, sleep_control, sleep_status;
	uint64_t hypervisor;
} __attribute__((packed));

#define FADT_REVISION	    6
#define FADT_MINOR	    4
#define FADT_NO_VGA	    (1 << 2) /* boot_flags; that no 8042 is named there says there is none */
#define FADT_NO_MSI	    (1 << 3)
#define FADT_NO_ASPM	    (1 << 4)
#define FADT_WBINVD	    (1 << 0) /* flags */
#define FADT_NO_SLEEP_KEY   (1 << 5) /* bit 4 would be: no power button among PM1's events */
#define FADT_RESET_REGISTER (1 << 10)
#define FADT_C_LATENCY_NONE 0xffff

struct madt {
	struct table head;
	uint32_t local_apic;
	uint32_t flags; /* 1: there are two 8259s too */
} __attribute__((packed));

struct madt_cpu {
	uint8_t type, length, processor, apic_id;
	uint32_t flags; /* 1: enabled */
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

#define MADT_LEVEL_HIGH 0x000d
#define MADT_ALL_CPUS	0xff

/*
 * Scope (\_SB) {
 *   Device (PEVT) {
 *     Name (_HID, "QEMU0001")
 *     Name (_CRS, ResourceTemplate () { IO (Decode16, 0x505, 0x505, 1, 1) })
 *     Name (_STA, 0x0f)
 *   }
 * }
 * Name (\_S5, Package () { 5, 0, 0, 0 })
 */
static const uint8_t dsdt_aml[] = {
	/* Scope, 0x35 bytes, \_SB_ */
	0x10, 0x35, '\\', '_', 'S', 'B', '_',
	/* Device, 0x2c bytes, PEVT */
	0x5b, 0x82, 0x2c, 'P', 'E', 'V', 'T',
	/* Name _HID, a string */
	0x08, '_', 'H', 'I', 'D', 0x0d, 'Q', 'E', 'M', 'U', '0', '0', '0', '1', 0,
	/* Name _CRS, Buffer of 10: I/O descriptor, end tag */
	0x08, '_', 'C', 'R', 'S', 0x11, 0x0d, 0x0a, 0x0a, 0x47, 0x01, PORT_PVPANIC & 0xff,
	PORT_PVPANIC >> 8, PORT_PVPANIC & 0xff, PORT_PVPANIC >> 8, 0x01, 0x01, 0x79, 0x00,
	/* Name _STA, byte */
	0x08, '_', 'S', 'T', 'A', 0x0a, 0x0f,
	/* Name \_S5_, Package of 4 in 7 bytes */
	0x08, '\\', '_', 'S', '5', '_', 0x12, 0x07, 0x04, 0x0a, SLEEP_TYPE_S5, 0x00, 0x00, 0x00};

struct builder {
	uint8_t *out;
	uint64_t gpa;
	size_t size;
};

static uint8_t checksum(const void *data, size_t len)
{
	uint8_t sum = 0;
	for (size_t i = 0; i < len; i++)
		sum += ((const uint8_t *)data)[i];
	return -sum;
}

static struct table header(const char *signature, uint8_t revision)
{
	struct table head = {.revision = revision, .oem_revision = 1, .creator_revision = 1};
	memcpy(head.signature, signature, 4);
	memcpy(head.oem_id, "EBB   ", 6);
	memcpy(head.oem_table_id, "EBBVM   ", 8);
	memcpy(head.creator_id, "EBB ", 4);
	return head;
}

/* Appends, without any gap: each of our pieces is packed. */
static void put(struct builder *b, const void *data, size_t len)
{
	memcpy(b->out + b->size, data, len);
	b->size += len;
}

/* Starts a table on a boundary that kernels like; returns its offset. */
static size_t begin(struct builder *b)
{
	b->size = (b->size + 15) & ~(size_t)15;
	return b->size;
}

/* Ends the table at @start: its length and checksum. Returns its guest address. */
static uint64_t end(struct builder *b, size_t start)
{
	struct table *table = (struct table *)(b->out + start);
	table->length = b->size - start;
	table->checksum = 0;
	table->checksum = checksum(table, table->length);
	return b->gpa + start;
}

static uint64_t build_dsdt(struct builder *b)
{
	size_t start = begin(b);
	struct table head = header("DSDT", 2);
	put(b, &head, sizeof(head));
	put(b, dsdt_aml, sizeof(dsdt_aml));
	return end(b, start);
}

static struct generic_address port(uint16_t address, uint8_t bits)
{
	return (struct generic_address){
		.space = 1, .bits = bits, .access = bits == 8 ? 1 : 2, .address = address};
}

static uint64_t build_fadt(struct builder *b, uint64_t dsdt)
{
	size_t start = begin(b);
	struct fadt fadt = {
		.head = header("FACP", FADT_REVISION),
		.dsdt32 = dsdt,
		.dsdt = dsdt,
		.sci = GSI_SCI,
		.pm1a_event = PORT_PM1_EVENT,
		.pm1_event_len = 4,
		.x_pm1a_event = port(PORT_PM1_EVENT, 32),
		.pm1a_control = PORT_PM1_CONTROL,
		.pm1_control_len = 2,
		.x_pm1a_control = port(PORT_PM1_CONTROL, 16),
		.c2_latency = FADT_C_LATENCY_NONE,
		.c3_latency = FADT_C_LATENCY_NONE,
		.boot_flags = FADT_NO_VGA | FADT_NO_MSI | FADT_NO_ASPM,
		.century = CMOS_CENTURY,
		.flags = FADT_WBINVD | FADT_NO_SLEEP_KEY | FADT_RESET_REGISTER,
		.reset_register = port(PORT_I8042_STATUS, 8),
		.reset_value = I8042_RESET,
		.minor_revision = FADT_MINOR,
	};
	put(b, &fadt, sizeof(fadt));
	return end(b, start);
}

static uint64_t build_madt(struct builder *b, unsigned int cpus)
{
	size_t start = begin(b);
	struct madt madt = {header("APIC", 4), LAYOUT_LOCAL_APIC, 1};
	put(b, &madt, sizeof(madt));
	for (unsigned int i = 0; i < cpus; i++) {
		struct madt_cpu cpu = {0, sizeof(cpu), i, i, 1};
		put(b, &cpu, sizeof(cpu));
	}
	struct madt_ioapic ioapic = {1, sizeof(ioapic), 0, 0, LAYOUT_IOAPIC, 0};
	put(b, &ioapic, sizeof(ioapic));
	struct madt_override sci = {2, sizeof(sci), 0, GSI_SCI, GSI_SCI, MADT_LEVEL_HIGH};
	put(b, &sci, sizeof(sci));
	struct madt_nmi nmi = {4, sizeof(nmi), MADT_ALL_CPUS, 0, 1};
	put(b, &nmi, sizeof(nmi));
	return end(b, start);
}

size_t acpi_build(uint8_t *out, uint64_t gpa, unsigned int cpus)
{
	struct builder b = {out, gpa, sizeof(struct rsdp)};
	memset(out, 0, ACPI_SIZE_MAX);

	uint64_t fadt = build_fadt(&b, build_dsdt(&b));
	uint64_t madt = build_madt(&b, cpus);

	size_t start = begin(&b);
	struct xsdt xsdt = {header("XSDT", 1), {fadt, madt}};
	put(&b, &xsdt, sizeof(xsdt));
	uint64_t xsdt_gpa = end(&b, start);

	struct rsdp *rsdp = (struct rsdp *)out;
	*rsdp = (struct rsdp){.revision = 2, .length = sizeof(*rsdp), .xsdt = xsdt_gpa};
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "EBB   ", 6);
	rsdp->checksum = checksum(rsdp, RSDP_FIRST_PART);
	rsdp->checksum_all = checksum(rsdp, sizeof(*rsdp));
	return b.size;
}
