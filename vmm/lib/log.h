/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines for the person who started ebb, on standard error, each "ebb: …" and one line long.
 *
 * Thread: any; a line is written with one write(2), so lines of several threads do not mix.
 * What a guest can cause more than once goes through a struct log_limit, so that no guest can make
 * the host's log grow without end.
 */
#ifndef EBB_LIB_LOG_H
#define EBB_LIB_LOG_H

#include <stdatomic.h>

/* At most this many lines come through one limit; the last of them says that more are withheld. */
#define LOG_LIMIT_LINES 5

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

#endif
