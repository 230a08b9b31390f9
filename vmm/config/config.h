/* SPDX-License-Identifier: Apache-2.0 */
/*
 * argv → what to run. Pure: no file is opened and nothing is printed, so that it is tested as a
 * table.
 */
#ifndef EBB_CONFIG_H
#define EBB_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/mem/ram.h"
#include "vmm/lib/cpulist.h"

/* Bytes that a guest needs at least, and that a balloon leaves it. */
#define VM_MEMORY_MIN (UINT64_C(16) << 20)
/* Bytes: the device counts pages of 4 KiB in 32 bits. */
#define VM_BALLOON_MAX	  ((uint64_t)UINT32_MAX << 12)
#define VM_NUMA_NODES_MAX 1024
#define VM_DISKS_MAX	  8

struct vm_disk {
	const char *file;    /* within argv, not terminated: something may follow */
	unsigned int length; /* bytes of it */
	bool read_only;
};

struct vm_config {
	const char *kernel; /* these point into argv */
	const char *initrd; /* or NULL */
	const char *params; /* the guest's own kernel parameters, or "" */
	const char *name;   /* or NULL: the caller names it after the process */
	uint64_t memory;    /* bytes, a multiple of 1 MiB */
	unsigned int cpus;
	bool balloon;
	uint64_t balloon_size;	  /* bytes in it from the start, a multiple of 1 MiB */
	bool deflate_on_oom;	  /* implies balloon */
	bool free_page_reporting; /* implies balloon */
	enum ram_backing backing;
	const char *hugetlbfs; /* where RAM_HUGETLBFS is mounted, or NULL: wherever */
	bool mem_prealloc;     /* have all memory from the start */
	bool mem_lock;	       /* and keep it from being swapped out */
	enum discard_kind discard;
	struct cpulist vcpu_affinity; /* all vCPUs run on these of the host's CPUs; empty: on any */
	int numa_node;		      /* that memory comes from, or -1 */
	const char *dump_dtb;	      /* a file for the device tree, or NULL */
	bool debug;		      /* say what is being done, on standard error */
	struct vm_disk disk[VM_DISKS_MAX]; /* in the order of the guest's vda, vdb, … */
	unsigned int disks;
};

enum config_outcome {
	CONFIG_RUN,
	CONFIG_HELP,  /* -h or --help was given */
	CONFIG_ERROR, /* error says what is wrong and what to do, in one line */
};

/*
 * Parses the words after "ebb run". Options follow kvmtool's `lkvm run`: -k -i -p -d -m -c --name
 * --balloon --console --vcpu-affinity --debug; see config.c for the table, from which the usage
 * text is made too. An option given twice counts as given last, as there, but for -d. What is not given is 1
 * CPU and, as there, 64 MiB of memory for each CPU and for three more. A balloon leaves the guest
 * VM_MEMORY_MIN. @error is set with CONFIG_ERROR only.
 */
enum config_outcome config_parse(struct vm_config *config, int argc, char **argv, char *error,
				 unsigned int error_size);

/* The usage text of `ebb run`, to @out. */
void config_usage(FILE *out);

#endif
