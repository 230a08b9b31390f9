/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A runtime directory of a test's own, by a Check fixture, and what is said on standard error.
 *
 * Thread: the test's own process, before it has others.
 */
#ifndef EBB_TESTS_RUNTIME_DIR_H
#define EBB_TESTS_RUNTIME_DIR_H

extern char top[];	   /* a directory that exists */
extern char directory[64]; /* where EBB_RUNTIME_DIR points, below it; not made yet */
extern char said[2048];	   /* what log_text() returned last */

void runtime_dir_setup(void);
void runtime_dir_teardown(void);

/* What was logged since last time. */
const char *log_text(void);
void assert_said(const char *what);

/* In the runtime directory. */
int files_left(void);

#endif
