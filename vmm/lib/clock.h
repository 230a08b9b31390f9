/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one clock that only goes forward, CLOCK_MONOTONIC, as a number; and the time of day. Thread: any.
 */
#ifndef EBB_LIB_CLOCK_H
#define EBB_LIB_CLOCK_H

#include <errno.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL

static inline uint64_t clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline int64_t clock_ms(void)
{
	return (int64_t)(clock_ns() / NS_PER_MS);
}

/* The time of day in UTC, nanoseconds after 1970 began; it can be set, and jump. */
static inline uint64_t clock_realtime_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* @ns of clock_ns() as the kernel takes a time. */
static inline struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
}

/* Sleeps for @milliseconds, signals or not. */
static inline void clock_sleep_ms(unsigned int milliseconds)
{
	struct timespec left = clock_timespec(milliseconds * NS_PER_MS);
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

#endif
