/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLOCK_MONOTONIC, which never goes back, as a number; and the time of day. Thread: any.
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

/* Returns the time of day, in nanoseconds since 1970 began in UTC; it jumps when it is set. */
static inline uint64_t clock_realtime_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Returns @ns as a struct timespec. */
static inline struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
}

/* Sleeps for @milliseconds, also if signals interrupt it. */
static inline void clock_sleep_ms(unsigned int milliseconds)
{
	struct timespec left = clock_timespec(milliseconds * NS_PER_MS);
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

#endif
