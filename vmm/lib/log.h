/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines for the person who started ebb, on standard error, each "ebb: …" and one line long: text
 * that a terminal would obey, or that is not UTF-8, is escaped (text.h).
 *
 * Thread: any. Lines of several threads do not mix. A message that a guest can cause more than once
 * goes through a struct log_limit, so that no guest can make the host's log grow without end.
 *
 * A command simply writes its lines. While a guest runs, no thread may wait for a standard error
 * that is not read: after log_attach() up to LOG_HELD bytes that it does not take at once are kept,
 * and the loop writes them when it does; further lines are lost, and their number is reported. Lines of
 * other threads than main are all written by the loop, or by main when ebb dies of a fault.
 */
#ifndef EBB_LIB_LOG_H
#define EBB_LIB_LOG_H

#include <stdatomic.h>

/* At most this many lines come through one limit; the last of them says that more are withheld. */
#define LOG_LIMIT_LINES 5

/* Bytes of lines that wait for standard error. */
#define LOG_HELD 16384

struct loop;

/* Owned by each part whose messages a guest can cause, as a device. Must start as all zeros. */
struct log_limit {
	atomic_uint lines;
};

/* log_info() is for output that was asked for, the others are for problems. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_guest(struct log_limit *limit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * From now on no call waits, and @loop writes the lines that are kept. If there are several loops
 * in a process, the first writes them for all. Main thread.
 */
void log_attach(struct loop *loop);

/*
 * Called after @loop has ended. Writes the lines that are kept, until standard error takes nothing
 * for a second. Later lines are written likewise. Main thread.
 */
void log_detach(struct loop *loop);

#endif
