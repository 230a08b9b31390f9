// SPDX-License-Identifier: Apache-2.0
#include "vmm/arch/postmortem.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/lib/log.h"

#define TEXT_MAX    4096
#define INSTRUCTION 4
#define COLUMNS	    4

void postmortem_exit(const struct vcpu *vcpu, enum vcpu_end end)
{
	const struct kvm_run *run = vcpu->run;
	switch (end) {
	case VCPU_INTERNAL_ERROR:
		log_error("vCPU %u: KVM cannot continue (internal error, suberror %u%s)",
			  vcpu->index, run->internal.suberror,
			  run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				  ? ": it does not know how to emulate an instruction"
				  : "");
		break;
	case VCPU_FAILED_ENTRY:
		log_error("vCPU %u: the processor refused to run the guest (hardware reason %#llx)",
			  vcpu->index,
			  (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		log_error("vCPU %u left the guest for a reason that ebb does not expect (exit %u)",
			  vcpu->index, run->exit_reason);
	}
}

void postmortem_registers(const struct vcpu *vcpu)
{
	char text[TEXT_MAX] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	if (!out)
		return;
	arch_vcpu_registers(vcpu, out);
	fclose(out);
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) && *line;)
		log_error("%s", line);
}

void postmortem_print(const struct vcpu *vcpu, FILE *out, const struct register_name *reg,
		      size_t count)
{
	unsigned int printed = 0;
	size_t width = 0;

	for (size_t i = 0; i < count; i++)
		width = strlen(reg[i].name) > width ? strlen(reg[i].name) : width;
	for (size_t i = 0; i < count; i++) {
		uint64_t value;
		if (vcpu_get_reg(vcpu, reg[i].id, &value) != 0)
			continue;
		fprintf(out, "%s%-*s %016llx",
			!printed	    ? ""
			: printed % COLUMNS ? " "
					    : "\n",
			(int)width, reg[i].name, (unsigned long long)value);
		printed++;
	}
	fputs(printed ? "\n" : "", out);
}

void postmortem_instruction(const struct vcpu *vcpu, uint64_t pc, const struct ram *ram)
{
	uint64_t at;
	uint8_t bytes[INSTRUCTION];

	if (vcpu_get_reg(vcpu, pc, &at) == 0 && ram_read(ram, at, bytes, sizeof(bytes)) == 0)
		log_error("instruction at %#llx: %02x %02x %02x %02x", (unsigned long long)at,
			  bytes[0], bytes[1], bytes[2], bytes[3]);
}
