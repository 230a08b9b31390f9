// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/wake.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/lib/clock.h"

int wake_open(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int wake_timer_open(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void wake_ring(int fd)
{
	const uint64_t one = 1;
	ssize_t ignored = write(fd, &one, sizeof(one));
	(void)ignored;
}

bool wake_take(int fd)
{
	uint64_t times;
	return read(fd, &times, sizeof(times)) == sizeof(times);
}

int wake_timer_at(int fd, uint64_t ns)
{
	const struct itimerspec at = {.it_value = clock_timespec(ns)};
	return timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL) < 0 ? -errno : 0;
}

int wake_timer_every(int fd, unsigned int seconds)
{
	const struct itimerspec every = {{seconds, 0}, {seconds, 0}};
	return timerfd_settime(fd, 0, &every, NULL) < 0 ? -errno : 0;
}
