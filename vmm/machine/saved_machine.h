/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first record of a snapshot: which machine it is of. It is compared with the one that is to go on from there.
 * Thread: as save.h says.
 */
#ifndef EBB_MACHINE_SAVED_MACHINE_H
#define EBB_MACHINE_SAVED_MACHINE_H

#include "vmm/lib/record.h"
#include "vmm/lib/why.h"

struct machine;

void saved_machine_write(const struct machine *machine, struct record *record);
/* Returns 0, or -EINVAL with @why set: what differs, and the option that makes it the same. */
int saved_machine_compare(const struct machine *machine, struct record_in *in, struct why *why);

#endif
