// SPDX-License-Identifier: Apache-2.0
#include "vmm/top/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/control/client.h"
#include "vmm/control/guest_stat.h"
#include "vmm/control/runtime.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

#define BACKOFF_MIN (500 * NS_PER_MS)
#define BACKOFF_MAX (8 * NS_PER_S)

enum phase {
	CLOSED, /* to be opened when due */
	OPENING,
	READY,
	LOOKING, /* at x-ebb-stat */
	WANTING, /* asks for new statistics, which the next look finds */
	GONE,
};

struct watched {
	struct top_watch *watch;
	struct control_client *client;
	enum phase phase;
	bool listed; /* in the last list of guests */
	bool missed; /* it did not answer a frame, or not yet again */
	uint64_t due, backoff;
	uint64_t asked; /* ns: when it was last asked for statistics; 0: not on this connection */
	struct top_figures figures;
};

struct top_watch {
	struct loop *loop;
	struct watched **watched;
	struct top_figures **figures;
	size_t count, room;
};

struct top_watch *top_watch_new(struct loop *loop)
{
	struct top_watch *watch = calloc(1, sizeof(*watch));
	if (watch)
		watch->loop = loop;
	return watch;
}

/* Sparing the loop what a removed guest's client would still say. */
static void free_watched(struct watched *watched)
{
	control_client_close(watched->client);
	free(watched);
}

void top_watch_free(struct top_watch *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < watch->count; i++)
		free_watched(watch->watched[i]);
	free(watch->watched);
	free(watch->figures);
	free(watch);
}

/* --- one guest ------------------------------------------------------------------------------- */

static void fail(struct watched *watched, int err)
{
	watched->figures.answers = false;
	watched->missed = true;
	control_client_close(watched->client);
	watched->client = NULL;
	watched->phase = control_client_is_gone(err) ? GONE : CLOSED;
	watched->backoff = watched->backoff ? 2 * watched->backoff : BACKOFF_MIN;
	if (watched->backoff > BACKOFF_MAX)
		watched->backoff = BACKOFF_MAX;
	watched->due = clock_ns() + watched->backoff;
	watched->asked = 0;
}

static void on_ended(void *ctx, int err)
{
	fail(ctx, err);
}

/* A guest without statistics refuses. */
static void on_wanted(void *ctx, int err, json_t *reply)
{
	struct watched *watched = ctx;
	(void)reply;
	if (err && err != -EREMOTEIO)
		fail(watched, err);
	else
		watched->phase = READY;
}

static void start(struct watched *watched, enum phase phase, const char *command,
		  control_done *done)
{
	watched->phase = phase;
	int err = control_client_start(watched->client, command, NULL, CONTROL_ANSWER_MS, done,
				       watched);
	if (err)
		fail(watched, err);
}

/* Returns how long the guest's process has had a CPU, in ns. Source: clock_getcpuclockid(3). */
static uint64_t cpu_time(pid_t pid)
{
	clockid_t clock;
	struct timespec time;
	if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
		return TOP_UNKNOWN;
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static void on_stat(void *ctx, int err, json_t *reply)
{
	struct watched *watched = ctx;
	char text[TEXT_MAX];
	struct option_error error = {text, sizeof(text)};
	json_t *stat = err ? NULL : guest_stat_check(reply, &error);
	if (!stat) {
		fail(watched, err ? err : -EPROTO);
		return;
	}
	struct top_sample sample = top_sample_of(stat, clock_ns());
	sample.cpu = cpu_time(watched->figures.pid);
	sample.asked = watched->asked;
	bool tells = json_is_object(json_object_get(stat, "guest-stats")) &&
		     strcmp(sample.status, "running") == 0;
	json_decref(stat);
	top_figures_take(&watched->figures, &sample);
	watched->backoff = 0;
	watched->missed = false;
	watched->phase = READY;
	if (!tells)
		return;
	watched->asked = clock_ns();
	start(watched, WANTING, "x-ebb-stats-request", on_wanted);
}

static void look(struct watched *watched)
{
	start(watched, LOOKING, "x-ebb-stat", on_stat);
}

static void on_open(void *ctx, int err, json_t *reply)
{
	(void)reply;
	if (err)
		fail(ctx, err);
	else
		look(ctx);
}

static void open_client(struct watched *watched)
{
	const struct control_client_owner owner = {.ended = on_ended, .ctx = watched};
	watched->phase = OPENING;
	int err = control_client_open(&watched->client, watched->watch->loop, watched->figures.name,
				      &owner, on_open, watched);
	if (err)
		fail(watched, err);
}

static void ask(struct watched *watched, uint64_t now)
{
	if (watched->phase == READY) {
		if (!top_figures_rest(&watched->figures, cpu_time(watched->figures.pid), now))
			look(watched);
	} else if (watched->phase == CLOSED && now >= watched->due) {
		open_client(watched);
	} else {
		/* A whole frame was too short for it. */
		watched->figures.answers = false;
		watched->missed = true;
	}
}

/* --- all ------------------------------------------------------------------------------------- */

static bool make_room(struct top_watch *watch)
{
	if (watch->count < watch->room)
		return true;
	size_t room = watch->room ? 2 * watch->room : 16;
	struct watched **watched = reallocarray(watch->watched, room, sizeof(watched[0]));
	if (watched)
		watch->watched = watched;
	struct top_figures **figures = reallocarray(watch->figures, room, sizeof(figures[0]));
	if (figures)
		watch->figures = figures;
	if (watched && figures)
		watch->room = room;
	return watched && figures;
}

/* A guest of the same name and another PID is another guest. */
static bool is_known(struct top_watch *watch, const struct runtime_guest *live, size_t known)
{
	for (size_t i = 0; i < known; i++) {
		struct watched *watched = watch->watched[i];
		struct top_figures *figures = &watched->figures;
		if (watched->phase == GONE || strcmp(figures->name, live->name) != 0 ||
		    (figures->pid && live->pid && figures->pid != live->pid))
			continue;
		figures->pid = live->pid;
		watched->listed = true;
		return true;
	}
	return false;
}

static int add(struct top_watch *watch, const struct runtime_guest *live)
{
	struct watched *watched = make_room(watch) ? calloc(1, sizeof(*watched)) : NULL;
	if (!watched) {
		log_error("out of memory: too many guests");
		return -ENOMEM;
	}
	watched->watch = watch;
	watched->listed = true;
	top_figures_init(&watched->figures, live->name, live->pid);
	watch->watched[watch->count++] = watched;
	return 0;
}

static void sweep(struct top_watch *watch)
{
	size_t left = 0;
	for (size_t i = 0; i < watch->count; i++) {
		struct watched *watched = watch->watched[i];
		if (watched->listed)
			watch->watched[left++] = watched;
		else
			free_watched(watched);
	}
	watch->count = left;
}

/* Both lists are short: a host has hundreds of guests at the most. */
static int find(struct top_watch *watch)
{
	struct runtime_guest *live;
	ssize_t count = runtime_list(&live);
	if (count < 0)
		return (int)count;
	int err = 0;
	size_t known = watch->count;
	for (size_t i = 0; i < known; i++)
		watch->watched[i]->listed = false;
	for (ssize_t i = 0; i < count && !err; i++)
		if (!is_known(watch, &live[i], known))
			err = add(watch, &live[i]);
	free(live);
	sweep(watch);
	return err;
}

int top_watch_frame(struct top_watch *watch)
{
	int err = find(watch);
	uint64_t now = clock_ns();
	for (size_t i = 0; i < watch->count && !err; i++)
		ask(watch->watched[i], now);
	return err;
}

size_t top_watch_pending(const struct top_watch *watch)
{
	size_t pending = 0;
	for (size_t i = 0; i < watch->count; i++) {
		const struct watched *watched = watch->watched[i];
		/* Until one is READY, the next frame cannot ask it. */
		pending += (watched->phase == OPENING || watched->phase == LOOKING ||
			    watched->phase == WANTING) &&
			   !watched->missed;
	}
	return pending;
}

struct top_figures **top_watch_guests(struct top_watch *watch, size_t *count)
{
	*count = watch->count;
	for (size_t i = 0; i < watch->count; i++)
		watch->figures[i] = &watch->watched[i]->figures;
	return watch->figures;
}
