// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/door.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/wake.h"

/* What a user namespace shows of users without a number there: user_namespaces(7). */
#define NO_USER 65534
/* More groups than any user of a host has; a user with more is refused. */
#define GROUPS_MAX 1024

/* --- who may come in ------------------------------------------------------------------------- */

/* Whether the file that a client has come through is still open to those alone that it was made for. */
static bool is_guarded(const struct control_door *door)
{
	mode_t others = door->group == CONTROL_NO_GROUP ? 077 : 07;
	struct stat st;
	return fstat(door->guard, &st) == 0 && (st.st_mode & others) == 0;
}

static bool is_member(int fd, const struct ucred *peer, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);
	if (group == CONTROL_NO_GROUP)
		return false;
	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
}

/*
 * The mode of a directory or of the socket's file already keeps others out; this is a second check. In
 * a user namespace of ebb's own neither root nor other users have a number of theirs, and the kernel
 * tells the same one of them all: while that mode is as it was made, it is one who may.
 */
static bool is_welcome(const struct door *door, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	if (peer.uid == door->uid || peer.uid == 0)
		return true;
	return (peer.uid == NO_USER && is_guarded(&door->is)) ||
	       is_member(fd, &peer, door->is.group);
}

/* --- the listener ---------------------------------------------------------------------------- */

static void start_retry(struct door *door)
{
	wake_timer_at(door->retry.fd, clock_ns() + NS_PER_S);
}

static void on_listener(void *ctx)
{
	struct door *door = ctx;
	int fd = accept4(door->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0 && is_welcome(door, fd)) {
		door->enter(door, fd);
		return;
	}
	if (fd >= 0) {
		close(fd);
		return;
	}
	if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
		return;
	/* The listener stays ready: without a pause the loop would only serve it. */
	if (!door->said)
		log_warn(
			"the control socket takes no more clients: %s; ebb tries again every second (this is reported once)",
			strerror(errno));
	door->said = true;
	loop_remove(door->loop, &door->listener);
	start_retry(door);
}

static void on_retry(void *ctx)
{
	struct door *door = ctx;
	wake_take(door->retry.fd);
	if (loop_add(door->loop, &door->listener) < 0)
		start_retry(door);
}

/* --- begin and end --------------------------------------------------------------------------- */

int door_init(struct door *door, struct loop *loop, const struct control_door *is,
	      void (*enter)(struct door *door, int fd), void *ctx)
{
	*door = (struct door){
		.loop = loop, .is = *is, .uid = geteuid(), .enter = enter, .ctx = ctx};
	door->listener = (struct loop_source){is->listener, on_listener, door};
	door->retry = (struct loop_source){wake_timer_open(), on_retry, door};
	int err = door->retry.fd < 0 ? door->retry.fd : loop_add(loop, &door->retry);
	if (!err && fcntl(is->listener, F_SETFL, O_NONBLOCK) < 0)
		err = -errno;
	return err ? err : loop_add(loop, &door->listener);
}

static void remove_source(struct loop *loop, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	loop_remove(loop, source);
	close(source->fd);
}

void door_release(struct door *door)
{
	remove_source(door->loop, &door->listener);
	remove_source(door->loop, &door->retry);
}
