/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log file that stays small, whatever a guest writes: at TURNED_LOG_MAX bytes it is renamed to
 * FILE.1, in place of the one before, and begun anew.
 *
 * Thread: one.
 */
#ifndef EBB_DETACH_TURNED_LOG_H
#define EBB_DETACH_TURNED_LOG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TURNED_LOG_MAX (1U << 20) /* bytes of each of the two files */

struct turned_log {
	int directory; /* so that a path that is relative stays the same file */
	int fd;	       /* -1: closed, or failed */
	uint64_t size; /* bytes in the file */
	char name[NAME_MAX + 1];
	char turned[NAME_MAX + 1];
};

/*
 * Opens the file @path, makes it (mode 0600) if it is missing, and appends to it. Its directory must
 * exist. Returns 0, or -errno after an error message.
 */
int turned_log_open(struct turned_log *log, const char *path);
/* Accepts a log that could not be opened. */
void turned_log_close(struct turned_log *log);

/* If the disk is full or the file cannot be made anew, the rest of the guest's output is dropped. */
void turned_log_write(struct turned_log *log, const void *data, size_t len);

/*
 * Writes the path of the log of the guest called @guest to @path: in $XDG_STATE_HOME/ebb, or
 * ~/.local/state/ebb, which is made (XDG Base Directory Specification). Returns 0, or -errno after
 * an error message.
 */
int turned_log_default(char *path, size_t size, const char *guest);

#endif
