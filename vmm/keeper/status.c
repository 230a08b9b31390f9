// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/status.h"

#include <stdio.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/sizes.h"
#include "vmm/lib/text.h"

static json_t *host_object(const struct keeper_policy *policy, const struct keeper_host *host)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "total", json_count(host->total),
			 "available", json_count(host->available), "low",
			 json_count(keeper_low(host)), "high", json_count(keeper_high(host)),
			 "lacks", json_count(policy->lacks), "short", policy->tight, "stalls",
			 host->stalls);
}

#define WHY_SIZE 64

/* Writes why the guest was chosen for a request. */
static void why(char text[WHY_SIZE], const struct kept_request *request)
{
	static const char *const age[] = {
		[KEEPER_10S] = ", and has not used it for 10 s",
		[KEEPER_1MIN] = ", and has not used it for a minute",
		[KEEPER_10MIN] = ", and has not used it for 10 minutes",
		[KEEPER_1H] = ", and has not used it for an hour",
	};
	const struct keeper_action *action = &request->action;
	bool known = action->means == KEEPER_CACHE && request->aged;
	if (request->returned)
		snprintf(text, WHY_SIZE, "%s",
			 request->needed ? "it needs it" : "the host has plenty");
	else
		snprintf(text, WHY_SIZE, "it is %s%s", action->idle ? "idle" : "at work",
			 known ? age[action->cold - KEEPER_COLD] : "");
}

static uint64_t request_size(const struct kept_request *request)
{
	return request->returned ? request->returned : request->action.expected;
}

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

/* When, what, why; what came, and what it cost. */
static json_t *request_object(const struct kept *kept, uint64_t now)
{
	static const char *const means[] = {
		[KEEPER_REPORT] = "report",
		[KEEPER_CACHE] = "cache",
		[KEEPER_COMPACT] = "compact",
		[KEEPER_BALLOON] = "lend",
	};
	static const char *const answer[] = {
		[KEEPER_DONE] = "done",
		[KEEPER_LATE] = "late",
		[KEEPER_REFUSED] = "refused",
		[KEEPER_MUTE] = "none",
	};
	static const char *const cost[] = {
		[KEEPER_QUIET] = "none",
		[KEEPER_TOO_MUCH] = "too much",
		[KEEPER_KILLED] = "a process",
	};
	const struct kept_request *last = &kept->last;
	const struct keeper_action *action = &last->action;
	const struct keeper_pacing *pacing = &kept->seen.pacing[action->idle];
	char reason[WHY_SIZE];
	if (!last->at)
		return json_null();
	why(reason, last);
	return json_pack("{s:f, s:s, s:s, s:o, s:s, s:f, s:o, s:o, s:s, s:f}", "ago",
			 seconds(less(now, last->at)), "means",
			 last->returned ? "give back" : means[action->means], "why", reason,
			 "asked", json_count(request_size(last)), "answer",
			 last->open ? "not yet" : answer[last->answer], "took", seconds(last->took),
			 "came", json_count(last->came), "back", json_count(last->back), "cost",
			 cost[last->verdict], "pause",
			 seconds(less(pacing->not_before[action->means], now)));
}

static json_t *guest_object(const struct kept *kept, uint64_t now)
{
	const struct keeper_figures *figures = &kept->seen.now;
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", kept->shown,
			 "state", kept_state(kept), "resident", json_count(figures->resident),
			 "held", json_count(keeper_held(figures)), "caches",
			 json_count(figures->told ? figures->caches : 0), "lent",
			 json_count(figures->leased), "requests", json_count(kept->requests),
			 "answered", json_count(kept->answered), "came", json_count(kept->came),
			 "last", request_object(kept, now));
}

json_t *status_of(const struct keeper_policy *policy, const struct keeper_host *host,
		  struct kept *const *kept, size_t count, bool dry_run, const char *sandbox)
{
	json_t *guests = json_array();
	uint64_t now = clock_ns();
	for (size_t i = 0; i < count; i++)
		if (kept[i]->phase != KEPT_GONE)
			json_array_append_new(guests, guest_object(kept[i], now));
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

void status_log_request(const struct kept *kept, bool dry_run)
{
	static const char *const what[] = {
		[KEEPER_REPORT] = "to report what it holds free",
		[KEEPER_CACHE] = "to drop page cache",
		[KEEPER_BALLOON] = "to lend memory by its balloon",
		[KEEPER_COMPACT] = "to compact its memory and report what becomes free",
	};
	const struct kept_request *last = &kept->last;
	char size[TEXT_SIZE_MAX], reason[WHY_SIZE];
	text_size(size, request_size(last));
	why(reason, last);
	if (last->returned)
		log_info("guest \"%s\": %s back by its balloon, %s; %s", kept->shown,
			 dry_run ? "would be given" : "given", size, reason);
	else
		log_info("guest \"%s\": %s %s, %s; %s", kept->shown,
			 dry_run ? "would be asked" : "asked", what[last->action.means], size,
			 reason);
}
