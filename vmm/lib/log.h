/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines for the person who started ebb, on standard error, each "ebb: …" and one line long.
 *
 * Thread: any. Lines of several threads do not mix.
 * What a guest can cause more than once goes through a struct log_limit, so that no guest can make
 * the host's log grow without end.
 *
 * A command's lines are simply written. While a guest runs nothing may wait for a standard error
 * that nobody reads: log_attach() has what it does not take at once kept, up to LOG_HELD bytes, and
 * written by the loop when it does; beyond that lines are lost, and their number is told.
 */
#ifndef EBB_LIB_LOG_H
#define EBB_LIB_LOG_H

#include <stdatomic.h>

/* At most this many lines come through one limit; the last of them says that more are withheld. */
#define LOG_LIMIT_LINES 5

/* Bytes of lines that wait for standard error. */
#define LOG_HELD 16384

struct loop;

/* Owned by whatever a guest can provoke (one for each device); all zero to start with. */
struct log_limit {
	atomic_uint lines;
};

/* What was asked for, rather than what is wrong. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_guest(struct log_limit *limit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * From now on no line waits, and @loop writes those that are kept. Of several loops in a process the
 * first does it for all. Main thread.
 */
void log_attach(struct loop *loop);

/*
 * @loop has ended: writes what is kept, as long as a second does not pass without standard error
 * taking any of it. Later lines are written likewise. Main thread.
 */
void log_detach(struct loop *loop);

#endif
