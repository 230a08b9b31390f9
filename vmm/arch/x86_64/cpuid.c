// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/x86_64/cpuid.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/arch.h"
#include "vmm/lib/log.h"

#define LEAF_VENDOR	       0x00000000
#define LEAF_FEATURES	       0x00000001
#define LEAF_CACHES_INTEL      0x00000004
#define LEAF_TOPOLOGY	       0x0000000b
#define LEAF_TOPOLOGY_V2       0x0000001f
#define LEAF_FEATURES_EXTENDED 0x80000001
#define LEAF_ADDRESS_SIZES     0x80000008
#define LEAF_CACHES_AMD	       0x8000001d
#define LEAF_TOPOLOGY_AMD      0x8000001e

#define FEATURE_TSC_DEADLINE (1u << 24) /* LEAF_FEATURES ecx */
#define FEATURE_HYPERVISOR   (1u << 31)
#define FEATURE_HTT	     (1u << 28) /* LEAF_FEATURES edx: ebx's count of ids is valid */
#define FEATURE_CMP_LEGACY   (1u << 1)	/* LEAF_FEATURES_EXTENDED ecx: AMD's form of the same */

#define VENDOR_AMD   0x68747541 /* LEAF_VENDOR ebx: "Auth"enticAMD */
#define VENDOR_HYGON 0x6f677948 /* "Hygo"nGenuine, treated as AMD */

#define LEVEL_THREAD 1
#define LEVEL_CORE   2

#define GPA_BITS_WITHOUT_LEAF 36

int cpuid_supported(const struct vm *vm, struct cpuid_table *table)
{
	memset(table, 0, sizeof(*table));
	table->head.nent = CPUID_ENTRIES_MAX;
	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &table->head) < 0) {
		int error = errno;
		log_error("cannot read from KVM which processor features it supports: %s",
			  strerror(error));
		return -error;
	}
	return 0;
}

/* Returns the number of bits that the ids 0 … @cpus - 1 need. */
static unsigned int id_bits(unsigned int cpus)
{
	unsigned int bits = 0;
	while ((1u << bits) < cpus)
		bits++;
	return bits;
}

/* Each core has caches of levels 1 and 2 to itself; all cores share the third level. */
static void fit_cache(struct kvm_cpuid_entry2 *entry, unsigned int cpus)
{
	unsigned int level = (entry->eax >> 5) & 7;
	unsigned int sharing = level >= 3 ? cpus - 1 : 0;
	entry->eax = (entry->eax & ~(0xfffu << 14)) | sharing << 14;
}

static void fit_entry(struct kvm_cpuid_entry2 *entry, unsigned int index, unsigned int cpus,
		      bool tsc_deadline, bool amd)
{
	switch (entry->function) {
	case LEAF_FEATURES:
		entry->ebx = (entry->ebx & 0xffff) | (cpus & 0xff) << 16 | index << 24;
		entry->ecx |= FEATURE_HYPERVISOR;
		if (tsc_deadline)
			entry->ecx |= FEATURE_TSC_DEADLINE;
		entry->edx &= ~FEATURE_HTT;
		if (cpus > 1)
			entry->edx |= FEATURE_HTT;
		break;
	case LEAF_CACHES_INTEL:
		if ((entry->eax & 0x1f) == 0)
			break; /* no more caches */
		fit_cache(entry, cpus);
		/* Six bits: the package's core ids, rounded up to a power of 2, minus 1. */
		entry->eax &= ~(0x3fu << 26);
		entry->eax |= (((1u << id_bits(cpus)) - 1) & 0x3f) << 26;
		break;
	case LEAF_FEATURES_EXTENDED:
		entry->ecx &= ~FEATURE_CMP_LEGACY;
		if (amd && cpus > 1)
			entry->ecx |= FEATURE_CMP_LEGACY;
		break;
	case LEAF_ADDRESS_SIZES:
		/* Intel reserves this register. */
		if (amd)
			entry->ecx = (entry->ecx & ~0xf0ffu) | id_bits(cpus) << 12 | (cpus - 1);
		break;
	case LEAF_CACHES_AMD:
		if (entry->eax & 0x1f)
			fit_cache(entry, cpus);
		break;
	case LEAF_TOPOLOGY_AMD:
		entry->eax = index;
		entry->ebx = (entry->ebx & ~0xffffu) | (index & 0xff);
		entry->ecx &= ~0x7ffu;
		break;
	}
}

static void add_topology(struct cpuid_table *table, uint32_t leaf, unsigned int index,
			 unsigned int cpus)
{
	const struct {
		unsigned int shift, count, level;
	} levels[] = {{0, 1, LEVEL_THREAD}, {id_bits(cpus), cpus, LEVEL_CORE}, {0, 0, 0}};

	for (unsigned int i = 0; i < 3 && table->head.nent < CPUID_ENTRIES_MAX; i++) {
		table->entry[table->head.nent++] = (struct kvm_cpuid_entry2){
			.function = leaf,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = levels[i].shift,
			.ebx = levels[i].count,
			.ecx = levels[i].level << 8 | i,
			.edx = index,
		};
	}
}

static bool is_amd(const struct cpuid_table *table)
{
	for (unsigned int i = 0; i < table->head.nent; i++)
		if (table->entry[i].function == LEAF_VENDOR)
			return table->entry[i].ebx == VENDOR_AMD ||
			       table->entry[i].ebx == VENDOR_HYGON;
	return false;
}

void cpuid_fit(struct cpuid_table *table, unsigned int index, unsigned int cpus, bool tsc_deadline)
{
	bool amd = is_amd(table), topology = false, topology_v2 = false;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < table->head.nent; i++) {
		struct kvm_cpuid_entry2 entry = table->entry[i];
		/* Rewrite these two: KVM gives the host's topology, or only their first subleaf. */
		if (entry.function == LEAF_TOPOLOGY || entry.function == LEAF_TOPOLOGY_V2) {
			topology |= entry.function == LEAF_TOPOLOGY;
			topology_v2 |= entry.function == LEAF_TOPOLOGY_V2;
			continue;
		}
		fit_entry(&entry, index, cpus, tsc_deadline, amd);
		table->entry[kept++] = entry;
	}
	table->head.nent = kept;
	if (topology)
		add_topology(table, LEAF_TOPOLOGY, index, cpus);
	if (topology_v2)
		add_topology(table, LEAF_TOPOLOGY_V2, index, cpus);
}

unsigned int arch_gpa_bits(const struct vm *vm)
{
	struct cpuid_table table;
	if (cpuid_supported(vm, &table) == 0)
		for (unsigned int i = 0; i < table.head.nent; i++)
			if (table.entry[i].function == LEAF_ADDRESS_SIZES)
				return table.entry[i].eax & 0xff;
	return GPA_BITS_WITHOUT_LEAF;
}
