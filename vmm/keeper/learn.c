// SPDX-License-Identifier: Apache-2.0
/* The policy's memory: what a guest's figures show, what a request brought, and what it cost. */
#include "vmm/keeper/internal.h"

#define BUSY_FAULTS 256 /* a second: fewer are those of services that wait */
#define IDLE_NS	    (5 * NS_PER_S)

/* A request costs too much if this share of what came is wanted back while it is watched. */
#define COST_SHARE 4
#define WATCH_NS   (KEEPER_WATCH_S * NS_PER_S)
/* Or if tasks wait for memory for this share of the time, of which a look covers a second at least. */
#define STALL_SHARE 50
#define STALL_NS    (1 * NS_PER_S)
/* What came is a failure below this share of what was expected. */
#define FRUIT_SHARE 8
#define LATE_SHARE  2 /* of a guest that was late: it worked for all of its time */

#define NEXT_NS	   (NS_PER_S / 2) /* between two requests to a guest: time to look at it */
#define PAUSE_MAX  (300 * NS_PER_S)
#define KILLED_NS  (600 * NS_PER_S)
#define SHARE_NEW  128
#define SHARE_MIN  8
#define SHARE_MORE 16 /* after a request that cost nothing; one that did halves it */

#define MOVE_NS	    (10 * NS_PER_S) /* within which a balloon is where it was sent */
#define LEAST	    (32 * MIB)	    /* available to the guest's programs; or a share of its size */
#define LEAST_SHARE 16

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

/* Whether the last look showed that its tasks wait for memory. */
static bool waited_now(const struct keeper_guest *guest)
{
	return guest->pressed_at && guest->pressed_at == guest->looked_at;
}

/*
 * What was wanted back: what was reclaimed and is needed again, where the guest tells that. Else
 * caches that grow, by whatever is read, and what major faults read.
 */
static uint64_t wanted_back(struct keeper_guest *guest)
{
	uint64_t size = watched_size(guest);
	guest->base = min(guest->base, size);
	uint64_t grown = size - guest->base;
	if (guest->watched != KEEPER_CACHE || !guest->now.told)
		return grown;
	if (guest->now.costs)
		return less(guest->now.refaults, guest->refaults_base);
	return max(grown, less(guest->now.reread, guest->reread_base));
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
	bool pressed = guest->watched != KEEPER_REPORT && waited_now(guest);
	guest->back = min(wanted_back(guest), guest->came);
	if (guest->back > guest->came / COST_SHARE || pressed) {
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
	guest->back = 0;
	guest->watched = means;
	guest->watched_idle = guest->idle;
	guest->came = means == KEEPER_CACHE ? min(came, guest->cache) : came;
	guest->base = less(watched_size(guest), guest->came);
	guest->reread_base = guest->now.reread;
	guest->refaults_base = guest->now.refaults;
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

/* Whether its tasks have waited for memory since the last look, for long enough to tell. */
static bool waited(const struct keeper_guest *guest, const struct keeper_figures *figures,
		   uint64_t now)
{
	if (!guest->looked || !figures->told || !figures->costs || !guest->now.costs)
		return false;
	uint64_t since = max(less(now, guest->looked_at), STALL_NS);
	return less(figures->stalled, guest->now.stalled) > since / STALL_SHARE;
}

static void meet(struct keeper_guest *guest, uint64_t now)
{
	guest->pacing[false].share = guest->pacing[true].share = SHARE_NEW;
	guest->known_at = now + IDLE_NS;
}

uint64_t keeper_least(const struct keeper_guest *guest)
{
	return max(LEAST, guest->now.size / LEAST_SHARE);
}

bool keeper_has_moved(const struct keeper_figures *figures)
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
	bool gave_way = now >= lease->changed_at + MOVE_NS && !keeper_has_moved(figures);
	bool reads = less(figures->reread, lease->reread_base) > figures->leased / COST_SHARE;
	uint64_t enough = keeper_is_idle(guest) ? keeper_least(guest) : 2 * keeper_least(guest);
	if (lease->need || !figures->told ||
	    (!gave_way && !reads && !waited_now(guest) && figures->available >= enough))
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
	if (waited(guest, figures, now))
		guest->pressed_at = now;
	if (!guest->looked)
		meet(guest, now);
	guest->compared |= before.told && figures->told;
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
