// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/internal.h"

#define COMPACT_MIN (32 * MIB) /* less is not worth moving pages */
#define CACHE_KEPT  (16 * MIB) /* of a guest's caches: its programs run from them */
#define CACHE_LEAST (16 * MIB) /* of less, nothing may come in whole pieces */

#define FRESH_NS     (3 * NS_PER_S)  /* older figures decide nothing */
#define IN_FLIGHT_NS (1 * NS_PER_S)  /* so long a request counts as if it were answered */
#define PRESSED_NS   (10 * NS_PER_S) /* so long a guest whose tasks waited for memory keeps it */
#define BUSY_DIVIDES 4		     /* a guest at work pays this much less */
#define WEIGHT_MAX   10000

/* Leases. */
#define RENEW_NS (15 * NS_PER_S)
#define GIVE_NS                                                                                    \
	(10 * NS_PER_S) /* half of a lease is given back so often, once the host has plenty */
#define LEAVE 4		/* times that are left when a lease is made */

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

/* Returns how old the caches are that a guest is asked for: the oldest that are worth a request. */
static enum keeper_age age_to_take(const uint64_t old[KEEPER_AGES])
{
	enum keeper_age age = KEEPER_AGES - 1;
	while (age > KEEPER_10S && old[age] < max(old[KEEPER_10S] / 4, PIECE))
		age--;
	return age;
}

/*
 * A host that will swap soon costs guests more than files that they read again. But one that fails
 * again and again reads all of its caches. What was not used for a minute or longer (10 s, if the host
 * will swap soon, and the guest is known and has not wanted caches back twice) is gone without a loss,
 * it is likely, also if its guest is at work.
 */
static uint64_t cache_share(const struct keeper_policy *policy, const struct keeper_guest *guest,
			    bool idle, uint64_t now, unsigned int *cold)
{
	const struct keeper_pacing *pacing = &guest->pacing[idle];
	uint64_t spare = less(min(guest->now.caches, guest->now.resident),
			      max(CACHE_KEPT, guest->now.size / 64));
	bool behaves = pacing->pause[KEEPER_CACHE] <= PAUSE_MIN;
	bool old = false;
	if (guest->now.ages) {
		enum keeper_age age = age_to_take(guest->now.old);
		*cold = KEEPER_COLD + age;
		spare = min(spare, guest->now.old[age]);
		old = age >= KEEPER_1MIN || (policy->urgent && behaves && now >= guest->known_at);
	}
	bool more = (old || (policy->urgent && idle)) && behaves;
	unsigned int share = more ? min(2 * pacing->share, SHARE_MAX) : pacing->share;
	uint64_t bytes = weigh(guest, spare / SHARE_MAX * share, spare);
	bytes = idle || old ? bytes : bytes / BUSY_DIVIDES;
	/* A share that is worth no request stays none; any other is worth one of which pieces come. */
	return bytes < PIECE ? 0 : max(bytes, min(spare, CACHE_LEAST));
}

/* Of what programs could have, half of what can be spared: no guest lives on its last memory. */
static uint64_t lendable(const struct keeper_guest *guest)
{
	const struct keeper_figures *now = &guest->now;
	if (!now->deflates || !keeper_has_moved(now) || guest->lease.need)
		return 0;
	uint64_t spare = less(min(now->available, now->size), LEAVE * keeper_least(guest));
	uint64_t there = min(keeper_held(now) + min(now->caches, now->size), now->resident);
	return min(weigh(guest, spare / 2, spare), there);
}

/* Whether its tasks waited for memory not long ago: it needs what it uses. */
static bool is_pressed(const struct keeper_guest *guest, uint64_t now)
{
	return guest->pressed_at && less(now, guest->pressed_at) < PRESSED_NS;
}

/*
 * What a guest can be expected to give by @means; 0 if it cannot be asked by them now. @cold: how
 * certain it is that the guest does without.
 */
static uint64_t offer(const struct keeper_policy *policy, const struct keeper_guest *guest,
		      enum keeper_means means, bool idle, uint64_t now, unsigned int *cold)
{
	*cold = idle ? KEEPER_COLD : 0;
	if (now < guest->pacing[idle].not_before[means])
		return 0;
	/* A kernel that cannot be asked has a balloon still. */
	if (!guest->now.reclaims && means != KEEPER_BALLOON)
		return 0;
	if (means != KEEPER_REPORT && is_pressed(guest, now))
		return 0;
	uint64_t held = keeper_held(&guest->now);
	uint64_t bytes = 0;
	switch (means) {
	case KEEPER_REPORT:
		bytes = less(held, guest->left);
		break;
	case KEEPER_CACHE:
		/* A host that will swap soon waits no longer than it takes to see a guest's pressure. */
		if (now >= guest->known_at || (policy->urgent && guest->compared))
			bytes = cache_share(policy, guest, idle, now, cold);
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

/* Whether @a comes before @b: cheaper; else surer; else larger. */
static bool comes_first(const struct keeper_action *a, const struct keeper_action *b)
{
	if (a->means != b->means)
		return a->means < b->means;
	if (a->cold != b->cold)
		return a->cold > b->cold;
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
			one.expected = offer(policy, guest[i], means, one.idle, now, &one.cold);
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
	if (action->means == KEEPER_CACHE) {
		action->expected = min(action->expected, max(lacks, CACHE_LEAST));
		action->cache = action->expected;
	}
	if (action->means == KEEPER_BALLOON) {
		action->expected = min(action->expected, max(lacks, PIECE));
		action->extra = guest->now.leased + action->expected;
	}
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
