// SPDX-License-Identifier: Apache-2.0
#include "vmm/agent/keys.h"

#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/lib/terminal.h"

#define KEY_INTERRUPT 0x03

int keys_raw(void)
{
	struct termios raw;
	int error = terminal_raw(STDIN_FILENO);

	if (error)
		return error;
	/* The guest's terminal has done to the output what is to be done, as to "\n". */
	if (tcgetattr(STDIN_FILENO, &raw) < 0)
		return -errno;
	raw.c_oflag &= ~(tcflag_t)OPOST;
	return tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0 ? -errno : 0;
}

void keys_init(struct keys *keys)
{
	for (unsigned int i = 0; i < KEYS_END; i++)
		keys->at[i] = INT64_MIN / 2;
}

bool keys_end(struct keys *keys, const char *data, size_t count, int64_t now)
{
	bool end = false;

	for (size_t i = 0; i < count; i++) {
		if (data[i] != KEY_INTERRUPT)
			continue;
		memmove(keys->at + 1, keys->at, (KEYS_END - 1) * sizeof(keys->at[0]));
		keys->at[0] = now;
		end |= keys->at[0] - keys->at[KEYS_END - 1] < 1000;
	}
	return end;
}
