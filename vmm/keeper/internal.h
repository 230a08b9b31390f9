/* SPDX-License-Identifier: Apache-2.0 */
/* What decide.c and learn.c share: the policy's units, and what a guest's figures say of its needs. */
#ifndef EBB_KEEPER_INTERNAL_H
#define EBB_KEEPER_INTERNAL_H

#include "vmm/keeper/decide.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/sizes.h"

#define MIB (UINT64_C(1) << 20)

#define PIECE	  (4 * MIB)	 /* less is not worth a request: two blocks that are reported */
#define PAUSE_MIN (4 * NS_PER_S) /* after a failure; each further one doubles it */
#define SHARE_MAX 256		 /* shares of caches are in 1/256 */

/* Returns what must be available to the guest's programs. */
uint64_t keeper_least(const struct keeper_guest *guest);

/* Whether the balloon is where it was sent. */
bool keeper_has_moved(const struct keeper_figures *figures);

#endif
