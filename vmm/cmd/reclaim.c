// SPDX-License-Identifier: Apache-2.0
/* ebb reclaim: makes a guest report its free memory now, not at its own pace. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/guests.h"
#include "vmm/lib/log.h"
#include "vmm/lib/table.h"
#include "vmm/lib/text.h"

#define COMMAND	   "x-ebb-reclaim"
#define TIMEOUT_MS 10000
/* Added to the guest's timeout: its ebb waits 5 s more for a late guest, then has 5 s to answer. */
#define PATIENCE_MS 10000

enum { OPTION_CACHE, OPTION_COMPACT, OPTION_TIMEOUT, OPTION_JSON };

static const struct option options[] = {
	OPTION_NAME_LINE,
	OPTION_ALL_LINE,
	{OPTION_CACHE, 0, "cache", "SIZE",
	 "drop SIZE of the file caches, too: a number and one\nof B K M G T P, or a number of MiB, or \"all\"",
	 false},
	{OPTION_COMPACT, 0, "compact", NULL,
	 "compact memory first, so that scattered free pages\nbecome blocks that can be reported",
	 false},
	{OPTION_TIMEOUT, 0, "timeout", "SECONDS",
	 "wait up to SECONDS for the guest [10]; exit with 3\nif it is not ready by then", false},
	{OPTION_JSON, 0, "json", NULL, "print JSON, with sizes in bytes", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	"ebb reclaim", NULL,
	"Makes a guest give back at once the memory that it does not use. This needs\nfree page reporting and a guest kernel with ebb's patches.",
	options, sizeof(options) / sizeof(options[0])};

struct request {
	struct guest_choice choice;
	bool all_cache, compact, json;
	uint64_t cache;
	unsigned int timeout_ms;
};

static int set_cache(struct request *request, const char *value, struct option_error *error)
{
	request->all_cache = strcmp(value, "all") == 0;
	return request->all_cache ? 0 : options_size("--cache", value, &request->cache, error);
}

static int set_timeout(struct request *request, const char *value, struct option_error *error)
{
	int err = options_seconds("--timeout", value, &request->timeout_ms, error);
	if (!err && request->timeout_ms == 0)
		err = options_fail(error, "--timeout must be more than 0 seconds, such as 2 "
					  "or 0.5");
	return err;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct request *request = ctx;
	switch (id) {
	case OPTION_CACHE:
		return set_cache(request, value, error);
	case OPTION_TIMEOUT:
		return set_timeout(request, value, error);
	case OPTION_COMPACT:
		request->compact = true;
		return 0;
	case OPTION_JSON:
		request->json = true;
		return 0;
	default:
		return guest_choice_apply(&request->choice, id, value, error);
	}
}

static json_t *arguments(const struct request *request)
{
	json_int_t bytes = request->cache > INT64_MAX ? INT64_MAX : (json_int_t)request->cache;
	json_t *cache = request->all_cache ? json_string("all") : json_integer(bytes);
	return json_pack("{s:o, s:b, s:f}", "cache", cache, "compact", request->compact, "timeout",
			 request->timeout_ms / 1000.0);
}

/* --- the answer ------------------------------------------------------------------------------ */

/* See vmm/control/README.md. */
struct answer {
	bool late;
	double elapsed, guest_elapsed; /* seconds */
	json_int_t before, after;      /* bytes */
	json_int_t drained, cache, compacted, reported, free;
};

static bool is_time(double seconds)
{
	return isfinite(seconds) && seconds >= 0;
}

/* Returns false if the answer does not have the right form: a peer may answer anything. */
static bool read_answer(json_t *reply, struct answer *answer)
{
	const char *status = NULL;
	if (json_unpack(reply, "{s:s, s:F, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:F}}", "status",
			&status, "elapsed", &answer->elapsed, "rss-before", &answer->before,
			"rss-after", &answer->after, "guest", "drained", &answer->drained, "cache",
			&answer->cache, "compacted", &answer->compacted, "reported",
			&answer->reported, "free", &answer->free, "elapsed",
			&answer->guest_elapsed))
		return false;
	answer->late = strcmp(status, "timeout") == 0;
	return (answer->late || strcmp(status, "done") == 0) && is_time(answer->elapsed) &&
	       is_time(answer->guest_elapsed) && answer->before >= 0 && answer->after >= 0 &&
	       answer->drained >= 0 && answer->cache >= 0 && answer->compacted >= 0 &&
	       answer->reported >= 0 && answer->free >= 0;
}

static json_t *object(const struct guest *guest, const struct answer *answer)
{
	return json_pack("{s:s, s:s, s:f, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:f}}", "name",
			 guest->shown, "status", answer->late ? "timeout" : "done", "elapsed",
			 answer->elapsed, "rss-before", answer->before, "rss-after", answer->after,
			 "guest", "drained", answer->drained, "cache", answer->cache, "compacted",
			 answer->compacted, "reported", answer->reported, "free", answer->free,
			 "elapsed", answer->guest_elapsed);
}

static void print(const struct guest *guest, const struct answer *answer)
{
	char back[TEXT_SIZE_MAX], reported[TEXT_SIZE_MAX], left[TEXT_SIZE_MAX];
	/* A guest that took memory in the meantime may have more than before. */
	json_int_t less = answer->before > answer->after ? answer->before - answer->after : 0;
	printf("%s: %s came back in %.2f s, %s are left; the guest reported %s%s\n", guest->shown,
	       text_size(back, (uint64_t)less), answer->elapsed,
	       text_size(left, (uint64_t)answer->after),
	       text_size(reported, (uint64_t)answer->reported),
	       answer->late ? ", and was not ready in time" : "");
}

/* --- asking ---------------------------------------------------------------------------------- */

struct showing {
	bool json;
	json_t *rows;
};

static int finish(void *ctx, struct guest *guest)
{
	const struct showing *showing = ctx;
	const char *class = control_client_error_class(guest->call.client);
	struct answer answer;
	if (!guest->reply)
		return strcmp(class, "GuestTimeout") == 0 ? EXIT_LATE : EXIT_FAILED;
	if (!read_answer(guest->reply, &answer)) {
		log_error("guest \"%s\" answered " COMMAND " wrongly", guest->shown);
		return EXIT_FAILED;
	}
	if (showing->json)
		json_array_append_new(showing->rows, object(guest, &answer));
	else
		print(guest, &answer);
	return answer.late ? EXIT_LATE : EXIT_DONE;
}

static int reclaim(void *ctx, struct guests *guests, int status)
{
	const struct request *request = ctx;
	struct showing showing = {.json = request->json, .rows = json_array()};
	guests_ask(guests, COMMAND, arguments(request), (int)request->timeout_ms + PATIENCE_MS);
	status = guests_finish(guests, status, finish, &showing);
	if (request->json && (request->choice.all || json_array_size(showing.rows)))
		table_print_json(request->choice.all ? showing.rows
						     : json_array_get(showing.rows, 0),
				 stdout);
	json_decref(showing.rows);
	return status;
}

int cmd_reclaim(int argc, char **argv)
{
	struct request request = {.timeout_ms = TIMEOUT_MS};
	int status = cmd_parse(&table, argc, argv, apply, &request);
	return status >= 0 ? status : guests_run(&request.choice, reclaim, &request);
}
