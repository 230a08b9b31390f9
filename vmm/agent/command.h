/* SPDX-License-Identifier: Apache-2.0 */
/* The message that tells the agent what to run: struct agent_command and its records. Pure. Thread: any. */
#ifndef EBB_AGENT_COMMAND_H
#define EBB_AGENT_COMMAND_H

#include <stddef.h>

#include "vmm/agent/wire.h"

/* Owned by the caller; starts as all zeros. */
struct command {
	char *data; /* the message */
	size_t size, room;
	int error; /* -errno of an earlier record: the message is useless */
};

/* Adds a record; the first call adds the struct before it. An error is kept in the struct. */
void command_add(struct command *command, enum agent_record kind, const char *text);
/* Completes the message: fills in @head, but for its size. Returns 0, or -E2BIG or -ENOMEM. */
int command_finish(struct command *command, const struct agent_command *head);
void command_release(struct command *command);

#endif
