// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/lib/log.h"

/* Well below the time after which a guest's watchdogs consider a CPU stuck. */
#define LONG_IN_A_DEVICE_MS 500

int vcpu_init(struct vcpu *vcpu, const struct vm *vm, unsigned int index)
{
	*vcpu = (struct vcpu){.vm = vm, .index = index, .fd = -1, .run_size = vm->run_size};

	int error = 0;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0) {
		error = -errno;
		log_error("KVM cannot create vCPU %u: %s", index, strerror(-error));
		return error;
	}
	void *run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED) {
		error = -errno;
		log_error("cannot map the shared page of vCPU %u: %s", index, strerror(-error));
		vcpu_release(vcpu);
		return error;
	}
	/* A child process would see the guest's accesses, and keep the machine alive. */
	madvise(run, vcpu->run_size, MADV_DONTFORK);
	vcpu->run = run;
	return 0;
}

void vcpu_release(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = NULL;
	vcpu->fd = -1;
}

int vcpu_ioctl(const struct vcpu *vcpu, unsigned long request, const void *argument,
	       const char *what)
{
	if (ioctl(vcpu->fd, request, argument) < 0) {
		int error = errno;
		log_error("cannot access vCPU %u's %s: %s", vcpu->index, what, strerror(error));
		return -error;
	}
	return 0;
}

int vcpu_get_reg(const struct vcpu *vcpu, uint64_t id, uint64_t *value)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};
	*value = 0;
	return ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg) < 0 ? -errno : 0;
}

int vcpu_set_reg(const struct vcpu *vcpu, uint64_t id, uint64_t value, const char *what)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};
	return vcpu_ioctl(vcpu, KVM_SET_ONE_REG, &reg, what);
}

/* One exit can carry several accesses of a string instruction, all of them in the shared page. */
static void port_access(struct kvm_run *run, const struct bus *pio)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(pio, run->io.port, data, run->io.size);
		else
			bus_read(pio, run->io.port, data, run->io.size);
	}
}

static void memory_access(struct kvm_run *run, const struct bus *mmio)
{
	if (run->mmio.is_write)
		bus_write(mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

static enum vcpu_end system_event(const struct kvm_run *run)
{
	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return VCPU_POWEROFF;
	case KVM_SYSTEM_EVENT_RESET:
		return VCPU_RESET;
	default:
		return VCPU_CRASHED;
	}
}

/* Returns 0 or -errno. */
static int run_guest(struct vcpu *vcpu, const struct vcpu_host *host)
{
	atomic_store(&vcpu->inside, true);
	int error = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	/* Write, then read the kick; a pause kicks, then reads this: so one sees the other. */
	atomic_store(&vcpu->inside, false);
	if (__atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST))
		host->left(host->left_ctx);
	return error;
}

/* A coarse clock is enough, and costs a hundredth of an exit. */
static int64_t coarse_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum vcpu_end vcpu_run(struct vcpu *vcpu, const struct vcpu_host *host, int *error)
{
	struct kvm_run *run = vcpu->run;
	enum vcpu_end end;
	int64_t left = coarse_ms();

	for (;;) {
		/*
		 * KVM finishes the access before it looks at this, and returns at once: a vCPU that
		 * stands outside has nothing half done, and can be saved.
		 */
		if (coarse_ms() - left > LONG_IN_A_DEVICE_MS)
			__atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		int failed = run_guest(vcpu, host);
		if (failed == -EINTR)
			return VCPU_KICKED;
		if (failed == -EAGAIN)
			continue;
		if (failed) {
			*error = -failed;
			return VCPU_ERROR;
		}
		left = coarse_ms();
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			port_access(run, host->pio);
			break;
		case KVM_EXIT_MMIO:
			memory_access(run, host->mmio);
			break;
		case KVM_EXIT_INTR:
			return VCPU_KICKED;
		case KVM_EXIT_SYSTEM_EVENT:
			return system_event(run);
		case KVM_EXIT_INTERNAL_ERROR:
			return VCPU_INTERNAL_ERROR;
		case KVM_EXIT_FAIL_ENTRY:
			return VCPU_FAILED_ENTRY;
		default:
			end = host->other_exit(vcpu, host);
			if (end != VCPU_GOES_ON)
				return end;
		}
	}
}

static void kicked(int signal)
{
	(void)signal;
}

int vcpu_kick_signal(void)
{
	/* No SA_RESTART: the signal must interrupt system calls. */
	struct sigaction action = {.sa_handler = kicked};
	return sigaction(SIGRTMIN, &action, NULL) < 0 ? -errno : 0;
}

void vcpu_kick(struct vcpu *vcpu, unsigned long thread)
{
	/* The signal alone would be lost on a thread that is about to enter KVM_RUN. */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(thread, SIGRTMIN);
}

void vcpu_unkick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

void vcpu_was_paused(const struct vcpu *vcpu)
{
	/* KVM refuses this for a guest without kvm-clock; nothing else can tell that guest. */
	ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}
