/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the host that are memory of the guest, in the order of its pmem0, pmem1.
 *
 * The files are opened before the machine is created, since the number of bits of its addresses depends
 * on their sizes. They lie behind RAM, and not below 4 GiB, each at a multiple of 1 GiB: a guest's
 * kernel manages its memory in sections of up to that size, and RAM and such memory then share none.
 *
 * Thread: main.
 */
#ifndef EBB_MACHINE_DEVICE_PMEM_H
#define EBB_MACHINE_DEVICE_PMEM_H

#include "devices/virtio-pmem/pmem.h"
#include "vmm/machine/device.h"

extern const struct device_kind device_pmem;

struct pmem_device {
	struct device device;
	struct pmem pmem;
	struct loop_source changes; /* an inotify of the file, on the device's worker; or -1 */
};

/* Opens and locks the files. Returns 0, or -errno after an error message. */
int pmems_open(struct machine *machine);
/* Call it also if pmems_open() failed. */
void pmems_close(struct machine *machine);

/* Returns the bytes of addresses, beyond those of RAM, that the files need. */
uint64_t pmems_room(const struct machine *machine);

/*
 * Maps the files behind machine->ram, in addresses of @gpa_bits bits. Returns 0, or -errno after an
 * error message.
 */
int pmems_map(struct machine *machine, unsigned int gpa_bits);

/* Returns the machine's device @number, counted from 0, or NULL after the last. */
struct pmem_device *machine_pmem(const struct machine *machine, unsigned int number);

#endif
