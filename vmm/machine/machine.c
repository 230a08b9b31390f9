// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/machine/device_console.h"
#include "vmm/machine/device_pmem.h"
#include "vmm/machine/save.h"
#include "vmm/mem/present.h"

/* A flush of a slow disk takes seconds; one of hung storage never ends. */
#define STOP_NS (10 * NS_PER_S)

void machine_stop(struct machine *machine, enum machine_end end)
{
	enum machine_end runs = MACHINE_RUNS;
	/* However the guest ends after its kernel has reported a panic, that is the reason. */
	if ((end == MACHINE_RESET || end == MACHINE_POWEROFF || end == MACHINE_CRASHED) &&
	    panic_reported(&machine->panic))
		end = MACHINE_PANIC;
	if (atomic_compare_exchange_strong(&machine->end, &runs, end))
		loop_stop(&machine->loop);
}

/* --- the stages, in the order of the table below -------------------------------------------- */

static int stage_files_init(struct machine *machine)
{
	return pmems_open(machine);
}

static void stage_files_release(struct machine *machine)
{
	pmems_close(machine);
}

static int stage_kvm_init(struct machine *machine)
{
	const struct vm_config *config = machine->config;
	int error = vm_init(&machine->vm, &arch_needs);
	if (error)
		return error;

	unsigned int limit = machine->vm.cpus_max;
	if (limit > arch_map.cpus_max)
		limit = arch_map.cpus_max;
	if (config->machine.cpus > limit) {
		log_error("%u CPUs are too many: this host's KVM and ebb allow %u",
			  config->machine.cpus, limit);
		return -EINVAL;
	}
	uint64_t end = config->memory.size + pmems_room(machine);
	return vm_create(&machine->vm, arch_vm_type(&machine->vm, end));
}

static void stage_kvm_release(struct machine *machine)
{
	vm_release(&machine->vm);
}

static void warn_of_overcommit(uint64_t memory)
{
	struct sysinfo host;
	if (sysinfo(&host) < 0)
		return;
	uint64_t total = (uint64_t)host.totalram * host.mem_unit;
	if (memory > total)
		log_warn("the guest has %llu MiB, the host %llu: this works as long as the guest "
			 "does not use it all",
			 (unsigned long long)memory >> 20, (unsigned long long)total >> 20);
}

static int stage_memory_init(struct machine *machine)
{
	const struct vm_config *config = machine->config;
	uint64_t size = config->memory.size;
	unsigned int bits = arch_gpa_bits(&machine->vm);
	struct gpa_range span[RAM_REGIONS_MAX];

	int spans = arch_ram_layout(size, bits, span);
	if (spans < 0) {
		log_error("%llu MiB of memory is more than a guest can address on this host (%u "
			  "bits): give it less with -m",
			  (unsigned long long)size >> 20, bits);
		return spans;
	}
	const struct ram_config ram = {
		.backing = config->memory.backing,
		.path = config->memory.hugetlbfs,
		.prealloc = config->memory.prealloc,
		.lock = config->memory.lock,
		.numa_node = config->memory.numa_node,
		.discard = config->memory.discard,
	};
	int error = ram_init(&machine->ram, &ram, span, spans);
	if (error)
		return error;
	machine->ram.pagemap = machine->pagemap; /* closed with it */
	machine->pagemap = -1;
	warn_of_overcommit(size);
	error = vm_map_ram(&machine->vm, &machine->ram);
	return error ? error : pmems_map(machine, bits);
}

static void stage_memory_release(struct machine *machine)
{
	ram_release(&machine->ram);
}

static void signal_end(void *ctx)
{
	machine_stop(ctx, MACHINE_STOPPED);
}

static void signal_resized(void *ctx)
{
	struct machine *machine = ctx;
	uint16_t columns, rows;

	if (machine_vcon(machine) && console_size(&columns, &rows))
		vcon_resize(machine_vcon(machine), columns, rows);
}

static void signal_continued(void *ctx)
{
	struct machine *machine = ctx;
	console_continued(&machine->console);
	signal_resized(machine);
}

static void panic_over(void *ctx)
{
	machine_stop(ctx, MACHINE_PANIC);
}

static int stage_loop_init(struct machine *machine)
{
	machine->signals = (struct signals){.source.fd = -1,
					    .end = signal_end,
					    .continued = signal_continued,
					    .resized = signal_resized,
					    .ctx = machine};
	int error = loop_init(&machine->loop);
	if (!error)
		error = vcpu_kick_signal();
	if (error) {
		log_error("cannot create the main loop: %s", strerror(-error));
		return error;
	}
	log_attach(&machine->loop);
	error = signals_init(&machine->signals, &machine->loop);
	return error ? error : panic_init(&machine->panic, &machine->loop, panic_over, machine);
}

static void stage_loop_release(struct machine *machine)
{
	log_detach(&machine->loop);
	panic_release(&machine->panic);
	loop_release(&machine->loop);
	signals_release(&machine->signals);
}

static void serial_interrupt(void *ctx, int level)
{
	struct machine *machine = ctx;
	arch_irq_line(&machine->platform, arch_map.serial_gsi, level);
}

static void serial_transmit(void *ctx, const uint8_t *data, size_t len)
{
	struct machine *machine = ctx;
	console_write(&machine->console, data, len);
}

static void serial_receive_ready(void *ctx)
{
	struct machine *machine = ctx;
	console_resume(&machine->console);
}

static void bus_serial_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	serial_read(ctx, offset, data, len);
}

static void bus_serial_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	serial_write(ctx, offset, data, len);
}

static void console_quit(void *ctx)
{
	machine_stop(ctx, MACHINE_STOPPED);
}

static int stage_serial_init(struct machine *machine)
{
	const struct bus_range range = {arch_map.serial_base, SERIAL_SIZE, &machine->serial,
					bus_serial_read, bus_serial_write};
	machine->serial_host = (struct serial_host){machine, serial_interrupt, serial_transmit,
						    serial_receive_ready};
	serial_init(&machine->serial, &machine->serial_host);
	return bus_add(arch_map.serial_is_port ? &machine->pio : &machine->mmio, &range);
}

static void stage_serial_release(struct machine *machine)
{
	serial_release(&machine->serial);
}

static size_t console_receive(void *ctx, const uint8_t *data, size_t len)
{
	struct machine *machine = ctx;
	struct vcon *vcon = machine_vcon(machine);

	return vcon ? vcon_receive(vcon, 0, data, len)
		    : serial_receive(&machine->serial, data, len);
}

static int stage_console_init(struct machine *machine)
{
	const struct vm_console *wanted = &machine->config->console;
	bool shown = wanted->kind == VM_CONSOLE_SERIAL || wanted->kind == VM_CONSOLE_VIRTIO;
	const struct console_config config = {
		.output = shown				    ? STDOUT_FILENO
			  : wanted->kind == VM_CONSOLE_FILE ? wanted->file_fd
							    : -1,
		.drops = wanted->kind == VM_CONSOLE_FILE,
		.input = shown,
		.receive = console_receive,
		.quit = console_quit,
		.ctx = machine,
	};
	int error = console_init(&machine->console, &machine->loop, &config);
	if (!error)
		signal_resized(machine);
	return error;
}

static void stage_console_release(struct machine *machine)
{
	console_release(&machine->console);
}

static void platform_power(void *ctx, enum arch_power what)
{
	struct machine *machine = ctx;

	if (what == ARCH_PANIC)
		panic_report(&machine->panic);
	else
		machine_stop(machine, what == ARCH_RESET ? MACHINE_RESET : MACHINE_POWEROFF);
}

static void platform_interrupt(void *ctx, int level)
{
	struct machine *machine = ctx;
	arch_irq_line(&machine->platform, arch_map.power_gsi, level);
}

static int stage_platform_init(struct machine *machine)
{
	machine->platform.ctx = machine;
	machine->platform.power = platform_power;
	machine->platform.interrupt = platform_interrupt;
	machine->platform.vm = &machine->vm;
	machine->platform.cpus = machine->config->machine.cpus;
	machine->platform.irqchip = machine->config->machine.irqchip;
	machine->platform.pmu = machine->config->machine.pmu;
	int error = arch_platform_init(&machine->platform, &machine->pio, &machine->mmio);
	return error ? error : arch_irqchip_init(&machine->platform);
}

static void stage_platform_release(struct machine *machine)
{
	arch_platform_release(&machine->platform);
}

/* Returns 0, or -errno after an error message. */
static int load(struct machine *machine)
{
	const struct vm_config *config = machine->config;
	const struct device_list *list = &machine->devices;
	struct arch_device device[DEVICES_MAX];

	/* The guest finds them in this order: its first disk is vda. */
	for (unsigned int i = 0; i < list->count; i++)
		device[i] = list->device[i]->slot.place;
	const struct arch_boot boot = {
		.ram = &machine->ram,
		.kernel = &machine->kernel,
		.initrd = config->boot.initrd ? &machine->initrd : NULL,
		.params = config->boot.params,
		.nodefaults = config->boot.nodefaults,
		.hvc = machine_vcon(machine) != NULL,
		.dump_dtb = config->boot.dump_dtb,
		.device = device,
		.devices = list->count,
	};
	struct arch_entry entry;
	int error = arch_boot_load(&machine->platform, &boot, &entry);
	if (!error)
		error = arch_vcpu_enter(&machine->cpus.cpu[0].vcpu, &entry);
	boot_file_close(&machine->kernel);
	boot_file_close(&machine->initrd);
	return error;
}

/* Opens the files, and reads pipes of kernels to their end. machine_boot() looks at what is in them. */
static int stage_boot_init(struct machine *machine)
{
	const struct vm_boot *boot = &machine->config->boot;
	uint64_t limit = ram_size(&machine->ram);

	if (boot->restore)
		return machine_restore_open(machine, boot->restore, boot->restore_fd,
					    boot->restore_all);
	int error =
		boot_file_open(&machine->kernel, boot->kernel, boot->kernel_name, "kernel", limit);
	if (!error && boot->initrd)
		error = boot_file_open(&machine->initrd, boot->initrd, boot->initrd_name, "initrd",
				       limit);
	/* The device tree tells where the initrd is, and later no file could be made for it. */
	return !error && boot->dump_dtb ? load(machine) : error;
}

static void stage_boot_release(struct machine *machine)
{
	boot_file_close(&machine->kernel);
	boot_file_close(&machine->initrd);
	machine_restore_close(machine);
	restored_file_release(&machine->restored_file); /* all else goes with the RAM */
}

/* Restoring takes system calls that a running guest's ebb can do without: they are given up when it is over. */
void machine_boot(struct machine *machine, const struct worker_guard *guard)
{
	bool restores = machine->restoring, boots = machine->kernel.fd >= 0;
	int error = 0;

	if (guard)
		guard->enter(guard, restores ? "restore" : "main");
	if (atomic_load(&machine->end) == MACHINE_RUNS && (restores || boots))
		error = restores ? machine_restore(machine) : load(machine);
	if (error)
		machine_stop(machine, MACHINE_NOT_STARTED);
	devices_begin(&machine->devices, error);
	if (guard && restores)
		guard->enter(guard, "main");
}

static enum machine_end end_of(enum vcpu_end end)
{
	switch (end) {
	case VCPU_KICKED:
		return MACHINE_RUNS;
	case VCPU_RESET:
		return MACHINE_RESET;
	case VCPU_POWEROFF:
		return MACHINE_POWEROFF;
	case VCPU_CRASHED:
		return MACHINE_PANIC;
	default:
		return MACHINE_CRASHED;
	}
}

static void cpu_ended(void *ctx, const struct cpu *cpu)
{
	machine_stop(ctx, end_of(cpu->end));
}

static int stage_cpus_init(struct machine *machine)
{
	unsigned int count = machine->config->machine.cpus;
	machine->cpus_host = (struct cpus_host){
		.ctx = machine,
		.vcpu = {&machine->pio, &machine->mmio, &machine->ram, arch_vcpu_exit},
		.ended = cpu_ended,
	};
	int error = cpus_init(&machine->cpus, &machine->cpus_host, &machine->vm, count);
	for (unsigned int i = 0; i < count && !error; i++)
		error = arch_vcpu_init(&machine->platform, &machine->cpus.cpu[i].vcpu);
	return error ? error : arch_irqchip_start(&machine->platform);
}

static void stage_cpus_release(struct machine *machine)
{
	cpus_release(&machine->cpus);
}

/* Each init logs its own errors; release is called even if init failed half-way. */
static const struct {
	int (*init)(struct machine *machine);
	void (*release)(struct machine *machine);
} stages[] = {
	{stage_loop_init, stage_loop_release}, /* first: from here on no signal kills ebb */
	{stage_files_init, stage_files_release},
	{stage_kvm_init, stage_kvm_release},
	{stage_memory_init, stage_memory_release},
	{stage_platform_init, stage_platform_release},
	{stage_cpus_init, stage_cpus_release},
	{devices_init, devices_release},
	{stage_serial_init, stage_serial_release},
	{stage_boot_init, stage_boot_release}, /* opens what machine_boot() reads */
	{stage_console_init, stage_console_release},
};

void machine_prepare(struct machine *machine)
{
	memset(machine, 0, sizeof(*machine));
	atomic_init(&machine->end, MACHINE_RUNS);
	machine->kernel.fd = machine->initrd.fd = -1;
	machine->pagemap = present_open();
}

int machine_init(struct machine *machine, const struct vm_config *config)
{
	machine->config = config;
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		machine->built++;
		int error = stages[i].init(machine);
		if (error)
			return error;
	}
	vm_close_kvm(&machine->vm);
	return 0;
}

bool machine_release(struct machine *machine)
{
	if (machine->hangs) {
		console_release(&machine->console);
		log_detach(&machine->loop);
		return false;
	}
	while (machine->built > 0) {
		machine->built--;
		stages[machine->built].release(machine);
	}
	if (machine->pagemap >= 0)
		close(machine->pagemap);
	machine->pagemap = -1;
	return true;
}

/* --- running ---------------------------------------------------------------------------------- */

static void report_crash(const struct machine *machine)
{
	if (devices_explain_crash(&machine->devices))
		return;
	if (restored_file_explain(&machine->restored_file))
		return;
	for (unsigned int i = 0; i < machine->cpus.count; i++) {
		const struct cpu *cpu = &machine->cpus.cpu[i];
		if (!cpu->started || end_of(cpu->end) != MACHINE_CRASHED)
			continue;
		if (cpu->end == VCPU_ERROR && cpu->error == EFAULT &&
		    machine->ram.backing == RAM_HUGETLBFS)
			log_error("vCPU %u needs a huge page, but the host's pool is empty: others "
				  "took pages that the guest gave back; raise vm.nr_hugepages",
				  i);
		else if (cpu->end == VCPU_ERROR)
			log_error("KVM cannot run vCPU %u: %s", i, strerror(cpu->error));
		else
			arch_vcpu_postmortem(&cpu->vcpu, cpu->end, &machine->ram);
		return;
	}
}

void machine_start(struct machine *machine, const struct worker_guard *guard)
{
	machine->cpus.paused = true;
	int error = devices_start(&machine->devices, guard);
	if (!error)
		error = cpus_start(&machine->cpus, &machine->config->machine.vcpu_affinity, guard);
	if (error)
		machine_stop(machine, MACHINE_NOT_STARTED);
}

static void threads_stop(struct machine *machine)
{
	/* A vCPU that waits for standard output is not in KVM, so a kick does not end the wait. */
	console_hangup(&machine->console);
	/* A vCPU that writes a device's registers may wait for its worker's current request. */
	uint64_t deadline = clock_ns() + STOP_NS;
	bool ended = cpus_stop(&machine->cpus, deadline);
	machine->hangs = !devices_stop(&machine->devices, deadline) || !ended;
}

enum machine_end machine_run(struct machine *machine)
{
	if (atomic_load(&machine->end) == MACHINE_RUNS && console_begin(&machine->console) != 0)
		machine_stop(machine, MACHINE_NOT_STARTED);
	if (atomic_load(&machine->end) == MACHINE_RUNS && !machine->starts_paused)
		cpus_resume(&machine->cpus);
	int error = loop_run(&machine->loop);
	if (error) {
		log_error("the main loop failed: %s", strerror(-error));
		machine_stop(machine, MACHINE_CRASHED);
	}
	threads_stop(machine);

	enum machine_end end = atomic_load(&machine->end);
	if (end != MACHINE_NOT_STARTED && restored_file_changed(&machine->restored_file))
		end = MACHINE_CRASHED;
	if (end == MACHINE_PANIC)
		log_error("the guest's kernel panicked");
	else if (end == MACHINE_CRASHED)
		report_crash(machine);
	if (machine->config->machine.debug)
		devices_summarize(&machine->devices);
	return end;
}
