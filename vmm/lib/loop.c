// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/loop.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm/lib/wake.h"

int loop_init(struct loop *loop)
{
	atomic_init(&loop->stop, false);
	loop->wake = -1;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;

	int err = 0;
	/* The only event without a source. */
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	loop->wake = wake_open();
	if (loop->wake < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) < 0) {
		err = -errno;
		loop_release(loop);
	}
	return err;
}

void loop_release(struct loop *loop)
{
	if (loop->wake >= 0)
		close(loop->wake);
	if (loop->epoll >= 0)
		close(loop->epoll);
	loop->wake = -1;
	loop->epoll = -1;
}

#define EDGES (EPOLLIN | EPOLLOUT | EPOLLET)

static int control(const struct loop *loop, int operation, struct loop_source *source,
		   unsigned int events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};
	return epoll_ctl(loop->epoll, operation, source->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_source *source)
{
	return control(loop, EPOLL_CTL_ADD, source, EPOLLIN);
}

int loop_add_edge(struct loop *loop, struct loop_source *source)
{
	return control(loop, EPOLL_CTL_ADD, source, EDGES);
}

int loop_add_urgent(struct loop *loop, struct loop_source *source)
{
	return control(loop, EPOLL_CTL_ADD, source, EPOLLPRI);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

int loop_wait_for(struct loop *loop, struct loop_source *source, bool writable)
{
	return control(loop, EPOLL_CTL_MOD, source, writable ? EPOLLOUT : EPOLLIN);
}

int loop_wait_for_edge(struct loop *loop, struct loop_source *source)
{
	return control(loop, EPOLL_CTL_MOD, source, EDGES);
}

void loop_mute(struct loop *loop, struct loop_source *source)
{
	/* Errors cannot be masked: as an edge, one does not wake the loop for ever. */
	control(loop, EPOLL_CTL_MOD, source, EPOLLET);
}

int loop_turn(struct loop *loop, int milliseconds)
{
	struct epoll_event event;
	/*
	 * One event at a time: a callback may remove any source, which an array of events here
	 * could still hold. The kernel reports ready sources in turn.
	 */
	int count = epoll_wait(loop->epoll, &event, 1, milliseconds);
	if (count < 0 && errno != EINTR)
		return -errno;
	if (count < 1 || !event.data.ptr)
		return 0;
	struct loop_source *source = event.data.ptr;
	source->ready(source->ctx);
	return 0;
}

int loop_run(struct loop *loop)
{
	int err = 0;
	while (!err && !atomic_load(&loop->stop))
		err = loop_turn(loop, -1);
	return err;
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	wake_ring(loop->wake);
}
