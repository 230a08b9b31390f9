// SPDX-License-Identifier: Apache-2.0
#include "vmm/keeper/keeper.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/control/runtime.h"
#include "vmm/control/server.h"
#include "vmm/keeper/admit.h"
#include "vmm/keeper/host.h"
#include "vmm/keeper/kept.h"
#include "vmm/keeper/status.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/end_signals.h"
#include "vmm/lib/fatal.h"
#include "vmm/lib/json.h"
#include "vmm/lib/wake.h"
#include "vmm/sandbox/sandbox.h"

/* Answers that come together are one occasion to decide. */
#define GATHER_NS (5 * NS_PER_MS)
#define LOOKS_MAX 64 /* at a time */

struct keeper {
	struct loop loop;
	struct loop_source signals;
	struct loop_source timer;
	struct loop_source trigger; /* PSI; its fd is -1 if there is none */
	struct loop_source started; /* guests that start */
	struct runtime_name name;
	struct control_server *server;
	const struct keeper_config *config;
	int err; /* that ended it */

	struct sandbox sandbox;
	struct fatal_undo forget; /* its name */
	struct keeper_source source;
	bool gone_told; /* that one of its cgroups is gone */
	struct keeper_host host;
	struct keeper_policy policy;
	uint64_t wake_at; /* ns: the timer's */

	/* The same guests in the same order. */
	struct kept **kept;
	struct keeper_guest **seen;
	size_t count, room;
};

/* --- time ---------------------------------------------------------------------------------- */

static void wake_by(struct keeper *keeper, uint64_t at)
{
	at = at ? at : 1;
	if (keeper->wake_at && keeper->wake_at <= at)
		return;
	keeper->wake_at = at;
	wake_timer_at(keeper->timer.fd, at);
}

static void something_changed(void *ctx)
{
	wake_by(ctx, clock_ns() + GATHER_NS);
}

static void stop(struct keeper *keeper, int err)
{
	keeper->err = err;
	loop_stop(&keeper->loop);
}

/* --- guests -------------------------------------------------------------------------------- */

static bool make_room(struct keeper *keeper)
{
	if (keeper->count < keeper->room)
		return true;
	size_t room = keeper->room ? 2 * keeper->room : 16;
	struct kept **kept = reallocarray(keeper->kept, room, sizeof(*kept));
	if (!kept)
		return false;
	keeper->kept = kept;
	struct keeper_guest **seen = reallocarray(keeper->seen, room, sizeof(*seen));
	if (!seen)
		return false;
	keeper->seen = seen;
	keeper->room = room;
	return true;
}

/* A name that is known may be a new guest's, whose predecessor's end has not been seen yet. */
static void add(void *ctx, const char *name)
{
	struct keeper *keeper = ctx;
	for (size_t i = 0; i < keeper->count; i++)
		if (keeper->kept[i]->phase != KEPT_GONE &&
		    strcmp(keeper->kept[i]->name, name) == 0) {
			keeper->kept[i]->again = true;
			if (keeper->kept[i]->phase == KEPT_CLOSED)
				keeper->kept[i]->due = 0;
			something_changed(keeper);
			return;
		}
	struct kept *kept =
		make_room(keeper) ? kept_new(&keeper->loop, name, something_changed, keeper) : NULL;
	if (!kept) {
		log_error("out of memory: the keeper does not look after a new guest");
		return;
	}
	keeper->kept[keeper->count] = kept;
	keeper->seen[keeper->count++] = &kept->seen;
	something_changed(keeper);
}

static void sweep(struct keeper *keeper)
{
	size_t left = 0;
	for (size_t i = 0; i < keeper->count; i++) {
		struct kept *kept = keeper->kept[i];
		if (kept->phase == KEPT_GONE && kept->again) {
			struct kept *next =
				kept_new(&keeper->loop, kept->name, something_changed, keeper);
			kept_free(kept);
			kept = next;
		} else if (kept->phase == KEPT_GONE) {
			kept_free(kept);
			kept = NULL;
		}
		if (!kept)
			continue;
		keeper->kept[left] = kept;
		keeper->seen[left++] = &kept->seen;
	}
	keeper->count = left;
}

static int list(struct keeper *keeper)
{
	struct runtime_guest *live;
	ssize_t count = runtime_list(&live);
	for (ssize_t i = 0; i < count; i++)
		add(keeper, live[i].name);
	free(live);
	return count < 0 ? (int)count : 0;
}

static void guests_started(void *ctx)
{
	struct keeper *keeper = ctx;
	int err = runtime_started(keeper->started.fd, add, keeper);
	if (err == -EOVERFLOW)
		err = list(keeper);
	if (err)
		stop(keeper, err);
}

/* --- a round ------------------------------------------------------------------------------- */

static bool is_looking(const struct kept *kept)
{
	return kept->phase == KEPT_WANTING || kept->phase == KEPT_WAITING ||
	       kept->phase == KEPT_LOOKING;
}

/* Returns when the next guest is due. */
static uint64_t look_at_guests(struct keeper *keeper, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	size_t looks = 0;
	for (size_t i = 0; i < keeper->count; i++)
		looks += is_looking(keeper->kept[i]);
	for (size_t i = 0; i < keeper->count; i++) {
		struct kept *kept = keeper->kept[i];
		uint64_t due = UINT64_MAX;
		kept_tick(kept, now);
		if (kept->phase == KEPT_CLOSED || kept->phase == KEPT_WAITING) {
			due = kept->due;
		} else if (kept->phase == KEPT_READY) {
			bool at_once = !kept->seen.looked || kept->seen.answered;
			due = at_once ? now
				      : kept->seen.looked_at + keeper_guest_pause(&keeper->policy,
										  &keeper->host,
										  &kept->seen);
			if (due <= now && looks < LOOKS_MAX) {
				kept_look(kept);
				looks++;
				due = UINT64_MAX;
			} else if (due <= now) {
				due = UINT64_MAX; /* the end of another look brings it on */
			}
		}
		next = due < next ? due : next;
	}
	return next;
}

/* Takes what was only said for done, so that it is not said again at once; the status tells of what was asked. */
static void pretend(struct kept *kept, const struct keeper_action *action, uint64_t now)
{
	keeper_answered(&kept->seen, KEEPER_DONE, action->extra, now);
	kept->last = (struct kept_request){.at = 0};
}

static void act(struct keeper *keeper, const struct keeper_action *action, uint64_t now)
{
	struct kept *kept = keeper->kept[action->guest];
	if (kept_note(kept, action, now))
		status_log_request(kept, keeper->config->dry_run);
	if (keeper->config->dry_run)
		pretend(kept, action, now);
	else
		kept_ask(kept, action);
}

/* Guests that are being looked at cannot be asked: they are left out of the decision. */
static size_t ready(struct keeper *keeper)
{
	size_t front = 0;
	for (size_t i = 0; i < keeper->count; i++) {
		struct kept *kept = keeper->kept[i];
		if (kept->phase != KEPT_READY && kept->phase != KEPT_ASKED)
			continue;
		keeper->kept[i] = keeper->kept[front];
		keeper->seen[i] = keeper->seen[front];
		keeper->kept[front] = kept;
		keeper->seen[front++] = &kept->seen;
	}
	return front;
}

static void decide(struct keeper *keeper, uint64_t now)
{
	struct keeper_action action[KEEPER_REQUESTS_MAX];
	bool tight = keeper->policy.tight;
	size_t count = ready(keeper);
	size_t asked =
		keeper_decide(&keeper->policy, &keeper->host, keeper->seen, count, now, action);
	if (tight != keeper->policy.tight)
		status_log_host(&keeper->policy, &keeper->host);
	for (size_t i = 0; i < asked; i++)
		act(keeper, &action[i], now);
}

static void say_what_is_gone(struct keeper *keeper)
{
	if (keeper->source.gone && !keeper->gone_told)
		log_warn("a cgroup that the keeper was started in is gone, and with it its limits; "
			 "start the keeper anew, in the guests' cgroup");
	keeper->gone_told = keeper->source.gone;
}

static void tick(struct keeper *keeper)
{
	uint64_t now = clock_ns();
	int err = keeper_host_read(&keeper->source, &keeper->host, now);
	if (err) {
		log_error("cannot read the host's memory from /proc/meminfo: %s", strerror(-err));
		stop(keeper, err);
		return;
	}
	say_what_is_gone(keeper);
	if (runtime_is_gone(&keeper->name)) {
		log_error("the directory of the guests' names was removed: the keeper ends");
		stop(keeper, -ENOENT);
		return;
	}
	sweep(keeper);
	decide(keeper, now);
	uint64_t next = look_at_guests(keeper, now);
	uint64_t host = now + keeper_host_pause(&keeper->policy, &keeper->host);
	wake_by(keeper, next < host ? next : host);
}

static void timer_rang(void *ctx)
{
	struct keeper *keeper = ctx;
	wake_take(keeper->timer.fd);
	keeper->wake_at = 0;
	tick(keeper);
}

/* Programs wait for memory: what there is to do is done at once. */
static void pressure(void *ctx)
{
	tick(ctx);
}

/* --- its own socket, its end --------------------------------------------------------------- */

/* In the words of x-ebb-stat. */
static const char *sandbox_word(const struct keeper *keeper)
{
	return !keeper->config->confined	? "off"
	       : keeper->sandbox.has_namespaces ? "on"
						: "no namespaces";
}

static json_t *status(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct keeper *keeper = ctx;
	(void)arguments, (void)error;
	return status_of(&keeper->policy, &keeper->host, keeper->kept, keeper->count,
			 keeper->config->dry_run, sandbox_word(keeper));
}

static json_t *admit(void *ctx, const json_t *arguments, struct control_error *error)
{
	static const char *const words[] = {
		[KEEPER_FITS] = "yes",
		[KEEPER_FITS_RECLAIMED] = "reclaim",
		[KEEPER_FITS_NOT] = "no",
	};
	struct keeper *keeper = ctx;
	json_int_t size = json_integer_value(json_object_get(arguments, "size"));
	uint64_t reclaimable = 0;
	if (size <= 0)
		return control_fail(error, "Parameter 'size' expects a size in bytes");
	int err = keeper_host_read(&keeper->source, &keeper->host, clock_ns());
	if (err)
		return control_fail(error, "the host's memory is unknown: %s", strerror(-err));
	for (size_t i = 0; i < keeper->count; i++) {
		uint64_t one = keeper_reclaimable(keeper->seen[i]);
		/* One guest alone cannot have more than the host. */
		reclaimable += one < keeper->host.total ? one : keeper->host.total;
	}
	enum keeper_fit fit = keeper_admit(&keeper->host, reclaimable, (uint64_t)size);
	return json_pack("{s:s, s:o, s:o}", "fit", words[fit], "available",
			 json_count(keeper->host.available), "reclaimable",
			 json_count(reclaimable));
}

static const struct control_command commands[] = {
	{KEEPER_STATUS, CONTROL_READS, status},
	{KEEPER_ADMIT, CONTROL_READS, admit},
	{},
};

static void signal_came(void *ctx)
{
	struct keeper *keeper = ctx;
	struct signalfd_siginfo info;
	if (read(keeper->signals.fd, &info, sizeof(info)) == sizeof(info))
		stop(keeper, 0);
}

/* --- start and end ------------------------------------------------------------------------- */

/* Two descriptors for each guest. */
static void allow_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int watch_signals(struct keeper *keeper)
{
	sigset_t set;

	end_signals_hold(&set, NULL);
	keeper->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return keeper->signals.fd < 0 ? -errno : loop_add(&keeper->loop, &keeper->signals);
}

/* Where the kernel has no trigger, readings must do. */
static void watch_pressure(struct keeper *keeper)
{
	keeper->trigger.fd = keeper_host_trigger();
	if (keeper->trigger.fd < 0)
		keeper->trigger.fd = -1;
	else
		loop_add_urgent(&keeper->loop, &keeper->trigger);
}

static int start(struct keeper *keeper)
{
	int err = loop_init(&keeper->loop);
	if (!err)
		err = watch_signals(keeper);
	if (!err) {
		keeper->timer.fd = wake_timer_open();
		err = keeper->timer.fd < 0 ? keeper->timer.fd
					   : loop_add(&keeper->loop, &keeper->timer);
	}
	if (err) {
		log_error("cannot start the keeper: %s", strerror(-err));
		return err;
	}
	err = runtime_claim(&keeper->name, RUNTIME_KEEPER);
	if (err)
		return err;
	fatal_undo_add(&keeper->forget);
	int listener = runtime_listen(&keeper->name);
	err = listener < 0 ? listener
			   : control_server_init(&keeper->server, &keeper->loop, listener,
						 keeper->name.directory, commands, keeper);
	/* Whoever finds the name finds the socket, too: what takes longer comes after it. */
	if (!err && keeper->config->confined)
		err = sandbox_begin(&keeper->sandbox, keeper->name.directory);
	if (err)
		return err;
	keeper_source_open(&keeper->source, "/proc", "/sys/fs/cgroup");
	if (keeper->source.too_deep)
		log_warn("the keeper's cgroup is more than %d levels deep: it does not see limits "
			 "of those further up",
			 KEEPER_GROUPS_MAX);
	keeper->started.fd = runtime_watch(&keeper->name);
	err = keeper->started.fd < 0 ? keeper->started.fd
				     : loop_add(&keeper->loop, &keeper->started);
	if (err)
		return err;
	watch_pressure(keeper);
	return 0;
}

/* Where the names' directory is from now on: the session's, which may be above it, cannot be looked at. */
static int find_directory(const struct keeper *keeper)
{
	char directory[PATH_MAX];
	snprintf(directory, sizeof(directory), "%s", keeper->name.path);
	*strrchr(directory, '/') = '\0';
	const char *here = keeper->sandbox.has_namespaces ? NAMESPACES_NAMES : directory;
	if (setenv("EBB_RUNTIME_DIR", here, true) == 0 &&
	    setenv(RUNTIME_SHOWN, directory, true) == 0)
		return 0;
	log_error("out of memory");
	return -ENOMEM;
}

/* It reads what guests say: from here on it has what it needs for that, and no more. */
static int confine(struct keeper *keeper)
{
	if (!keeper->config->confined)
		return 0;
	int err = sandbox_enter_keeper(&keeper->sandbox, keeper->config->required);
	if (!err)
		err = find_directory(keeper);
	if (!err)
		keeper->sandbox.guard.enter(&keeper->sandbox.guard, "keeper");
	return err;
}

static int serve(struct keeper *keeper)
{
	/* Guests that start from here on are told of, and may be found twice. */
	int err = list(keeper);
	if (err)
		return err;
	something_changed(keeper);
	log_info("looking after the guests of this user%s; Ctrl-C ends it",
		 keeper->config->dry_run ? ", without asking them for anything" : "");
	err = loop_run(&keeper->loop);
	return err ? err : keeper->err;
}

static void close_source(struct loop_source *source)
{
	if (source->fd >= 0)
		close(source->fd);
}

static void release(struct keeper *keeper)
{
	for (size_t i = 0; i < keeper->count; i++)
		kept_free(keeper->kept[i]);
	free(keeper->kept);
	free(keeper->seen);
	control_server_release(keeper->server);
	close_source(&keeper->started);
	close_source(&keeper->trigger);
	close_source(&keeper->timer);
	close_source(&keeper->signals);
	keeper_source_close(&keeper->source);
	sandbox_release(&keeper->sandbox);
	fatal_undo_remove(&keeper->forget);
	runtime_release(&keeper->name);
	loop_release(&keeper->loop);
}

/* In a signal handler. */
static void forget_name(void *name)
{
	runtime_release(name);
}

int keeper_run(const struct keeper_config *config)
{
	struct keeper keeper = {
		.loop = {.epoll = -1, .wake = -1},
		.name = {.directory = -1, .fd = -1},
		.config = config,
		.sandbox = SANDBOX_NONE,
		.source = {.meminfo = -1, .pressure = -1},
		.policy = keeper_policy_start(clock_ns()),
	};
	keeper.signals = (struct loop_source){-1, signal_came, &keeper};
	keeper.timer = (struct loop_source){-1, timer_rang, &keeper};
	keeper.trigger = (struct loop_source){-1, pressure, &keeper};
	keeper.started = (struct loop_source){-1, guests_started, &keeper};
	keeper.forget = (struct fatal_undo){forget_name, &keeper.name, NULL};
	fatal_take();
	allow_descriptors();
	int err = start(&keeper);
	if (!err) {
		/* Opens standard error once more: while there is /proc. */
		log_attach(&keeper.loop);
		err = confine(&keeper);
		err = err ? err : serve(&keeper);
		log_detach(&keeper.loop);
	}
	release(&keeper);
	fatal_give_back();
	return err;
}
