// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/read_all.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/signal_waits.h"

#define POLL_MS 100 /* between two checks for signals, which are blocked and so do not end poll() */

ssize_t read_next(int fd, void *data, size_t size, int silence_ms)
{
	struct pollfd from = {.fd = fd, .events = POLLIN};
	int64_t deadline = clock_ms() + silence_ms;

	do {
		int ready = poll(&from, 1, POLL_MS);
		if (signal_waits())
			return -EINTR;
		ssize_t n = ready > 0 ? read(fd, data, size) : ready;
		if (n > 0 || (n == 0 && ready > 0))
			return n;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
	} while (clock_ms() < deadline);
	return -ETIMEDOUT;
}

ssize_t read_all(int fd, void *data, size_t size, int limit_ms)
{
	int64_t deadline = clock_ms() + limit_ms;
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len < size) {
		int64_t left = deadline - clock_ms();
		n = left > 0 ? read_next(fd, (char *)data + len, size - len, (int)left)
			     : -ETIMEDOUT;
		if (n > 0)
			len += (size_t)n;
	}
	return n < 0 ? n : (ssize_t)len;
}
