/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether one more guest would fit, by what the host has now and by what its guests could give back
 * of what they have now. A guest that is large and uses little counts as what it uses: to promise
 * more than there is, is what ebb is for.
 *
 * Pure. Sizes in bytes. Thread: any.
 */
#ifndef EBB_KEEPER_ADMIT_H
#define EBB_KEEPER_ADMIT_H

#include "vmm/keeper/decide.h"

enum keeper_fit {
	KEEPER_FITS, /* if the guest used all of its memory, the host would not be short */
	KEEPER_FITS_RECLAIMED, /* once other guests gave back what they can */
	KEEPER_FITS_NOT,
};

/* Returns what a guest could give back, by its last figures. */
uint64_t keeper_reclaimable(const struct keeper_guest *guest);

/* @reclaimable: the sum of that. */
enum keeper_fit keeper_admit(const struct keeper_host *host, uint64_t reclaimable, uint64_t size);

#endif
