/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory in which a user's live guests are known by name: $EBB_RUNTIME_DIR, else
 * $XDG_RUNTIME_DIR/ebb if that variable names a directory of this user with mode 0700, else
 * /run/ebb for root and /tmp/ebb-UID for others. It must belong to this user and have mode 0700. A
 * guest holds the directory itself, not its path: if the directory is removed (as at a logout) or
 * replaced, its guests are hidden, and they touch nothing in the new one. A guest holds its name by
 * a lock on NAME.lock there, which the kernel releases however ebb ends; beside it is the socket
 * NAME.sock, and, of a detached guest, its console's, NAME.cons; and, with `ebb run --ssh`, its vsock's, NAME.vsck. The files of a dead guest are taken over by the next guest of that name, or removed by
 * any command that finds them, and only under that lock.
 *
 * Thread: main. runtime_connect() does not wait; the others wait up to 2 seconds for a process that
 * holds the directory's lock.
 */
#ifndef EBB_CONTROL_RUNTIME_H
#define EBB_CONTROL_RUNTIME_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "vmm/lib/guest_name.h"

/*
 * In place of a guest's name: the user's keeper (vmm/keeper), of which there is one, and pools of clones. Their files are
 * keeper-lock and keeper-sock, and so on: no guest's file has such a name. runtime_list() looks after them as after guests',
 * and does not list them.
 */
#define RUNTIME_KEEPER "/keeper"
#define RUNTIME_POOL   "/pool " /* and the pool's name */

/*
 * The variable with the directory's name in messages of who looks for guests, where $EBB_RUNTIME_DIR is one that only this
 * process has.
 */
#define RUNTIME_SHOWN "EBB_RUNTIME_SHOWN"

struct runtime_name {
	char path[PATH_MAX]; /* of the lock file */
	char guest[VM_NAME_MAX + 1];
	int directory; /* -1 if the name is not held; so is fd */
	int fd;
};

/* Returns 0, or -errno after an error message (-EBUSY: a live guest has that name). */
int runtime_claim(struct runtime_name *name, const char *guest);

/*
 * Makes the socket of a name that is held: listening and non-blocking. Only its user can ever
 * connect. Returns the socket, which the caller owns, or -errno after an error message.
 */
int runtime_listen(struct runtime_name *name);
/* The same for NAME.cons, the socket of a detached guest's console (vmm/detach). */
int runtime_listen_console(struct runtime_name *name);
/*
 * Writes the path of NAME.vsck, for a socket that the caller makes, into @path, of @size bytes. Returns 0, or -ENAMETOOLONG
 * with as much as fits.
 */
int runtime_vsock_path(const struct runtime_name *name, char *path, size_t size);

/* Removes the sockets and releases the name, if it is held. */
void runtime_release(struct runtime_name *name);

/*
 * Connects to the guest called @guest, without waiting. Returns a non-blocking socket, which the
 * caller owns, or -errno. Without an error message it returns -EAGAIN (try again in a moment: the
 * guest's backlog is full or another process holds the directory's lock), -ENOENT (no such guest
 * lives; a dead one's files are removed), -ECONNREFUSED (it lives but does not listen, yet or any
 * more) and -EINVAL (no guest can have that name). It prints a message for any other error.
 */
int runtime_connect(const char *guest);
/* The same for the console's socket: -ECONNREFUSED if the guest was not detached. */
int runtime_connect_console(const char *guest);

struct runtime_guest {
	char name[VM_NAME_MAX + 1];
	pid_t pid; /* 0: not written yet */
};

/*
 * Lists the live guests in *@guests, sorted by name, which the caller frees, and removes the files
 * of dead ones. Does not make the directory; without it there is no guest. Returns the number of
 * guests, or -errno after an error message.
 */
ssize_t runtime_list(struct runtime_guest **guests);
/* Returns the one called @name among those, @count of them (or an error), or NULL. */
const struct runtime_guest *runtime_find(const struct runtime_guest *guests, ssize_t count,
					 const char *name);

/*
 * Watches the directory of a held name for guests that start. Returns an inotify descriptor,
 * non-blocking, which the caller owns, or -errno after an error message. When it is readable,
 * runtime_started() calls @started for each new socket; its guest may not listen yet. Returns 0, or
 * -EOVERFLOW if there were too many: list the guests again.
 */
int runtime_watch(const struct runtime_name *name);
int runtime_started(int fd, void (*started)(void *ctx, const char *guest), void *ctx);
/* Whether the directory of a held name was removed: new guests are in another one. */
bool runtime_is_gone(const struct runtime_name *name);

#endif
