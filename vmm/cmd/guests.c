// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/guests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/control/runtime.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

int guest_choice_apply(struct guest_choice *choice, int id, const char *value,
		       struct option_error *error)
{
	if (id == OPTION_CHOICE_ALL)
		choice->all = true;
	if (id != OPTION_CHOICE_NAME)
		return 0;
	const char *wrong = vm_name_error(value);
	if (wrong)
		return options_fail(error,
				    "the name \"%s\" %s; \"ebb list\" tells the guests' names",
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
	struct guest *more = realloc(guests->guest, (guests->count + 1) * sizeof(*more));
	if (!more) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	guests->guest = more;
	struct guest *guest = &more[guests->count++];
	*guest = (struct guest){.pid = pid};
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
					 guests->guest[i].shown);
	log_error("%zu guests are running; name one with -n NAME: %s", guests->count, names);
	return EXIT_USAGE;
}

static int find(struct guests *guests, const struct guest_choice *choice)
{
	struct runtime_guest *live = NULL;
	if (choice->name)
		return add(guests, choice->name, 0);

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

/* Of all guests: one that ended meanwhile is none, others are told of. */
static int open_all(struct guests *guests)
{
	int status = EXIT_DONE;
	size_t kept = 0;
	for (size_t i = 0; i < guests->count; i++) {
		struct guest *guest = &guests->guest[i];
		int err = control_client_open(&guest->client, guest->name, true);
		if (err == -ENOENT)
			continue;
		if (err) {
			guest->client = NULL;
			log_error("guest \"%s\" does not answer: %s", guest->shown, strerror(-err));
			status = EXIT_FAILED;
		}
		guests->guest[kept++] = *guest;
	}
	guests->count = kept;
	return status;
}

int guests_open(struct guests *guests, const struct guest_choice *choice)
{
	*guests = (struct guests){0};
	if (choice->name && choice->all) {
		log_error("-n and -a exclude each other; leave one away");
		return EXIT_USAGE;
	}
	int status = find(guests, choice);
	if (status != EXIT_DONE)
		return status;
	if (choice->all)
		return open_all(guests);
	struct guest *guest = &guests->guest[0];
	int err = control_client_open(&guest->client, guest->name, false);
	if (err)
		guest->client = NULL;
	return !err ? EXIT_DONE : err == -ENOENT ? EXIT_USAGE : EXIT_FAILED;
}

void guests_close(struct guests *guests)
{
	for (size_t i = 0; i < guests->count; i++)
		control_client_close(guests->guest[i].client);
	free(guests->guest);
	*guests = (struct guests){0};
}

/* --- asking ---------------------------------------------------------------------------------- */

static void say_failure(const struct guest *guest, const char *command, int err,
			const json_t *reply)
{
	char text[TEXT_MAX];
	if (err == -EREMOTEIO) {
		const char *why = json_string_value(reply);
		log_error(
			"guest \"%s\" refused %s: %s", guest->shown, command,
			text_escape(text, sizeof(text), why ? why : "it does not say why", false));
	} else if (err == -EPIPE || err == -ECONNRESET) {
		log_error("guest \"%s\" ended before it answered %s", guest->shown, command);
	} else if (err == -ETIMEDOUT) {
		log_error("guest \"%s\" does not answer %s; its ebb is stopped, stuck or busy",
			  guest->shown, command);
	} else if (err == -EPROTO) {
		log_error("guest \"%s\" answered %s with something that is not QMP", guest->shown,
			  command);
	} else {
		log_error("guest \"%s\" could not be asked for %s: %s", guest->shown, command,
			  strerror(-err));
	}
}

static int run(struct guest *guest, const char *command, json_t *arguments, json_t **reply,
	       bool quiet)
{
	json_t *answer = NULL;
	int err = control_client_run(guest->client, command, arguments, &answer);
	if (err && !quiet)
		say_failure(guest, command, err, answer);
	if (err || !reply)
		json_decref(answer);
	if (reply)
		*reply = err ? NULL : answer;
	return err ? EXIT_FAILED : EXIT_DONE;
}

int guest_run(struct guest *guest, const char *command, json_t *arguments, json_t **reply)
{
	return run(guest, command, arguments, reply, false);
}

int guest_run_quietly(struct guest *guest, const char *command, json_t *arguments, json_t **reply)
{
	return run(guest, command, arguments, reply, true);
}

int guest_start(struct guest *guest, const char *command, json_t *arguments)
{
	int err = control_client_start(guest->client, command, arguments);
	if (err)
		say_failure(guest, command, err, NULL);
	return err ? EXIT_FAILED : EXIT_DONE;
}

int guest_finish(struct guest *guest, const char *command, int milliseconds, json_t **reply)
{
	int err = control_client_finish(guest->client, milliseconds, reply);
	if (!err)
		return EXIT_DONE;
	say_failure(guest, command, err, *reply);
	json_decref(*reply);
	*reply = NULL;
	return EXIT_FAILED;
}

json_t *guest_stat(struct guest *guest)
{
	json_t *answer = NULL;
	char text[TEXT_MAX];
	struct option_error error = {text, sizeof(text)};
	if (guest_run(guest, "x-ebb-stat", NULL, &answer) != EXIT_DONE)
		return NULL;
	json_t *stat = guest_stat_check(answer, &error);
	if (!stat)
		log_error("guest \"%s\" answered x-ebb-stat wrongly: %s", guest->shown, text);
	json_decref(answer);
	return stat;
}
