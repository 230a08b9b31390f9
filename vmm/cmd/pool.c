// SPDX-License-Identifier: Apache-2.0
/*
 * ebb pool: keeps some guests ready, and gives them out, one at a time: clones of a snapshot by `ebb pool take`, guests
 * that wait for a command by `ebb sandbox --pool`. The process that keeps them is as a keeper's: it has a name among the
 * guests, and one command.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cmd/clones.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/pool.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

enum { FROM, SANDBOX, READY };

static const struct option options[] = {
	{FROM, 0, "from", "DIR", "the snapshot that the clones go on from", false},
	{SANDBOX, 0, "sandbox", NULL,
	 "keep guests for \"ebb sandbox --pool NAME\" instead:\nits options that choose a guest follow --",
	 false},
	{READY, 0, "ready", "N", "how many are kept ready [1]", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb pool", "[take] NAME [-- OPTION...]",
	"Keeps clones of a snapshot ready: guests NAME-1, NAME-2, … that are paused, until\n"
	"\"ebb pool take NAME\" lets one go on and prints its name. Another is started in\n"
	"its place. Ctrl-C ends the pool, and those that nobody took. What follows -- is\n"
	"as for \"ebb clone\", or with --sandbox as for \"ebb sandbox\".",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	const char *name, *from;
	bool take, sandbox;
	unsigned int ready; /* 0: not given */
	char **argv;	    /* to find the first of the options that follow -- */
	struct clones clones;
};

/* --- options ------------------------------------------------------------------------------------- */

static int set_name(struct request *request, const char *word, struct option_error *error)
{
	if (request->name)
		return options_fail(error, "two names are given: '%s' and '%s'; a pool has one",
				    request->name, word);
	const char *wrong = pool_name_error(word);
	if (wrong)
		return options_fail(error, "the name \"%s\" %s", word, wrong);
	request->name = word;
	return 0;
}

static int apply_word(struct request *request, const char *word, struct option_error *error)
{
	if (request->clones.option)
		return OPTIONS_END;
	if (*word == '-') {
		clones_set_options(&request->clones, request->argv, word);
		return OPTIONS_END;
	}
	if (request->name || request->take || strcmp(word, "take") != 0)
		return set_name(request, word, error);
	request->take = true;
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	uint64_t number = 0;

	if (id == OPTION_WORD)
		return apply_word(request, value, error);
	if (id == FROM) {
		if (strcmp(value, "-") == 0)
			return options_fail(error, CLONES_NO_STREAM);
		request->from = value;
		return 0;
	}
	if (id == SANDBOX) {
		request->sandbox = true;
		return 0;
	}
	if (options_number(value, &number, NULL) || number == 0 || number > POOL_READY_MAX)
		return options_fail(error, "\"%s\" is not a number of guests; write 1 to %d", value,
				    POOL_READY_MAX);
	request->ready = (unsigned int)number;
	return 0;
}

static int check(const struct request *request)
{
	if (!request->name)
		log_error("name the pool: ebb pool NAME --from DIR, or ebb pool take NAME");
	else if (request->take &&
		 (request->from || request->sandbox || request->ready || request->clones.option))
		log_error("\"ebb pool take\" takes no options: they are those of the pool");
	else if (request->from && request->sandbox)
		log_error(
			"--sandbox starts its guests itself, and --from has them from a snapshot: leave out one");
	else if (!request->take && !request->sandbox && (!request->from || !*request->from))
		log_error(
			"a pool needs a snapshot: ebb pool %s --from DIR; or --sandbox, for \"ebb sandbox\"",
			request->name);
	else
		return EXIT_DONE;
	return EXIT_USAGE;
}

/* --- ebb pool take ------------------------------------------------------------------------------- */

/* The other end of @taker is closed when this process ends. */
static int ask(const struct request *request, int taker)
{
	struct loop loop;
	struct control_call call;
	char text[TEXT_MAX];
	int error = loop_init(&loop), status = EXIT_DONE;

	if (error) {
		log_error("cannot ask the pool: %s", strerror(-error));
		return EXIT_FAILED;
	}
	error = pool_ask(&call, &loop, request->name, POOL_TAKE, taker, POOL_TAKE_MS);
	const char *name = error ? NULL : json_string_value(json_object_get(call.reply, "name"));
	if (name)
		puts(text_escape(text, sizeof(text), name, false));
	else
		status = pool_say_failure(request->name, &call, error ? error : -EPROTO,
					  "--from DIR");
	control_call_close(&call);
	loop_release(&loop);
	return status;
}

static int take_one(const struct request *request)
{
	int taker[2];

	if (pipe2(taker, O_CLOEXEC) < 0) {
		log_error("cannot make a pipe for the pool: %s", strerror(errno));
		return EXIT_FAILED;
	}
	int status = ask(request, taker[0]);
	close(taker[0]);
	close(taker[1]);
	return status;
}

int cmd_pool(int argc, char **argv)
{
	struct request request = {.argv = argv};
	int status = cmd_parse(&table, argc, argv, apply, &request);

	if (status >= 0)
		return status;
	status = check(&request);
	if (status != EXIT_DONE)
		return status;
	if (request.take)
		return take_one(&request);
	unsigned int ready = request.ready ? request.ready : 1;
	if (request.sandbox)
		return pool_keep_sandboxes(request.clones.option, request.clones.options,
					   request.name, ready);
	request.clones.folder = request.from;
	return pool_keep_clones(&request.clones, request.name, ready);
}
