// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/asker.h"

#include <check.h>
#include <string.h>
#include <time.h>

double asker_now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

void asker_done(void *ctx, int err, json_t *reply)
{
	struct asker *asker = ctx;
	asker->pending = false;
	asker->err = err;
	asker->reply = json_incref(reply);
}

void asker_event(void *ctx, const char *name, const json_t *data)
{
	struct asker *asker = ctx;
	json_array_append_new(asker->events, json_pack("[s, O*]", name, data));
}

void asker_ended(void *ctx, int err)
{
	struct asker *asker = ctx;
	asker->ended = err;
}

int asker_wait(struct asker *asker)
{
	while (asker->pending)
		ck_assert_int_eq(loop_turn(&asker->loop, -1), 0);
	return asker->err;
}

void asker_start(struct asker *asker, const char *command, json_t *arguments, int milliseconds)
{
	json_decref(asker->reply);
	asker->reply = NULL;
	asker->pending = true;
	int err = control_client_start(asker->client, command, arguments, milliseconds, asker_done,
				       asker);
	if (err)
		asker_done(asker, err, NULL);
}

int asker_run(struct asker *asker, const char *command, json_t *arguments)
{
	asker_start(asker, command, arguments, CONTROL_ANSWER_MS);
	return asker_wait(asker);
}

json_int_t asker_number(const struct asker *asker)
{
	return json_integer_value(asker->reply);
}

int asker_open_to(struct asker *asker, const char *name)
{
	struct control_client_owner owner = {asker_event, asker_ended, asker};
	*asker = (struct asker){.pending = true, .events = json_array()};
	ck_assert_int_eq(loop_init(&asker->loop), 0);
	ck_assert_int_eq(
		control_client_open(&asker->client, &asker->loop, name, &owner, asker_done, asker),
		0);
	/* Never from within. */
	ck_assert(asker->pending);
	return asker_wait(asker);
}

void asker_open(struct asker *asker)
{
	ck_assert_int_eq(asker_open_to(asker, "one"), 0);
	ck_assert_ptr_null(asker->reply);
}

void asker_close(struct asker *asker)
{
	control_client_close(asker->client);
	loop_release(&asker->loop);
	json_decref(asker->events);
	json_decref(asker->reply);
}

int asker_open_and_close(const char *name)
{
	struct asker asker;
	int err = asker_open_to(&asker, name);
	asker_close(&asker);
	return err;
}

const char *asker_events(const struct asker *asker)
{
	static char text[256];
	json_t *event;
	size_t i;
	text[0] = '\0';
	json_array_foreach(asker->events, i, event)
	{
		strcat(text, json_string_value(json_array_get(event, 0)));
		strcat(text, " ");
	}
	return text;
}
