// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/keeper_sim.h"

#include <stdlib.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/sizes.h"

#define MIB	     (UINT64_C(1) << 20)
#define READ_RATE    (400 * MIB) /* a second, from a disk */
#define TOUCH_RATE   (1024 * MIB)
#define BALLOON_RATE (256 * MIB)
#define IDLE_RATE    20	  /* page faults a second */
#define BUSY_RATE    5000 /* likewise, at least */

const struct sim_policy sim_keeper = {keeper_decide, keeper_look};

static size_t decide_nothing(struct keeper_policy *policy, const struct keeper_host *host,
			     struct keeper_guest *const *guest, size_t count, uint64_t now,
			     struct keeper_action *action)
{
	(void)policy, (void)host, (void)guest, (void)count, (void)now, (void)action;
	return 0;
}
const struct sim_policy sim_absent = {decide_nothing, keeper_look};

void sim_init(struct sim *sim, const struct sim_policy *policy, uint64_t total, size_t guests)
{
	*sim = (struct sim){.policy = *policy, .total = total, .count = guests, .random = 1};
	sim->guest = calloc(guests, sizeof(*sim->guest));
	sim->seen = calloc(guests, sizeof(*sim->seen));
	sim->list = calloc(guests, sizeof(struct keeper_guest *));
	if (!sim->guest || !sim->seen || !sim->list)
		abort();
	for (size_t i = 0; i < guests; i++)
		sim->list[i] = &sim->seen[i];
	sim->state = keeper_policy_start(0);
}

void sim_release(struct sim *sim)
{
	free(sim->guest);
	free(sim->seen);
	free(sim->list);
}

uint64_t sim_random(struct sim *sim, uint64_t limit)
{
	sim->random ^= sim->random << 13;
	sim->random ^= sim->random >> 7;
	sim->random ^= sim->random << 17;
	return sim->random % limit;
}

static uint64_t resident(const struct sim_guest *guest)
{
	return guest->used + guest->caches + guest->held;
}

uint64_t sim_available(const struct sim *sim)
{
	uint64_t used = sim->hog;
	for (size_t i = 0; i < sim->count; i++)
		used += resident(&sim->guest[i]);
	return used < sim->total ? sim->total - used : 0;
}

/* --- a guest ------------------------------------------------------------------------------- */

static bool at_work(const struct sim_guest *guest, uint64_t now)
{
	return guest->turn && (now + guest->offset) % guest->turn < guest->busy;
}

static uint64_t unused(const struct sim_guest *guest)
{
	uint64_t taken = guest->used + guest->caches + guest->balloon;
	return taken < guest->size ? guest->size - taken : 0;
}

static void drop(struct sim_guest *guest, uint64_t bytes)
{
	guest->caches -= bytes;
	guest->dropped += bytes;
}

/* Makes room for programs: caches go first, then the balloon; then a process. Returns the room. */
static uint64_t make_room(struct sim_guest *guest, uint64_t bytes)
{
	uint64_t there = unused(guest);
	if (there >= bytes)
		return bytes;
	uint64_t dropped = min(bytes - there, guest->caches);
	drop(guest, dropped);
	there += dropped;
	uint64_t back = guest->kills ? 0 : min(bytes - there, guest->balloon);
	guest->balloon -= back;
	guest->rescued += back;
	guest->gave_way |= back != 0;
	there += back;
	guest->killed += there < bytes;
	guest->told.kills = guest->killed;
	return there;
}

/* Takes memory up to @used: first what it holds. */
static void take(struct sim_guest *guest, uint64_t used)
{
	uint64_t more = min(used - guest->used, TOUCH_RATE / (NS_PER_S / SIM_STEP));
	more = make_room(guest, more);
	guest->used += more;
	guest->held -= min(more, guest->held);
}

static void read_files(struct sim_guest *guest, uint64_t caches)
{
	uint64_t more = min(caches - guest->caches, READ_RATE / (NS_PER_S / SIM_STEP));
	uint64_t kept = min(more, unused(guest));
	guest->caches += kept;
	guest->held -= min(kept, guest->held);
	/* Where there is no room it is read again and again. */
	uint64_t again = min(more, guest->dropped);
	guest->dropped -= again;
	guest->told.refaults += again;
	guest->told.stalled += again * NS_PER_S / READ_RATE;
	guest->told.reread += more;
	guest->reread += more;
}

/* Its balloon goes where it was sent. */
static void move_balloon(struct sim_guest *guest, uint64_t now)
{
	uint64_t most = BALLOON_RATE / (NS_PER_S / SIM_STEP);
	if (guest->lease && now >= guest->lease_until) {
		guest->lease = 0;
		guest->gave_way = false;
	}
	if (guest->balloon > guest->lease) {
		guest->balloon -= min(most, guest->balloon - guest->lease);
	} else if (guest->balloon < guest->lease && !guest->gave_way) {
		uint64_t more = min(most, guest->lease - guest->balloon);
		uint64_t there = min(more, unused(guest));
		uint64_t dropped = min(more - there, guest->caches);
		drop(guest, dropped);
		guest->held -= min(there, guest->held);
		guest->balloon += there + dropped;
	}
}

/* What a guest wants now: memory of programs, and caches. */
struct want {
	bool busy;
	uint64_t used, caches;
};

/* Goes on in its trace. Files that grow are read, those that shrink were deleted. */
static struct want follow(struct sim_guest *guest, uint64_t now)
{
	const struct sim_trace *trace = guest->trace;
	uint64_t second = (now + guest->offset) / NS_PER_S % trace->seconds;
	size_t to = trace->count - 1;
	while (trace->point[to].second > second)
		to--;
	while (guest->at != to) {
		uint64_t before = trace->point[guest->at].caches * MIB;
		guest->at = (guest->at + 1) % trace->count;
		uint64_t after = trace->point[guest->at].caches * MIB;
		guest->to_read = less(guest->to_read + after, before);
		/* Of files that are deleted, what was dropped is missed no more. */
		uint64_t gone = less(before, after);
		uint64_t had = min(gone, guest->caches);
		guest->caches -= had;
		guest->dropped = less(guest->dropped, gone - had);
	}
	uint64_t used = trace->point[to].used * MIB;
	struct want want = {guest->to_read || guest->used < used, used,
			    guest->caches + guest->to_read};
	guest->to_read = less(guest->to_read, READ_RATE / (NS_PER_S / SIM_STEP));
	return want;
}

static struct want work_by_turns(const struct sim_guest *guest, uint64_t now)
{
	bool busy = at_work(guest, now);
	return (struct want){busy, guest->base + (busy ? guest->work : 0),
			     guest->hot + (busy ? guest->files : 0)};
}

/* Returns what it needs now. */
static uint64_t live(struct sim_guest *guest, uint64_t now)
{
	move_balloon(guest, now);
	struct want want = guest->trace ? follow(guest, now) : work_by_turns(guest, now);
	if (want.busy)
		guest->rest_at = now;
	if (guest->used < want.used) {
		take(guest, want.used);
	} else if (guest->used > want.used) {
		guest->held += guest->used - want.used;
		guest->used = want.used;
		guest->read_at = now + guest->delay;
	}
	if (guest->caches < want.caches)
		read_files(guest, want.caches);
	if (now >= guest->read_at)
		guest->held = min(guest->held, guest->pieces);
	guest->told.faults += (want.busy ? BUSY_RATE : IDLE_RATE) / (NS_PER_S / SIM_STEP);
	return want.used + (guest->trace ? 0 : want.caches);
}

/* What is not used all the time has not been used since the last work. */
static void tell_ages(struct sim_guest *guest, uint64_t now)
{
	static const uint64_t seconds[KEEPER_AGES] = {10, 60, 600, 3600};
	uint64_t in_use = guest->hot + (guest->rest_at == now ? guest->files : 0);
	guest->told.ages = guest->told.costs = guest->ages;
	for (int age = 0; age < KEEPER_AGES; age++) {
		bool old = now - guest->rest_at >= seconds[age] * NS_PER_S;
		guest->told.old[age] = old ? less(guest->caches, in_use) : 0;
	}
}

static void tell(struct sim_guest *guest, uint64_t now)
{
	bool liar = guest->kind == SIM_LIAR;
	guest->told.running = true;
	guest->told.reclaims = !guest->stock;
	guest->told.told = guest->kind != SIM_MUTE || guest->told.updates == 0;
	guest->told.updates += guest->told.told;
	guest->told.size = guest->size;
	guest->told.resident = resident(guest);
	guest->told.free = liar ? guest->size : unused(guest);
	guest->told.deflates = guest->deflates;
	guest->told.ballooned = guest->balloon;
	guest->told.target = guest->told.leased = guest->lease;
	guest->told.available = guest->told.free + (liar ? 0 : guest->caches);
	guest->told.caches = liar ? guest->size : guest->caches;
	tell_ages(guest, now);
}

/* --- the keeper's side --------------------------------------------------------------------- */

/* Caches that are not in use go first, as in a kernel's lists. */
static uint64_t obey(struct sim_guest *guest, uint64_t now)
{
	uint64_t before = resident(guest);
	if (guest->asked.means == KEEPER_BALLOON) {
		guest->moves += guest->asked.extra > guest->lease;
		guest->gave_way &= guest->asked.extra == guest->lease;
		guest->lease = guest->asked.extra;
		guest->lease_until = now + KEEPER_LEASE_S * NS_PER_S;
		return guest->lease;
	}
	if (guest->kind != SIM_LIAR) {
		drop(guest, min(guest->asked.cache, guest->caches));
		guest->held =
			guest->asked.means == KEEPER_COMPACT ? 0 : min(guest->held, guest->pieces);
	}
	guest->given += before - resident(guest);
	return before - resident(guest);
}

static void answer(struct sim *sim, size_t i)
{
	struct sim_guest *guest = &sim->guest[i];
	if (!guest->answer_at || sim->now < guest->answer_at)
		return;
	guest->answer_at = 0;
	if (guest->kind == SIM_MUTE)
		keeper_answered(&sim->seen[i], KEEPER_MUTE, 0, sim->now);
	else
		keeper_answered(&sim->seen[i], KEEPER_DONE, obey(guest, sim->now), sim->now);
}

static void look(struct sim *sim, size_t i, const struct keeper_host *host)
{
	struct keeper_guest *seen = &sim->seen[i];
	uint64_t due = seen->looked_at + keeper_guest_pause(&sim->state, host, seen);
	if (sim->guest[i].answer_at || (seen->looked && !seen->answered && sim->now < due))
		return;
	tell(&sim->guest[i], sim->now);
	sim->too_much += sim->policy.look(seen, &sim->guest[i].told, sim->now) == KEEPER_TOO_MUCH;
}

static void request(struct sim *sim, const struct keeper_action *action)
{
	static const uint64_t delays[] = {NS_PER_S / 2, NS_PER_S / 2, 7 * NS_PER_S, 3 * NS_PER_S};
	struct sim_guest *guest = &sim->guest[action->guest];
	sim->unanswered += guest->answer_at != 0;
	guest->asked = *action;
	guest->answer_at = sim->now + delays[guest->kind];
	guest->requests++;
	sim->actions++;
	if (sim->now / NS_PER_S != sim->second) {
		sim->second = sim->now / NS_PER_S;
		sim->in_second = 0;
	}
	if (++sim->in_second > sim->most_a_second)
		sim->most_a_second = sim->in_second;
}

static void step(struct sim *sim)
{
	struct keeper_action action[KEEPER_REQUESTS_MAX];
	uint64_t needed = 0;
	sim->now += SIM_STEP;
	for (size_t i = 0; i < sim->count; i++) {
		needed += live(&sim->guest[i], sim->now);
		answer(sim, i);
	}
	if (needed > sim->needed_most)
		sim->needed_most = needed;
	struct keeper_host host = {.total = sim->total, .available = sim_available(sim)};
	sim->swapped += host.available ? 0 : SIM_STEP;
	for (size_t i = 0; i < sim->count; i++)
		look(sim, i, &host);
	bool tight = sim->state.tight;
	size_t asked =
		sim->policy.decide(&sim->state, &host, sim->list, sim->count, sim->now, action);
	sim->flips += tight != sim->state.tight;
	for (size_t i = 0; i < asked; i++)
		request(sim, &action[i]);
}

void sim_run(struct sim *sim, uint64_t ns)
{
	for (uint64_t end = sim->now + ns; sim->now < end;)
		step(sim);
}

uint64_t sim_until(struct sim *sim, uint64_t bytes, uint64_t ns)
{
	uint64_t begin = sim->now;
	while (sim->now < begin + ns && sim_available(sim) < bytes)
		step(sim);
	return sim->now - begin;
}
