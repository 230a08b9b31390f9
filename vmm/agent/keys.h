/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal's keys while they are the command's: ^C is passed on as any other. But a command, or a guest, that does not
 * heed it must be left, too: KEYS_END of them within a second end the guest.
 *
 * Owned by the session. Thread: its only one.
 */
#ifndef EBB_AGENT_KEYS_H
#define EBB_AGENT_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_END 3

struct keys {
	/* When the latest ^C came, the last one first, in milliseconds as of clock_ms(). */
	int64_t at[KEYS_END];
};

/*
 * Makes the terminal on standard input raw in both directions, until terminal_restore(). Returns 0 or -errno.
 */
int keys_raw(void);

void keys_init(struct keys *keys);
/* Takes note of @count of them in @data, which came at the time @now. Returns whether they end the guest. */
bool keys_end(struct keys *keys, const char *data, size_t count, int64_t now);

#endif
