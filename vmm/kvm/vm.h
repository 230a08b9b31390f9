/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual machine of KVM's: its file descriptors, memory slots and eventfds.
 * Source: Documentation/virt/kvm/api.rst. With vcpu.c and arch/, the only place of KVM's ioctls.
 *
 * Thread: main, but for vm_irq_line(), which is for any.
 */
#ifndef EBB_KVM_VM_H
#define EBB_KVM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/mem/ram.h"

struct vm {
	int kvm; /* /dev/kvm */
	int fd;
	size_t run_size;       /* bytes of a vCPU's shared page(s) */
	unsigned int cpus_max; /* vCPUs that KVM allows */
	unsigned int memslots; /* memory slots in use */
};

/* What an architecture needs of KVM beside what all of them do. */
#define VM_ARCH_NEEDS_MAX 4
struct vm_needs {
	const char *no_kvm; /* what to do where there is none: "load …" */
	struct vm_need {
		int capability;
		const char *name; /* NULL: the list has ended */
	} need[VM_ARCH_NEEDS_MAX];
};

/*
 * Opens /dev/kvm and checks that it can do what ebb needs. Returns 0, or -errno having said what is
 * missing; vm_release() is for both cases.
 */
int vm_init(struct vm *vm, const struct vm_needs *arch);
/* Makes the machine, of a @type that is the architecture's to choose. Returns 0 or -errno, having said why. */
int vm_create(struct vm *vm, unsigned long type);
void vm_release(struct vm *vm);

/* What KVM can do on this host. */
#define VM_NEEDS_MAX 16
struct vm_probe {
	int error;		     /* 0, or the errno of opening /dev/kvm: then the rest is 0 */
	int version, version_wanted; /* of KVM's API */
	unsigned int cpus_max;	     /* in one guest */
	unsigned int needs;	     /* capabilities without which ebb does not start a guest */
	struct {
		const char *name;
		bool there;
	} need[VM_NEEDS_MAX];
};

/* Looks, makes nothing and says nothing. */
void vm_probe(struct vm_probe *probe, const struct vm_needs *arch);

/* KVM_CHECK_EXTENSION: 0 where KVM does not know @capability, else what it answers. */
int vm_capability(const struct vm *vm, int capability);

/* Gives all of @ram to the guest. @ram outlives the machine. */
int vm_map_ram(struct vm *vm, const struct ram *ram);

/*
 * A guest's write of @value, @len bytes long, at @gpa adds 1 to the eventfd @fd and does not leave the
 * kernel. Writes of other values do.
 */
int vm_ioeventfd(struct vm *vm, uint64_t gpa, unsigned int len, uint64_t value, int fd);

/* A write to the eventfd @fd raises an edge on interrupt @gsi. */
int vm_irqfd(const struct vm *vm, unsigned int gsi, int fd);

/* Sets the level of interrupt line @irq, as the architecture numbers them for KVM_IRQ_LINE. */
int vm_irq_line(const struct vm *vm, uint32_t irq, int level);

#endif
