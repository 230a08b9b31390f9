// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/lib/log.h"

/* KVM counts a slot's pages in 31 bits; larger regions are given in pieces of this many bytes. */
#define MEMSLOT_SIZE_MAX (1ULL << 42)

static const struct vm_need needed[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_SYNC_MMU, "KVM_CAP_SYNC_MMU"}, /* without it the guest keeps a discarded page */
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};
#define NEEDED (sizeof(needed) / sizeof(needed[0]))

/* Returns need @index, the architecture's after the general ones, or NULL after the last. */
static const struct vm_need *need_at(const struct vm_needs *arch, size_t index)
{
	if (index < NEEDED)
		return &needed[index];
	index -= NEEDED;
	return index < VM_ARCH_NEEDS_MAX && arch->need[index].name ? &arch->need[index] : NULL;
}

int vm_capability(const struct vm *vm, int capability)
{
	int fd = vm->fd >= 0 ? vm->fd : vm->kvm;
	int answer = ioctl(fd, KVM_CHECK_EXTENSION, capability);
	return answer < 0 ? 0 : answer;
}

static int open_kvm(const struct vm_needs *arch)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;

	int error = errno;
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		log_error("there is no KVM here (/dev/kvm: %s): %s", strerror(error), arch->no_kvm);
		break;
	case EACCES:
	case EPERM:
		log_error("no permission to open /dev/kvm: add yourself to its group "
			  "(usermod -aG kvm USER) and log in again");
		break;
	default:
		log_error("cannot open /dev/kvm: %s", strerror(error));
	}
	return -error;
}

static int check_kvm(const struct vm *vm, const struct vm_needs *arch)
{
	int version = ioctl(vm->kvm, KVM_GET_API_VERSION, 0);
	if (version < 0) {
		int error = errno;
		log_error("/dev/kvm is not KVM's device (%s): put back the character device 10, "
			  "232; 'ebb doctor' says how",
			  strerror(error));
		return -error;
	}
	if (version != KVM_API_VERSION) {
		log_error("/dev/kvm does not have API version %d (it has %d): "
			  "use a newer kernel",
			  KVM_API_VERSION, version);
		return -ENOTSUP;
	}
	const struct vm_need *need;
	for (size_t i = 0; (need = need_at(arch, i)); i++) {
		if (vm_capability(vm, need->capability) == 0) {
			log_error("this host's KVM lacks %s, which ebb needs: use a newer kernel",
				  need->name);
			return -ENOTSUP;
		}
	}
	return 0;
}

/* Without KVM_CAP_MAX_VCPUS the recommended number is the limit; its default is 4. */
static unsigned int count_cpus(const struct vm *vm)
{
	int cpus = vm_capability(vm, KVM_CAP_MAX_VCPUS);
	if (cpus == 0)
		cpus = vm_capability(vm, KVM_CAP_NR_VCPUS);
	return cpus ? cpus : 4;
}

_Static_assert(NEEDED + VM_ARCH_NEEDS_MAX <= VM_NEEDS_MAX, "struct vm_probe is too small");

void vm_probe(struct vm_probe *probe, const struct vm_needs *arch)
{
	struct vm vm = {.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), .fd = -1};
	*probe = (struct vm_probe){.error = vm.kvm < 0 ? errno : 0};
	if (vm.kvm < 0)
		return;
	probe->version = ioctl(vm.kvm, KVM_GET_API_VERSION, 0);
	if (probe->version < 0) {
		*probe = (struct vm_probe){.error = errno};
		goto out;
	}
	probe->version_wanted = KVM_API_VERSION;
	probe->cpus_max = count_cpus(&vm);
	const struct vm_need *need;
	for (size_t i = 0; (need = need_at(arch, i)); i++) {
		probe->need[i].name = need->name;
		probe->need[i].there = vm_capability(&vm, need->capability) != 0;
		probe->needs++;
	}
out:
	close(vm.kvm);
}

int vm_init(struct vm *vm, const struct vm_needs *arch)
{
	*vm = (struct vm){.kvm = -1, .fd = -1};

	int fd = open_kvm(arch);
	if (fd < 0)
		return fd;
	vm->kvm = fd;

	int error = check_kvm(vm, arch);
	if (error)
		return error;
	int size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run)) {
		log_error(
			"the area that KVM shares for a vCPU is too small (%d bytes): use a newer kernel",
			size);
		return -ENOTSUP;
	}
	vm->run_size = size;
	vm->cpus_max = count_cpus(vm);
	return 0;
}

int vm_create(struct vm *vm, unsigned long type)
{
	/* KVM returns EINTR if a signal arrives while it creates the machine. */
	do
		vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, type);
	while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0) {
		int error = errno;
		log_error("KVM cannot create a virtual machine: %s", strerror(error));
		return -error;
	}
	return 0;
}

void vm_close_kvm(struct vm *vm)
{
	if (vm->kvm >= 0)
		close(vm->kvm);
	vm->kvm = -1;
}

void vm_release(struct vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = -1;
	vm_close_kvm(vm);
}

static int set_memslot(const struct vm *vm, unsigned int number, uint64_t gpa, uint64_t size,
		       const void *hva, uint32_t flags)
{
	struct kvm_userspace_memory_region slot = {
		.slot = number,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};
	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0 ? -errno : 0;
}

static int map_memslot(struct vm *vm, uint64_t gpa, uint64_t size, const void *hva)
{
	int error = set_memslot(vm, vm->memslots, gpa, size, hva, 0);
	if (error) {
		log_error("KVM refused %llu MiB of guest memory at %#llx: %s",
			  (unsigned long long)size >> 20, (unsigned long long)gpa,
			  strerror(-error));
		return error;
	}
	vm->memslots++;
	return 0;
}

/* Of the next slot, of @left bytes. */
static uint64_t slot_size(uint64_t left)
{
	return left < MEMSLOT_SIZE_MAX ? left : MEMSLOT_SIZE_MAX;
}

int vm_map_memory(struct vm *vm, uint64_t gpa, uint64_t size, const void *hva)
{
	for (uint64_t done = 0; done < size;) {
		uint64_t piece = slot_size(size - done);
		int error = map_memslot(vm, gpa + done, piece, (const uint8_t *)hva + done);
		if (error)
			return error;
		done += piece;
	}
	return 0;
}

int vm_map_ram(struct vm *vm, const struct ram *ram)
{
	int error = 0;
	for (unsigned int i = 0; i < ram->regions && !error; i++)
		error = vm_map_memory(vm, ram->region[i].gpa, ram->region[i].size,
				      ram->region[i].hva);
	return error;
}

int vm_log_ram(const struct vm *vm, const struct ram *ram, bool on)
{
	unsigned int number = 0;
	int error = 0;

	if (ram->page_size != (size_t)sysconf(_SC_PAGESIZE))
		return -EOPNOTSUPP;
	for (unsigned int i = 0; i < ram->regions; i++) {
		const struct ram_region *region = &ram->region[i];
		for (uint64_t done = 0; done < region->size && !error; number++) {
			uint64_t len = slot_size(region->size - done);
			error = set_memslot(vm, number, region->gpa + done, len, region->hva + done,
					    on ? KVM_MEM_LOG_DIRTY_PAGES : 0);
			done += len;
		}
	}
	return error;
}

/*
 * The call also write-protects the pages that it returns, all at once. KVM_CLEAR_DIRTY_LOG would do so a few at a time, which keeps
 * vCPUs waiting less, in guests of hundreds of GiB; it would be a second way, for some hosts.
 */
int vm_take_dirty(const struct vm *vm, const struct ram *ram, unsigned int region, uint64_t *dirty)
{
	struct kvm_dirty_log log = {0};

	for (unsigned int i = 0; i < region; i++)
		log.slot += (ram->region[i].size + MEMSLOT_SIZE_MAX - 1) / MEMSLOT_SIZE_MAX;
	for (uint64_t done = 0; done < ram->region[region].size; log.slot++) {
		log.dirty_bitmap = dirty + done / ram->page_size / 64;
		if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
			return -errno;
		done += slot_size(ram->region[region].size - done);
	}
	return 0;
}

int vm_ioeventfd(struct vm *vm, uint64_t gpa, unsigned int len, uint64_t value, int fd)
{
	struct kvm_ioeventfd event = {.addr = gpa,
				      .len = len,
				      .fd = fd,
				      .datamatch = value,
				      .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};
	if (ioctl(vm->fd, KVM_IOEVENTFD, &event) < 0) {
		int error = errno;
		log_error("KVM cannot connect an eventfd to a device's doorbell: %s",
			  strerror(error));
		return -error;
	}
	return 0;
}

int vm_irqfd(const struct vm *vm, unsigned int gsi, int fd)
{
	struct kvm_irqfd irq = {.fd = fd, .gsi = gsi};
	if (ioctl(vm->fd, KVM_IRQFD, &irq) < 0) {
		int error = errno;
		log_error("KVM cannot connect an eventfd to interrupt %u: %s", gsi,
			  strerror(error));
		return -error;
	}
	return 0;
}

int vm_irqchip_attr(int device, unsigned long request, uint32_t group, uint64_t attribute,
		    const void *value, const char *what)
{
	struct kvm_device_attr attr = {.group = group, .attr = attribute, .addr = (uintptr_t)value};
	if (ioctl(device, request, &attr) < 0) {
		int error = errno;
		log_error("cannot set the interrupt controller's %s: %s", what, strerror(error));
		return -error;
	}
	return 0;
}

int vm_irq_line(const struct vm *vm, uint32_t irq, int level)
{
	struct kvm_irq_level line = {.irq = irq, .level = level};
	return ioctl(vm->fd, KVM_IRQ_LINE, &line) < 0 ? -errno : 0;
}
