// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/guests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/control/guest_stat.h"
#include "vmm/control/runtime.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

#define AGAIN_MS 50

int guest_choice_apply(struct guest_choice *choice, int id, const char *value,
		       struct option_error *error)
{
	if (id == OPTION_CHOICE_ALL)
		choice->all = true;
	if (id != OPTION_CHOICE_NAME)
		return 0;
	const char *wrong = vm_name_lookup_error(value);
	if (wrong)
		return options_fail(error,
				    "the name \"%s\" %s; \"ebb list\" shows the guests' names",
				    value, wrong);
	choice->name = value;
	return 0;
}

int guest_choice_only(void *ctx, int id, const char *value, struct option_error *error)
{
	return guest_choice_apply(ctx, id, value, error);
}

/* --- choosing -------------------------------------------------------------------------------- */

static int add(struct guests *guests, const char *name, pid_t pid)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	struct guest **more = reallocarray(guests->guest, guests->count + 1, sizeof(more[0]));
	if (more)
		guests->guest = more;
	if (!guest || !more) {
		free(guest);
		log_error("out of memory");
		return EXIT_FAILED;
	}
	more[guests->count++] = guest;
	guest->pid = pid;
	snprintf(guest->name, sizeof(guest->name), "%s", name);
	text_escape(guest->shown, sizeof(guest->shown), name, false);
	return EXIT_DONE;
}

static int say_several(const struct guests *guests)
{
	char names[TEXT_MAX] = "";
	size_t used = 0;
	for (size_t i = 0; i < guests->count && used < sizeof(names); i++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
					 guests->guest[i]->shown);
	log_error("%zu guests are running; name one with -n NAME: %s", guests->count, names);
	return EXIT_USAGE;
}

static int find(struct guests *guests, const struct guest_choice *choice)
{
	struct runtime_guest *live = NULL;
	if (choice->name)
		return add(guests, choice->name, 0);
	if (choice->path)
		return add(guests, "", 0);

	ssize_t count = runtime_list(&live);
	int status = count < 0 ? EXIT_FAILED : EXIT_DONE;
	for (ssize_t i = 0; i < count && status == EXIT_DONE; i++)
		status = add(guests, live[i].name, live[i].pid);
	free(live);
	if (status != EXIT_DONE || choice->all || guests->count == 1)
		return status;
	if (guests->count > 1)
		return say_several(guests);
	log_error("no guest is running; \"ebb run\" starts one");
	return EXIT_USAGE;
}

/* --- connecting ------------------------------------------------------------------------------ */

static bool is_connection_error(int err)
{
	return err == -EPIPE || err == -EPROTO || err == -EIO || err == -ENOMEM;
}

/* Prints the reason why the one guest, named or the only one, cannot be opened. */
static int say_closed(const struct guest *guest)
{
	const char *why = json_string_value(guest->call.reply);
	char text[TEXT_MAX];
	switch (guest->call.err) {
	case -ENOENT:
		log_error("no guest called \"%s\" is running; if it was started with another "
			  "EBB_RUNTIME_DIR, set the same here",
			  guest->shown);
		return EXIT_USAGE;
	case -ECONNREFUSED:
		log_error(
			"the guest \"%s\" does not listen yet, or no more: it is starting or ending; "
			"try again",
			guest->shown);
		break;
	case -ETIMEDOUT:
		log_error(
			"the guest \"%s\" does not answer: its ebb may be stopped; SIGCONT continues it, SIGKILL ends it",
			guest->shown);
		break;
	case -EREMOTEIO:
		log_error(
			"the guest \"%s\" accepts no commands: %s", guest->shown,
			text_escape(text, sizeof(text), why ? why : "it does not say why", false));
		break;
	default:
		/* For an error of the runtime directory a message was printed. */
		if (guest->call.client && !is_connection_error(guest->call.err))
			break;
		log_error("cannot send commands to the guest \"%s\": %s", guest->shown,
			  strerror(-guest->call.err));
	}
	return EXIT_FAILED;
}

/* With -a: leaves out guests that have ended, and prints a message for others that are not open. */
static int sort_out(struct guests *guests)
{
	int status = EXIT_DONE;
	size_t kept = 0;
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = guests->guest[i];
		if (guest->call.err == -ENOENT) {
			control_call_close(&guest->call);
			free(guest);
			continue;
		}
		if (!guest->open) {
			log_error("guest \"%s\" does not answer: %s", guest->shown,
				  strerror(-guest->call.err));
			status = EXIT_FAILED;
		}
		guests->guest[kept++] = guest;
	}
	guests->count = kept;
	return status;
}

static int say_path_closed(const struct guest *guest, const char *path)
{
	log_error("no guest answers at the socket %s: %s; is it what \"ebb run "
		  "--control-read-only\" made, for your user or a group of yours?",
		  path, strerror(-guest->call.err));
	return guest->call.err == -ENOENT || guest->call.err == -ECONNREFUSED ? EXIT_USAGE
									      : EXIT_FAILED;
}

static void start_to_open(struct guests *guests, struct guest *guest, const char *path)
{
	if (path)
		control_call_open_path(&guest->call, &guests->loop, path);
	else
		control_call_open(&guest->call, &guests->loop, guest->name);
}

/* A guest that is starting has its name, and soon a socket: waits for that if @patient. */
static void finish_opening(struct guests *guests, struct guest *guest, bool patient)
{
	int64_t deadline = clock_ms() + (patient ? CONTROL_ANSWER_MS : 0);
	int err;

	while ((err = control_call_wait(&guest->call, &guests->loop)) == -ECONNREFUSED &&
	       clock_ms() < deadline) {
		clock_sleep_ms(AGAIN_MS);
		control_call_close(&guest->call);
		control_call_open(&guest->call, &guests->loop, guest->name);
	}
	guest->open = err == 0;
	guest->asked = guest->open;
}

int guests_open(struct guests *guests, const struct guest_choice *choice)
{
	*guests = (struct guests){.count = 0};
	int err = loop_init(&guests->loop);
	if (err) {
		log_error("cannot wait for guests: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (choice->name && choice->all) {
		log_error("-n and -a cannot be combined");
		return EXIT_USAGE;
	}
	if (choice->path && (choice->name || choice->all)) {
		log_error("--control names one guest: leave -n and -a out");
		return EXIT_USAGE;
	}
	int status = find(guests, choice);
	if (status != EXIT_DONE)
		return status;
	for (size_t i = 0; i < guests->count; i++)
		start_to_open(guests, guests->guest[i], choice->path);
	for (size_t i = 0; i < guests->count; i++)
		finish_opening(guests, guests->guest[i], !choice->all && !choice->path);
	if (choice->all)
		return sort_out(guests);
	if (guests->guest[0]->open)
		return EXIT_DONE;
	return choice->path ? say_path_closed(guests->guest[0], choice->path)
			    : say_closed(guests->guest[0]);
}

void guests_close(struct guests *guests)
{
	for (size_t i = 0; i < guests->count; i++) {
		control_call_close(&guests->guest[i]->call);
		json_decref(guests->guest[i]->stat);
		free(guests->guest[i]);
	}
	free(guests->guest);
	loop_release(&guests->loop);
	*guests = (struct guests){.count = 0};
}

int guests_run(const struct guest_choice *choice,
	       int (*act)(void *ctx, struct guests *guests, int status), void *ctx)
{
	struct guests guests;
	int status = guests_open(&guests, choice);
	if (status == EXIT_DONE || (choice->all && status == EXIT_FAILED))
		status = act(ctx, &guests, status);
	guests_close(&guests);
	return status;
}

/* --- asking ---------------------------------------------------------------------------------- */

static void say_failure(const struct guest *guest, const char *command)
{
	char text[TEXT_MAX];
	const char *why = json_string_value(guest->call.reply);
	switch (guest->call.err) {
	case -EREMOTEIO:
		log_error(
			"guest \"%s\" refused %s: %s", guest->shown, command,
			text_escape(text, sizeof(text), why ? why : "it does not say why", false));
		break;
	case -EPIPE:
		log_error("guest \"%s\" ended before it answered %s", guest->shown, command);
		break;
	case -ETIMEDOUT:
		log_error("guest \"%s\" does not answer %s; its ebb is stopped, stuck or busy",
			  guest->shown, command);
		break;
	case -EPROTO:
		log_error("guest \"%s\" answered %s with something that is not QMP", guest->shown,
			  command);
		break;
	default:
		log_error("guest \"%s\" cannot be sent %s: %s", guest->shown, command,
			  strerror(-guest->call.err));
	}
}

void guests_ask_quietly(struct guests *guests, const char *command, json_t *arguments,
			int milliseconds)
{
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = guests->guest[i];
		guest->reply = NULL;
		if (guest->asked)
			control_call_start(&guest->call, command, json_incref(arguments),
					   milliseconds);
	}
	json_decref(arguments);
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = guests->guest[i];
		if (guest->asked && control_call_wait(&guest->call, &guests->loop) == 0)
			guest->reply = guest->call.reply;
	}
}

void guests_ask(struct guests *guests, const char *command, json_t *arguments, int milliseconds)
{
	guests_ask_quietly(guests, command, arguments, milliseconds);
	for (size_t i = 0; i < guests->count; i++)
		if (guests->guest[i]->asked && !guests->guest[i]->reply)
			say_failure(guests->guest[i], command);
}

/* Returns the number of guests to ask again. */
static size_t poll_once(struct guests *guests, const char *command,
			bool (*done)(void *ctx, struct guest *guest), void *ctx)
{
	size_t left = 0;
	guests_ask(guests, command, NULL, CONTROL_ANSWER_MS);
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = guests->guest[i];
		guest->asked = guest->asked && guest->reply && !done(ctx, guest);
		left += guest->asked;
	}
	return left;
}

void guests_poll(struct guests *guests, const char *command, int poll_ms, unsigned int limit_ms,
		 bool (*done)(void *ctx, struct guest *guest), void *ctx)
{
	int64_t end = clock_ms() + limit_ms;
	while (poll_once(guests, command, done, ctx) && clock_ms() < end)
		clock_sleep_ms(poll_ms);
}

void guests_wait_end(struct guests *guests, unsigned int limit_ms)
{
	int64_t end = clock_ms() + limit_ms;
	for (size_t i = 0; i < guests->count; i++)
		if (guests->guest[i]->asked)
			control_call_wait_end(&guests->guest[i]->call, &guests->loop, end);
}

/* Returns the worse status: EXIT_FAILED is worse than EXIT_LATE. */
static int worse(int a, int b)
{
	return a == EXIT_DONE || (b != EXIT_DONE && a == EXIT_LATE) ? b : a;
}

int guests_finish(struct guests *guests, int status, int (*finish)(void *ctx, struct guest *guest),
		  void *ctx)
{
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = guests->guest[i];
		if (!guest->open)
			continue;
		int one = guest->reply ? EXIT_DONE : EXIT_FAILED;
		status = worse(status, finish ? finish(ctx, guest) : one);
	}
	return status;
}

bool guest_take_stat(struct guest *guest)
{
	char text[TEXT_MAX];
	struct option_error error = {text, sizeof(text)};
	json_decref(guest->stat);
	guest->stat = guest->reply ? guest_stat_check(guest->reply, &error) : NULL;
	if (guest->reply && !guest->stat)
		log_error("guest \"%s\" answered x-ebb-stat wrongly: %s", guest->shown, text);
	if (guest->stat && !*guest->name)
		text_escape(guest->shown, sizeof(guest->shown),
			    guest_stat_text(guest->stat, "name"), false);
	return guest->stat;
}
