// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/x86_64/acpi.h"

#include <stdio.h>
#include <string.h>

#include "devices/rtc/cmos.h"
#include "vmm/arch/x86_64/aml.h"
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
#define FADT_NO_VGA	    (1 << 2) /* boot_flags; without their 8042 bit the machine has none */
#define FADT_NO_MSI	    (1 << 3)
#define FADT_NO_ASPM	    (1 << 4)
#define FADT_WBINVD	    (1 << 0) /* flags */
#define FADT_NO_SLEEP_KEY   (1 << 5) /* bit 4 is unset: PM1's events include a power button */
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

#define NOTIFY_CHANGED 0x80

#define STATUS_WORKS  0x0f /* _STA: there, decoding, shown, working */
#define DSDT_SIZE_MAX 3072 /* of its AML; the other tables have the rest of ACPI_SIZE_MAX */

struct builder {
	uint8_t *out;
	uint64_t gpa;
	size_t size;
	bool full;
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

/* Appends without a gap: all structs here are packed. */
static void put(struct builder *b, const void *data, size_t len)
{
	memcpy(b->out + b->size, data, len);
	b->size += len;
}

/* Starts a table on a 16-byte boundary, as kernels prefer; returns its offset. */
static size_t begin(struct builder *b)
{
	b->size = (b->size + 15) & ~(size_t)15;
	return b->size;
}

/* Ends the table at @start: sets its length and checksum. Returns its guest address. */
static uint64_t end(struct builder *b, size_t start)
{
	struct table *table = (struct table *)(b->out + start);
	table->length = b->size - start;
	table->checksum = 0;
	table->checksum = checksum(table, table->length);
	return b->gpa + start;
}

static void write_pvpanic(struct aml *aml)
{
	size_t device = aml_device(aml, "PEVT");
	aml_text(aml, "_HID", "QEMU0001");
	size_t resources = aml_resources(aml, "_CRS");
	aml_io(aml, PORT_PVPANIC, 1);
	aml_resources_close(aml, resources);
	aml_integer(aml, "_STA", STATUS_WORKS);
	aml_close(aml, device);
}

/* The event has the kernel look at the generation again (drivers/virt/vmgenid.c). */
static void write_generation(struct aml *aml)
{
	static const uint32_t address[] = {LAYOUT_GENERATION, 0};
	size_t scope = aml_scope(aml, "\\_SB_");
	size_t device = aml_device(aml, "VGEN");
	aml_text(aml, "_HID", "EBBV0001");
	aml_text(aml, "_CID", "VM_Gen_Counter");
	aml_text(aml, "_DDN", "VM_Gen_Counter");
	aml_package(aml, "ADDR", address, 2);
	aml_close(aml, device);
	aml_close(aml, scope);

	char name[5];
	snprintf(name, sizeof(name), "_E%02X", GPE_GENERATION);
	scope = aml_scope(aml, "\\_GPE");
	size_t method = aml_method(aml, name);
	aml_notify(aml, "_SB_", "VGEN", NOTIFY_CHANGED);
	aml_close(aml, method);
	aml_close(aml, scope);
}

static void write_virtio(struct aml *aml, const struct arch_device *virtio)
{
	char name[5];
	unsigned int number = (virtio->base - LAYOUT_VIRTIO) / virtio->size;
	snprintf(name, sizeof(name), "VR%02X", number & 0xff);

	size_t device = aml_device(aml, name);
	aml_text(aml, "_HID", "LNRO0005");
	aml_integer(aml, "_UID", number);
	size_t resources = aml_resources(aml, "_CRS");
	aml_memory(aml, virtio->base, virtio->size);
	aml_interrupt(aml, virtio->gsi);
	aml_resources_close(aml, resources);
	aml_close(aml, device);
}

static uint64_t build_dsdt(struct builder *b, const struct acpi_machine *machine)
{
	static const uint32_t s5[] = {SLEEP_TYPE_S5, 0, 0, 0};
	size_t start = begin(b);
	struct table head = header("DSDT", 2);
	put(b, &head, sizeof(head));

	struct aml aml = {.out = b->out + b->size, .capacity = DSDT_SIZE_MAX};
	size_t scope = aml_scope(&aml, "\\_SB_");
	write_pvpanic(&aml);
	for (unsigned int i = 0; i < machine->devices; i++)
		write_virtio(&aml, &machine->device[i]);
	aml_close(&aml, scope);
	write_generation(&aml);
	aml_package(&aml, "\\_S5_", s5, sizeof(s5) / sizeof(s5[0]));
	b->size += aml.size;
	b->full = aml.full;
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
		.gpe0 = PORT_GPE,
		.gpe0_len = 2,
		.x_gpe0 = port(PORT_GPE, 16),
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

static bool is_word(const char *at, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(at, word, len) == 0;
}

bool acpi_off(const char *params)
{
	bool off = false;
	size_t len;

	for (; *params; params += len) {
		params += strspn(params, " \t\n");
		len = strcspn(params, " \t\n");
		if (is_word(params, len, "--"))
			break; /* the rest is for init */
		if (is_word(params, len, "acpi=off"))
			off = true;
		else if (is_word(params, len, "acpi=force"))
			off = false;
	}
	return off;
}

size_t acpi_build(uint8_t *out, uint64_t gpa, const struct acpi_machine *machine)
{
	struct builder b = {.out = out, .gpa = gpa, .size = sizeof(struct rsdp)};
	memset(out, 0, ACPI_SIZE_MAX);

	uint64_t fadt = build_fadt(&b, build_dsdt(&b, machine));
	uint64_t madt = build_madt(&b, machine->cpus);

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
	return b.full ? 0 : b.size;
}
