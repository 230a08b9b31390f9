/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Huge pages of which the guest gave a part back. The host's khugepaged would soon make each of them whole again, with
 * memory for the part that is free: by default it does where a single small page of the 512 is left. So there are no
 * huge pages in these places, until the guest gives all of such a place back.
 *
 * Each place can cost the process two mappings: there are TORN_MAX at a time, a quarter of what Linux permits by default
 * (vm.max_map_count). What is beyond is left to khugepaged.
 */
#ifndef EBB_MEM_TORN_H
#define EBB_MEM_TORN_H

#include <stddef.h>

#include "vmm/mem/discard.h"
#include "vmm/mem/ram.h"

#define TORN_MAX 8192

struct torn;

/* Returns NULL where the host makes no huge pages of @ram by itself, or has no memory left: the others accept it. */
struct torn *torn_new(const struct ram *ram);
void torn_free(struct torn *torn);

/* Takes notice of @n steps that were run. One thread at a time. A kernel that refuses the advice is no error. */
void ram_torn(const struct ram *ram, const struct discard_step *step, size_t n);

/* Returns how many there are now. The same thread. */
unsigned int ram_torn_count(const struct ram *ram);

#endif
