// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "vmm/util/log.h"

/* The machine has @end to stop for; any thread. A later reason changes nothing. */
static void machine_stop(struct machine *machine, enum machine_end end)
{
	enum machine_end runs = MACHINE_RUNS;
	if (atomic_compare_exchange_strong(&machine->end, &runs, end))
		loop_stop(&machine->loop);
}

/* --- the stages, in the order of the table below -------------------------------------------- */

static int name_init(struct machine *machine)
{
	return runtime_claim(&machine->name, machine->config->name);
}

static void name_release(struct machine *machine)
{
	runtime_release(&machine->name);
}

static int kvm_init(struct machine *machine)
{
	const struct vm_config *config = machine->config;
	int error = vm_init(&machine->vm);
	if (error)
		return error;

	unsigned int limit = machine->vm.cpus_max;
	if (limit > arch_map.cpus_max)
		limit = arch_map.cpus_max;
	if (config->cpus > limit) {
		log_error("%u CPUs are too many: this host's KVM and ebb allow %u", config->cpus,
			  limit);
		error = -EINVAL;
	}
	if (!error)
		error = arch_vm_init(&machine->vm, config->cpus);
	return error;
}

static void kvm_release(struct machine *machine)
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
		log_warn(
			"the guest has %llu MiB, the host %llu: well as long as the guest does not "
			"use them all",
			(unsigned long long)memory >> 20, (unsigned long long)total >> 20);
}

static int memory_init(struct machine *machine)
{
	uint64_t size = machine->config->memory;
	unsigned int bits = arch_gpa_bits(&machine->vm);
	struct gpa_range span[RAM_REGIONS_MAX];

	int spans = arch_ram_layout(size, bits, span);
	if (spans < 0) {
		log_error("%llu MiB of memory are more than a guest's processor can address here "
			  "(%u bits): give less with -m",
			  (unsigned long long)size >> 20, bits);
		return spans;
	}
	int error = ram_init(&machine->ram, span, spans);
	if (error)
		return error;
	warn_of_overcommit(size);
	return vm_map_ram(&machine->vm, &machine->ram);
}

static void memory_release(struct machine *machine)
{
	ram_release(&machine->ram);
}

static void signal_came(void *ctx)
{
	struct machine *machine = ctx;
	struct signalfd_siginfo info;
	if (read(machine->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCONT)
		console_continued(&machine->console);
	else
		machine_stop(machine, MACHINE_STOPPED);
}

/* Blocks the signals that end ebb for all threads to come, and takes them from a descriptor. */
static int loop_stage_init(struct machine *machine)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCONT);
	machine->signals = (struct loop_source){-1, signal_came, machine};
	int error = loop_init(&machine->loop);
	if (error)
		goto out;
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	machine->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	error = machine->signals.fd < 0 ? -errno : loop_add(&machine->loop, &machine->signals);
	if (!error)
		error = vcpu_kick_signal();
out:
	if (error)
		log_error("cannot watch for signals: %s", strerror(-error));
	return error;
}

static void loop_stage_release(struct machine *machine)
{
	if (machine->signals.fd >= 0)
		close(machine->signals.fd);
	loop_release(&machine->loop);
}

static void serial_interrupt(void *ctx, int level)
{
	struct machine *machine = ctx;
	vm_irq_line(&machine->vm, arch_map.serial_gsi, level);
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

static int console_stage_init(struct machine *machine)
{
	const struct bus_range range = {arch_map.serial_base, SERIAL_SIZE, &machine->serial,
					bus_serial_read, bus_serial_write};
	machine->serial_host = (struct serial_host){machine, serial_interrupt, serial_transmit,
						    serial_receive_ready};
	serial_init(&machine->serial, &machine->serial_host);
	int error = console_init(&machine->console, &machine->loop, &machine->serial, console_quit,
				 machine);
	if (!error)
		error = bus_add(arch_map.serial_is_port ? &machine->pio : &machine->mmio, &range);
	return error;
}

static void console_stage_release(struct machine *machine)
{
	console_release(&machine->console);
	serial_release(&machine->serial);
}

static void platform_power(void *ctx, enum arch_power what)
{
	static const enum machine_end end[] = {
		[ARCH_POWEROFF] = MACHINE_POWEROFF,
		[ARCH_RESET] = MACHINE_RESET,
		[ARCH_PANIC] = MACHINE_PANIC,
	};
	machine_stop(ctx, end[what]);
}

static int platform_init(struct machine *machine)
{
	machine->platform.ctx = machine;
	machine->platform.power = platform_power;
	return arch_platform_add(&machine->platform, &machine->pio, &machine->mmio);
}

static int balloon_stage_init(struct machine *machine)
{
	const struct vm_config *config = machine->config;
	if (!config->balloon)
		return 0;

	int error = slot_init(&machine->balloon_slot, 0, &machine->ram);
	if (error)
		return error;
	const struct balloon_config balloon = {.free_page_reporting = config->free_page_reporting};
	error = balloon_init(&machine->balloon, &balloon, &machine->balloon_slot.host);
	if (!error)
		error = slot_attach(&machine->balloon_slot, &machine->balloon.dev, &machine->vm,
				    &machine->mmio);
	return error;
}

static void balloon_stage_release(struct machine *machine)
{
	if (!machine->config->balloon)
		return;
	slot_release(&machine->balloon_slot);
	balloon_release(&machine->balloon);
}

static int boot_init(struct machine *machine)
{
	const struct vm_config *config = machine->config;
	const struct arch_boot boot = {
		.ram = &machine->ram,
		.kernel = config->kernel,
		.initrd = config->initrd,
		.params = config->params,
		.cpus = config->cpus,
		.device = &machine->balloon_slot.place,
		.devices = config->balloon ? 1 : 0,
	};
	return arch_boot_load(&boot, &machine->entry);
}

static int cpus_init(struct machine *machine)
{
	unsigned int cpus = machine->config->cpus;
	machine->cpu = calloc(cpus, sizeof(*machine->cpu));
	if (!machine->cpu) {
		log_error("no memory for %u CPUs", cpus);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < cpus; i++) {
		machine->cpu[i].machine = machine;
		machine->cpu[i].vcpu.fd = -1;
	}
	int error = 0;
	for (unsigned int i = 0; i < cpus && !error; i++) {
		struct vcpu *vcpu = &machine->cpu[i].vcpu;
		error = vcpu_init(vcpu, &machine->vm, i);
		if (!error)
			error = arch_vcpu_init(&machine->vm, vcpu, cpus, &machine->entry);
	}
	return error;
}

static void cpus_release(struct machine *machine)
{
	for (unsigned int i = 0; machine->cpu && i < machine->config->cpus; i++)
		vcpu_release(&machine->cpu[i].vcpu);
	free(machine->cpu);
	machine->cpu = NULL;
}

/* Each says what went wrong itself; a release also follows its own init's failure half-way. */
static const struct {
	int (*init)(struct machine *machine);
	void (*release)(struct machine *machine);
} stages[] = {
	{loop_stage_init, loop_stage_release}, /* first: from here on no signal kills us */
	{name_init, name_release},
	{kvm_init, kvm_release},
	{memory_init, memory_release},
	{console_stage_init, console_stage_release},
	{platform_init, NULL}, /* its handlers go with the buses */
	{balloon_stage_init, balloon_stage_release},
	{boot_init, NULL}, /* what it loaded goes with the RAM */
	{cpus_init, cpus_release},
};

int machine_init(struct machine *machine, const struct vm_config *config)
{
	memset(machine, 0, sizeof(*machine));
	machine->config = config;
	atomic_init(&machine->end, MACHINE_RUNS);

	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		machine->built++;
		int error = stages[i].init(machine);
		if (error) {
			machine_release(machine);
			return error;
		}
	}
	return 0;
}

void machine_release(struct machine *machine)
{
	while (machine->built > 0) {
		machine->built--;
		if (stages[machine->built].release)
			stages[machine->built].release(machine);
	}
}

/* --- running ---------------------------------------------------------------------------------- */

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

static void *cpu_main(void *ctx)
{
	struct machine_cpu *cpu = ctx;
	struct machine *machine = cpu->machine;

	do {
		cpu->end = vcpu_run(&cpu->vcpu, &machine->pio, &machine->mmio, &cpu->error);
	} while (cpu->end == VCPU_KICKED && atomic_load(&machine->end) == MACHINE_RUNS);
	if (cpu->end != VCPU_KICKED)
		machine_stop(machine, end_of(cpu->end));
	return NULL;
}

static int cpus_start(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->config->cpus; i++) {
		struct machine_cpu *cpu = &machine->cpu[i];
		char name[16];
		snprintf(name, sizeof(name), "vcpu%u", i);
		int error = worker_thread(&cpu->thread, name, cpu_main, cpu);
		if (error)
			return error;
		cpu->started = true;
	}
	return 0;
}

static void cpus_stop(struct machine *machine)
{
	/* One that waits for standard output to take more is not in KVM. */
	console_hangup(&machine->console);
	for (unsigned int i = 0; i < machine->config->cpus; i++)
		if (machine->cpu[i].started)
			vcpu_kick(&machine->cpu[i].vcpu, machine->cpu[i].thread);
	for (unsigned int i = 0; i < machine->config->cpus; i++)
		if (machine->cpu[i].started)
			pthread_join(machine->cpu[i].thread, NULL);
}

static void report_crash(const struct machine *machine)
{
	for (unsigned int i = 0; i < machine->config->cpus; i++) {
		const struct machine_cpu *cpu = &machine->cpu[i];
		if (!cpu->started || end_of(cpu->end) != MACHINE_CRASHED)
			continue;
		if (cpu->end == VCPU_ERROR)
			log_error("KVM cannot run vCPU %u: %s", i, strerror(cpu->error));
		else
			arch_vcpu_report(&cpu->vcpu, cpu->end, &machine->ram);
		return;
	}
}

static void report_counters(const struct machine *machine)
{
	const struct balloon_counters *c = &machine->balloon.counters;
	log_info("free page reporting: %llu reports, %llu blocks, %llu MiB given back in %llu "
		 "ranges, %llu failures",
		 c->reports, c->blocks, c->bytes >> 20, c->ranges, c->failures);
}

enum machine_end machine_run(struct machine *machine)
{
	int error = cpus_start(machine);
	if (error)
		machine_stop(machine, MACHINE_CRASHED);
	error = loop_run(&machine->loop);
	if (error) {
		log_error("the main loop failed: %s", strerror(-error));
		machine_stop(machine, MACHINE_CRASHED);
	}
	cpus_stop(machine);

	enum machine_end end = atomic_load(&machine->end);
	if (end == MACHINE_PANIC)
		log_error("the guest's kernel panicked");
	else if (end == MACHINE_CRASHED)
		report_crash(machine);
	if (machine->config->debug && machine->config->free_page_reporting)
		report_counters(machine);
	return end;
}
