/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns argv into a description of the guest to run. Pure: opens no file and prints nothing, so
 * that tests can be tables. Each part has its own header and file; see part.h.
 */
#ifndef EBB_CONFIG_H
#define EBB_CONFIG_H

#include <stdio.h>

#include "vmm/config/balloon.h"
#include "vmm/config/boot.h"
#include "vmm/config/cgroup.h"
#include "vmm/config/console.h"
#include "vmm/config/control.h"
#include "vmm/config/disks.h"
#include "vmm/config/folders.h"
#include "vmm/config/machine.h"
#include "vmm/config/memory.h"
#include "vmm/config/network.h"
#include "vmm/config/pmem.h"
#include "vmm/config/rng.h"
#include "vmm/config/vsock.h"

struct option_set;

/* About 50 KiB. Its pointers point into argv. */
struct vm_config {
	struct vm_boot boot;
	struct vm_machine machine;
	struct vm_memory memory;
	struct vm_balloon balloon;
	struct vm_rng rng;
	struct vm_vsock vsock;
	struct vm_console console;
	struct vm_control control;
	struct vm_networks networks;
	struct vm_cgroup cgroup;
	/* Last: most of these is never touched, and costs no memory. */
	struct vm_disks disks;
	struct vm_folders folders;
	struct vm_pmems pmems;
};

enum config_outcome {
	CONFIG_RUN,
	CONFIG_HELP,  /* -h or --help is given */
	CONFIG_ERROR, /* @error holds one line: the mistake and the remedy */
};

/*
 * Parses the words after "ebb run". Options follow kvmtool's `lkvm run`: -k -i -p -d -n -m -c
 * --name --balloon --console --vcpu-affinity --nodefaults --debug. An option with a value may be
 * given once, except -d and -n, which add a disk or a network each time, and -p, whose values are
 * joined with a space. The defaults are 1 CPU; as in kvmtool, 64 MiB of memory for each CPU and for
 * three more; and, without --nodefaults, a balloon that takes back the memory that the guest
 * reports, and a user network. Without a kernel, a disk and a snapshot, the image
 * VM_IMAGE_DEFAULT is booted. A balloon leaves the guest VM_MEMORY_MIN bytes. @error is set with CONFIG_ERROR only.
 */
enum config_outcome config_parse(struct vm_config *config, int argc, char **argv, char *error,
				 unsigned int error_size);

/* Returns the options of `ebb run`, for code that makes text from them. */
const struct option_set *config_options(void);

/* Prints the usage text of `ebb run` to @out. */
void config_usage(FILE *out);

#endif
