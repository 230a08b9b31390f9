// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/status.h"

#include <unistd.h>

#include "vmm/lib/json.h"
#include "vmm/lib/text.h"

static json_t *host_object(const struct keeper_policy *policy, const struct keeper_host *host)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "total", json_count(host->total),
			 "available", json_count(host->available), "low",
			 json_count(keeper_low(host)), "high", json_count(keeper_high(host)),
			 "lacks", json_count(policy->lacks), "short", policy->tight, "stalls",
			 host->stalls);
}

static json_t *guest_object(const struct kept *kept)
{
	const struct keeper_figures *now = &kept->seen.now;
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", kept->shown,
			 "state", kept_state(kept), "resident", json_count(now->resident), "held",
			 json_count(keeper_held(now)), "caches",
			 json_count(now->told ? now->caches : 0), "lent", json_count(now->leased),
			 "requests", json_count(kept->requests), "answered",
			 json_count(kept->answered), "came", json_count(kept->came));
}

json_t *status_of(const struct keeper_policy *policy, const struct keeper_host *host,
		  struct kept *const *kept, size_t count, bool dry_run, const char *sandbox)
{
	json_t *guests = json_array();
	for (size_t i = 0; i < count; i++)
		if (kept[i]->phase != KEPT_GONE)
			json_array_append_new(guests, guest_object(kept[i]));
	return json_pack("{s:i, s:b, s:s, s:o, s:o}", "pid", (int)getpid(), "dry-run", dry_run,
			 "sandbox", sandbox, "host", host_object(policy, host), "guests", guests);
}

void status_log_host(const struct keeper_policy *policy, const struct keeper_host *host)
{
	char available[TEXT_SIZE_MAX], high[TEXT_SIZE_MAX];
	text_size(available, host->available);
	if (policy->tight)
		log_info(
			"the host is short of memory: %s are available%s; asking guests until it has %s",
			available, host->stalls ? ", and programs wait for memory" : "",
			text_size(high, keeper_high(host)));
	else
		log_info("the host has enough memory again: %s are available", available);
}

/* Leaves out a lease that only goes on. */
static void log_lease(const struct kept *kept, const struct keeper_action *action, bool dry_run)
{
	char size[TEXT_SIZE_MAX];
	if (action->extra < kept->seen.now.leased)
		log_info("guest \"%s\": %s back by its balloon, %s; %s", kept->shown,
			 dry_run ? "would be given" : "given",
			 text_size(size, kept->seen.now.leased - action->extra),
			 kept->seen.lease.need ? "it needs it" : "the host has plenty");
}

static const char *unused_for(const struct kept *kept, const struct keeper_action *action)
{
	static const char *const age[] = {
		[KEEPER_10S] = ", and has not used it for 10 s",
		[KEEPER_1MIN] = ", and has not used it for a minute",
		[KEEPER_10MIN] = ", and has not used it for 10 minutes",
		[KEEPER_1H] = ", and has not used it for an hour",
	};
	bool known = action->means == KEEPER_CACHE && kept->seen.now.ages;
	return known ? age[action->cold - KEEPER_COLD] : "";
}

void status_log_action(const struct kept *kept, const struct keeper_action *action, bool dry_run)
{
	static const char *const what[] = {
		[KEEPER_REPORT] = "to report what it holds free",
		[KEEPER_CACHE] = "to drop page cache",
		[KEEPER_BALLOON] = "to lend memory by its balloon",
		[KEEPER_COMPACT] = "to compact its memory and report what becomes free",
	};
	char size[TEXT_SIZE_MAX];
	if (action->means == KEEPER_BALLOON && !action->expected) {
		log_lease(kept, action, dry_run);
		return;
	}
	log_info("guest \"%s\": %s %s, %s; it is %s%s", kept->shown,
		 dry_run ? "would be asked" : "asked", what[action->means],
		 text_size(size, action->expected), action->idle ? "idle" : "at work",
		 unused_for(kept, action));
}
