/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of RAM were written, by whomever (live.h): KVM's log and ebb's own, together. One at a time makes use of them: live.c, or
 * track.c.
 *
 * Owner: struct machine. Thread: the saver's; or main, while nothing is saved.
 */
#ifndef EBB_MACHINE_WRITTEN_H
#define EBB_MACHINE_WRITTEN_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/why.h"

struct machine;
struct ram;

/* Returns how many words @log has in written_take(): those of the largest region. */
size_t written_log_words(const struct ram *ram);

/* From now on it is logged. Returns 0, or -errno with @why set: call written_end() then, too. */
int written_begin(struct machine *machine, struct why *why);
/*
 * Adds the pages of @region that were written since the last call to @bits, a bit for each page. @log: for KVM to write to. Returns 0,
 * or -errno with @why set: @bits has what was told all the same, since that is not told again.
 */
int written_take(const struct machine *machine, unsigned int region, uint64_t *log, uint64_t *bits,
		 struct why *why);
void written_end(struct machine *machine);

#endif
