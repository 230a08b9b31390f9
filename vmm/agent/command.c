// SPDX-License-Identifier: Apache-2.0
#include "vmm/agent/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void add(struct command *command, const void *data, size_t size)
{
	if (command->error)
		return;
	if (size > sizeof(struct agent_command) + AGENT_RECORDS_MAX - command->size) {
		command->error = -E2BIG;
		return;
	}
	if (command->size + size > command->room) {
		size_t room = 2 * (command->size + size);
		char *grown = realloc(command->data, room);
		if (!grown) {
			command->error = -ENOMEM;
			return;
		}
		command->data = grown;
		command->room = room;
	}
	memcpy(command->data + command->size, data, size);
	command->size += size;
}

void command_add(struct command *command, enum agent_record kind, const char *text)
{
	const struct agent_command none = {0};
	char byte = (char)kind;

	if (command->size == 0)
		add(command, &none, sizeof(none));
	add(command, &byte, 1);
	add(command, text, strlen(text) + 1);
}

int command_finish(struct command *command, const struct agent_command *head)
{
	struct agent_command whole = *head;

	if (command->error)
		return command->error;
	whole.magic = AGENT_MAGIC;
	whole.size = (uint32_t)(command->size - sizeof(whole));
	memcpy(command->data, &whole, sizeof(whole));
	return 0;
}

void command_release(struct command *command)
{
	free(command->data);
	*command = (struct command){0};
}
