// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/decide.h"

#include "vmm/lib/clock.h"
#include "vmm/lib/sizes.h"

#define MIB (UINT64_C(1) << 20)

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
#define NEXT_NS	     (NS_PER_S / 2) /* between two requests to a guest: time to look at it */
#define PAUSE_MIN    (4 * NS_PER_S) /* after a failure; each further one doubles it */
#define PAUSE_MAX    (300 * NS_PER_S)
#define KILLED_NS    (600 * NS_PER_S)
#define IN_FLIGHT_NS (1 * NS_PER_S) /* so long a request counts as if it were answered */
#define SHARE_NEW    128	    /* in 1/256 */
#define SHARE_MAX    256
#define SHARE_MIN    8
#define SHARE_MORE   16 /* after a request that cost nothing; one that did halves it */
#define BUSY_DIVIDES 4	/* a guest at work pays this much less */
#define WEIGHT_MAX   10000

/* The balloon. */
#define RENEW_NS (15 * NS_PER_S)
#define MOVE_NS	 (10 * NS_PER_S) /* within which a balloon is where it was sent */
#define GIVE_NS                                                                                    \
	(10 * NS_PER_S) /* half of a lease is given back so often, once the host has plenty */
#define LEAST	    (32 * MIB) /* available to the guest's programs; or a share of its size */
#define LEAST_SHARE 16
#define LEAVE	    4 /* times that are left when a lease is made */

/* --- the host ------------------------------------------------------------------------------ */

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
	policy->urgent = policy->tight && host->available < low / 2;
	policy->lacks = policy->tight ? high - host->available : 0;
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

/*
 * An idle guest that has not missed what was taken may be asked for twice the share at once: the host
 * is short now. One that wanted memory back not long ago is probed slowly.
 */
static void grow_share(struct keeper_guest *guest, struct keeper_pacing *pacing)
{
	if (guest->watched != KEEPER_CACHE || !guest->watched_idle || guest->grown ||
	    !guest->seen || pacing->pause[KEEPER_CACHE] >= PAUSE_MIN)
		return;
	guest->grown = true;
	pacing->share = min(2 * pacing->share, SHARE_MAX);
}

/* Compares what is wanted back with what came. */
static enum keeper_verdict judge_request(struct keeper_guest *guest, uint64_t now)
{
	if (!guest->watch_until)
		return KEEPER_QUIET;
	guest->seen |= now >= guest->watch_until - WATCH_NS + NEXT_NS;
	if (guest->watched == KEEPER_CACHE && !guest->now.told)
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
	if (now < guest->watch_until) {
		grow_share(guest, pacing);
		return KEEPER_QUIET;
	}
	guest->watch_until = 0;
	pacing->pause[guest->watched] /= 2;
	if (guest->watched == KEEPER_CACHE)
		pacing->share = min(pacing->share + SHARE_MORE, SHARE_MAX);
	return KEEPER_QUIET;
}

/* What comes is seen at later looks. @leased may be less than was asked for. */
static void lease_answered(struct keeper_guest *guest, enum keeper_answer answer, uint64_t leased,
			   uint64_t now)
{
	struct keeper_lease *lease = &guest->lease;
	if (answer == KEEPER_REFUSED) {
		pause_means(&guest->pacing[guest->idle], KEEPER_BALLOON, now);
		return;
	}
	if (less(leased, guest->now.leased) < guest->expected / FRUIT_SHARE)
		pause_means(&guest->pacing[guest->idle], KEEPER_BALLOON, now);
	lease->renewed_at = now;
	if (leased != guest->now.leased) {
		lease->changed_at = now;
		lease->reread_base = guest->now.reread;
	}
	if (leased < guest->now.leased)
		lease->need = false;
	guest->now.leased = leased;
}

void keeper_answered(struct keeper_guest *guest, enum keeper_answer answer, uint64_t bytes,
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
	if (means == KEEPER_BALLOON && answer != KEEPER_MUTE) {
		lease_answered(guest, answer, bytes, now);
		return;
	}
	if (answer == KEEPER_MUTE || answer == KEEPER_REFUSED) {
		pause_all(guest, now);
		return;
	}
	uint64_t least = guest->expected / (answer == KEEPER_LATE ? LATE_SHARE : FRUIT_SHARE);
	if (bytes < least)
		pause_means(pacing, means, now);
	else
		pacing->not_before[means] = now + NEXT_NS;
	uint64_t came = min(bytes, guest->now.resident);
	if (came == 0)
		return;
	guest->watch_until = now + WATCH_NS;
	guest->seen = false;
	guest->grown = false;
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
	uint64_t beyond = less(figures->resident + figures->shared, used);
	return figures->told ? min(min(beyond, figures->free), figures->resident) : 0;
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

static uint64_t least(const struct keeper_guest *guest)
{
	return max(LEAST, guest->now.size / LEAST_SHARE);
}

/* Whether the balloon is where it was sent. */
static bool has_moved(const struct keeper_figures *figures)
{
	return figures->ballooned + PIECE > figures->target;
}

/* Takes figures of a guest that has lent memory; @before are the last ones. */
static void look_at_lease(struct keeper_guest *guest, const struct keeper_figures *before,
			  uint64_t now)
{
	const struct keeper_figures *figures = &guest->now;
	struct keeper_lease *lease = &guest->lease;
	/* Somebody has set the balloon: that is the user's word. */
	if (before->leased && !figures->leased &&
	    now < lease->renewed_at + KEEPER_LEASE_S * NS_PER_S)
		leave_alone(guest, KEEPER_BALLOON, now + PAUSE_MAX);
	if (!figures->leased) {
		lease->need = false;
		return;
	}
	bool gave_way = now >= lease->changed_at + MOVE_NS && !has_moved(figures);
	bool reads = less(figures->reread, lease->reread_base) > figures->leased / COST_SHARE;
	uint64_t enough = keeper_is_idle(guest) ? least(guest) : 2 * least(guest);
	if (lease->need || !figures->told || (!gave_way && !reads && figures->available >= enough))
		return;
	lease->need = true;
	pause_means(&guest->pacing[false], KEEPER_BALLOON, now);
	pause_means(&guest->pacing[true], KEEPER_BALLOON, now);
}

enum keeper_verdict keeper_look(struct keeper_guest *guest, const struct keeper_figures *figures,
				uint64_t now)
{
	bool killed = guest->looked && figures->kills > guest->now.kills;
	const struct keeper_figures before = guest->now;
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
	bool reported = guest->answered && guest->means != KEEPER_BALLOON;
	guest->left = reported ? held : min(guest->left, held);
	guest->answered = false;
	look_at_lease(guest, &before, now);
	if (killed) {
		guest->lease.need = true;
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
	return guest->looked && guest->now.running && guest->now.told && !guest->asked &&
	       !guest->mute && !guest->answered;
}

/* Of what is @spare, a guest of the usual weight is asked for @bytes. */
static uint64_t weigh(const struct keeper_guest *guest, uint64_t bytes, uint64_t spare)
{
	uint64_t weight = min(guest->now.weight, WEIGHT_MAX);
	return weight ? min(min(bytes, UINT64_MAX / KEEPER_WEIGHT) * KEEPER_WEIGHT / weight, spare)
		      : bytes;
}

/*
 * A host that will swap soon costs guests more than files that they read again. But one that fails
 * again and again reads all of its caches.
 */
static uint64_t cache_share(const struct keeper_policy *policy, const struct keeper_guest *guest,
			    bool idle)
{
	const struct keeper_pacing *pacing = &guest->pacing[idle];
	bool more = policy->urgent && idle && pacing->pause[KEEPER_CACHE] <= PAUSE_MIN;
	unsigned int share = more ? min(2 * pacing->share, SHARE_MAX) : pacing->share;
	uint64_t spare = less(min(guest->now.caches, guest->now.resident),
			      max(CACHE_KEPT, guest->now.size / 64));
	uint64_t bytes = weigh(guest, spare / SHARE_MAX * share, spare);
	return idle ? bytes : bytes / BUSY_DIVIDES;
}

/* Of what programs could have, half of what can be spared: no guest lives on its last memory. */
static uint64_t lendable(const struct keeper_guest *guest)
{
	const struct keeper_figures *now = &guest->now;
	if (!now->deflates || !has_moved(now) || guest->lease.need)
		return 0;
	uint64_t spare = less(min(now->available, now->size), LEAVE * least(guest));
	uint64_t there = min(keeper_held(now) + min(now->caches, now->size), now->resident);
	return min(weigh(guest, spare / 2, spare), there);
}

/* What a guest can be expected to give by @means; 0 if it cannot be asked by them now. */
static uint64_t offer(const struct keeper_policy *policy, const struct keeper_guest *guest,
		      enum keeper_means means, bool idle, uint64_t now)
{
	if (now < guest->pacing[idle].not_before[means])
		return 0;
	/* A kernel that cannot be asked has a balloon still. */
	if (!guest->now.reclaims && means != KEEPER_BALLOON)
		return 0;
	uint64_t held = keeper_held(&guest->now);
	uint64_t bytes = 0;
	switch (means) {
	case KEEPER_REPORT:
		bytes = less(held, guest->left);
		break;
	case KEEPER_CACHE:
		bytes = cache_share(policy, guest, idle);
		break;
	case KEEPER_COMPACT:
		bytes = idle && guest->left >= COMPACT_MIN ? guest->left / 2 : 0;
		break;
	case KEEPER_BALLOON:
		bytes = idle ? lendable(guest) : 0;
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
static size_t choose(const struct keeper_policy *policy, struct keeper_guest *const *guest,
		     size_t count, uint64_t now, struct keeper_action *action, size_t room)
{
	size_t found = 0;
	for (size_t i = 0; i < count; i++) {
		if (!may_ask(guest[i], now))
			continue;
		struct keeper_action one = {.guest = i, .idle = keeper_is_idle(guest[i])};
		for (int means = 0; means < KEEPER_MEANS && !one.expected; means++) {
			one.means = means;
			one.expected = offer(policy, guest[i], means, one.idle, now);
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

static void mark_asked(struct keeper_guest *guest, const struct keeper_action *action, uint64_t now)
{
	guest->asked = true;
	guest->asked_at = now;
	guest->means = action->means;
	guest->idle = action->idle;
	guest->cache = action->cache;
	guest->extra = action->extra;
	guest->expected = action->expected;
}

static void ask(struct keeper_guest *guest, struct keeper_action *action, uint64_t lacks,
		uint64_t now)
{
	if (action->means == KEEPER_CACHE || action->means == KEEPER_BALLOON)
		action->expected = min(action->expected, max(lacks, PIECE));
	if (action->means == KEEPER_CACHE)
		action->cache = action->expected;
	if (action->means == KEEPER_BALLOON)
		action->extra = guest->now.leased + action->expected;
	mark_asked(guest, action, now);
}

/* --- leases -------------------------------------------------------------------------------- */

/* What a guest's lease shall be from now on. */
static uint64_t lease_now(const struct keeper_guest *guest, const struct keeper_host *host,
			  uint64_t now)
{
	uint64_t leased = guest->now.leased;
	if (guest->lease.need)
		return 0;
	if (host->available < 2 * keeper_high(host) || now < guest->lease.changed_at + GIVE_NS)
		return leased;
	return leased / 2 < PIECE ? 0 : leased / 2;
}

/* Gives leases back and renews them. Returns how many actions that takes. */
static size_t tend_leases(const struct keeper_host *host, struct keeper_guest *const *guest,
			  size_t count, uint64_t now, struct keeper_action *action, size_t room)
{
	size_t done = 0;
	for (size_t i = 0; i < count && done < room; i++) {
		if (!guest[i]->now.leased || !may_ask(guest[i], now))
			continue;
		uint64_t extra = lease_now(guest[i], host, now);
		if (extra == guest[i]->now.leased && now < guest[i]->lease.renewed_at + RENEW_NS)
			continue;
		action[done] = (struct keeper_action){.guest = i,
						      .means = KEEPER_BALLOON,
						      .idle = keeper_is_idle(guest[i]),
						      .extra = extra};
		mark_asked(guest[i], &action[done++], now);
	}
	return done;
}

/* --- all ----------------------------------------------------------------------------------- */

size_t keeper_decide(struct keeper_policy *policy, const struct keeper_host *host,
		     struct keeper_guest *const *guest, size_t count, uint64_t now,
		     struct keeper_action action[KEEPER_REQUESTS_MAX])
{
	judge_host(policy, host);
	size_t flying = in_flight(policy, guest, count, now);
	size_t room = min(less(KEEPER_REQUESTS_MAX, flying), pace_left(&policy->pace, now));
	size_t asked = tend_leases(host, guest, count, now, action, room);
	if (policy->tight && policy->lacks && asked < room) {
		size_t found =
			asked + choose(policy, guest, count, now, action + asked, room - asked);
		for (uint64_t lacks = policy->lacks; asked < found && lacks; asked++) {
			ask(guest[action[asked].guest], &action[asked], lacks, now);
			lacks = less(lacks, action[asked].expected);
		}
	}
	pace_spend(&policy->pace, asked);
	return asked;
}
