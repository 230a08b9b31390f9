/* SPDX-License-Identifier: Apache-2.0 */
/* Catches what the code under test writes to standard error. */
#ifndef EBB_TESTS_SAID_H
#define EBB_TESTS_SAID_H

#define SAID_MAX 4096

/* Catches standard error from here on, up to said_end(), which returns its text until the next call. */
void said_begin(void);
const char *said_end(void);

/*
 * Runs child(ctx), which must not return, in a process of its own. Returns its status, as waitpid() tells
 * it, with what it wrote to standard error in @said.
 */
int said_by_child(void (*child)(void *ctx), void *ctx, char said[SAID_MAX]);

#endif
