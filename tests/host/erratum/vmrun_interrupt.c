// SPDX-License-Identifier: GPL-2.0-only
/*
 * For hosts that count instructions: an erratum of the processor that QEMU 7.2 emulates, worked around in the host's
 * kernel, as one does for a processor of silicon.
 *
 * When VMRUN delivers an interrupt to the guest (EVENTINJ), QEMU notes its vector as an exception that is still to be
 * raised, too, and that note stays until the guest's next exit or exception. If the clock's next deadline, which ends
 * the emulator's run, comes first, the interrupt is delivered a second time: to a guest that has interrupts disabled,
 * in the midst of its handler. One that holds a spin lock there then waits for itself for ever. (svm_helper.c:
 * helper_vmrun() sets exception_index; cpu-exec.c: cpu_handle_interrupt() takes any for one to be raised.)
 *
 * An exit right after the delivery removes the note. KVM has a way to ask for one on SVM: an interrupt for this very
 * processor, which stays pending until VMRUN opens the door. The price is an exit for each interrupt injected.
 *
 * Such hosts have one processor: one flag is enough.
 */
#include <linux/module.h>
#include <linux/smp.h>
#include <linux/tracepoint.h>

/* Of kvm.ko. Their arguments differ from kernel to kernel; neither is looked at. */
extern struct tracepoint __tracepoint_kvm_inj_virq, __tracepoint_kvm_entry;

static bool injected;

static void interrupt_injected(void *data)
{
	injected = true;
}

/* With interrupts disabled, shortly before VMRUN. */
static void guest_entered(void *data)
{
	if (injected)
		smp_send_reschedule(smp_processor_id());
	injected = false;
}

static int __init start(void)
{
	int error;

	error = tracepoint_probe_register(&__tracepoint_kvm_inj_virq, interrupt_injected, NULL);
	return error ? error
		     : tracepoint_probe_register(&__tracepoint_kvm_entry, guest_entered, NULL);
}

module_init(start);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("An exit after each interrupt that VMRUN delivers");
