// SPDX-License-Identifier: Apache-2.0
/* The policy's marks: when a host is short, and how soon it and its guests are looked at again. */
#include "vmm/keeper/decide.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/sizes.h"

#define MIB (UINT64_C(1) << 20)

/* A share of a host's memory, but a large host need not leave gigabytes alone. */
#define LOW_SHARE 8
#define LOW_MIN	  (32 * MIB)
#define LOW_MAX	  (2048 * MIB)

/* How fast a program may fill a host: that is looked at again before it can be short, or soon after. */
#define FILL_RATE	   (4096 * MIB)
#define HOST_PAUSE_MIN	   (50 * NS_PER_MS)
#define HOST_PAUSE_MAX	   (10 * NS_PER_S)
#define GUEST_PAUSE_ASKED  (NS_PER_S / 2)
#define GUEST_PAUSE_TIGHT  (1 * NS_PER_S)
#define GUEST_PAUSE_LEASED (2 * NS_PER_S)
#define GUEST_PAUSE_NEAR   (10 * NS_PER_S)
#define GUEST_PAUSE_PLENTY (60 * NS_PER_S)

uint64_t keeper_low(const struct keeper_host *host)
{
	return min(max(host->total / LOW_SHARE, LOW_MIN), LOW_MAX);
}

uint64_t keeper_high(const struct keeper_host *host)
{
	return 2 * keeper_low(host);
}

uint64_t keeper_host_pause(const struct keeper_policy *policy, const struct keeper_host *host)
{
	uint64_t spare = less(host->available, keeper_low(host));
	if (policy->tight)
		return HOST_PAUSE_MIN;
	if (spare / FILL_RATE >= HOST_PAUSE_MAX / NS_PER_S)
		return HOST_PAUSE_MAX;
	return max(spare / MIB * (NS_PER_S / (FILL_RATE / MIB)), HOST_PAUSE_MIN);
}

uint64_t keeper_guest_pause(const struct keeper_policy *policy, const struct keeper_host *host,
			    const struct keeper_guest *guest)
{
	/* The sooner it is known that a guest does not miss what it gave, the sooner it gives more. */
	if (policy->tight)
		return guest->watch_until && !guest->seen ? GUEST_PAUSE_ASKED : GUEST_PAUSE_TIGHT;
	if (guest->now.leased)
		return GUEST_PAUSE_LEASED;
	return host->available < 2 * keeper_high(host) ? GUEST_PAUSE_NEAR : GUEST_PAUSE_PLENTY;
}
