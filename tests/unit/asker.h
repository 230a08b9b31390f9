/* SPDX-License-Identifier: Apache-2.0 */
/* A client as the tests of clients use it: with a loop of its own, and a note of what it was told. */
#ifndef EBB_TESTS_ASKER_H
#define EBB_TESTS_ASKER_H

#include <jansson.h>
#include <stdbool.h>

#include "vmm/control/client.h"
#include "vmm/lib/loop.h"

#define HELLO	"{\"QMP\": {}}\r\n"
#define WELCOME HELLO "{\"return\": {}, \"id\": 1}\r\n"

struct asker {
	struct loop loop;
	struct control_client *client;
	bool pending;
	int err;
	json_t *reply;
	json_t *events; /* arrays of name and data, in the order that they came */
	int ended;
};

/* Seconds. */
double asker_now(void);

/* What a client calls, with the asker as its ctx. */
void asker_done(void *ctx, int err, json_t *reply);
void asker_event(void *ctx, const char *name, const json_t *data);
void asker_ended(void *ctx, int err);

/* Waits for the answer. Returns its error. */
int asker_wait(struct asker *asker);

/* Asks; asker_wait() waits for the answer. */
void asker_start(struct asker *asker, const char *command, json_t *arguments, int milliseconds);

/* Both. */
int asker_run(struct asker *asker, const char *command, json_t *arguments);

/* The answer, if it is a number. */
json_int_t asker_number(const struct asker *asker);

/* Opens a client; asker_open() one that succeeds, to "one". */
int asker_open_to(struct asker *asker, const char *name);
void asker_open(struct asker *asker);
void asker_close(struct asker *asker);
int asker_open_and_close(const char *name);

/* What came, as in "a b a b ". */
const char *asker_events(const struct asker *asker);

#endif
