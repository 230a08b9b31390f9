/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KVM virtual machine: its file descriptors, memory slots and eventfds. KVM's ioctls are only here, in
 * vcpu.c and in arch/. Source: Documentation/virt/kvm/api.rst.
 *
 * Thread: main, except vm_irq_line(): any, and vm_log_ram() and vm_take_dirty(): one at a time.
 */
#ifndef EBB_KVM_VM_H
#define EBB_KVM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

struct vm {
	int kvm; /* /dev/kvm; -1 after vm_close_kvm() */
	int fd;
	size_t run_size;       /* bytes of a vCPU's shared page(s) */
	unsigned int cpus_max; /* the most vCPUs that KVM allows */
	unsigned int memslots; /* memory slots in use; RAM's are the first */
};

/* KVM capabilities that an architecture needs, besides those that all architectures need. */
#define VM_ARCH_NEEDS_MAX 4
struct vm_needs {
	const char *no_kvm; /* the advice if there is no KVM: "load …" */
	struct vm_need {
		int capability;
		const char *name; /* NULL ends the list */
	} need[VM_ARCH_NEEDS_MAX];
};

/*
 * Opens /dev/kvm and checks that it has all that ebb needs. Returns 0, or -errno after an
 * error message. Call vm_release() in either case.
 */
int vm_init(struct vm *vm, const struct vm_needs *arch);
/* Creates the machine. @type: arch_vm_type(). Returns 0, or -errno after an error message. */
int vm_create(struct vm *vm, unsigned long type);
/* Closes /dev/kvm, by which a process makes further machines: a machine that is complete needs it no more. */
void vm_close_kvm(struct vm *vm);
void vm_release(struct vm *vm);

/* The KVM of this host, and the capabilities that it supports. */
#define VM_NEEDS_MAX 16
struct vm_probe {
	/* 0, or the errno of opening /dev/kvm (ENOTTY: not a KVM device); then the rest is 0 */
	int error;
	int version, version_wanted; /* of KVM's API */
	unsigned int cpus_max;	     /* in one guest */
	unsigned int needs;	     /* number of capabilities that ebb needs to start a guest */
	struct {
		const char *name;
		bool there;
	} need[VM_NEEDS_MAX];
};

/* Checks KVM's capabilities without creating a machine and without a message. */
void vm_probe(struct vm_probe *probe, const struct vm_needs *arch);

/* Returns the result of KVM_CHECK_EXTENSION for @capability, 0 if KVM does not know it. */
int vm_capability(const struct vm *vm, int capability);

/*
 * Gives all of @ram to the guest. @ram must outlive the machine. Returns 0, or -errno after an
 * error message.
 */
int vm_map_ram(struct vm *vm, const struct ram *ram);
/*
 * Has KVM log, from now on or no longer, which pages of @ram are written by vCPUs, or by itself. What ebb's own threads write is in
 * no log of KVM's (vmm/mem/dirty_log.h). Returns 0, -EOPNOTSUPP if the pages of @ram are not the host's, which KVM counts, or -errno.
 */
int vm_log_ram(const struct vm *vm, const struct ram *ram, bool on);
/*
 * Sets @dirty to the pages of @ram's region @region that were written since the last call, or since vm_log_ram(): a bit for each
 * page of the host, from the lowest of the first word on. Returns 0 or -errno.
 */
int vm_take_dirty(const struct vm *vm, const struct ram *ram, unsigned int region, uint64_t *dirty);
/* Likewise for @size bytes of other memory of the guest's, at @hva, which stay until vm_release(). */
int vm_map_memory(struct vm *vm, uint64_t gpa, uint64_t size, const void *hva);

/*
 * Makes KVM add 1 to the eventfd @fd when the guest writes @value, @len bytes long, to @gpa,
 * without leaving the kernel. Writes of other values leave it. Returns 0, or -errno after an error
 * message.
 */
int vm_ioeventfd(struct vm *vm, uint64_t gpa, unsigned int len, uint64_t value, int fd);

/*
 * Makes KVM raise an edge on interrupt @gsi at each write to the eventfd @fd. Returns 0, or -errno
 * after an error message.
 */
int vm_irqfd(const struct vm *vm, unsigned int gsi, int fd);

/*
 * Gets or sets, with the ioctl @request, an attribute of the interrupt controller @device, which
 * KVM_CREATE_DEVICE created. Returns 0, or -errno after an error message with @what, such as
 * "distributor".
 */
int vm_irqchip_attr(int device, unsigned long request, uint32_t group, uint64_t attribute,
		    const void *value, const char *what);

/* Sets the level of interrupt line @irq, numbered as KVM_IRQ_LINE does for the architecture. */
int vm_irq_line(const struct vm *vm, uint32_t irq, int level);

#endif
