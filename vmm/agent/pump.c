// SPDX-License-Identifier: Apache-2.0
#include "vmm/agent/pump.h"

#include <errno.h>
#include <unistd.h>

static ssize_t plain_write(void *ctx, int fd, const void *data, size_t size)
{
	ssize_t n = write(fd, data, size);
	(void)ctx;
	return n < 0 ? -errno : n;
}

void pump_init(struct pump *pump, int from, int to, pump_write *write, void *ctx)
{
	pump->from = from;
	pump->to = to;
	pump->ended = pump->broken = false;
	pump->head = pump->size = 0;
	pump->write = write ? write : plain_write;
	pump->ctx = ctx;
}

bool pump_done(const struct pump *pump)
{
	return pump->broken || (pump->ended && pump->size == 0);
}

static bool wants_input(const struct pump *pump)
{
	return !pump->ended && !pump->broken && pump->head + pump->size < PUMP_SIZE;
}

void pump_wait(const struct pump *pump, struct pollfd poll[2])
{
	/* An entry with nothing to wait for would still tell of the other side's end, again and again. */
	poll[0] = (struct pollfd){.fd = wants_input(pump) ? pump->from : -1, .events = POLLIN};
	poll[1] = (struct pollfd){.fd = pump->size && !pump->broken ? pump->to : -1,
				  .events = POLLOUT};
}

static bool for_later(ssize_t error)
{
	return error == -EAGAIN || error == -EINTR;
}

static void give(struct pump *pump)
{
	ssize_t n = pump->write(pump->ctx, pump->to, pump->data + pump->head, pump->size);

	if (n < 0) {
		pump->broken = !for_later(n);
		return;
	}
	pump->head += (size_t)n;
	pump->size -= (size_t)n;
	if (pump->size == 0)
		pump->head = 0;
}

size_t pump_move(struct pump *pump, const struct pollfd poll[2], const char **from)
{
	size_t got = 0;

	if (poll[0].revents && wants_input(pump)) {
		char *end = pump->data + pump->head + pump->size;
		ssize_t n = read(pump->from, end, (size_t)(pump->data + PUMP_SIZE - end));
		if (n > 0)
			got = (size_t)n;
		else
			pump->ended = n == 0 || !for_later(-errno);
		*from = end;
		pump->size += got;
	}
	/* Try at once what has just come. */
	if (pump->size && !pump->broken && pump->to >= 0 && (poll[1].revents || got))
		give(pump);
	return got;
}
