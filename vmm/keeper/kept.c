// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/control/guest_figures.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/sizes.h"
#include "vmm/lib/text.h"

#define PAGE 4096
#define US   1000 /* in ns */

#define BACKOFF_MIN (100 * NS_PER_MS)
#define BACKOFF_MAX (60 * NS_PER_S)
#define WAIT_MIN    (2 * NS_PER_MS) /* for statistics: a guest that has the time sends them at once */
#define WAIT_MAX    (20 * NS_PER_MS)
#define WAIT_TRIES  25

#define GUEST_SECONDS 2.0   /* for a guest to do what it is asked */
#define ASK_MS	      12000 /* its ebb waits 5 s more for a late guest, then has 5 s to answer */

struct kept *kept_new(struct loop *loop, const char *name, void (*changed)(void *ctx), void *ctx)
{
	struct kept *kept = calloc(1, sizeof(*kept));
	if (!kept)
		return NULL;
	snprintf(kept->name, sizeof(kept->name), "%s", name);
	text_escape(kept->shown, sizeof(kept->shown), name, false);
	kept->loop = loop;
	kept->changed = changed;
	kept->ctx = ctx;
	return kept;
}

void kept_free(struct kept *kept)
{
	control_client_close(kept->client);
	free(kept);
}

static void enter(struct kept *kept, enum kept_phase phase)
{
	kept->phase = phase;
	kept->changed(kept->ctx);
}

/* --- failures ------------------------------------------------------------------------------ */

/* Ends the request that its policy waits for. @bytes are those of keeper_answered(), of which @came are new. */
static void end_request(struct kept *kept, enum keeper_answer answer, uint64_t bytes, uint64_t came)
{
	struct kept_request *last = &kept->last;
	uint64_t now = clock_ns();
	keeper_answered(&kept->seen, answer, bytes, now);
	/* Else what ends only renewed a lease. */
	if (!last->open)
		return;
	last->open = false;
	last->answer = answer;
	last->took = now - last->at;
	last->came = came;
	last->watched = came && last->action.means != KEEPER_BALLOON;
}

static void forget_request(struct kept *kept, enum keeper_answer answer)
{
	if (kept->seen.asked)
		end_request(kept, answer, 0, 0);
}

static void close_for_now(struct kept *kept)
{
	control_client_close(kept->client);
	kept->client = NULL;
	kept->backoff = kept->backoff ? 2 * kept->backoff : BACKOFF_MIN;
	if (kept->backoff > BACKOFF_MAX)
		kept->backoff = BACKOFF_MAX;
	kept->due = clock_ns() + kept->backoff;
	enter(kept, KEPT_CLOSED);
}

/* After an error of the connection: the guest has ended, or its ebb is starting, stuck or broken. */
static void fail(struct kept *kept, int err)
{
	forget_request(kept, KEEPER_MUTE);
	if (control_client_is_gone(err)) {
		enter(kept, KEPT_GONE);
		return;
	}
	if (err != -ECONNREFUSED)
		log_guest(&kept->limit, "guest \"%s\" does not answer the keeper: %s", kept->shown,
			  err == -EREMOTEIO ? "its ebb refuses" : strerror(-err));
	close_for_now(kept);
}

static void on_ended(void *ctx, int err)
{
	struct kept *kept = ctx;
	fail(kept, err);
}

/* --- opening ------------------------------------------------------------------------------- */

static void on_open(void *ctx, int err, json_t *reply)
{
	struct kept *kept = ctx;
	(void)reply;
	if (err)
		fail(kept, err);
	else
		enter(kept, KEPT_READY);
}

static void open_client(struct kept *kept)
{
	const struct control_client_owner owner = {.ended = on_ended, .ctx = kept};
	kept->phase = KEPT_OPENING;
	int err = control_client_open(&kept->client, kept->loop, kept->name, &owner, on_open, kept);
	if (err)
		fail(kept, err);
}

/* --- looking ------------------------------------------------------------------------------- */

static uint64_t guest_figure(const json_t *stat, const char *path)
{
	return guest_stat_number(stat, path, 0);
}

static bool is_true(const json_t *stat, const char *group, const char *key)
{
	return json_is_true(json_object_get(json_object_get(stat, group), key));
}

/* What the guest could drop: of its files in memory some are no cache, but all there is of them. */
static uint64_t droppable(const json_t *stat)
{
	uint64_t caches = guest_figure(stat, FIGURE_STATS "/stat-disk-caches");
	uint64_t free = guest_figure(stat, FIGURE_STATS "/stat-free-memory");
	uint64_t available =
		guest_stat_number(stat, FIGURE_STATS "/stat-available-memory", UINT64_MAX);
	return min(caches, less(available, free));
}

/* Files in its memory, by age, no more than its caches. Returns whether the guest tells that. */
static bool read_ages(const json_t *stat, uint64_t caches, uint64_t old[KEEPER_AGES])
{
	static const char *const paths[KEEPER_AGES] = {
		[KEEPER_10S] = FIGURE_STATS "/stat-ebb-file-10s",
		[KEEPER_1MIN] = FIGURE_STATS "/stat-ebb-file-1min",
		[KEEPER_10MIN] = FIGURE_STATS "/stat-ebb-file-10min",
		[KEEPER_1H] = FIGURE_STATS "/stat-ebb-file-1h",
	};
	bool all = true;
	for (int age = 0; age < KEEPER_AGES; age++) {
		uint64_t bytes = guest_stat_number(stat, paths[age], UINT64_MAX);
		all &= bytes != UINT64_MAX;
		old[age] = min(bytes, caches);
	}
	return all;
}

/* Returns whether the guest tells what the lack of memory costs it. */
static bool read_costs(const json_t *stat, uint64_t *refaults, uint64_t *stalled)
{
	uint64_t file = guest_stat_number(stat, FIGURE_STATS "/stat-ebb-refault-file", UINT64_MAX);
	uint64_t anon = guest_figure(stat, FIGURE_STATS "/stat-ebb-refault-anon");
	uint64_t us = guest_figure(stat, FIGURE_STATS "/stat-ebb-stall-some");
	*refaults = file + min(anon, UINT64_MAX - file);
	*stalled = min(us, UINT64_MAX / US) * US;
	return file != UINT64_MAX;
}

static struct keeper_figures read_figures(const json_t *stat, uint64_t wanted)
{
	uint64_t major = guest_figure(stat, FIGURE_STATS "/stat-major-faults");
	struct keeper_figures figures = {
		.running = strcmp(guest_stat_text(stat, "status"), "running") == 0,
		.reclaims = is_true(stat, "reclaim", "negotiated"),
		.deflates = is_true(stat, "balloon", "deflates"),
		.weight = guest_figure(stat, "weight"),
		.size = guest_figure(stat, "memory/size"),
		.resident = guest_stat_own(stat, 0),
		.shared = less(guest_figure(stat, "memory/rss"), guest_stat_own(stat, 0)),
		.ballooned = guest_figure(stat, "balloon/actual"),
		.target = guest_figure(stat, "balloon/target"),
		.leased = guest_figure(stat, "balloon/leased"),
		.free = guest_figure(stat, FIGURE_STATS "/stat-free-memory"),
		.available = guest_figure(stat, FIGURE_STATS "/stat-available-memory"),
		.caches = droppable(stat),
		.updates = guest_figure(stat, "guest-stats/updates"),
		.faults = guest_figure(stat, FIGURE_STATS "/stat-minor-faults") + major,
		.reread = guest_figure(stat, FIGURE_STATS "/stat-swap-in") + major * PAGE,
		.kills = guest_figure(stat, FIGURE_STATS "/stat-oom-kills"),
	};
	figures.told = figures.updates > wanted;
	figures.ages = read_ages(stat, figures.caches, figures.old);
	figures.costs = read_costs(stat, &figures.refaults, &figures.stalled);
	return figures;
}

/* Whether a process that is killed now may lack what the request took. A lease takes for as long as there is one. */
static bool may_have_killed(const struct kept_request *last, uint64_t now)
{
	uint64_t until = last->at + last->took + KEEPER_WATCH_S * NS_PER_S;
	return last->came && (last->action.means == KEEPER_BALLOON || now <= until);
}

static void take_verdict(struct kept *kept, enum keeper_verdict verdict, uint64_t now)
{
	struct kept_request *last = &kept->last;
	if (last->watched)
		last->back = kept->seen.back;
	if (verdict == KEEPER_KILLED ? may_have_killed(last, now)
				     : verdict == KEEPER_TOO_MUCH && last->watched)
		last->verdict = verdict;
}

static void log_verdict(struct kept *kept, enum keeper_verdict verdict)
{
	const struct keeper_pacing *pacing = &kept->seen.pacing[kept->seen.watched_idle];
	if (verdict == KEEPER_TOO_MUCH)
		log_info("guest \"%s\": wants back what it gave: not asked for that for %.0f s",
			 kept->shown, (double)pacing->pause[kept->seen.watched] / (double)NS_PER_S);
	if (verdict == KEEPER_KILLED)
		log_info(
			"guest \"%s\": killed a process for lack of memory: left alone for 10 minutes",
			kept->shown);
}

static void on_stat(void *ctx, int err, json_t *reply)
{
	char text[TEXT_MAX];
	struct option_error error = {text, sizeof(text)};
	struct kept *kept = ctx;
	uint64_t now = clock_ns();
	if (err) {
		fail(kept, err);
		return;
	}
	json_t *stat = guest_stat_check(reply, &error);
	if (!stat) {
		log_guest(&kept->limit, "guest \"%s\" answered x-ebb-stat wrongly: %s", kept->shown,
			  text);
		close_for_now(kept);
		return;
	}
	struct keeper_figures figures = read_figures(stat, kept->wanted);
	json_decref(stat);
	if (!figures.told && figures.running && kept->tries && --kept->tries) {
		kept->wait = min(2 * kept->wait, WAIT_MAX);
		kept->due = now + kept->wait;
		enter(kept, KEPT_WAITING);
		return;
	}
	kept->backoff = 0;
	enum keeper_verdict verdict = keeper_look(&kept->seen, &figures, now);
	take_verdict(kept, verdict, now);
	log_verdict(kept, verdict);
	enter(kept, KEPT_READY);
}

static void look_now(struct kept *kept)
{
	kept->phase = KEPT_LOOKING;
	int err = control_client_start(kept->client, "x-ebb-stat", NULL, CONTROL_ANSWER_MS, on_stat,
				       kept);
	if (err)
		fail(kept, err);
}

/* A guest without statistics is looked at as it is. */
static void on_wanted(void *ctx, int err, json_t *reply)
{
	struct kept *kept = ctx;
	if (err && err != -EREMOTEIO) {
		fail(kept, err);
		return;
	}
	json_int_t updates = json_integer_value(json_object_get(reply, "updates"));
	kept->wanted = err || updates < 0 ? UINT64_MAX : (uint64_t)updates;
	kept->tries = err ? 0 : WAIT_TRIES;
	kept->wait = WAIT_MIN;
	kept->due = clock_ns() + kept->wait;
	enter(kept, KEPT_WAITING);
}

/* Statistics that were asked for are not asked for again before they come. */
void kept_look(struct kept *kept)
{
	if (kept->seen.looked && kept->wanted != UINT64_MAX &&
	    kept->seen.now.updates <= kept->wanted) {
		kept->tries = 0;
		look_now(kept);
		return;
	}
	kept->phase = KEPT_WANTING;
	int err = control_client_start(kept->client, "x-ebb-stats-request", NULL, CONTROL_ANSWER_MS,
				       on_wanted, kept);
	if (err)
		fail(kept, err);
}

void kept_tick(struct kept *kept, uint64_t now)
{
	if (now < kept->due)
		return;
	if (kept->phase == KEPT_CLOSED)
		open_client(kept);
	else if (kept->phase == KEPT_WAITING)
		look_now(kept);
}

/* --- asking -------------------------------------------------------------------------------- */

static void log_answer(const struct kept *kept, bool late, double elapsed, uint64_t came)
{
	char size[TEXT_SIZE_MAX];
	log_info("guest \"%s\": %s came in %.2f s%s", kept->shown, text_size(size, came), elapsed,
		 late ? "; it was not ready in time" : "");
}

/* A lease that only goes on is no news. */
static void log_lease(const struct kept *kept, uint64_t leased)
{
	char change[TEXT_SIZE_MAX], all[TEXT_SIZE_MAX];
	uint64_t before = kept->seen.now.leased;
	text_size(all, leased);
	if (leased < before)
		log_info("guest \"%s\": its lease is smaller by %s: %s", kept->shown,
			 text_size(change, before - leased), all);
	else if (leased > before || kept->seen.expected)
		log_info("guest \"%s\": its lease is larger by %s: %s", kept->shown,
			 text_size(change, leased - before), all);
}

/* Returns whether the answer has the right form: a peer may answer anything. */
static bool take_lease(struct kept *kept, json_t *reply)
{
	json_int_t target, leased;
	if (json_unpack(reply, "{s:I, s:I}", "target", &target, "leased", &leased) || leased < 0)
		return false;
	kept->answered++;
	log_lease(kept, (uint64_t)leased);
	end_request(kept, KEEPER_DONE, (uint64_t)leased,
		    less((uint64_t)leased, kept->seen.now.leased));
	return true;
}

static bool take_answer(struct kept *kept, json_t *reply)
{
	const char *status;
	double elapsed;
	json_int_t before, after;
	if (json_unpack(reply, "{s:s, s:F, s:I, s:I}", "status", &status, "elapsed", &elapsed,
			"rss-before", &before, "rss-after", &after) ||
	    !(elapsed >= 0) || before < 0 || after < 0)
		return false;
	bool late = strcmp(status, "done") != 0;
	uint64_t came = before > after ? (uint64_t)(before - after) : 0;
	kept->answered++;
	kept->came += came;
	log_answer(kept, late, elapsed, came);
	end_request(kept, late ? KEEPER_LATE : KEEPER_DONE, came, came);
	return true;
}

static void on_answer(void *ctx, int err, json_t *reply)
{
	char text[TEXT_MAX];
	struct kept *kept = ctx;
	bool lease = kept->seen.means == KEEPER_BALLOON;
	if (err == 0 && (lease ? take_lease(kept, reply) : take_answer(kept, reply))) {
		enter(kept, KEPT_READY);
		return;
	}
	if (err == -EREMOTEIO) {
		const char *class = control_client_error_class(kept->client);
		bool mute = strcmp(class, "GuestTimeout") == 0;
		log_guest(&kept->limit, "guest \"%s\": %s", kept->shown,
			  text_escape(text, sizeof(text), json_string_value(reply), false));
		forget_request(kept, mute ? KEEPER_MUTE : KEEPER_REFUSED);
		enter(kept, KEPT_READY);
		return;
	}
	fail(kept, err ? err : -EPROTO);
}

bool kept_note(struct kept *kept, const struct keeper_action *action, uint64_t now)
{
	const struct keeper_guest *seen = &kept->seen;
	bool lease = action->means == KEEPER_BALLOON;
	uint64_t returned = lease ? less(seen->now.leased, action->extra) : 0;
	if (lease && !action->expected && !returned)
		return false;
	kept->last = (struct kept_request){.at = now,
					   .action = *action,
					   .returned = returned,
					   .needed = seen->lease.need,
					   .aged = seen->now.ages,
					   .open = true};
	return true;
}

void kept_ask(struct kept *kept, const struct keeper_action *action)
{
	bool lease = action->means == KEEPER_BALLOON;
	json_t *arguments =
		lease ? json_pack("{s:o, s:i}", "extra", json_count(action->extra), "lease",
				  KEEPER_LEASE_S)
		      : json_pack("{s:o, s:b, s:f}", "cache", json_count(action->cache), "compact",
				  action->means == KEEPER_COMPACT, "timeout", GUEST_SECONDS);
	kept->requests++;
	kept->phase = KEPT_ASKED;
	int err = control_client_start(kept->client, lease ? "x-ebb-balloon" : "x-ebb-reclaim",
				       arguments, lease ? CONTROL_ANSWER_MS : ASK_MS, on_answer,
				       kept);
	if (err)
		fail(kept, err);
}

/* --- showing ------------------------------------------------------------------------------- */

const char *kept_state(const struct kept *kept)
{
	const struct keeper_guest *seen = &kept->seen;
	if (!seen->looked || (!kept->client && kept->backoff))
		return kept->backoff > BACKOFF_MIN ? "no answer" : "new";
	if (!seen->now.running)
		return "not running";
	if (!seen->now.reclaims && !seen->now.deflates)
		return "cannot be asked";
	if (seen->mute || !seen->now.told)
		return "mute";
	if (seen->asked)
		return "asked";
	return keeper_is_idle(seen) ? "idle" : "at work";
}
