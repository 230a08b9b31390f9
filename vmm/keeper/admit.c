// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/admit.h"

#include "vmm/lib/sizes.h"

uint64_t keeper_reclaimable(const struct keeper_guest *guest)
{
	const struct keeper_figures *now = &guest->now;
	if (!guest->looked || !now->told || !now->reclaims)
		return 0;
	/* A guest may claim anything: its ebb holds no more than what is resident. */
	uint64_t held = keeper_held(now);
	return min(held + min(now->caches, now->size), now->resident);
}

enum keeper_fit keeper_admit(const struct keeper_host *host, uint64_t reclaimable, uint64_t size)
{
	uint64_t low = keeper_low(host);
	uint64_t spare = less(host->available, low);
	/* What guests hold is in use: not more of it than there is. */
	uint64_t more = min(reclaimable, host->total);
	if (size <= spare)
		return KEEPER_FITS;
	return size - spare <= more ? KEEPER_FITS_RECLAIMED : KEEPER_FITS_NOT;
}
