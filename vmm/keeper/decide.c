// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/decide.h"

#include "vmm/lib/clock.h"

#define MIB (UINT64_C(1) << 20)

/* A share of a host's memory, but a large host need not leave gigabytes alone. */
#define LOW_SHARE 8
#define LOW_MIN	  (32 * MIB)
#define LOW_MAX	  (2048 * MIB)

#define PIECE	    (4 * MIB)  /* less is not worth a request: two blocks that are reported */
#define COMPACT_MIN (32 * MIB) /* nor is less worth moving pages */
#define CACHE_KEPT  (16 * MIB) /* of a guest's caches: its programs run from them */

#define BUSY_FAULTS 256 /* a second: fewer are those of services that wait */
#define IDLE_NS	    (5 * NS_PER_S)

/* A request costs too much if this share of what came is wanted back while it is watched. */
#define COST_SHARE 4
#define WATCH_NS   (10 * NS_PER_S)
/* What came is a failure below this share of what was expected. */
#define FRUIT_SHARE 8
#define LATE_SHARE  2 /* of a guest that was late: it worked for all of its time */

#define FRESH_NS     (3 * NS_PER_S) /* older figures decide nothing */
#define NEXT_NS	     (1 * NS_PER_S) /* between two requests to a guest: time to look at it */
#define PAUSE_MIN    (4 * NS_PER_S) /* after a failure; each further one doubles it */
#define PAUSE_MAX    (300 * NS_PER_S)
#define KILLED_NS    (600 * NS_PER_S)
#define IN_FLIGHT_NS (1 * NS_PER_S) /* so long a request counts as if it were answered */
#define SHARE_NEW    128	    /* in 1/256 */
#define SHARE_MAX    256
#define SHARE_MIN    8
#define SHARE_MORE   16 /* after a request that cost nothing; one that did halves it */
#define BUSY_DIVIDES 4	/* a guest at work pays this much less */

/* How fast a host may be filled: it is looked at again before it can be short. */
#define FILL_RATE	   (1024 * MIB)
#define HOST_PAUSE_MIN	   (100 * NS_PER_MS)
#define HOST_PAUSE_MAX	   (10 * NS_PER_S)
#define GUEST_PAUSE_TIGHT  (1 * NS_PER_S)
#define GUEST_PAUSE_NEAR   (10 * NS_PER_S)
#define GUEST_PAUSE_PLENTY (60 * NS_PER_S)

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Counters and sizes may be anything: never below 0. */
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* --- the host ------------------------------------------------------------------------------ */

uint64_t keeper_low(const struct keeper_host *host)
{
	return min(max(host->total / LOW_SHARE, LOW_MIN), LOW_MAX);
}

uint64_t keeper_high(const struct keeper_host *host)
{
	return 2 * keeper_low(host);
}

struct keeper_policy keeper_policy_start(uint64_t now)
{
	return (struct keeper_policy){.pace = pace_start(KEEPER_RATE, KEEPER_REQUESTS_MAX, now)};
}

static void judge_host(struct keeper_policy *policy, const struct keeper_host *host)
{
	uint64_t low = keeper_low(host);
	uint64_t high = keeper_high(host);
	if (host->available < low || host->stalls)
		policy->tight = true;
	/* Stalls with much available are those of a cgroup that guests cannot help. */
	if (host->available >= high)
		policy->tight = false;
	policy->lacks = policy->tight ? high - host->available : 0;
}

uint64_t keeper_host_pause(const struct keeper_policy *policy, const struct keeper_host *host)
{
	uint64_t spare = less(host->available, keeper_low(host));
	if (policy->tight)
		return HOST_PAUSE_MIN;
	if (spare / FILL_RATE >= HOST_PAUSE_MAX / NS_PER_S)
		return HOST_PAUSE_MAX;
	return max(spare * NS_PER_S / FILL_RATE, HOST_PAUSE_MIN);
}

uint64_t keeper_guest_pause(const struct keeper_policy *policy, const struct keeper_host *host)
{
	if (policy->tight)
		return GUEST_PAUSE_TIGHT;
	return host->available < 2 * keeper_high(host) ? GUEST_PAUSE_NEAR : GUEST_PAUSE_PLENTY;
}

/* --- what a request cost ------------------------------------------------------------------- */

/* The next failure, within the time that the guest had behaved, pauses it twice as long. */
static void pause_means(struct keeper_pacing *pacing, enum keeper_means means, uint64_t now)
{
	pacing->pause[means] = min(max(2 * pacing->pause[means], PAUSE_MIN), PAUSE_MAX);
	pacing->not_before[means] = now + pacing->pause[means];
}

static void pause_all(struct keeper_guest *guest, uint64_t now)
{
	for (int means = 0; means < KEEPER_MEANS; means++) {
		pause_means(&guest->pacing[false], means, now);
		pause_means(&guest->pacing[true], means, now);
	}
}

static void halve_share(struct keeper_pacing *pacing)
{
	pacing->share = max(pacing->share / 2, SHARE_MIN);
}

static void leave_alone(struct keeper_guest *guest, enum keeper_means means, uint64_t until)
{
	guest->pacing[false].not_before[means] = until;
	guest->pacing[true].not_before[means] = until;
}

static uint64_t watched_size(const struct keeper_guest *guest)
{
	return guest->watched == KEEPER_CACHE ? guest->now.caches : guest->now.resident;
}

/* Compares what is wanted back with what came. */
static enum keeper_verdict judge_request(struct keeper_guest *guest, uint64_t now)
{
	if (!guest->watch_until || (guest->watched == KEEPER_CACHE && !guest->now.told))
		return KEEPER_QUIET;
	struct keeper_pacing *pacing = &guest->pacing[guest->watched_idle];
	uint64_t size = watched_size(guest);
	guest->base = min(guest->base, size);
	uint64_t cost = size - guest->base;
	if (guest->now.told && guest->watched == KEEPER_CACHE)
		cost = max(cost, less(guest->now.reread, guest->reread_base));
	if (cost > guest->came / COST_SHARE) {
		guest->watch_until = 0;
		pause_means(pacing, guest->watched, now);
		if (guest->watched == KEEPER_CACHE)
			halve_share(pacing);
		return KEEPER_TOO_MUCH;
	}
	if (now < guest->watch_until)
		return KEEPER_QUIET;
	guest->watch_until = 0;
	pacing->pause[guest->watched] /= 2;
	if (guest->watched == KEEPER_CACHE)
		pacing->share = min(pacing->share + SHARE_MORE, SHARE_MAX);
	return KEEPER_QUIET;
}

void keeper_answered(struct keeper_guest *guest, enum keeper_answer answer, uint64_t came,
		     uint64_t now)
{
	enum keeper_means means = guest->means;
	struct keeper_pacing *pacing = &guest->pacing[guest->idle];
	guest->asked = false;
	guest->answered = true;
	if (answer == KEEPER_MUTE) {
		guest->mute = true;
		guest->mute_updates = guest->now.updates;
	}
	if (answer == KEEPER_MUTE || answer == KEEPER_REFUSED) {
		pause_all(guest, now);
		return;
	}
	uint64_t least = guest->expected / (answer == KEEPER_LATE ? LATE_SHARE : FRUIT_SHARE);
	if (came < least)
		pause_means(pacing, means, now);
	else
		pacing->not_before[means] = now + NEXT_NS;
	came = min(came, guest->now.resident);
	if (came == 0)
		return;
	guest->watch_until = now + WATCH_NS;
	guest->watched = means;
	guest->watched_idle = guest->idle;
	guest->came = means == KEEPER_CACHE ? min(came, guest->cache) : came;
	guest->base = less(watched_size(guest), guest->came);
	guest->reread_base = guest->now.reread;
}

/* --- guests -------------------------------------------------------------------------------- */

uint64_t keeper_held(const struct keeper_figures *figures)
{
	/* What is resident beyond the use, if all the rest is: free is the guest's own word. */
	uint64_t used = less(less(figures->size, figures->ballooned), figures->free);
	return figures->told ? min(less(figures->resident, used), figures->free) : 0;
}

bool keeper_is_idle(const struct keeper_guest *guest)
{
	return less(guest->looked_at, guest->busy_at) >= IDLE_NS;
}

static bool worked(const struct keeper_guest *guest, const struct keeper_figures *figures,
		   uint64_t now)
{
	if (!guest->looked)
		return true;
	uint64_t faults = less(figures->faults, guest->now.faults);
	return figures->told && faults / BUSY_FAULTS > less(now, guest->looked_at) / NS_PER_S;
}

/* Whether it is at work is not known yet, so it is not asked for what that depends on. */
static void meet(struct keeper_guest *guest, uint64_t now)
{
	guest->pacing[false].share = guest->pacing[true].share = SHARE_NEW;
	leave_alone(guest, KEEPER_CACHE, now + IDLE_NS);
	leave_alone(guest, KEEPER_COMPACT, now + IDLE_NS);
}

enum keeper_verdict keeper_look(struct keeper_guest *guest, const struct keeper_figures *figures,
				uint64_t now)
{
	bool killed = guest->looked && figures->kills > guest->now.kills;
	if (worked(guest, figures, now))
		guest->busy_at = now;
	if (!guest->looked)
		meet(guest, now);
	guest->looked = true;
	guest->looked_at = now;
	guest->now = *figures;
	if (guest->mute && figures->updates > guest->mute_updates)
		guest->mute = false;
	uint64_t held = keeper_held(figures);
	guest->left = guest->answered ? held : min(guest->left, held);
	guest->answered = false;
	if (killed) {
		guest->watch_until = 0;
		halve_share(&guest->pacing[false]);
		halve_share(&guest->pacing[true]);
		for (int means = 0; means < KEEPER_MEANS; means++)
			leave_alone(guest, means, now + KILLED_NS);
		return KEEPER_KILLED;
	}
	return judge_request(guest, now);
}

/* --- the decision -------------------------------------------------------------------------- */

static bool may_ask(const struct keeper_guest *guest, uint64_t now)
{
	/* A host that has had plenty has not looked at its guests for long. */
	if (less(now, guest->looked_at) > FRESH_NS)
		return false;
	return guest->looked && guest->now.running && guest->now.reclaims && guest->now.told &&
	       !guest->asked && !guest->mute && !guest->answered;
}

static uint64_t cache_share(const struct keeper_guest *guest, bool idle)
{
	uint64_t spare = less(min(guest->now.caches, guest->now.resident),
			      max(CACHE_KEPT, guest->now.size / 64));
	uint64_t share = spare / SHARE_MAX * guest->pacing[idle].share;
	return idle ? share : share / BUSY_DIVIDES;
}

/* What a guest can be expected to give by @means; 0 if it cannot be asked by them now. */
static uint64_t offer(const struct keeper_guest *guest, enum keeper_means means, bool idle,
		      uint64_t now)
{
	if (now < guest->pacing[idle].not_before[means])
		return 0;
	uint64_t held = keeper_held(&guest->now);
	uint64_t bytes = 0;
	switch (means) {
	case KEEPER_REPORT:
		bytes = less(held, guest->left);
		break;
	case KEEPER_CACHE:
		bytes = cache_share(guest, idle);
		break;
	case KEEPER_COMPACT:
		bytes = idle && guest->left >= COMPACT_MIN ? guest->left / 2 : 0;
		break;
	default:
		break;
	}
	return bytes < PIECE ? 0 : bytes;
}

/* Whether @a comes before @b: cheaper; else of an idle guest; else larger. */
static bool comes_first(const struct keeper_action *a, const struct keeper_action *b)
{
	if (a->means != b->means)
		return a->means < b->means;
	if (a->idle != b->idle)
		return a->idle;
	return a->expected > b->expected;
}

/* Keeps the first @room of all in order. Returns how many there are. */
static size_t insert(struct keeper_action *action, size_t count, size_t room,
		     const struct keeper_action *one)
{
	if (count == room && !comes_first(one, &action[count - 1]))
		return count;
	size_t at = count < room ? count++ : count - 1;
	for (; at > 0 && comes_first(one, &action[at - 1]); at--)
		action[at] = action[at - 1];
	action[at] = *one;
	return count;
}

/* Finds the cheapest means for each guest, and the @room best of all. */
static size_t choose(struct keeper_guest *const *guest, size_t count, uint64_t now,
		     struct keeper_action *action, size_t room)
{
	size_t found = 0;
	for (size_t i = 0; i < count; i++) {
		if (!may_ask(guest[i], now))
			continue;
		struct keeper_action one = {.guest = i, .idle = keeper_is_idle(guest[i])};
		for (int means = 0; means < KEEPER_MEANS && !one.expected; means++) {
			one.means = means;
			one.expected = offer(guest[i], means, one.idle, now);
		}
		if (one.expected)
			found = insert(action, found, room, &one);
	}
	return found;
}

/* Returns how many requests are in flight, and takes what they should bring from what is lacked. */
static size_t in_flight(struct keeper_policy *policy, struct keeper_guest *const *guest,
			size_t count, uint64_t now)
{
	size_t flying = 0;
	for (size_t i = 0; i < count; i++) {
		if (!guest[i]->asked)
			continue;
		flying++;
		/* One guest that does not answer must not keep the others from being asked. */
		if (less(now, guest[i]->asked_at) < IN_FLIGHT_NS)
			policy->lacks = less(policy->lacks, guest[i]->expected);
	}
	return flying;
}

static void ask(struct keeper_guest *guest, struct keeper_action *action, uint64_t lacks,
		uint64_t now)
{
	if (action->means == KEEPER_CACHE) {
		action->expected = min(action->expected, max(lacks, PIECE));
		action->cache = action->expected;
	}
	guest->asked = true;
	guest->asked_at = now;
	guest->means = action->means;
	guest->idle = action->idle;
	guest->cache = action->cache;
	guest->expected = action->expected;
}

size_t keeper_decide(struct keeper_policy *policy, const struct keeper_host *host,
		     struct keeper_guest *const *guest, size_t count, uint64_t now,
		     struct keeper_action action[KEEPER_REQUESTS_MAX])
{
	judge_host(policy, host);
	if (!policy->tight)
		return 0;
	size_t flying = in_flight(policy, guest, count, now);
	size_t room = less(KEEPER_REQUESTS_MAX, flying);
	room = min(room, pace_left(&policy->pace, now));
	if (room == 0 || policy->lacks == 0)
		return 0;
	size_t found = choose(guest, count, now, action, room);
	size_t asked = 0;
	for (uint64_t lacks = policy->lacks; asked < found && lacks; asked++) {
		ask(guest[action[asked].guest], &action[asked], lacks, now);
		lacks = less(lacks, action[asked].expected);
	}
	pace_spend(&policy->pace, asked);
	return asked;
}
